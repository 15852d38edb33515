"""Holds as the books' side sees them, and the reaper of those whose gateway died."""

import logging
import uuid
from typing import NamedTuple

import msgspec
from django.conf import settings

from billing.authorizer.keys import close_keys, shard_keys
from billing.authorizer.leases import LEASE_MARK
from billing.authorizer.scripts import FILLED, REAP
from billing.authorizer.types import HoldContext
from billing.live.set_aside import NO_SCOPE, release_aside
from billing.live.store import EpochClosed, asks_store, run, store
from billing.types import UsageEvent

_REAPED_PER_CALL = 500
_MS_PER_S = 1000
_PICOS_PER_NANO = 1_000
_UUID7_MS_SHIFT = 80

logger = logging.getLogger(__name__)


class LiveHold(NamedTuple):
    """One running request's money. ``overdue_ms`` is how long ago its deadline was, by the server's clock; below zero before it."""

    event_id: uuid.UUID
    key_id: int
    amount_nanos: int
    spent_nanos: int  # as of the last heartbeat
    overdue_ms: int


class OrganizationHolds(NamedTuple):
    """An organization's held sum and the holds that make it up, read in one step. Holds that cannot be read are left out."""

    org_id: int
    held_nanos: int
    holds: tuple[LiveHold, ...]


class _Stored(NamedTuple):
    held: int
    spent: int
    scopes: str  # comma-separated ids; the first is the key's
    context: bytes

    @classmethod
    def parse(cls, value: bytes) -> "_Stored | None":
        """Return the hold, or None when it cannot be read: then only a rebuild of the shard gives its money back."""
        try:
            held, spent, scopes, context = value.split(b" ", 3)
            return cls(int(held), int(spent), scopes.decode(), context)
        except ValueError:
            return None

    @property
    def scope_ids(self) -> tuple[int, ...]:
        return tuple(int(scope) for scope in self.scopes.split(","))


@asks_store
def read_holds(*, shard: int) -> list[OrganizationHolds]:
    """Return the holds of every organization that the shard has loaded."""
    keys = shard_keys(shard)
    deadlines = {member.decode(): score for member, score in store().zrange(keys.deadlines, 0, -1, withscores=True)}
    organizations, now_ms = [], _server_ms()
    for name in sorted(store().smembers(keys.known)):
        kind, _, org_id = name.decode().partition(":")
        if kind != "b":
            continue
        pipe = store().pipeline(transaction=True)
        pipe.hget(f"{keys.balance}{org_id}", "held")
        pipe.hgetall(f"{keys.holds}{org_id}")
        held, stored = pipe.execute()
        readable = ((event.decode(), _Stored.parse(value)) for event, value in stored.items())
        holds = (_live_hold(org_id, event, hold, deadlines, now_ms) for event, hold in readable if hold is not None)
        organizations.append(OrganizationHolds(int(org_id), int(held or 0), tuple(holds)))
    return organizations


def _live_hold(org_id: str, event: str, hold: _Stored, deadlines: dict[str, float], now_ms: int) -> LiveHold:
    # The deadlines were read a moment before the holds: one that began in between is new.
    overdue_ms = now_ms - int(deadlines.get(f"{org_id}:{event}", now_ms))
    return LiveHold(uuid.UUID(hex=event), hold.scope_ids[0], hold.held, hold.spent, overdue_ms)


@asks_store
def shards_with_holds() -> list[int]:
    """Return the shards on which money is held now."""
    shards = range(settings.LEDGER_SHARDS)
    return [shards[position - 1] for position in run(FILLED, [shard_keys(shard).deadlines for shard in shards], ["ZCARD"])]


