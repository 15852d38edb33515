"""An organization as a paying customer: its Stripe customer, what stands on its receipts, and its saved card."""

from contextlib import suppress

from accounts import permissions
from accounts.audit import Actor
from accounts.models import Organization, User
from billing.models import PaymentProfile
from billing.purchases import auto_failures, stripe_api
from billing.purchases.shapes import BilledTo, SavedCard

DETAIL_MAX = {"company_name": 200, "address": 400, "country": 2, "tax_id": 50, "billing_email": 254}


class BadDetails(ValueError):
    """A detail of the receipt is too long or no text; the message says which."""


def ensure_profile(organization: Organization) -> PaymentProfile:
    """Return the organization's profile, made when it is first needed."""
    return PaymentProfile.objects.get_or_create(organization=organization)[0]


def ensure_customer(*, organization: Organization, email: str) -> PaymentProfile:
    """Return the profile with a Stripe customer. Two callers at once get the same one. Raises: StripeDown, StripeRefused."""
    profile = ensure_profile(organization)
    if profile.stripe_customer is None:
        customer = stripe_api.create_customer(
            org_public_id=organization.public_id,
            name=profile.company_name or organization.name,
            email=profile.billing_email or email,
            # The same for every attempt: after a lost answer Stripe returns the customer that it has made.
            idempotency_key=f"customer:{organization.public_id}",
        )
        PaymentProfile.objects.filter(pk=profile.pk, stripe_customer=None).update(stripe_customer=customer)
        profile.refresh_from_db()
    return profile


def change_details(
    *, organization: Organization, by: Actor, company_name: str, address: str, country: str, tax_id: str, billing_email: str
) -> PaymentProfile:
    """Set what stands on receipts from now on. Raises: NotPermitted, BadDetails."""
    permissions.require(by=by, organization=organization, action="credit.buy")
    fields = {
        "company_name": company_name.strip(),
        "address": address.strip().replace("\r\n", "\n"),
        "country": country.strip().upper(),
        "tax_id": tax_id.strip(),
        "billing_email": billing_email.strip().lower(),
    }
    for name, value in fields.items():
        if "\0" in value or len(value) > DETAIL_MAX[name]:
            msg = f"The {name.replace('_', ' ')} has at most {DETAIL_MAX[name]} characters."
            raise BadDetails(msg)
    profile = ensure_profile(organization)
    PaymentProfile.objects.filter(pk=profile.pk).update(**fields)
    profile.refresh_from_db()
    return profile


def billed_to(profile: PaymentProfile, at_checkout: BilledTo, *, email: str = "") -> dict[str, str]:
    """Return who a receipt is for: what the organization set, else what was written at Checkout, else its name."""
    return {
        "name": profile.company_name or at_checkout.name or profile.organization.name,
        "address": profile.address or at_checkout.address,
        "country": profile.country or at_checkout.country,
        "tax_id": profile.tax_id or at_checkout.tax_id,
        "email": profile.billing_email or at_checkout.email or email,
    }


def keep_card(*, profile: PaymentProfile, card: SavedCard | None) -> None:
    """Note which card auto top-up charges; None when there is none any more."""
    fields = (
        {"payment_method": card.id, "card_brand": card.brand, "card_last4": card.last4, "card_expires": card.expires}
        if card
        else dict.fromkeys(("payment_method", "card_brand", "card_last4", "card_expires"), "")
    )
    PaymentProfile.objects.filter(pk=profile.pk).update(**fields)
    if card is not None and card.id != profile.payment_method:
        auto_failures.resume(profile)


def refresh_card(*, stripe_customer: str) -> None:
    """Ask Stripe which card is the default now, and note it."""
    profile = PaymentProfile.objects.filter(stripe_customer=stripe_customer).first()
    if profile is not None:
        keep_card(profile=profile, card=stripe_api.read_default_card(customer=stripe_customer))


def forget_card(*, organization: Organization, by: User) -> None:
    """Remove the saved card, here and at Stripe. Raises: NotPermitted, StripeDown."""
    permissions.require(by=by, organization=organization, action="credit.buy")
    profile = ensure_profile(organization)
    if profile.payment_method:
        with suppress(stripe_api.StripeRefused):  # it was gone already
            stripe_api.detach_card(card=profile.payment_method)
        keep_card(profile=profile, card=None)
    if profile.stripe_customer:
        refresh_card(stripe_customer=profile.stripe_customer)


def drop_card(*, card: str) -> None:
    """Forget a card that its owner removed at Stripe, and note which one is the default now."""
    for profile in PaymentProfile.objects.filter(payment_method=card):
        keep_card(profile=profile, card=stripe_api.read_default_card(customer=profile.stripe_customer or ""))
