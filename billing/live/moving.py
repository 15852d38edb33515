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
def leave_shard(*, org_id: int, shard: int, key_ids: Sequence[int], closed_s: int) -> bool:
    """Forget the organization on the shard and keep it from being loaded there for ``closed_s``.

    False while it holds or waits for anything, or is not paused. Raises: EpochClosed.
    """
    keys = shard_keys(shard)
    names = [keys.epoch, f"{keys.balance}{org_id}", f"{keys.holds}{org_id}", keys.known, *(f"{keys.scope}{key_id}" for key_id in key_ids)]
    args: list[str | bytes | int] = ["", closed_s, f"b:{org_id}", *(f"k:{key_id}" for key_id in key_ids)]
    return bool(run(LEAVE_SHARD, names, args) == b"OK")


@asks_store
def open_for_arrival(*, org_id: int, shard: int) -> None:
    """Let an organization be loaded on a shard that it had left shortly before."""
    name = f"{shard_keys(shard).balance}{org_id}"
    store().hdel(name, "moved")
    store().persist(name)


@asks_store
def move_claims(*, key_ids: Sequence[int], source: int, target: int) -> int:
    """Bring the names that API keys gave to requests along. Return how many."""
    moved = 0
    for key_id in key_ids:
        for name in store().scan_iter(f"{{s{source:03d}}}:i:{key_id}:*", count=1000):
            fields, ttl_s = store().hgetall(name), store().ttl(name)
            if fields and ttl_s > 0:
                there = f"{{s{target:03d}}}{name.decode().partition('}')[2]}"
                store().hset(there, mapping=fields)
                store().expire(there, ttl_s)
                moved += 1
            store().unlink(name)
    return moved
