"""From outcome to charge: price once, settle exactly once. The one place where tokens and money meet."""

import datetime as dt
import logging
import time

import msgspec

from billing.authorizer.holds import Holds
from billing.money import nanos_from_picos
from billing.types import UsageEvent
from catalog.pricing import PROMPT_METERS, TOKEN_METERS, UnpricedMeter, meters_of, rate_of, sold_meters, totals
from catalog.types import METERS, EndpointSpec, ModelType, RateCard, Usage
from gateway.dialects.base import ChatRequest
from gateway.relay.catalog import Candidate, Host
from gateway.relay.estimate import estimated_prompt_tokens, estimated_tokens
from gateway.relay.generation import Generation, Outcome
from gateway.relay.types import Bill

USER_MAX = 256  # what a receipt keeps of the caller's own name for an end user
_log = logging.getLogger(__name__)
_NOTHING = Usage(requests=0)
_NO_REPORT = Usage()
_COUNTED = frozenset({"characters"})  # known exactly before a provider says anything
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def is_free_of_charge(outcome: Outcome, usage: Usage, kind: ModelType = "chat") -> bool:
    """A request that ended in an error, or gave neither an output token nor a finish reason, costs the customer nothing.

    Embeddings, rankings, pictures and transcripts have neither by nature; an answer that has them is a success.
    """
    if outcome.status == "error" or outcome.finish_reason == "error":
        return True
    return kind == "chat" and usage.completion_tokens == 0 and not outcome.finish_reason


def estimate_usage(generation: Generation, output_chars: int) -> Usage:
    """Return what a provider that reported no usage probably counted, marked as an estimate."""
    return Usage(
        input_tokens=estimated_prompt_tokens(generation.request),
        output_tokens=estimated_tokens(output_chars),
        is_estimate=True,
    )


def unit_usage(request: ChatRequest, card: RateCard, reported: Usage | None) -> Usage:
    """Return what a model that is no chat is billed by: what the provider reported, as far as the card prices it.

    Providers report the same work in several units (seconds and tokens, pictures and tokens), of which a card prices some. What it is sold
    by and the report leaves out is what the request says of itself, an estimate unless it was counted exactly.
    """
    usage = reported or _NO_REPORT
    needs = sold_meters(card, request.kind)
    found = {meter: count for meter in METERS if (count := getattr(usage, meter))}
    has_tokens = bool(usage.prompt_tokens or usage.completion_tokens)
    lacking = [meter for meter in needs if not (has_tokens if meter in TOKEN_METERS else getattr(usage, meter))]
    if lacking:
        likely = request.units_likely
        found = {**({meter: likely.get(meter, 0) for meter in lacking} if has_tokens else likely), **found}
    priced = {meter: count for meter, count in found.items() if rate_of(card.rates, meter) is not None}
    return Usage(**priced, is_estimate=usage.is_estimate or not _COUNTED.issuperset(lacking))


def partial_usage(generation: Generation, reported: Usage | None, output_chars: int) -> Usage:
    """Return what a provider that was stopped in the middle probably counted.

    What it reported until then may be the prompt alone: Messages begins with it, and says 1 of the answer.
    """
    estimate = estimate_usage(generation, output_chars)
    if reported is None:
        return estimate
    missing = estimate.output_tokens - reported.completion_tokens
    return reported if missing <= 0 else msgspec.structs.replace(reported, output_tokens=reported.output_tokens + missing, is_estimate=True)


def _priced(
    card: RateCard, usage: Usage, meters: dict[str, int], *, service_tier: str = "", at: dt.datetime, endpoint_id: str
) -> tuple[int, int]:
    """Return the picos of the usage, and those of its prompt."""
    try:
        return totals(card, usage, meters, service_tier=service_tier, at=at)
    except UnpricedMeter as unpriced:
        # Routing admits priced endpoints only. A meter that nobody announced is not guessed at: what is priced is charged, the rest
        # reported.
        _log.exception("unpriced_meter endpoint=%s meters=%s", endpoint_id, unpriced.meters)
        return unpriced.priced.picos, sum(line.picos for line in unpriced.priced.lines if line.meter in PROMPT_METERS)


def probable_nanos(endpoint: EndpointSpec, *, prompt_tokens: int, output_tokens: int, at: dt.datetime) -> int:
    """Return what so many tokens of text probably cost at the endpoint, nanos: an estimate, not a bound."""
    usage = Usage(input_tokens=prompt_tokens, output_tokens=output_tokens)
    return nanos_from_picos(_priced(endpoint.price, usage, meters_of(usage), at=at, endpoint_id=endpoint.id)[0])


