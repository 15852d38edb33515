"""An organization as a paying customer: its Stripe customer, what stands on its receipts, and its saved card."""

import logging
from contextlib import suppress

from django.db import transaction

from accounts import audit, permissions
from accounts.audit import Actor
from accounts.models import Organization, User
from billing.models import PaymentProfile
from billing.purchases import auto_failures, stripe_api, stripe_customers, tax_ids
from billing.purchases.shapes import BilledTo, SavedCard
from billing.purchases.stripe_customers import Place

DETAIL_MAX = {"company_name": 200, "address": 400, "postal_code": 20, "country": 2, "tax_id": 50, "billing_email": 254}

_log = logging.getLogger(__name__)


class BadDetails(ValueError):
    """A detail of the receipt is too long or no text; the message says which."""


def ensure_profile(organization: Organization) -> PaymentProfile:
    """Return the organization's profile, made when it is first needed."""
    return PaymentProfile.objects.get_or_create(organization=organization)[0]


def ensure_customer(*, organization: Organization, email: str) -> PaymentProfile:
    """Return the profile with a Stripe customer. Two callers at once get the same one. Raises: StripeDown, StripeRefused."""
    profile = ensure_profile(organization)
    if profile.stripe_customer is None:
        customer = stripe_customers.create_customer(
            org_public_id=organization.public_id,
            name=profile.company_name or organization.name,
            email=profile.billing_email or email,
            # The same for every attempt: after a lost answer Stripe returns the customer that it has made.
            idempotency_key=f"customer:{organization.public_id}",
        )
        has_more = bool(profile.address or profile.country or profile.postal_code or profile.tax_id)
        PaymentProfile.objects.filter(pk=profile.pk, stripe_customer=None).update(stripe_customer=customer, is_stripe_behind=has_more)
        profile.refresh_from_db()
        if has_more:
            _tell_soon(profile)
    return profile


def change_details(
    *,
    organization: Organization,
    by: Actor,
    company_name: str,
    address: str,
    country: str,
    tax_id: str,
    billing_email: str,
    postal_code: str = "",
) -> PaymentProfile:
    """Set what stands on receipts from now on, and tell Stripe, which taxes by it, soon after. Raises: NotPermitted, BadDetails."""
    permissions.require(by=by, organization=organization, action="credit.buy")
    fields = {
        "company_name": company_name.strip(),
        "address": address.strip().replace("\r\n", "\n"),
        "postal_code": postal_code.strip().upper(),
        "country": country.strip().upper(),
        "tax_id": tax_id.strip(),
        "billing_email": billing_email.strip().lower(),
    }
    for name, value in fields.items():
        if "\0" in value or len(value) > DETAIL_MAX[name]:
            msg = f"The {name.replace('_', ' ')} has at most {DETAIL_MAX[name]} characters."
            raise BadDetails(msg)
    profile = ensure_profile(organization)
    changed = sorted(name for name, value in fields.items() if getattr(profile, name) != value)
    if not changed:
        return profile
    with transaction.atomic():
        PaymentProfile.objects.filter(pk=profile.pk).update(
            **fields, tax_id_problem="", is_stripe_behind=profile.stripe_customer is not None
        )
        audit.record(
            organization_id=organization.pk,
            by=by,
            action="billing_details.changed",
            target=organization.public_id,
            detail={"changed": changed},
        )
        profile.refresh_from_db()
        _tell_soon(profile)
    return profile


def tell_stripe(organization: Organization) -> bool:
    """Tell Stripe of changed details. True when it knows all of them now. Raises: StripeDown; the sweep tries again.

    A tax id that Stripe does not take stays on receipts; why stands on the profile, because it is not taxed by.
    """
    profile = PaymentProfile.objects.select_related("organization").get(organization=organization)
    if not profile.stripe_customer or not profile.is_stripe_behind:
        return False
    told = {name: getattr(profile, name) for name in DETAIL_MAX}
    place = Place(tuple(filter(None, profile.address.split("\n"))), profile.postal_code, profile.country) if profile.country else None
    problem, is_placed = "", False
    told_id, tax_id = tax_ids.parse(profile.told_tax_id), tax_ids.read(profile.tax_id, country=profile.country)
    try:
        stripe_customers.update_customer(
            customer=profile.stripe_customer,
            name=profile.company_name or profile.organization.name,
            email=profile.billing_email,
            place=place,
        )
        is_placed = place is not None
        if tax_id != told_id:
            stripe_customers.set_tax_id(customer=profile.stripe_customer, tax_id=tax_id, told=told_id)
            told_id = tax_id
    except stripe_api.KeyRefused as refused:
        raise stripe_api.StripeDown(str(refused)) from refused
    except stripe_api.StripeRefused as refused:
        problem = str(refused)[:200]
        _log.warning("Stripe refuses details of organization %s: %s", organization.pk, refused)
    # Details that changed meanwhile are told by whoever changed them, or by the sweep.
    done = PaymentProfile.objects.filter(pk=profile.pk, **told).update(
        is_stripe_behind=False, tax_id_problem=problem, told_tax_id=" ".join(told_id or ())
    )
    if done and is_placed:
        auto_failures.resume_with_place(profile)
    return bool(done)


def tell_due(*, limit: int = 200) -> int:
    """Tell Stripe what it has not heard of yet. Return how many were told."""
    told = 0
    for profile in PaymentProfile.objects.filter(is_stripe_behind=True).select_related("organization").order_by("pk")[:limit]:
        try:
            told += tell_stripe(profile.organization)
        except stripe_api.StripeDown as error:
            _log.warning("details of organization %s wait for Stripe: %s", profile.organization_id, error)
    return told


def _tell_soon(profile: PaymentProfile) -> None:
    from billing.purchases import tasks  # noqa: PLC0415 -- tasks import this module

    if profile.is_stripe_behind:
        transaction.on_commit(lambda: tasks.wake(tasks.tell_stripe, profile.organization_id))


def billed_to(profile: PaymentProfile, at_checkout: BilledTo, *, email: str = "") -> dict[str, str]:
    """Return who a receipt is for: what the organization set, else what was written at Checkout, else its name."""
    return {
        "name": profile.company_name or at_checkout.name or profile.organization.name,
        "address": _address_of(profile) or at_checkout.address,
        "country": profile.country or at_checkout.country,
        "tax_id": profile.tax_id or at_checkout.tax_id,
        "email": profile.billing_email or at_checkout.email or email,
    }


def _address_of(profile: PaymentProfile) -> str:
    # Many write it into the address as well; once is enough.
    is_new = profile.postal_code and profile.postal_code not in profile.address.upper()
    return "\n".join(filter(None, (profile.address, profile.postal_code if is_new else "")))


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
        keep_card(profile=profile, card=stripe_customers.read_default_card(customer=stripe_customer))


def forget_card(*, organization: Organization, by: User) -> None:
    """Remove the saved card, here and at Stripe. Raises: NotPermitted, StripeDown."""
    permissions.require(by=by, organization=organization, action="credit.buy")
    profile = ensure_profile(organization)
    if profile.payment_method:
        with suppress(stripe_api.StripeRefused):  # it was gone already
            stripe_customers.detach_card(card=profile.payment_method)
        keep_card(profile=profile, card=None)
    if profile.stripe_customer:
        refresh_card(stripe_customer=profile.stripe_customer)


def drop_card(*, card: str) -> None:
    """Forget a card that its owner removed at Stripe, and note which one is the default now."""
    for profile in PaymentProfile.objects.filter(payment_method=card):
        keep_card(profile=profile, card=stripe_customers.read_default_card(customer=profile.stripe_customer or ""))
