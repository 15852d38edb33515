"""Requests in the browser: the list, and the receipt of each."""

import datetime as dt
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts import queries as account_queries
from accounts.middleware import OrganizationRequest, organization_required
from accounts.models import Organization
from billing import queries as billing_queries
from billing.types import UsageEvent, event_id_from, event_time, generation_id
from catalog import pricing, showcase
from catalog.pricing import COMPLETION_METERS, PROMPT_METERS, Cost, UnpricedMeter
from catalog.types import METERS, Usage

_LISTED: Final = 100
_LISTED_ON_DASHBOARD: Final = 10
_MS_PER_S: Final = 1000


class RequestRow(NamedTuple):
    """A request as tables show it."""

    id: str
    at: dt.datetime
    event: UsageEvent
    key_name: str
    prompt_tokens: int
    completion_tokens: int
    total_ms: int


class ReceiptLine(NamedTuple):
    """One meter of a receipt: ``quantity`` units at ``rate_picos`` each, shown per ``per`` units."""

    label: str
    quantity: int
    rate_picos: int | None  # None: the price version is not known here
    per: int
    unit: str
    picos: int | None


def request_rows(organization: Organization, *, limit: int) -> list[RequestRow]:
    """Return the latest requests of the organization, newest first."""
    events = billing_queries.latest_requests(organization, limit)
    names = account_queries.key_names(organization, {event.key_id for event in events})
    return [_row(event, names.get(event.key_id, "")) for event in events]


def _row(event: UsageEvent, key_name: str) -> RequestRow:
    return RequestRow(
        id=generation_id(event.event_id),
        at=event_time(event.event_id),
        event=event,
        key_name=key_name,
        prompt_tokens=sum(event.meters.get(meter, 0) for meter in PROMPT_METERS),
        completion_tokens=sum(event.meters.get(meter, 0) for meter in COMPLETION_METERS),
        total_ms=event.latency_ms + event.generation_ms,
    )


@never_cache
@require_safe
@organization_required
def list_requests(request: OrganizationRequest) -> HttpResponse:
    """Show the latest hundred requests."""
    context = {"section": "requests", "requests": request_rows(request.organization, limit=_LISTED), "limit": _LISTED}
    return render(request, "pages/requests/index.html", context)


@never_cache
@require_safe
@organization_required
def requests_table(request: OrganizationRequest) -> HttpResponse:
    """Show the table alone, short for the dashboard or long for the page of its own."""
    limit = _LISTED if request.GET.get("list") == "long" else _LISTED_ON_DASHBOARD
    return render(request, "pages/requests/_table.html", {"requests": request_rows(request.organization, limit=limit), "limit": limit})


@never_cache
@require_safe
@organization_required
def show_receipt(request: OrganizationRequest, generation: str) -> HttpResponse:
    """Show what one request cost and why; 404 for strangers."""
    try:
        event = billing_queries.generation(request.organization, event_id_from(generation))
    except ValueError:
        event = None
    if event is None:
        raise Http404
    names = account_queries.key_names(request.organization, [event.key_id])
    lines = receipt_lines(event)
    context = {
        "section": "requests",
        "row": _row(event, names.get(event.key_id, "")),
        "lines": lines,
        "is_explained": sum(line.picos or 0 for line in lines) == event.amount_picos,
        "tokens_per_s": _speed(event),
    }
    return render(request, "pages/requests/receipt.html", context)


def _speed(event: UsageEvent) -> int | None:
    tokens = sum(event.meters.get(meter, 0) for meter in COMPLETION_METERS)
    return tokens * _MS_PER_S // event.generation_ms if event.streamed and tokens and event.generation_ms else None


def receipt_lines(event: UsageEvent) -> Sequence[ReceiptLine]:
    """Return the charge split by meter, priced again with the price version that the request was routed with."""
    card = showcase.price_card(event.price_version_id)
    usage = msgspec.convert({meter: count for meter, count in event.meters.items() if meter in METERS}, Usage)
    priced = Cost(picos=0, nanos=0)
    if card is not None:
        at = dt.datetime.fromtimestamp(event.started_at_ms / _MS_PER_S, tz=dt.UTC)
        try:
            priced = pricing.cost(card, usage, service_tier=event.service_tier, at=at)
        except UnpricedMeter as refused:
            priced = refused.priced
    by_meter = {line.meter: line for line in priced.lines}
    # A known card lists no line for what is free.
    unpriced = None if card is None else 0
    lines = []
    for meter, count in event.meters.items():
        line = by_meter.get(meter)
        if not count or meter not in showcase.METER_WORDS or (meter == "requests" and line is None):
            continue
        label, per, unit = showcase.METER_WORDS[meter]
        lines.append(ReceiptLine(label, count, line.rate_picos if line else unpriced, per, unit, line.picos if line else unpriced))
    return lines
