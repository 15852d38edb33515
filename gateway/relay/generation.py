"""One request's life: who asked, for what, where it was tried, what was held, how it ended."""

import time
import uuid
from typing import Any

import msgspec
import uuid_utils.compat

from accounts.types import Caller
from billing.authorizer.types import Hold
from billing.types import AttemptRecord
from catalog.types import Usage
from gateway.dialects.base import ChatRequest
from gateway.dialects.client import ClientDialect, Head
from gateway.relay.catalog import Candidate, CatalogView
from gateway.relay.routing import Route
from gateway.relay.types import HoldPlan


class ClientInfo(msgspec.Struct):
    """What the client said about itself in headers, for the receipt."""

    user_agent: str = ""
    referer: str = ""
    title: str = ""


class Outcome(msgspec.Struct):
    """How the answering attempt ended. ``usage`` is None until it is known or estimated."""

    status: str = "error"  # ok, error, cancelled
    usage: Usage | None = None
    finish_reason: str = ""
    native_finish_reason: str = ""
    upstream_id: str = ""
    service_tier: str = ""
    http_status: int = 200
    error_type: str = ""
    output_seen: bool = False


class Generation(msgspec.Struct, eq=False):
    """Everything about one request, filled in as it goes. Times: ``started_ns`` monotonic, ``started_at_ms`` Unix milliseconds."""

    caller: Caller
    request: ChatRequest
    dialect: ClientDialect
    view: CatalogView
    route: Route
    client: ClientInfo
    event_id: uuid.UUID
    id: str
    started_ns: int
    started_at_ms: int
    plan: HoldPlan | None = None
    hold: Hold | None = None
    candidate: Candidate | None = None
    attempts: list[AttemptRecord] = msgspec.field(default_factory=list)
    first_byte_ns: int = 0
    ahead: Any = None  # the call to the first candidate, made while the hold was under way (attempts.py)
    outcome: Outcome = msgspec.field(default_factory=Outcome)
    settled: bool = False


def new_event_id() -> uuid.UUID:
    """Return a fresh time-sortable id, made by us before anything is written."""
    return uuid_utils.compat.uuid7()


def start_generation(
    *,
    event_id: uuid.UUID,
    caller: Caller,
    request: ChatRequest,
    dialect: ClientDialect,
    view: CatalogView,
    route: Route,
    client: ClientInfo,
    started_ns: int,
    id: str,  # noqa: A002 -- the field's name
) -> Generation:
    """Return the record of a request that has passed authentication and routing."""
    return Generation(
        caller=caller,
        request=request,
        dialect=dialect,
        view=view,
        route=route,
        client=client,
        event_id=event_id,
        id=id,
        started_ns=started_ns,
        started_at_ms=time.time_ns() // 1_000_000,
    )


def answer_head(generation: Generation, candidate: Candidate, usage: Usage | None = None) -> Head:
    """Return the name that an answer of ``candidate`` carries; ``usage`` is what the provider reported before its first word."""
    return Head(generation.id, candidate.endpoint.model, candidate.host.spec.name, generation.started_at_ms // 1000, usage)
