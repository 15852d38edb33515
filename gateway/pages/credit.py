"""Credit in the browser: what there is, buying more, and what was bought. Each page works without script."""

from typing import Any, Final, NamedTuple

from allauth.account.adapter import get_adapter
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from accounts.middleware import OrganizationRequest, organization_required
from accounts.permissions import NotPermitted
from billing import campaign_codes
from billing.campaign_codes import CodeRefused
from billing.money import usd_text
from billing.purchases import attempts, checkout, fees, queries, stripe_api
from billing.purchases.attempts import StaleAttempt
from billing.purchases.checkout import AlreadyBegun, PurchasesFrozen
from billing.purchases.fees import BadAmount, Quote
from gateway.pages.purchases import BAD_FORM, STRIPE_SAYS_NO, address_of, explain, is_simulated, may_buy, purchase_rows

_PRESETS_CENTS: Final = (1_000, 2_500, 5_000, 10_000, 50_000)
_FIRST_AMOUNT: Final = "25"
_PURCHASES_SHOWN: Final = 10


class Preset(NamedTuple):
    """An amount to choose. ``text`` is how it is typed."""

    cents: int
    text: str
    is_chosen: bool


@never_cache
@require_safe
@organization_required
def show_credits(request: OrganizationRequest) -> HttpResponse:
    """Show everything about the organization's credit."""
    return _show(request, amount=request.GET.get("amount", _FIRST_AMOUNT))


@never_cache
@require_safe
@organization_required
def show_quote(request: OrganizationRequest) -> HttpResponse:
    """Show what an amount costs: the buying card alone."""
    return render(request, "pages/credits/_buy.html", _buy_context(request, amount=request.GET.get("amount", "")))


@never_cache
@require_safe
@organization_required
def credits_balance(request: OrganizationRequest) -> HttpResponse:
    """Show the balance alone."""
    return render(request, "pages/credits/_balance.html", {"composition": queries.composition(request.organization)})


@never_cache
@require_POST
@organization_required
def buy(request: OrganizationRequest) -> HttpResponse:
    """Send the customer to Checkout, or say on the page why not. Nothing is booked here."""
    amount = request.POST.get("amount", "")
    try:
        credit_cents = fees.read_cents(amount)
        quote = fees.quote(credit_cents)
    except BadAmount:
        return _show(request, amount=amount, status=BAD_FORM)
    if request.POST.get("total") != str(quote.total_cents):
        problem = f"The total for this amount is {fees.dollars(quote.total_cents)}. Look at it, then continue."
        return _show(request, amount=amount, problem=problem, status=BAD_FORM)
    try:
        begun = checkout.begin(
            organization=request.organization,
            by=request.user,
            credit_cents=credit_cents,
            success_url=address_of(request, f"{reverse('purchases')}/{{PURCHASE}}"),
            cancel_url=address_of(request, f"{reverse('credits')}?amount={usd_text(quote.credit_nanos)}"),
            saves_card=request.POST.get("saves_card") == "on",
            attempt=attempts.read_attempt(request.POST.get("attempt", ""), organization=request.organization, purpose="buy"),
        )
    except NotPermitted as refused:
        raise PermissionDenied from refused
    except AlreadyBegun as already:
        return _lead_back(request, already, credit_cents=credit_cents, amount=amount)
    except (StaleAttempt, PurchasesFrozen, *STRIPE_SAYS_NO) as refused:
        problem, status = explain(refused)
        return _show(request, amount=amount, problem=problem, status=status)
    return redirect(begun.url)


@never_cache
@require_POST
@organization_required
def redeem_code(request: OrganizationRequest) -> HttpResponse:
    """Grant what a campaign's code gives, or say on the page why it gives nothing."""
    code = request.POST.get("code", "")
    try:
        redemption = campaign_codes.redeem(
            organization=request.organization,
            by=request.user,
            code=code,
            attempt=attempts.read_attempt(request.POST.get("attempt", ""), organization=request.organization, purpose="redeem"),
            address=get_adapter().get_client_ip(request),
        )
    except NotPermitted as refused:
        raise PermissionDenied from refused
    except CodeRefused as refused:
        return _show(request, amount=_FIRST_AMOUNT, code=code[:60], code_problem=str(refused), status=BAD_FORM)
    except StaleAttempt as stale:
        problem, status = explain(stale)
        return _show(request, amount=_FIRST_AMOUNT, code=code[:60], code_problem=problem, status=status)
    messages.success(request, f"${usd_text(redemption.amount_nanos)} of credit was granted. It is spent first.")
    return redirect("credits")


def _lead_back(request: OrganizationRequest, already: AlreadyBegun, *, credit_cents: int, amount: str) -> HttpResponse:
    """A page that was sent before buys nothing again: it shows what it began, unless it asks for something else now."""
    if already.purchase.credit_cents != credit_cents:
        problem = "This page has begun a purchase before. Look at the total, then continue with a new one."
        return _show(request, amount=amount, problem=problem, status=409)
    messages.info(request, "This page was sent before. It has begun this purchase and no other.")
    return redirect("purchase", already.purchase.pk)


def _show(
    request: OrganizationRequest, *, amount: str, problem: str = "", code: str = "", code_problem: str = "", status: int = 200
) -> HttpResponse:
    organization = request.organization
    context = {
        "section": "credits",
        "composition": queries.composition(organization),
        "profile": queries.profile(organization),
        "disputes": queries.open_disputes(organization),
        "rows": purchase_rows(queries.purchases(organization, limit=_PURCHASES_SHOWN)),
        "is_simulated": is_simulated(),
        **_buy_context(request, amount=amount),
        "problem": problem,
        "code": code,
        "code_problem": code_problem,
        "code_attempt": attempts.new_attempt(organization=organization, purpose="redeem"),
    }
    return render(request, "pages/credits/index.html", context, status=status)


def _buy_context(request: OrganizationRequest, *, amount: str) -> dict[str, Any]:
    quote: Quote | None = None
    amount_problem = ""
    try:
        quote = fees.quote(fees.read_cents(amount))
    except BadAmount as bad:
        amount_problem = str(bad)
    low, high = settings.PURCHASE_MIN_CENTS, settings.PURCHASE_MAX_CENTS
    return {
        "may_buy": may_buy(request),
        "can_sell": stripe_api.is_configured(),
        "amount": amount,
        "amount_problem": amount_problem,
        "quote": quote,
        "presets": [
            Preset(cents, str(cents // 100), quote is not None and quote.credit_cents == cents)
            for cents in _PRESETS_CENTS
            if low <= cents <= high
        ],
        "bounds": (low, high),
        "has_tax": settings.STRIPE_AUTOMATIC_TAX,
        "has_codes": settings.STRIPE_PROMOTION_CODES,
        "is_simulated": is_simulated(),
        "attempt": attempts.new_attempt(organization=request.organization, purpose="buy"),
    }
