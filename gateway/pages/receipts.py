"""The receipt of a request in the browser: what it cost, why, who was tried, and the same as a signed file."""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Final, NamedTuple

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts import queries as account_queries
from accounts.middleware import OrganizationRequest, organization_required
from accounts.models import Organization
from billing.money import PICOS_PER_NANO
from billing.queries import ReceiptArchived
from billing.types import UsageEvent, generation_id
from catalog import showcase
from catalog.pricing import COMPLETION_METERS
from catalog.pricing import usd_text as price_text
from catalog.types import Cost
from gateway.pages.requests import request_row
from gateway.receipts import receipt
from gateway.receipts.explanation import Price, cost_of
from gateway.receipts.receipt import ExplainedReceipt

_MS_PER_S: Final = 1000
_MILLION: Final = 1_000_000
_GONE: Final = 410


class ReceiptLine(NamedTuple):
    """One meter of a receipt: ``quantity`` units at ``rate_picos`` each, shown per ``per`` units."""

    label: str
    quantity: int
    rate_picos: int | None  # None: the price version is not known here
    per: int
    unit: str
    picos: int | None


class OperatorView(NamedTuple):
    """What only those who run the service see of a receipt. ``margin_nanos`` is the charge less the provider's cost."""

    cost: Cost | None
    cost_nanos: int
    margin_nanos: int


def _tell_archived(view: Callable[[OrganizationRequest, str], HttpResponse]) -> Callable[[OrganizationRequest, str], HttpResponse]:
    """Say what became of a receipt that is too old to be here."""

    @wraps(view)
    def told(request: OrganizationRequest, generation: str) -> HttpResponse:
        try:
            return view(request, generation)
        except ReceiptArchived as archived:
            context = {"section": "requests", "day": archived.day, "month": f"{archived.day:%Y-%m}"}
            return render(request, "pages/requests/archived.html", context, status=_GONE)

    return told


@never_cache
@require_safe
@organization_required
@_tell_archived
def show_receipt(request: OrganizationRequest, generation: str) -> HttpResponse:
    """Show what one request cost and why; 404 for strangers. Operators may name another organization, and see the provider's cost."""
    organization = _organization(request)
    found = _find(request, organization, generation)
    event = found.event
    names = account_queries.key_names(organization, [event.key_id])
    lines = receipt_lines(found)
    context = {
        "section": "requests",
        "row": request_row(event, names.get(event.key_id, "")),
        "receipt": found,
        "lines": lines,
        "explained_lines": [line for line in lines if line.picos],
        "rounded_picos": found.explanation.nanos * PICOS_PER_NANO,
        "markup": _markup_text(found.price) if found.price else "",
        "is_explained": found.explanation.rule == "metered",
        "tokens_per_s": _speed(event),
        "of_other": organization if organization != request.organization else None,
        "operator": _operator_view(found) if request.user.is_staff else None,
    }
    return render(request, "pages/requests/receipt.html", context)


@never_cache
@require_safe
@organization_required
@_tell_archived
def download_receipt(request: OrganizationRequest, generation: str) -> HttpResponse:
    """Answer with the receipt as signed JSON; 404 for strangers."""
    organization = _organization(request)
    found = _find(request, organization, generation)
    name = f"receipt-{generation_id(found.event.event_id)}.json"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return HttpResponse(receipt.signed(found, organization), content_type="application/json", headers=headers)


def _organization(request: OrganizationRequest) -> Organization:
    named = request.GET.get("organization", "")
    if not named or not request.user.is_staff:
        return request.organization
    organization = Organization.objects.filter(public_id=named).first()
    if organization is None:
        raise Http404
    return organization


def _find(request: OrganizationRequest, organization: Organization, generation: str) -> ExplainedReceipt:
    """Raises: Http404, ReceiptArchived."""
    if organization == request.organization:
        found = receipt.find(organization, generation)
    else:
        found = receipt.find_for_operator(organization, generation, by=request.user)
    if found is None:
        raise Http404
    return found


def _operator_view(found: ExplainedReceipt) -> OperatorView:
    event = found.event
    cost_nanos = 0 if event.simulated else event.cost_nanos
    cost = cost_of(event, found.price.cost_card) if found.price and not event.simulated else None
    return OperatorView(cost, cost_nanos, event.amount_nanos - cost_nanos)


def _markup_text(price: Price) -> str:
    percent, hundredths = divmod(price.markup_basis_points, 100)
    share = f"{percent}.{hundredths:02d}".rstrip("0").rstrip(".") + " %" if price.markup_basis_points else ""
    floor = f"at least ${price_text(price.markup_floor_picos * _MILLION)} per million tokens" if price.markup_floor_picos else ""
    return ", ".join(filter(None, (share, floor)))


def _speed(event: UsageEvent) -> int | None:
    tokens = sum(event.meters.get(meter, 0) for meter in COMPLETION_METERS)
    return tokens * _MS_PER_S // event.generation_ms if event.streamed and tokens and event.generation_ms else None


def receipt_lines(found: ExplainedReceipt) -> Sequence[ReceiptLine]:
    """Return the charge split by meter, priced again with the price version that the request was routed with."""
    by_meter = {line.meter: line for line in found.explanation.lines}
    # A known card lists no line for what is free.
    unpriced = None if found.price is None else 0
    lines = []
    for meter, count in found.event.meters.items():
        line = by_meter.get(meter)
        if not count or meter not in showcase.METER_WORDS or (meter == "requests" and line is None):
            continue
        label, per, unit = showcase.METER_WORDS[meter]
        lines.append(ReceiptLine(label, count, line.rate_picos if line else unpriced, per, unit, line.picos if line else unpriced))
    return lines
