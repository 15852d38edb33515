"""Live counters and rules of API keys."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from accounts.types import LimitReset
from billing.authorizer.keys import shard_keys
from billing.authorizer.periods import Periods, periods_at
from billing.authorizer.scripts import PUT_KEY_SCOPE
from billing.live.store import asks_store, run, store

_FIELDS = ["spent", "held", "limit", "reset", "day", "base_d", "week", "base_w", "month", "base_m"]


class LiveKeyUsage(NamedTuple):
    """A key's counters up to this moment, in the present UTC day, week (from Monday) and month."""

    spent_nanos: int
    day_nanos: int
    week_nanos: int
    month_nanos: int
    held_nanos: int
    limit_nanos: int | None
    free_nanos: int | None  # what the limit leaves in its period, holds taken off; may be negative


class KeyScope(NamedTuple):
    """The rules of a key. ``limit_reset`` is '' for a limit that never starts anew; ``expires_at_s`` is Unix seconds."""

    key_id: int
    version: int
    limit_nanos: int | None
    limit_reset: LimitReset | Literal[""]
    disabled: bool
    expires_at_s: int | None


class KeySeed(NamedTuple):
    """A key's rules and what the books say it has spent, in all and in the present periods."""

    scope: KeyScope
    spent_nanos: int
    day_nanos: int
    week_nanos: int
    month_nanos: int


@asks_store
def read_key_usage(*, shard: int, key_ids: Sequence[int]) -> dict[int, LiveKeyUsage]:
    """Return the counters of those keys that the store has loaded."""
    pipe = store().pipeline(transaction=False)
    pipe.time()
    for key_id in key_ids:
        pipe.hmget(f"{shard_keys(shard).scope}{key_id}", _FIELDS)
    (now_s, _), *rows = pipe.execute()
    return {key_id: _usage(row, periods_at(now_s)) for key_id, row in zip(key_ids, rows, strict=True) if row[0] is not None}


def _usage(row: list[bytes], now: Periods) -> LiveKeyUsage:
    spent, held, limit, reset = int(row[0]), int(row[1]), row[2], row[3].decode()
    # Periods that are over are rolled by the next request; until then the stored ones are simply old.
    day, week, month = (
        spent - int(base) if int(began) >= present else 0
        for began, base, present in ((row[4], row[5], now.day), (row[6], row[7], now.week), (row[8], row[9], now.month))
    )
    counted = {"": spent, "daily": day, "weekly": week, "monthly": month}[reset]
    return LiveKeyUsage(
        spent_nanos=spent,
        day_nanos=day,
        week_nanos=week,
        month_nanos=month,
        held_nanos=held,
        limit_nanos=int(limit) if limit else None,
        free_nanos=int(limit) - counted - held if limit else None,
    )


@asks_store
def put_key_scope(*, shard: int, scope: KeyScope) -> bool:
    """Bring a key's rules up to date; what its limit leaves follows. False if the store has a newer version than this.

    Also True if the store has not loaded the key: whoever loads it must have read at least this version. Raises: EpochClosed.
    """
    keys = shard_keys(shard)
    args = ["", "", "update", f"k:{scope.key_id}", *rules_of(scope)]
    return bool(run(PUT_KEY_SCOPE, [keys.epoch, f"{keys.scope}{scope.key_id}", keys.known], args) != b"NEWER")


def rules_of(scope: KeyScope) -> list[str | int]:
    """Return version, limit, reset, disabled and expires_s as the store writes them."""
    limit = "" if scope.limit_nanos is None else scope.limit_nanos
    return [scope.version, limit, scope.limit_reset, int(scope.disabled), "" if scope.expires_at_s is None else scope.expires_at_s]
