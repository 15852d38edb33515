"""An organization leaves one shard of the money store for another."""

from collections.abc import Iterator, Sequence

from billing.authorizer.keys import shard_keys
from billing.authorizer.scripts import LEAVE_SHARD, PUT_FROZEN
from billing.live.store import asks_store, run, store

_SCANNED_PER_CALL = 2_000
_CLAIMS_PER_CALL = 500


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
    found = (name.decode().partition("}:i:")[2] for name in store().scan_iter(f"{_tag(source)}:i:*", count=_SCANNED_PER_CALL))
    names = list(dict.fromkeys(name for name in found if name.partition(":")[0] in wanted))
    return [name for chunk in _chunks(names) for name in _copy_claims(chunk, source, target)]


@asks_store
def hand_over_claims(names: Sequence[str], *, source: int, target: int) -> None:
    """Take names that were copied off the old shard, with what has happened to them since: one that was freed there is free."""
    for chunk in _chunks(names):
        taken = set(_copy_claims(chunk, source, target))
        pipe = store().pipeline(transaction=False)
        for name in chunk:
            if name not in taken:
                pipe.unlink(f"{_tag(target)}:i:{name}")
            pipe.unlink(f"{_tag(source)}:i:{name}")
        pipe.execute()


def _copy_claims(names: Sequence[str], source: int, target: int) -> list[str]:
    """Copy those that still stand for something, in two round trips, and return them."""
    asking = store().pipeline(transaction=False)
    for name in names:
        here = f"{_tag(source)}:i:{name}"
        asking.hgetall(here)
        asking.ttl(here)
    told = asking.execute()
    copied, writing = [], store().pipeline(transaction=False)
    for name, fields, ttl_s in zip(names, told[::2], told[1::2], strict=True):
        if not fields or ttl_s <= 0:
            continue
        there = f"{_tag(target)}:i:{name}"
        writing.hset(there, mapping=fields)
        writing.expire(there, ttl_s)
        copied.append(name)
    writing.execute()
    return copied


def _chunks(names: Sequence[str]) -> Iterator[Sequence[str]]:
    return (names[start : start + _CLAIMS_PER_CALL] for start in range(0, len(names), _CLAIMS_PER_CALL))


def _tag(shard: int) -> str:
    return f"{{s{shard:03d}}}"
