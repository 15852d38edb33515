"""Requests in the browser: the list. receipts.py has the receipt of each."""

import datetime as dt
from typing import Final, NamedTuple

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts import queries as account_queries
from accounts.middleware import OrganizationRequest, organization_required
from accounts.models import Organization
from billing import queries as billing_queries
from billing.types import UsageEvent, event_time, generation_id
from catalog.pricing import COMPLETION_METERS, PROMPT_METERS

_LISTED: Final = 100
_LISTED_ON_DASHBOARD: Final = 10


class RequestRow(NamedTuple):
    """A request as tables show it."""

    id: str
    at: dt.datetime
    event: UsageEvent
    key_name: str
    prompt_tokens: int
    completion_tokens: int
    total_ms: int


def request_rows(organization: Organization, *, limit: int) -> list[RequestRow]:
    """Return the latest requests of the organization, newest first."""
    events = billing_queries.latest_requests(organization, limit)
    names = account_queries.key_names(organization, {event.key_id for event in events})
    return [request_row(event, names.get(event.key_id, "")) for event in events]


def request_row(event: UsageEvent, key_name: str) -> RequestRow:
    """Return a request as tables show it."""
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
