"""Live balances of organizations."""

from typing import Literal, NamedTuple, cast

from billing.authorizer.keys import shard_keys
from billing.authorizer.scripts import CREDIT, PUT_BALANCE, PUT_FROZEN, RETURN_CHARGE
from billing.live.store import asks_store, run, store


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
    unposted_nanos: int = 0  # charged by entries that the books refused and nobody has dealt with
    is_frozen: bool = False


@asks_store
def read_balance(*, org_id: int, shard: int) -> LiveBalance | None:
    """Return the live balance; None if the store has not loaded it: then the books alone tell it."""
    values = store().hmget(f"{shard_keys(shard).balance}{org_id}", ["avail", "held", "unposted", "seq"])
    return None if values[3] is None else LiveBalance(*(int(value) for value in values))


@asks_store
def apply_credit(*, org_id: int, shard: int, seq: int, amount_nanos: int) -> Literal["applied", "duplicate", "gap", "absent"]:
    """Apply the numbered change ``seq`` of a balance, at most once and in order. ``amount_nanos`` is signed.

    'absent': no balance is loaded; whoever loads it will read at least this change from the books, so it counts as published.
    'gap': an earlier change is missing; publish that first, or ``resync_balance``. Raises: EpochClosed.
    """
    keys = shard_keys(shard)
    reply = run(CREDIT, [keys.epoch, f"{keys.balance}{org_id}", keys.known], ["", seq, amount_nanos, f"b:{org_id}"])
    return cast('Literal["applied", "duplicate", "gap", "absent"]', reply.decode().lower())


@asks_store
def resync_balance(*, shard: int, seed: BalanceSeed) -> bool:
    """Set avail to the books' balance less what is held and unposted. False if the store knows a later change than ``seed``.

    Hold the shard's lock while reading the books and calling this, so that no batch is booked and not yet acknowledged.
    Raises: EpochClosed.
    """
    keys = shard_keys(shard)
    args: list[str | bytes | int] = ["", "", "resync", seed.balance_nanos, seed.seq, f"b:{seed.org_id}"]
    return bool(run(PUT_BALANCE, [keys.epoch, f"{keys.balance}{seed.org_id}", keys.known], args) == b"OK")


@asks_store
def put_frozen(*, org_id: int, shard: int, is_frozen: bool) -> bool:
    """Refuse an organization's new requests, or admit them again. False when no balance is loaded yet: repeat it.

    Raises: EpochClosed.
    """
    keys = shard_keys(shard)
    return bool(run(PUT_FROZEN, [keys.epoch, f"{keys.balance}{org_id}"], ["", int(is_frozen)]) == b"OK")


@asks_store
def return_charge(*, org_id: int, key_id: int, shard: int, event_hex: str, amount_nanos: int) -> None:
    """Give back a charge that the books refused for good. Not repeatable. Raises: EpochClosed."""
    keys = shard_keys(shard)
    run(RETURN_CHARGE, [keys.epoch, f"{keys.balance}{org_id}", f"{keys.scope}{key_id}"], ["", event_hex, amount_nanos])
