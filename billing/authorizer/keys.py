"""Names of the money store's keys. All keys of a shard share a hash tag, so that a cluster keeps them in one slot."""

from functools import cache, lru_cache
from typing import NamedTuple


class ShardKeys(NamedTuple):
    """The keys that a shard has once, and the prefixes of those it has many of."""

    epoch: str
    deadlines: str
    stream: str
    known: str  # set of the balances and scopes that exist, so that a rebuild need not scan the store
    balance: str  # + organization id
    holds: str  # + organization id
    scope: str  # + scope id


@cache
def shard_keys(shard: int) -> ShardKeys:
    """Return the key names of a shard (0 to 255)."""
    tag = f"{{s{shard:03d}}}:"
    return ShardKeys(f"{tag}epoch", f"{tag}dl", f"{tag}st", f"{tag}ix", f"{tag}b:", f"{tag}h:", f"{tag}k:")


@lru_cache(maxsize=20_000)
def hold_keys(shard: int, org_id: int, scope_ids: tuple[int, ...]) -> tuple[str, ...]:
    """Return KEYS of reserve, extend and release: epoch, balance, holds, deadlines, then each scope."""
    k = shard_keys(shard)
    return (k.epoch, f"{k.balance}{org_id}", f"{k.holds}{org_id}", k.deadlines, *(f"{k.scope}{scope}" for scope in scope_ids))


@lru_cache(maxsize=20_000)
def close_keys(shard: int, org_id: int, scope_ids: tuple[int, ...]) -> tuple[str, ...]:
    """Return KEYS of settle and reap: as ``hold_keys`` with the stream before the scopes."""
    head = hold_keys(shard, org_id, scope_ids)
    return (*head[:4], shard_keys(shard).stream, *head[4:])


def claim_keys(shard: int, org_id: int, key_id: int, name: str) -> tuple[str, str, str]:
    """Return KEYS of claim: epoch, holds, and the claim of an API key's ``name`` (a digest)."""
    k = shard_keys(shard)
    return (k.epoch, f"{k.holds}{org_id}", f"{{s{shard:03d}}}:i:{key_id}:{name}")
