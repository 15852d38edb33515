"""Holds and spooled events as the parts of the authorizer hand them to each other."""

import mmap
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from accounts.types import Caller
from billing.authorizer.loader import Batch


class HoldContext(msgspec.Struct, omit_defaults=True, kw_only=True):
    """What the reaper needs to write the usage event of a request whose gateway died. Kept inside the hold, as JSON."""

    model: str
    requested_model: str
    provider: str
    provider_name: str
    endpoint_id: str
    price_version_id: int
    api_type: str
    started_at_ms: int  # Unix milliseconds
    streamed: bool = False
    simulated: bool = False
    service_tier: str = ""
    external_user: str = ""
    session_id: str = ""
    app_referer: str = ""
    app_title: str = ""
    user_agent: str = ""


class Hold(msgspec.Struct, eq=False, kw_only=True):
    """One running request's money. The relay sets ``spent_nanos`` as tokens flow; the heartbeat tells the store, for the reaper.

    ``event`` is the request's id as the store writes it: 32 hex digits.
    """

    event_id: uuid.UUID
    event: str
    caller: Caller
    amount_nanos: int
    context: HoldContext
    spent_nanos: int = 0
    is_settled: bool = False


class EventHead(msgspec.Struct):
    """The part of a UsageEvent that settling it again needs."""

    event_id: uuid.UUID
    org_id: int
    shard: int
    key_id: int
    amount_nanos: int
    hold_nanos: int


@dataclass(slots=True, eq=False)
class Segment:
    """One file of spooled events. ``epochs`` has the oldest epoch in which the store took events of a shard from here, ``witness`` the
    latest batches that booked them, which the books must still have; None until all are booked.
    """

    path: Path
    capacity: int
    fd: int = -1
    view: mmap.mmap | None = None
    used: int = 0
    is_closed: bool = False
    is_adopted: bool = False
    is_booked: bool = False
    opened_s: float = field(default_factory=time.monotonic)
    reviewed_s: float = 0.0
    epochs: dict[int, int] = field(default_factory=dict)
    witness: tuple[Batch, ...] | None = None


class SpoolRecord(msgspec.Struct, eq=False):
    """An event that the store has not yet confirmed. ``json`` is the UsageEvent as it goes into the stream."""

    event: str  # 32 hex digits
    org_id: int
    shard: int
    key_id: int
    amount_nanos: int
    hold_nanos: int
    json: bytes
    segment: Segment | None
    sent_s: float = msgspec.field(default_factory=time.monotonic)
    gone_s: float | None = None  # since when the store says that it has no such hold
    refused: bytes = b""  # the store's last answer, if it was not a confirmation
