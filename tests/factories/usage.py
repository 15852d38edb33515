"""Settled requests, booked as settlement books them."""

import datetime as dt
import itertools
import uuid
from typing import Any

import uuid_utils

from accounts.models import ApiKey
from billing.books import partitions, settlement
from billing.books.arrivals import Arrival
from billing.types import UsageEvent, event_day

_numbers = itertools.count(1)


def make_event(api_key: ApiKey, **fields: Any) -> UsageEvent:
    """Return a request of this key that cost $0.000214: 100 tokens in at $0.25, 315 out at $0.60 per million."""
    event_id = fields.pop("event_id", None) or uuid.UUID(bytes=uuid_utils.uuid7().bytes)
    amount_picos = fields.pop("amount_picos", 214_000_000)
    return UsageEvent(
        **{
            "event_id": event_id,
            "org_id": api_key.organization_id,
            "shard": api_key.organization.shard,
            "key_id": api_key.pk,
            "amount_nanos": (amount_picos + 500) // 1000,
            "amount_picos": amount_picos,
            "cost_nanos": 0,
            "hold_nanos": 4_200_000,
            "status": "ok",
            "api_type": "completions",
            "model": "acme/swift",
            "requested_model": "acme/swift",
            "provider": "acme",
            "provider_name": "Acme",
            "endpoint_id": "acme/swift@acme",
            "price_version_id": 0,
            "meters": {"input_tokens": 100, "output_tokens": 315},
            "started_at_ms": int(dt.datetime.now(tz=dt.UTC).timestamp() * 1000),
            "latency_ms": 240,
            "generation_ms": 1_300,
            **fields,
        },
    )


def book(api_key: ApiKey, **fields: Any) -> UsageEvent:
    """Put a request into the books and return it."""
    event = make_event(api_key, **fields)
    number = next(_numbers)
    arrival = Arrival(f"{number}-0", f"1:{number}-0", event, event.event_id.int >> 80, event_day(event.event_id))
    partitions.ensure([arrival.day])
    settlement._book(event.shard, [arrival])
    return event
