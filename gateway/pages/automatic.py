"""What happens by itself: auto top-up, warnings by mail, and granted credit that ends."""

import datetime as dt
from typing import Any, NamedTuple

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from accounts.middleware import OrganizationRequest, organization_required
from accounts.models import Organization
from accounts.permissions import NotPermitted
from billing import queries as billing_queries
from billing.authorizer.connection import MoneyStoreDown
from billing.models import CreditLot, PaymentProfile
from billing.money import NANOS_PER_CENT, NotAnAmount, nanos_from_usd, usd_text
from billing.purchases import auto_settings, auto_topups, fees, forecast, queries, stripe_api
from billing.purchases.auto_settings import BadSetting
from billing.purchases.checkout import PurchasesFrozen
from billing.purchases.fees import BadAmount, Quote
from gateway.pages.key_form import UsdField
from gateway.pages.purchases import BAD_FORM, explain, is_simulated, may_buy

_SUGGESTED_THRESHOLD = "10"
_SUGGESTED_AMOUNT = "25"
_SUGGESTED_CAP = "100"
_PAUSES = {
    "declined": "The card was declined three times. Save another one, or save these settings to try again.",
    "needs_action": "Your bank wants you to confirm. Buy credit once yourself, or save another card; then save these settings.",
    "runaway": "Three top-ups within ten minutes. Look at your keys and requests, then save these settings to go on.",
    "no_card": "There is no saved card any more. Save one, and it goes on by itself.",
    "no_place": "Stripe does not know where you are taxed. Complete the billing details, and it goes on by itself.",
    "amount": "The amount cannot be bought any more. Choose another one.",
}


class CentsField(forms.CharField):
    """Dollars as people type them, cleaned to whole cents."""

    def to_python(self, value: Any) -> Any:
        """Return cents."""
        text = str(super().to_python(value) or "").strip()
        if not text:
            return None
        try:
            return fees.read_cents(text)
        except BadAmount as bad:
            raise forms.ValidationError(str(bad)) from None


class TopUpForm(forms.Form):
    """When to buy how much."""

    enabled = forms.BooleanField(label="Top up automatically with the saved card", required=False)
    threshold = UsdField(label="When less is left than", help_text="What running requests hold counts as left.")
    amount = CentsField(label="Buy credit of", help_text="The fee comes on top, as in a purchase.")
    monthly_cap = CentsField(label="At most in a month", help_text="Of credit bought so, from the first of the month, UTC.")


class AlertForm(forms.Form):
    """Balances at which a mail is sent."""

    thresholds = forms.CharField(
        label="Warn by mail below",
        required=False,
        help_text="Up to five amounts of dollars, separated by commas. Empty: no warnings.",
        widget=forms.TextInput({"placeholder": "50, 10", "autocomplete": "off"}),
    )

    def clean_thresholds(self) -> list[int]:
        """Return nanos."""
        parts = [part.strip().removeprefix("$") for part in self.cleaned_data["thresholds"].replace(";", ",").split(",")]
        try:
            return [nanos_from_usd(part) for part in parts if part]
        except NotAnAmount:
            raise forms.ValidationError("Write amounts of dollars with commas between them, such as 50, 10.") from None


class LotRow(NamedTuple):
    """A grant as the table shows it."""

    lot: CreditLot
    is_over: bool
    ends_soon: bool


def lot_rows(organization: Organization, *, now: dt.datetime | None = None) -> list[LotRow]:
    """Return what was granted to the organization, for pages/credits/_lots.html: what is spent next comes first."""
    moment = now or timezone.now()
    soon = moment + dt.timedelta(days=7)
    return [
        LotRow(lot, lot.left_nanos == 0, bool(lot.left_nanos and lot.expires_at and lot.expires_at <= soon))
        for lot in billing_queries.credit_lots(organization)
    ]


@never_cache
@require_safe
@organization_required
def show_automatic(request: OrganizationRequest) -> HttpResponse:
    """Show settings, what came of them, and granted credit."""
    return _show(request)


