"""Shapes that cross from the data plane to the books. Plain structs, no Django.

All amounts are nanos (1e-9 USD) unless the name says picos (1e-12 USD).
"""

import datetime as dt
import uuid
from typing import Literal

import msgspec

UsageStatus = Literal["ok", "error", "cancelled", "expired"]


class AttemptRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """One try at one endpoint, as the receipt keeps it. Latencies in milliseconds; ``status`` is the upstream's HTTP status, 0 if none."""

    endpoint_id: str
    provider: str
    status: int
    latency_ms: int
    reason: str = ""  # why it failed: connect, timeout, 5xx, rate_limit, …; '' for the one that answered
    # What this try probably cost us although another one answered: a part of the event's ``cost_nanos``, owed to this try's provider.
    cost_nanos: int = 0


class UsageEvent(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One settled request: the receipt and the charge. Travels spool → stream → PostgreSQL as JSON, unique by ``event_id``.

    ``meters`` holds disjoint counts by meter name (catalog.types.Usage). ``amount_nanos`` is what the customer is charged,
    ``cost_nanos`` what the provider charges us; both were priced with ``price_version_id``. The books know neither models nor tokens:
    slugs and counts are text and integers here.
    """

    event_id: uuid.UUID  # UUIDv7; its timestamp gives the day partition
    org_id: int
    shard: int
    key_id: int
    amount_nanos: int
    amount_picos: int
    cost_nanos: int
    hold_nanos: int
    status: UsageStatus
    api_type: str  # completions, embeddings, …
    model: str  # the concrete model that answered
    requested_model: str
    provider: str
    provider_name: str
    endpoint_id: str
    price_version_id: int
    meters: dict[str, int]
    started_at_ms: int  # Unix milliseconds
    latency_ms: int = 0  # to the first byte of the answer
    generation_ms: int = 0  # from the first to the last byte
    streamed: bool = False
    is_estimate: bool = False  # usage was missing upstream and was estimated
    simulated: bool = False
    service_tier: str = ""
    finish_reason: str = ""
    native_finish_reason: str = ""
    http_status: int = 200
    error_type: str = ""
    upstream_id: str = ""
    external_user: str = ""
    session_id: str = ""
    app_referer: str = ""
    app_title: str = ""
    user_agent: str = ""
    attempts: tuple[AttemptRecord, ...] = ()


_UUID7_MS_SHIFT = 80


def event_time(event_id: uuid.UUID) -> dt.datetime:
    """Return the moment inside a UUIDv7, in UTC."""
    return dt.datetime.fromtimestamp((event_id.int >> _UUID7_MS_SHIFT) / 1000, tz=dt.UTC)


def event_day(event_id: uuid.UUID) -> dt.date:
    """Return the UTC day of a UUIDv7: the partition key, equal wherever and whenever it is computed."""
    return event_time(event_id).date()


def generation_id(event_id: uuid.UUID) -> str:
    """Return the public id of a request: 'gen-' and 32 hex digits, sortable by time."""
    return f"gen-{event_id.hex}"


def event_id_from(generation: str) -> uuid.UUID:
    """Read a public id. Raises: ValueError when it is not one of ours."""
    if not generation.startswith("gen-"):
        msg = f"{generation!r} is not a generation id"
        raise ValueError(msg)
    return uuid.UUID(hex=generation[4:])
