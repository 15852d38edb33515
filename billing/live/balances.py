"""Live balances of organizations."""

from typing import Literal, NamedTuple, cast

from billing.authorizer.keys import shard_keys
from billing.authorizer.scripts import CREDIT, PUT_BALANCE
from billing.live.store import run, store


class LiveBalance(NamedTuple):
    """An organization's live balance: avail + held + unposted = credits − debits in the books at equal ``seq``."""

    avail_nanos: int
    held_nanos: int
    unposted_nanos: int  # charged, not yet booked
    seq: int  # number of the last credit that is in it


class BalanceSeed(NamedTuple):
    """An organization's balance as the books have it."""

    org_id: int
    balance_nanos: int  # credits − debits
    seq: int


def read_balance(*, org_id: int, shard: int) -> LiveBalance | None:
    """Return the live balance; None if the store has not loaded it: then the books alone tell it."""
    values = store().hmget(f"{shard_keys(shard).balance}{org_id}", ["avail", "held", "unposted", "seq"])
    return None if values[3] is None else LiveBalance(*(int(value) for value in values))


def apply_credit(*, org_id: int, shard: int, seq: int, amount_nanos: int) -> Literal["applied", "duplicate", "gap", "absent", "epoch"]:
    """Apply the numbered change ``seq`` of a balance, at most once and in order. ``amount_nanos`` is signed.

    'absent': no balance is loaded; whoever loads it will read at least this change from the books, so it counts as published.
    'gap': an earlier change is missing; publish that first, or ``resync_balance``.
    'epoch': the shard waits for its rebuild and nothing was done; repeat it then.
    """
    keys = shard_keys(shard)
    reply = run(CREDIT, [keys.epoch, f"{keys.balance}{org_id}", keys.known], ["", seq, amount_nanos, f"b:{org_id}"])
    return cast('Literal["applied", "duplicate", "gap", "absent", "epoch"]', reply.decode().lower())


def resync_balance(*, org_id: int, shard: int, balance_nanos: int, seq: int) -> Literal["applied", "stale", "epoch"]:
    """Set avail to the books' balance (credits − debits) at ``seq``, less what is held and unposted.

    Hold the shard's lock while reading the books and calling this, so that no batch is booked and not yet acknowledged.
    'stale': the store knows a later change than ``seq``. 'epoch': as in ``apply_credit``.
    """
    keys = shard_keys(shard)
    reply = run(PUT_BALANCE, [keys.epoch, f"{keys.balance}{org_id}", keys.known], ["", "", "resync", balance_nanos, seq, f"b:{org_id}"])
    return "applied" if reply == b"OK" else "stale" if reply == b"STALE" else "epoch"
