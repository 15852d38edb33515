"""One purchase in the browser: where it is, its receipt, and sending back what was not used. And the list of all of them."""

import uuid
from collections.abc import Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils.text import slugify
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import permissions
from accounts.middleware import OrganizationRequest, organization_required
from accounts.models import Organization
from accounts.permissions import NotPermitted
from billing.models import Purchase, PurchaseState
from billing.purchases import attempts, checkout, fees, fulfilment, queries, receipt_pdf, refunds, stripe_api
from billing.purchases.attempts import StaleAttempt
from billing.purchases.checkout import NotOpen, PurchasesFrozen
from billing.purchases.fees import BadAmount
from billing.purchases.receipt_pdf import NotPaid
from billing.purchases.refunds import NotRefundable, Refundable

_UNSETTLED: Final = {PurchaseState.OPEN, PurchaseState.CHARGING, PurchaseState.PROCESSING}
_ROWS_A_PAGE: Final = 25
_STATES: Final = {
    PurchaseState.OPEN: ("Not paid yet", ""),
    PurchaseState.CHARGING: ("On its way", "warn"),
    PurchaseState.PROCESSING: ("On its way", "warn"),
    PurchaseState.PAID: ("Paid", "good"),
    PurchaseState.NEEDS_ACTION: ("Needs confirmation", "warn"),
    PurchaseState.REVIEW: ("Under review", "warn"),
    PurchaseState.EXPIRED: ("Not paid", ""),
}
BAD_FORM: Final = 422
STRIPE_SAYS_NO: Final = (stripe_api.StripeDown, stripe_api.StripeRefused, stripe_api.NotConfigured)


class PurchaseRow(NamedTuple):
    """A purchase as pages show it. ``tone`` is good, warn, bad or ''; ``refundable`` is what may be had back without asking."""

    purchase: Purchase
    label: str
    tone: str
    is_waiting: bool
    refundable: Refundable


def may_buy(request: OrganizationRequest) -> bool:
    """Tell whether to show what only buyers may do; every write asks again."""
    return permissions.may(by=request.user, organization=request.organization, action="credit.buy")


def address_of(request: OrganizationRequest, path: str) -> str:
    """Return where Stripe sends the customer back to: the host that they came by, because their session lives there."""
    is_public = request.get_host() == urlsplit(settings.PUBLIC_URL).netloc
    return f"{settings.PUBLIC_URL if is_public else f'{request.scheme}://{request.get_host()}'}{path}"


def is_simulated() -> bool:
    """Tell whether a simulation stands in for Stripe."""
    return bool(settings.STRIPE_API_URL)


def explain(refused: Exception) -> tuple[str, int]:
    """Return what a page says when nothing was bought or refunded, and its status."""
    match refused:
        case StaleAttempt():
            return (
                "This page was open for too long or was sent incompletely. Nothing has changed; look at the amount and send it again.",
                422,
            )
        case PurchasesFrozen():
            return str(refused), 409
        case _:
            return (
                "Stripe does not answer, so nothing was moved. Try again in a minute; if it stays so, tell the operator of this server.",
                503,
            )


def purchase_rows(purchases: Sequence[Purchase]) -> list[PurchaseRow]:
    """Return purchases with what is to be said of them."""
    return [_row(purchase) for purchase in purchases]


def _row(purchase: Purchase) -> PurchaseRow:
    label, tone = _state_of(purchase)
    return PurchaseRow(purchase, label, tone, purchase.state in _UNSETTLED, refunds.refundable(purchase))


def _state_of(purchase: Purchase) -> tuple[str, str]:
    if any(dispute.is_open for dispute in purchase.disputes.all()):
        return "Disputed", "bad"
    if purchase.state == PurchaseState.PAID and purchase.refunded_cents:
        return ("Refunded", "") if purchase.refunded_cents >= purchase.credit_cents else ("Partly refunded", "good")
    return _STATES.get(PurchaseState(purchase.state)) or (str(purchase.get_state_display()), "bad")


def _find(organization: Organization, purchase_id: uuid.UUID) -> Purchase:
    found = queries.purchase(organization, purchase_id)
    if found is None:
        raise Http404
    return found


def _context(request: OrganizationRequest, purchase: Purchase) -> dict[str, Any]:
    return {
        "section": "credits",
        "row": _row(purchase),
        "is_simulated": is_simulated(),
        "may_buy": may_buy(request),
    }


