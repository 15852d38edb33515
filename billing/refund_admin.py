"""The operator's form that refunds a part of a purchase, spent or not."""

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from accounts.models import User
from billing.models import Purchase
from billing.models.purchases import RefundState
from billing.purchases import attempts, fees, refunds, stripe_api
from billing.purchases.attempts import StaleAttempt
from billing.purchases.fees import BadAmount, dollars
from billing.purchases.refunds import NotRefundable

_UNPROCESSABLE = 422


class RefundForm(forms.Form):
    """How much goes back, and why. ``attempt`` makes a form that is sent twice refund once."""

    amount = forms.CharField(label="Credit, USD", help_text="Whole cents. The tax that was paid for it goes back too.")
    reason = forms.CharField(label="Why", max_length=200, help_text="Kept with the refund and in the audit trail.")
    attempt = forms.CharField(widget=forms.HiddenInput)

    def clean_amount(self) -> int:
        """Return cents."""
        try:
            cents = fees.read_cents(self.cleaned_data["amount"])
        except BadAmount as bad:
            raise forms.ValidationError(str(bad)) from None
        if cents <= 0:
            raise forms.ValidationError("An amount is above zero.")
        return cents

    def refuse(self, why: str, *, attempt: str) -> None:
        """Say why nothing was refunded. What is sent next is another attempt: under this one the refusal is the answer for ever."""
        self.add_error("amount", why)
        self.data = dict(self.data.items()) | {"attempt": attempt}


def ask(request: HttpRequest, purchase: Purchase, *, by: User, model_admin: admin.ModelAdmin) -> HttpResponse | None:  # type: ignore[type-arg]  # not subscriptable at run time
    """Show the form, or refund what it says. None when it is done."""
    purpose = f"operator's refund of {purchase.pk}"
    if "apply" not in request.POST:
        return _show(
            request, purchase, RefundForm(initial={"attempt": attempts.new_attempt(organization=purchase.organization, purpose=purpose)})
        )
    form = RefundForm(request.POST)
    if not form.is_valid():
        return _show(request, purchase, form, status=_UNPROCESSABLE)
    try:
        refund = refunds.ask(
            purchase=purchase,
            by=by,
            credit_cents=form.cleaned_data["amount"],
            reason=form.cleaned_data["reason"],
            as_operator=True,
            attempt=attempts.read_attempt(form.cleaned_data["attempt"], organization=purchase.organization, purpose=purpose),
        )
    except StaleAttempt:
        form.add_error(None, "This page was open for too long or was sent incompletely. Nothing was moved; begin anew.")
    except (NotRefundable, stripe_api.NotConfigured) as error:
        form.refuse(str(error), attempt=attempts.new_attempt(organization=purchase.organization, purpose=purpose))
    else:
        if refund.state != RefundState.FAILED:
            name = f"{purchase.organization}, {purchase.receipt_number}"
            words = f"{name}: {dollars(refund.total_cents)} {refund.get_state_display().lower()}."
            model_admin.message_user(request, words, messages.SUCCESS)
            return None
        # Refused at once, or the same form was sent again after it had been.
        form.refuse(refund.failure, attempt=attempts.new_attempt(organization=purchase.organization, purpose=purpose))
    return _show(request, purchase, form, status=_UNPROCESSABLE)


def _show(request: HttpRequest, purchase: Purchase, form: RefundForm, *, status: int = 200) -> HttpResponse:
    context = {
        **admin.site.each_context(request),
        "title": "Refund a part",
        "purchase": purchase,
        "left_cents": refunds.left_cents(purchase),
        "form": form,
    }
    return render(request, "admin/billing/refund.html", context, status=status)
