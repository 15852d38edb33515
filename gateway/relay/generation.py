"""One request's life: who asked, for what, where it was tried, what was held, how it ended."""

import time
import uuid
from typing import TYPE_CHECKING, Any

import msgspec
import uuid_utils

from accounts.types import Caller
from catalog.types import Usage
from gateway.dialects.base import ChatRequest
from gateway.dialects.client import ClientDialect, Head
from gateway.relay.catalog import Candidate, CatalogView
from gateway.relay.routing import Route

if TYPE_CHECKING:
    from billing.authorizer.types import Hold
    from billing.types import AttemptRecord
    from gateway.relay.types import HoldPlan


_read_id = msgspec.json.Decoder(uuid.UUID).decode  # makes one in C, unlike uuid_utils.compat


class ClientInfo:
    """What the client said about itself in headers, for the receipt."""

    __slots__ = ("referer", "title", "user_agent")

    def __init__(self, user_agent: str, referer: str, title: str) -> None:
        self.user_agent = user_agent
        self.referer = referer
        self.title = title


class Outcome:
    """How the answering attempt ended. ``usage`` is None until it is known or estimated."""

    __slots__ = (
        "error_type",
        "finish_reason",
        "http_status",
        "native_finish_reason",
        "output_seen",
        "service_tier",
        "status",
        "upstream_id",
        "usage",
    )

    def __init__(self) -> None:
        self.status = "error"  # ok, error, cancelled
        self.usage: Usage | None = None
        self.finish_reason = ""
        self.native_finish_reason = ""
        self.upstream_id = ""
        self.service_tier = ""
        self.http_status = 200
        self.error_type = ""
        self.output_seen = False


class Generation:
    """Everything about one request, filled in as it goes. Times: ``started_ns`` monotonic, ``started_at_ms`` Unix milliseconds."""

    __slots__ = (
        *("ahead", "attempts", "caller", "candidate", "client", "dialect", "event_id", "first_byte_ns", "hold", "id", "outcome", "plan"),
        *("request", "route", "settled", "started_at_ms", "started_ns", "view"),
    )

    def __init__(
        self,
        *,
        event_id: uuid.UUID,
        caller: Caller,
        request: ChatRequest,
        dialect: ClientDialect,
        view: CatalogView,
        route: Route,
        client: ClientInfo,
        started_ns: int,
        id: str,  # noqa: A002 -- what it is called
    ) -> None:
        self.caller = caller
        self.request = request
        self.dialect = dialect
        self.view = view
        self.route = route
        self.client = client
        self.event_id = event_id
        self.id = id
        self.started_ns = started_ns
        self.started_at_ms = time.time_ns() // 1_000_000
        self.plan: HoldPlan | None = None
        self.hold: Hold | None = None
        self.candidate: Candidate | None = None
        self.attempts: list[AttemptRecord] = []
        self.first_byte_ns = 0
        self.ahead: Any = None  # the call to the first candidate, made while the hold was under way (attempts.py)
        self.outcome = Outcome()
        self.settled = False


def new_event_id() -> uuid.UUID:
    """Return a fresh time-sortable id, made by us before anything is written."""
    return _read_id(f'"{uuid_utils.uuid7()}"')


def answer_head(generation: Generation, candidate: Candidate, usage: Usage | None = None) -> Head:
    """Return the name that an answer of ``candidate`` carries; ``usage`` is what the provider reported before its first word."""
    return Head(generation.id, candidate.endpoint.model, candidate.host.spec.name, generation.started_at_ms // 1000, usage)