@never_cache
@require_safe
@organization_required
def list_purchases(request: OrganizationRequest) -> HttpResponse:
    """Show all purchases, a page at a time."""
    try:
        before = uuid.UUID(request.GET["before"]) if "before" in request.GET else None
    except ValueError:
        raise Http404 from None
    found = queries.purchases(request.organization, limit=_ROWS_A_PAGE + 1, before=before)
    shown = found[:_ROWS_A_PAGE]
    context = {
        "section": "credits",
        "is_simulated": is_simulated(),
        "rows": purchase_rows(shown),
        "next": shown[-1].pk if len(found) > len(shown) else None,
        "before": before,
    }
    return render(request, "pages/credits/purchases.html", context)


@never_cache
@require_safe
@organization_required
def show_purchase(request: OrganizationRequest, purchase_id: uuid.UUID) -> HttpResponse:
    """Show a purchase; Checkout returns here. Stripe is asked, so that the credit is there whether or not its webhook came first."""
    purchase = fulfilment.refresh(_find(request.organization, purchase_id))
    return render(request, "pages/credits/purchase.html", _context(request, purchase))


@never_cache
@require_safe
@organization_required
def purchase_state(request: OrganizationRequest, purchase_id: uuid.UUID) -> HttpResponse:
    """Show where a purchase is: what a waiting page asks for again and again."""
    purchase = fulfilment.refresh(_find(request.organization, purchase_id))
    return render(request, "pages/credits/_purchase.html", _context(request, purchase))


@never_cache
@require_safe
@organization_required
def download_receipt(request: OrganizationRequest, purchase_id: uuid.UUID) -> HttpResponse:
    """Send the receipt as PDF; its address stands in the mail that tells of the purchase."""
    purchase = _find(request.organization, purchase_id)
    try:
        body = receipt_pdf.render(purchase)
    except NotPaid:
        raise Http404 from None
    return HttpResponse(
        body,
        content_type="application/pdf",
        headers={"Content-Disposition": f'attachment; filename="{slugify(purchase.receipt_number)}.pdf"'},
    )


@never_cache
@require_POST
@organization_required
def resume_purchase(request: OrganizationRequest, purchase_id: uuid.UUID) -> HttpResponse:
    """Go back to Checkout."""
    purchase = _find(request.organization, purchase_id)
    try:
        return redirect(checkout.resume(purchase=purchase, by=request.user))
    except NotPermitted as refused:
        raise PermissionDenied from refused
    except NotOpen:
        messages.info(request, "This purchase is not open any more.")
    except (PurchasesFrozen, *STRIPE_SAYS_NO) as refused:
        messages.error(request, explain(refused)[0])
    return redirect("purchase", purchase.pk)


@never_cache
@require_http_methods(["GET", "POST"])
@organization_required
def refund_purchase(request: OrganizationRequest, purchase_id: uuid.UUID) -> HttpResponse:
    """Ask how much, then send it back."""
    purchase = _find(request.organization, purchase_id)
    if not may_buy(request):
        raise PermissionDenied
    if request.method != "POST":
        return _show_refund(request, purchase)
    amount = request.POST.get("amount", "")
    try:
        refund = refunds.ask(
            purchase=purchase,
            by=request.user,
            credit_cents=fees.read_cents(amount),
            attempt=attempts.read_attempt(request.POST.get("attempt", ""), organization=request.organization, purpose=_purpose(purchase)),
        )
    except NotPermitted as refused:
        raise PermissionDenied from refused
    except BadAmount as bad:
        return _show_refund(request, purchase, amount=amount, amount_problem=str(bad), status=BAD_FORM)
    except NotRefundable as no:
        return _show_refund(request, purchase, amount=amount, amount_problem=str(no), status=409)
    except (StaleAttempt, PurchasesFrozen, *STRIPE_SAYS_NO) as refused:
        problem, status = explain(refused)
        return _show_refund(request, purchase, amount=amount, problem=problem, status=status)
    messages.success(request, f"{fees.dollars(refund.total_cents)} is on its way back. Banks take five to ten days.")
    return redirect("purchase", purchase.pk)


def _purpose(purchase: Purchase) -> str:
    return f"refund {purchase.pk}"


def _show_refund(
    request: OrganizationRequest,
    purchase: Purchase,
    *,
    amount: str | None = None,
    amount_problem: str = "",
    problem: str = "",
    status: int = 200,
) -> HttpResponse:
    fresh = _find(request.organization, purchase.pk)
    context = _context(request, fresh)
    most = context["row"].refundable.credit_cents
    context |= {
        "amount": f"{most // 100}.{most % 100:02d}" if amount is None else amount,
        "amount_problem": amount_problem,
        "problem": problem,
        "attempt": attempts.new_attempt(organization=request.organization, purpose=_purpose(purchase)),
    }
    return render(request, "pages/credits/refund.html", context, status=status)