@never_cache
@require_POST
@organization_required
def save_topup(request: OrganizationRequest) -> HttpResponse:
    """Set auto top-up."""
    form = TopUpForm(request.POST)
    if not form.is_valid():
        return _show(request, topup=form, status=BAD_FORM)
    fields = form.cleaned_data
    try:
        auto_settings.change_topup(
            organization=request.organization,
            by=request.user,
            enabled=fields["enabled"],
            threshold_nanos=fields["threshold"],
            amount_cents=fields["amount"],
            monthly_cap_cents=fields["monthly_cap"],
        )
    except NotPermitted as refused:
        raise PermissionDenied from refused
    except BadSetting as bad:
        form.add_error(bad.field, str(bad))
        return _show(request, topup=form, status=BAD_FORM)
    except PurchasesFrozen as frozen:
        form.add_error(None, explain(frozen)[0])
        return _show(request, topup=form, status=409)
    messages.success(request, "Auto top-up is on." if fields["enabled"] else "Auto top-up is off.")
    return redirect("automatic")


@never_cache
@require_POST
@organization_required
def save_alerts(request: OrganizationRequest) -> HttpResponse:
    """Set the balances at which a mail is sent."""
    form = AlertForm(request.POST)
    if not form.is_valid():
        return _show(request, alerts=form, status=BAD_FORM)
    try:
        profile = auto_settings.change_alerts(
            organization=request.organization, by=request.user, thresholds_nanos=form.cleaned_data["thresholds"]
        )
    except NotPermitted as refused:
        raise PermissionDenied from refused
    except BadSetting as bad:
        form.add_error(bad.field, str(bad))
        return _show(request, alerts=form, status=BAD_FORM)
    except MoneyStoreDown:
        form.add_error(None, "The balance cannot be read just now, so nothing was changed. Try again in a minute.")
        return _show(request, alerts=form, status=503)
    messages.success(request, "You are warned by mail." if profile.alert_thresholds_nanos else "There are no warnings any more.")
    return redirect("automatic")


def _show(
    request: OrganizationRequest, *, topup: TopUpForm | None = None, alerts: AlertForm | None = None, status: int = 200
) -> HttpResponse:
    organization = request.organization
    profile = queries.profile(organization)
    left, pace = forecast.left_nanos(organization), forecast.pace(organization)
    context = {
        "section": "credits",
        "profile": profile,
        "may_buy": may_buy(request),
        "can_sell": stripe_api.is_configured(),
        "is_simulated": is_simulated(),
        "topup": topup or TopUpForm(initial=_topup_initial(profile)),
        "alerts": alerts or AlertForm(initial={"thresholds": ", ".join(usd_text(nanos) for nanos in profile.alert_thresholds_nanos)}),
        "pause": _PAUSES.get(profile.auto_paused_for, ""),
        "quote": _quote(profile),
        "has_tax": settings.STRIPE_AUTOMATIC_TAX,
        "month_cents": auto_topups.month_cents(organization, now=timezone.now()),
        "left_nanos": left,
        "per_day_nanos": pace.per_day_nanos,
        "lasts": forecast.lasts(left, pace),
        "lots": lot_rows(organization),
    }
    return render(request, "pages/credits/automatic.html", context, status=status)


def _topup_initial(profile: PaymentProfile) -> dict[str, Any]:
    if not profile.auto_amount_cents:
        return {"enabled": False, "threshold": _SUGGESTED_THRESHOLD, "amount": _SUGGESTED_AMOUNT, "monthly_cap": _SUGGESTED_CAP}
    return {
        "enabled": profile.auto_enabled,
        "threshold": usd_text(profile.auto_threshold_nanos),
        "amount": usd_text(profile.auto_amount_cents * NANOS_PER_CENT),
        "monthly_cap": usd_text(profile.auto_monthly_cap_cents * NANOS_PER_CENT),
    }


def _quote(profile: PaymentProfile) -> Quote | None:
    try:
        return fees.quote(profile.auto_amount_cents)
    except BadAmount:
        return None
