"""Epochs: a shard may be spent on only if it was rebuilt on this very run of the server, because a restart may forget a second."""

from collections.abc import Iterable

from django.conf import settings

from billing.authorizer.keys import shard_keys
from billing.authorizer.periods import Periods, periods_at
from billing.authorizer.scripts import BEGIN_EPOCH, CLOSE_EPOCH, STALE
from billing.live.balances import BalanceSeed
from billing.live.key_scopes import KeySeed, rules_of
from billing.live.store import asks_store, run, store

_DELETES_PER_CALL = 1_000


class ServerRestarted(Exception):
    """The money store's server restarted while a shard was rebuilt on it; begin again."""


@asks_store
def shards_with_stale_epochs(shards: Iterable[int] | None = None) -> list[int]:
    """Return those of the shards (all by default) that wait for a rebuild: no epoch, a closed one, or one of another run."""
    asked = list(range(settings.LEDGER_SHARDS) if shards is None else shards)
    return [asked[position - 1] for position in run(STALE, [shard_keys(shard).epoch for shard in asked], [])]


def epoch_is_current(*, shard: int) -> bool:
    """Whether money may be spent on the shard."""
    return not shards_with_stale_epochs([shard])


@asks_store
def close_epoch(*, shard: int) -> None:
    """Stop spending on the shard until ``begin_epoch``: the first step of rebuilding a shard that is not stale."""
    run(CLOSE_EPOCH, [shard_keys(shard).epoch], [])


@asks_store
def put_mark(*, shard: int, mark: str) -> None:
    """Remember what the books said of their latest batch; '' forgets it. Survives every epoch."""
    store().hset(shard_keys(shard).epoch, "booked", mark)


@asks_store
def read_mark(*, shard: int) -> str:
    """Return what ``put_mark`` was told last, '' if nothing."""
    mark = store().hget(shard_keys(shard).epoch, "booked")
    return mark.decode() if mark else ""


@asks_store
def begin_epoch(*, shard: int, balances: Iterable[BalanceSeed], key_scopes: Iterable[KeySeed] = ()) -> int:
    """Reset the shard to what the books say, without holds, and open it. Returns the new epoch. Raises: ServerRestarted.

    Under the shard's lock, after the stream was drained. Read the books only after the epoch was closed or found stale: then a credit
    or key that changes later waits for the new epoch, and none is missed. Balances and keys that are not given load at first use.
    """
    keys = shard_keys(shard)
    server_run = run(CLOSE_EPOCH, [keys.epoch], [])
    stale = [keys.deadlines, keys.known]
    for name in store().smembers(keys.known):
        kind, _, number = name.decode().partition(":")
        stale += [f"{keys.balance}{number}", f"{keys.holds}{number}"] if kind == "b" else [f"{keys.scope}{number}"]
    for start in range(0, len(stale), _DELETES_PER_CALL):
        store().unlink(*stale[start : start + _DELETES_PER_CALL])
    now = periods_at(int(store().time()[0]))
    pipe = store().pipeline(transaction=False)
    for seed in balances:
        unposted = seed.unposted_nanos
        fields = {"avail": seed.balance_nanos - unposted, "held": 0, "unposted": unposted, "seq": seed.seq}
        if seed.is_frozen:
            fields["frozen"] = 1
        pipe.hset(f"{keys.balance}{seed.org_id}", mapping=fields)
        pipe.sadd(keys.known, f"b:{seed.org_id}")
    for key in key_scopes:
        pipe.hset(f"{keys.scope}{key.scope.key_id}", mapping=_scope_fields(key, now))
        pipe.sadd(keys.known, f"k:{key.scope.key_id}")
    pipe.execute()
    epoch = run(BEGIN_EPOCH, [keys.epoch], [server_run])
    if epoch == b"RESTARTED":
        msg = f"the money store restarted while shard {shard} was rebuilt"
        raise ServerRestarted(msg)
    return int(epoch)


def _scope_fields(key: KeySeed, now: Periods) -> dict[str, str | int]:
    version, limit, reset, disabled, expires_s = rules_of(key.scope)
    fields: dict[str, str | int] = {"version": version, "limit": limit, "reset": reset, "disabled": disabled, "expires_s": expires_s}
    fields |= {"held": 0, "spent": key.spent_nanos, "day": now.day, "week": now.week, "month": now.month}
    fields |= {"base_d": key.spent_nanos - key.day_nanos, "base_w": key.spent_nanos - key.week_nanos}
    fields |= {"base_m": key.spent_nanos - key.month_nanos}
    if key.scope.limit_nanos is not None:
        counted = {"": key.spent_nanos, "daily": key.day_nanos, "weekly": key.week_nanos, "monthly": key.month_nanos}
        fields["free"] = key.scope.limit_nanos - counted[key.scope.limit_reset]
    return fields
