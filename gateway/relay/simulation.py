"""What a routing policy would have done to requests that were made: who would have answered, who refused, at what cost. Pure.

A receipt has no body, so a request is replayed by the model it asked for, its answer's length and its tokens, as if no provider failed.
Both runs draw alike, so that what differs is the policy's doing.
"""

import random
from collections import Counter
from collections.abc import Sequence

import msgspec

from accounts.request_rules import Policy
from billing.types import UsageEvent, event_time, generation_id
from catalog.pricing import UnpricedMeter, cost
from catalog.types import Usage
from gateway.dialects.base import ChatRequest, Json
from gateway.relay.auto_router import resolve_names
from gateway.relay.catalog import Candidate, CatalogView
from gateway.relay.errors import ApiError
from gateway.relay.explanation_shapes import Amount, amount
from gateway.relay.health import EndpointHealth
from gateway.relay.policies import merge
from gateway.relay.preferences import read_preferences
from gateway.relay.routing import find_route

_SAMPLES_MAX = 20
_NOBODY = Policy(slug="", version=0, provider={})


class SimulatedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request under both rules. ``error`` is what the policy would have answered instead; providers are '' then."""

    id: str
    requested_model: str
    provider_before: str
    provider_after: str
    cost_before: Amount
    cost_after: Amount
    error: str


class Simulation(msgspec.Struct, frozen=True, kw_only=True):
    """What would have changed. Costs are of the requests that both rules answer, with today's prices."""

    requests: int
    skipped: int  # their model is not in the catalog any more, or was refused before too
    refused: int
    moved: int
    cost_before: Amount
    cost_after: Amount
    providers_before: dict[str, int]
    providers_after: dict[str, int]
    samples: list[SimulatedRequest]  # of those that change, newest first


def simulate(view: CatalogView, events: Sequence[UsageEvent], policy: Policy, *, before: Policy | None = None) -> Simulation:
    """Replay the events under ``policy`` in place of ``before`` (None: without any)."""
    counts: Counter[str] = Counter()
    sums = [0, 0]
    providers: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    samples: list[SimulatedRequest] = []
    for event in events:
        old = _first(view, event, before or _NOBODY)
        if isinstance(old, str):
            counts["skipped"] += 1
            continue
        new = _first(view, event, policy)
        old_nanos = _cost_nanos(old, event)
        providers[0][old.endpoint.provider] += 1
        if isinstance(new, str):
            counts["refused"] += 1
            new_nanos = 0
        else:
            new_nanos = _cost_nanos(new, event)
            providers[1][new.endpoint.provider] += 1
            sums[0] += old_nanos
            sums[1] += new_nanos
            counts["moved"] += new is not old
        if new is not old and len(samples) < _SAMPLES_MAX:
            samples.append(
                SimulatedRequest(
                    id=generation_id(event.event_id),
                    requested_model=event.requested_model,
                    provider_before=old.endpoint.provider,
                    provider_after="" if isinstance(new, str) else new.endpoint.provider,
                    cost_before=amount(old_nanos),
                    cost_after=amount(new_nanos),
                    error=new if isinstance(new, str) else "",
                )
            )
    return Simulation(
        requests=len(events),
        skipped=counts["skipped"],
        refused=counts["refused"],
        moved=counts["moved"],
        cost_before=amount(sums[0]),
        cost_after=amount(sums[1]),
        providers_before=dict(providers[0].most_common()),
        providers_after=dict(providers[1].most_common()),
        samples=samples,
    )


def _first(view: CatalogView, event: UsageEvent, policy: Policy) -> Candidate | str:
    """Return the endpoint that would be asked first, or the reason why none."""
    request = _request_of(view, event)
    rng = random.Random(event.event_id.int)  # noqa: S311 -- the same draw for both rules
    health = EndpointHealth()
    try:
        wish = read_preferences(merge({}, policy))
        names = resolve_names(view, request, (event.requested_model,), wish=wish, health=health, rng=rng)
        route = find_route(
            view, names=names, kind=request.kind, wish=wish, body=request.body, max_tokens=request.max_tokens, health=health, rng=rng
        )
    except ApiError as error:
        return error.message
    return route.candidates[0]


def _request_of(view: CatalogView, event: UsageEvent) -> ChatRequest:
    usage = _usage_of(event)
    found = view.find_model(event.requested_model)
    body: Json = {"messages": []}
    return ChatRequest(
        body=body,
        kind="chat" if found is None else found[0].type,
        model=event.requested_model,
        stream=event.streamed,
        max_tokens=usage.completion_tokens or None,
        prompt_bytes=usage.prompt_tokens * 4,
        message_count=1,
    )


def _usage_of(event: UsageEvent) -> Usage:
    return msgspec.convert(event.meters, Usage)


def _cost_nanos(candidate: Candidate, event: UsageEvent) -> int:
    at = event_time(event.event_id)
    try:
        return cost(candidate.endpoint.price, _usage_of(event), service_tier=event.service_tier, at=at).nanos
    except UnpricedMeter as unpriced:
        return unpriced.priced.nanos
