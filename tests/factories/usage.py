"""Settled requests, booked as settlement books them."""

import datetime as dt
import itertools
import uuid
from collections.abc import Sequence
from typing import Any

import uuid_utils

from accounts.models import ApiKey
from billing.books import arrivals, partitions, settlement
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
    book_together([event])
    return event


def book_together(events: Sequence[UsageEvent]) -> None:
    """Put requests of one shard into the books in one batch."""
    batch = [
        arrivals.receive(
            event, stream_id=f"{number}-0", src=f"1:{number}-0", created_ms=event.event_id.int >> 80, day=event_day(event.event_id)
        )
        for event, number in zip(events, _numbers, strict=False)
    ]
    partitions.ensure({arrival.day for arrival in batch})
    settlement._book(events[0].shard, batch)
