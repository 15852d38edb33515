"""An organization leaves one shard of the money store for another."""

from collections.abc import Sequence

from billing.authorizer.keys import shard_keys
from billing.authorizer.scripts import LEAVE_SHARD, PUT_FROZEN
from billing.live.store import asks_store, run, store


@asks_store
def pause_for_move(*, org_id: int, shard: int, for_ms: int) -> bool:
    """Let the organization start nothing new on the shard for at most so long. False when it is not loaded. Raises: EpochClosed."""
    keys = shard_keys(shard)
    return bool(run(PUT_FROZEN, [keys.epoch, f"{keys.balance}{org_id}"], ["", f"+{for_ms}"]) == b"OK")


@asks_store
def end_pause(*, org_id: int, shard: int) -> None:
    """Let the organization go on after a move that failed. A freeze that was set meanwhile stays. Raises: EpochClosed."""
    keys = shard_keys(shard)
    run(PUT_FROZEN, [keys.epoch, f"{keys.balance}{org_id}"], ["", "go on"])


@asks_store
def leave_shard(*, org_id: int, shard: int, key_ids: Sequence[int], closed_s: int) -> bool:
    """Forget the organization on the shard and keep it from being loaded there for ``closed_s``.

    False while it holds or waits for anything, or is not paused. Raises: EpochClosed.
    """
    keys = shard_keys(shard)
    names = [keys.epoch, f"{keys.balance}{org_id}", f"{keys.holds}{org_id}", keys.known, *(f"{keys.scope}{key_id}" for key_id in key_ids)]
    args: list[str | bytes | int] = ["", closed_s, f"b:{org_id}", *(f"k:{key_id}" for key_id in key_ids)]
    return bool(run(LEAVE_SHARD, names, args) == b"OK")


@asks_store
def open_for_arrival(*, org_id: int, shard: int, key_ids: Sequence[int]) -> None:
    """Let an organization be loaded anew on a shard that it had left before: nothing that lies there is of now."""
    keys = shard_keys(shard)
    store().delete(f"{keys.balance}{org_id}", *(f"{keys.scope}{key_id}" for key_id in key_ids))


@asks_store
def copy_claims(*, key_ids: Sequence[int], source: int, target: int) -> list[str]:
    """Copy the names that API keys gave to requests to another shard, and return them. Looks at every name of the store once."""
    wanted = {str(key_id) for key_id in key_ids}
    names = []
    for found in store().scan_iter(f"{_tag(source)}:i:*", count=1000):
        name = found.decode().partition("}:i:")[2]
        if name.partition(":")[0] in wanted and _copy_claim(name, source, target):
            names.append(name)
    return names


@asks_store
def hand_over_claims(names: Sequence[str], *, source: int, target: int) -> None:
    """Take names that were copied off the old shard, with what has happened to them since: one that was freed there is free."""
    for name in names:
        if not _copy_claim(name, source, target):
            store().unlink(f"{_tag(target)}:i:{name}")
        store().unlink(f"{_tag(source)}:i:{name}")


def _copy_claim(name: str, source: int, target: int) -> bool:
    here, there = f"{_tag(source)}:i:{name}", f"{_tag(target)}:i:{name}"
    fields, ttl_s = store().hgetall(here), store().ttl(here)
    if not fields or ttl_s <= 0:
        return False
    store().hset(there, mapping=fields)
    store().expire(there, ttl_s)
    return True


def _tag(shard: int) -> str:
    return f"{{s{shard:03d}}}"
