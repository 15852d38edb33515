"""Who pays: what stands on receipts, the saved card, and the way into Stripe's customer portal."""

from collections.abc import Callable
from contextlib import suppress

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.middleware import OrganizationRequest, organization_required
from accounts.permissions import NotPermitted
from billing.purchases import checkout, profiles, queries
from billing.purchases.checkout import PurchasesFrozen
from billing.purchases.profiles import DETAIL_MAX, BadDetails
from gateway.pages.purchases import STRIPE_SAYS_NO, address_of, explain, is_simulated, may_buy


class DetailsForm(forms.Form):
    """What stands on receipts from now on. Everything may be empty."""

    company_name = forms.CharField(
        label="Company or name",
        required=False,
        max_length=DETAIL_MAX["company_name"],
        widget=forms.TextInput({"autocomplete": "organization"}),
    )
    address = forms.CharField(
        label="Address",
        required=False,
        max_length=DETAIL_MAX["address"],
        widget=forms.Textarea({"rows": 3, "autocomplete": "street-address"}),
    )
    postal_code = forms.CharField(
        label="Postal code",
        required=False,
        max_length=DETAIL_MAX["postal_code"],
        help_text="Taxes in the US and Canada depend on it.",
        widget=forms.TextInput({"autocomplete": "postal-code"}),
    )
    country = forms.RegexField(
        r"^[A-Za-z]{2}$",
        label="Country",
        required=False,
        help_text="Two letters, such as DE or US.",
        error_messages={"invalid": "Write the country as two letters, such as DE or US."},
        widget=forms.TextInput({"autocomplete": "country", "maxlength": 2}),
    )
    tax_id = forms.CharField(
        label="Tax id",
        required=False,
        max_length=DETAIL_MAX["tax_id"],
        help_text="Such as a VAT number. Printed on receipts, and told to Stripe.",
    )
    billing_email = forms.EmailField(
        label="Billing e-mail",
        required=False,
        max_length=DETAIL_MAX["billing_email"],
        help_text="Where receipts and warnings go. Empty: to every owner and admin.",
    )


@never_cache
@require_http_methods(["GET", "POST"])
@organization_required
def edit_details(request: OrganizationRequest) -> HttpResponse:
    """Change what stands on receipts."""
    if not may_buy(request):
        raise PermissionDenied
    profile = queries.profile(request.organization)
    form = DetailsForm(request.POST or None, initial={name: getattr(profile, name) for name in DetailsForm.base_fields})
    if request.method == "POST" and form.is_valid():
        try:
            profiles.change_details(organization=request.organization, by=request.user, **form.cleaned_data)
        except NotPermitted as refused:
            raise PermissionDenied from refused
        except BadDetails as bad:
            form.add_error(None, str(bad))
        else:
            messages.success(request, "Saved. Receipts from now on carry these details.")
            return redirect("credits")
    context = {"section": "credits", "form": form, "is_simulated": is_simulated()}
    return render(request, "pages/credits/details.html", context, status=422 if form.errors else 200)


@never_cache
@require_POST
@organization_required
def open_portal(request: OrganizationRequest) -> HttpResponse:
    """Go to Stripe's customer portal."""
    back = address_of(request, reverse("card_return"))
    return _at_stripe(request, lambda: checkout.open_portal(organization=request.organization, by=request.user, return_url=back))


@never_cache
@require_POST
@organization_required
def save_card(request: OrganizationRequest) -> HttpResponse:
    """Go to a page of Stripe that saves a card and takes nothing."""
    back = address_of(request, reverse("card_return"))
    return _at_stripe(
        request,
        lambda: checkout.begin_card_setup(organization=request.organization, by=request.user, success_url=back, cancel_url=back),
    )


@never_cache
@require_safe
@organization_required
def return_from_stripe(request: OrganizationRequest) -> HttpResponse:
    """Look at once which card is saved now; the webhook that tells of it may be a second away."""
    with suppress(*STRIPE_SAYS_NO):
        if customer := queries.profile(request.organization).stripe_customer:
            profiles.refresh_card(stripe_customer=customer)
    return redirect("credits")


@never_cache
@require_POST
@organization_required
def forget_card(request: OrganizationRequest) -> HttpResponse:
    """Remove the saved card, here and at Stripe."""

    def forget() -> str:
        profiles.forget_card(organization=request.organization, by=request.user)
        messages.success(request, "The card is removed.")
        return reverse("credits")

    return _at_stripe(request, forget)


def _at_stripe(request: OrganizationRequest, find_address: Callable[[], str]) -> HttpResponse:
    """Follow an address that Stripe gives, or go back and say why there is none."""
    try:
        return redirect(find_address())
    except NotPermitted as refused:
        raise PermissionDenied from refused
    except (PurchasesFrozen, *STRIPE_SAYS_NO) as refused:
        messages.error(request, explain(refused)[0])
    return redirect("credits")
