"""What a caller could spend right now, without taking anything: for dry runs. No Django. Amounts in nanos."""

from typing import NamedTuple

from accounts.types import Caller
from billing.authorizer.connection import MoneyConnection, MoneyStoreDown
from billing.authorizer.keys import shard_keys
from billing.authorizer.loader import ScopeLoader
from billing.authorizer.periods import periods_at

_READS_MAX = 3
_SCOPE_FIELDS = ("limit", "reset", "free", "disabled", "day", "week", "month", "held")
# A limit's reset → its place among the periods of a moment.
_PERIODS = {"daily": 0, "weekly": 1, "monthly": 2}


class Standing(NamedTuple):
    """An organization's balance and a key's limit at one moment. ``key_free_nanos`` is None for a key without a limit."""

    available_nanos: int
    held_nanos: int
    key_limit_nanos: int | None
    key_limit_reset: str  # daily, weekly, monthly; '' is never
    key_free_nanos: int | None
    key_is_disabled: bool

    def refuses(self, amount_nanos: int) -> str:
        """Return what would refuse a hold of this amount: 'balance', 'key', or '' for nothing."""
        if amount_nanos > self.available_nanos:
            return "balance"
        return "key" if self.key_free_nanos is not None and amount_nanos > self.key_free_nanos else ""


async def read_standing(connection: MoneyConnection, loader: ScopeLoader, caller: Caller) -> Standing:
    """Return the caller's standing, loaded from the books if the store has none. Raises: MoneyStoreDown, InvalidKey."""
    keys = shard_keys(caller.shard)
    for _ in range(_READS_MAX):
        # Queued in one turn of the loop: one write, one moment.
        asked = (
            connection.execute("HGET", keys.epoch, "n"),
            connection.execute("TIME"),
            connection.execute("HMGET", f"{keys.balance}{caller.org_id}", "avail", "held"),
            connection.execute(
                "HMGET", f"{keys.scope}{caller.key_id}", "limit", "reset", "free", "disabled", "day", "week", "month", "held"
            ),
        )
        epoch, time, balance, scope = [await one for one in asked]
        if epoch is None:
            break
        if balance[0] is None:
            await loader.load_balance(shard=caller.shard, org_id=caller.org_id, epoch=int(epoch))
        elif scope[3] is None:
            await loader.load_key(shard=caller.shard, org_id=caller.org_id, key_id=caller.key_id, epoch=int(epoch))
        else:
            return _standing(balance, scope, int(time[0]))
    msg = "the live balances are being rebuilt"
    raise MoneyStoreDown(msg)


def _standing(balance: list[bytes], scope: list[bytes], now_s: int) -> Standing:
    limit, reset = scope[0], scope[1].decode()
    free: int | None = int(scope[2]) if limit else None
    if limit and reset:
        place = _PERIODS[reset]
        if int(scope[4 + place]) < periods_at(now_s)[place]:
            free = int(limit) - int(scope[7])  # nobody has spent in the new period yet
    return Standing(
        available_nanos=int(balance[0]),
        held_nanos=int(balance[1] or 0),
        key_limit_nanos=int(limit) if limit else None,
        key_limit_reset=reset,
        key_free_nanos=free,
        key_is_disabled=scope[3] == b"1",
    )