@asks_store
def reap_expired(*, shard: int) -> int:
    """Settle holds past their deadline (the server's clock) at their last heartbeat's cost, status 'expired'. Returns how many.

    At most 500 a call. A hold that its gateway renews or settles meanwhile is left alone. Nothing is done on a shard that waits for its
    rebuild, which ends all holds.
    """
    keys, now_ms = shard_keys(shard), _server_ms()
    members = [member.decode() for member in store().zrangebyscore(keys.deadlines, "-inf", now_ms, start=0, num=_REAPED_PER_CALL)]
    if not members:
        return 0
    pipe = store().pipeline(transaction=False)
    for org_id, _, event in (member.partition(":") for member in members):
        pipe.hget(f"{keys.holds}{org_id}", event)
    return sum(_reap(shard, member, value, now_ms) for member, value in zip(members, pipe.execute(), strict=True))


def _reap(shard: int, member: str, value: bytes | None, now_ms: int) -> bool:
    org_id, _, event = member.partition(":")
    # A deadline without a hold is cleared away by the script.
    hold = _Stored.parse(value or b"0 0 0 ")
    if hold is None:
        # Its money stays held, which the invariants report, and those behind it are reaped.
        logger.error("hold_unreadable shard=%s org=%s event=%s remedy=rebuild_balances", shard, org_id, event)
        return False
    if value and (hold.scopes == NO_SCOPE or hold.context == LEASE_MARK):
        # No request, but money that whoever set it aside did not come back for.
        return _release(shard, int(org_id), uuid.UUID(hex=event), hold)
    json = msgspec.json.encode(_expired_event(shard, int(org_id), event, hold, now_ms)) if value else b""
    args: list[str | bytes | int] = ["", org_id, event, hold.spent, hold.scopes, json, hold.held, hold.held - hold.spent, value or b""]
    try:
        status = run(REAP, close_keys(shard, int(org_id), hold.scope_ids), args)[0]
    except EpochClosed:
        return False
    if status in (b"NO_ORG", b"NO_KEY"):
        logger.error("reap_impossible shard=%s org=%s event=%s reason=%s", shard, org_id, event, status.decode())
    return bool(status == b"OK")


def _release(shard: int, org_id: int, hold_id: uuid.UUID, hold: _Stored) -> bool:
    scope_ids = () if hold.scopes == NO_SCOPE else hold.scope_ids
    try:
        return release_aside(org_id=org_id, shard=shard, hold_id=hold_id, scope_ids=scope_ids)
    except EpochClosed:
        return False


def _expired_event(shard: int, org_id: int, event: str, hold: _Stored, now_ms: int) -> UsageEvent:
    context = _context_of(event, hold)
    return UsageEvent(
        event_id=uuid.UUID(hex=event),
        org_id=org_id,
        shard=shard,
        key_id=hold.scope_ids[0],
        amount_nanos=hold.spent,
        amount_picos=hold.spent * _PICOS_PER_NANO,
        cost_nanos=0 if context.simulated else hold.spent,  # the provider's bill is not known; without a markup this is it
        hold_nanos=hold.held,
        status="expired",
        meters={},
        generation_ms=max(now_ms - context.started_at_ms, 0),
        is_estimate=True,
        http_status=0,
        error_type="gateway_lost",
        **msgspec.structs.asdict(context),
    )


def _context_of(event: str, hold: _Stored) -> HoldContext:
    try:
        return msgspec.json.decode(hold.context, type=HoldContext)
    except msgspec.DecodeError as error:
        # Written by another version of the gateway. The money must go back all the same, and those behind it in the queue wait.
        logger.error("hold_context_unreadable event=%s error=%s", event, error)  # noqa: TRY400 -- the trace says no more
        return HoldContext(
            model="unknown",
            requested_model="unknown",
            provider="unknown",
            provider_name="unknown",
            endpoint_id="unknown",
            price_version_id=0,
            api_type="unknown",
            started_at_ms=uuid.UUID(hex=event).int >> _UUID7_MS_SHIFT,
        )


def _server_ms() -> int:
    now_s, now_us = store().time()
    return int(now_s * _MS_PER_S + now_us // _MS_PER_S)
