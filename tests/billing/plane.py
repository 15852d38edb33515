"""The data plane's moves on the real scripts, one at a time and in the caller's order, which the asynchronous client does not promise."""

import datetime as dt
import uuid
from typing import Any

import msgspec
import uuid_utils

from accounts.models import Organization
from billing.authorizer.keys import close_keys, hold_keys, shard_keys
from billing.authorizer.scripts import RESERVE, SETTLE
from billing.authorizer.types import HoldContext
from billing.live.store import run, store
from billing.types import AttemptRecord, UsageEvent

CONTEXT = HoldContext(
    model="acme/large",
    requested_model="acme/large",
    provider="acme",
    provider_name="Acme",
    endpoint_id="acme/large@acme",
    price_version_id=1,
    api_type="completions",
    started_at_ms=1_700_000_000_000,
)

ATTEMPT = AttemptRecord(endpoint_id="acme/large@acme", provider="acme", status=200, latency_ms=12)


def new_id() -> uuid.UUID:
    return uuid.UUID(int=uuid_utils.uuid7().int)


def id_at(moment: dt.datetime) -> uuid.UUID:
    """Return an id as the data plane would have minted it at this moment."""
    fresh = new_id().int & ((1 << 80) - 1)
    return uuid.UUID(int=(int(moment.timestamp() * 1000) << 80) | fresh)


def make_event(organization: Organization, amount_nanos: int, *, key_id: int = 1, **fields: Any) -> UsageEvent:
    values: dict[str, Any] = {
        "event_id": new_id(),
        "org_id": organization.pk,
        "shard": organization.shard,
        "key_id": key_id,
        "amount_nanos": amount_nanos,
        "amount_picos": fields.get("amount_nanos", amount_nanos) * 1000,
        "cost_nanos": amount_nanos // 2,
        "hold_nanos": amount_nanos,
        "status": "ok",
        "api_type": "completions",
        "model": "acme/large",
        "requested_model": "acme/large",
        "provider": "acme",
        "provider_name": "Acme",
        "endpoint_id": "acme/large@acme",
        "price_version_id": 1,
        "meters": {"input_tokens": 10, "output_tokens": 5},
        "started_at_ms": 1_700_000_000_000,
    }
    return UsageEvent(**(values | fields))


def put_key(shard: int, key_id: int = 1) -> None:
    """Let the money store know an unlimited key that the books do not have."""
    name = f"{shard_keys(shard).scope}{key_id}"
    fields = {"version": 1, "limit": "", "reset": "", "disabled": 0, "expires_s": "", "held": 0, "spent": 0}
    store().hset(name, mapping=fields | {"day": 0, "week": 0, "month": 0, "base_d": 0, "base_w": 0, "base_m": 0})
    store().sadd(shard_keys(shard).known, f"k:{key_id}")


def reserve(
    organization: Organization, event_id: uuid.UUID, amount_nanos: int, *, key_id: int = 1, ttl_ms: int = 60_000, is_running: bool = False
) -> str:
    """Hold an amount; ``is_running`` re-asserts after a rebuild. Return the script's word."""
    args = ["", organization.pk, event_id.hex, amount_nanos, ttl_ms, int(is_running), key_id, msgspec.json.encode(CONTEXT)]
    return run(RESERVE, hold_keys(organization.shard, organization.pk, (key_id,)), args)[0].decode()


def reserve_word(org_id: int, shard: int) -> str:
    """Ask a shard for nothing and return its word."""
    return run(RESERVE, hold_keys(shard, org_id, (1,)), ["", org_id, new_id().hex, 0, 1_000, 0, 1, b"{}"])[0].decode()


def settle(event: UsageEvent, *, late: bool = False) -> str:
    """Settle as a gateway does; ``late`` is a spool sent again. Return the script's word."""
    keys = close_keys(event.shard, event.org_id, (event.key_id,))
    rest = event.hold_nanos - event.amount_nanos
    args = [
        "",
        event.org_id,
        event.event_id.hex,
        event.amount_nanos,
        event.key_id,
        msgspec.json.encode(event),
        event.hold_nanos,
        rest,
        int(late),
    ]
    return run(SETTLE, keys, args)[0].decode()


def spend(organization: Organization, amount_nanos: int, *, key_id: int = 1, **fields: Any) -> UsageEvent:
    """Hold and settle one request."""
    event = make_event(organization, amount_nanos, key_id=key_id, **fields)
    assert reserve(organization, event.event_id, event.hold_nanos, key_id=key_id) == "OK"
    assert settle(event) == "OK"
    return event


def deliver(shard: int, event: UsageEvent | bytes, *, org_id: int = 0, amount_nanos: int = 0, epoch: int = 1) -> None:
    """Append an entry to the stream, whatever it holds, without touching balances."""
    body = event if isinstance(event, bytes) else msgspec.json.encode(event)
    named = event if isinstance(event, UsageEvent) else None
    fields = {
        "id": named.event_id.hex if named else new_id().hex,
        "org": named.org_id if named else org_id,
        "key": named.key_id if named else 1,
        "amt": named.amount_nanos if named else amount_nanos,
        "ep": epoch,
        "d": body,
    }
    store().xadd(shard_keys(shard).stream, fields)