def probable_cost_nanos(candidate: Candidate, usage: Usage, *, at: dt.datetime) -> int:
    """Return what a provider probably charges us for an answer that was cancelled, nanos."""
    if candidate.host.simulated:
        return 0
    return nanos_from_picos(_priced(candidate.endpoint.cost, usage, meters_of(usage), at=at, endpoint_id=candidate.endpoint.id)[0])


def _lost_nanos(generation: Generation, host: Host) -> int:
    """Return what tries that did not answer cost us, nanos. Nothing when the answer is simulated: then no books are kept of its cost."""
    return 0 if host.simulated else sum([one.cost_nanos for one in generation.attempts])


def price(generation: Generation, candidate: Candidate) -> Bill:
    """Price the outcome with the version the request was routed with."""
    outcome = generation.outcome
    usage = outcome.usage or _NOTHING
    at = _EPOCH + dt.timedelta(milliseconds=generation.started_at_ms)
    endpoint, meters, tier = candidate.endpoint, meters_of(usage), outcome.service_tier
    charge = paid = _priced(endpoint.cost, usage, meters, service_tier=tier, at=at, endpoint_id=endpoint.id)
    provider_nanos = 0 if candidate.host.simulated else nanos_from_picos(paid[0])
    if endpoint.is_free or is_free_of_charge(outcome, usage, generation.request.kind):
        return Bill(usage, meters, 0, 0, 0, provider_nanos)
    if not candidate.is_at_cost:
        charge = _priced(endpoint.price, usage, meters, service_tier=tier, at=at, endpoint_id=endpoint.id)
    picos, prompt_picos = charge
    nanos = nanos_from_picos(picos)
    return Bill(usage, meters, nanos, picos, min(nanos_from_picos(prompt_picos), nanos), provider_nanos)


class Settler:
    """Closes holds."""

    def __init__(self, holds: Holds) -> None:
        self._holds = holds

    def settle(self, generation: Generation) -> Bill:
        """Price the outcome and close the hold with it, once; a second call returns the same bill and moves nothing.

        Synchronous on purpose: no cancellation can fall between the price and the spool.
        """
        candidate = generation.candidate or generation.route.candidates[0]
        bill = price(generation, candidate)
        if generation.settled or generation.hold is None:
            return bill
        generation.settled = True
        self._holds.settle(generation.hold, self._event(generation, candidate, bill))
        return bill

    def _event(self, generation: Generation, candidate: Candidate, bill: Bill) -> UsageEvent:
        outcome, request, caller = generation.outcome, generation.request, generation.caller
        endpoint, host = candidate.endpoint, candidate.host
        now_ns = time.perf_counter_ns()
        first_ns = generation.first_byte_ns or now_ns
        assert generation.hold is not None  # noqa: S101 -- only settle() calls this
        return UsageEvent(
            event_id=generation.event_id,
            org_id=caller.org_id,
            shard=caller.shard,
            key_id=caller.key_id,
            amount_nanos=bill.amount_nanos,
            amount_picos=bill.amount_picos,
            cost_nanos=bill.cost_nanos + _lost_nanos(generation, host),
            hold_nanos=generation.hold.amount_nanos,
            status=outcome.status,  # type: ignore[arg-type]
            api_type=generation.dialect.api_type,
            model=endpoint.model,
            requested_model=request.model or endpoint.model,
            provider=endpoint.provider,
            provider_name=host.spec.name,
            endpoint_id=endpoint.id,
            price_version_id=endpoint.price_version_id,
            meters=bill.meters,
            started_at_ms=generation.started_at_ms,
            latency_ms=(first_ns - generation.started_ns) // 1_000_000,
            generation_ms=(now_ns - first_ns) // 1_000_000,
            streamed=request.stream,
            is_estimate=bill.usage.is_estimate,
            simulated=host.simulated,
            service_tier=outcome.service_tier,
            finish_reason=outcome.finish_reason,
            native_finish_reason=outcome.native_finish_reason,
            http_status=outcome.http_status,
            error_type=outcome.error_type,
            upstream_id=outcome.upstream_id,
            external_user=request.user[:USER_MAX],
            session_id=request.session_id,
            app_referer=generation.client.referer,
            app_title=generation.client.title,
            user_agent=generation.client.user_agent,
            attempts=tuple(generation.attempts),
        )
