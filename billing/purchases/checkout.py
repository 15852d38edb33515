"""Begin a purchase: the row first, then the Checkout Session, then the customer is sent there."""

import logging
import uuid
from typing import NamedTuple

from django.db import IntegrityError, transaction

from accounts import permissions
from accounts.audit import name_actor
from accounts.models import Organization, User
from billing.models import PaymentProfile, Purchase, PurchaseKind, PurchaseState
from billing.purchases import profiles, stripe_api, stripe_customers
from billing.purchases.attempts import new_id
from billing.purchases.fees import quote

_log = logging.getLogger(__name__)


class PurchasesFrozen(Exception):
    """A payment of the organization is disputed; nothing is sold to it until that is settled."""


class AlreadyBegun(Exception):
    """The page that asks has begun its purchase before, this one. Nothing was made a second time."""

    def __init__(self, purchase: Purchase) -> None:
        super().__init__(str(purchase.pk))
        self.purchase = purchase


class NotOpen(Exception):
    """The purchase cannot be paid any more: it is paid, or Checkout has closed it."""


class Begun(NamedTuple):
    """A purchase at Checkout. ``url`` is where the customer pays."""

    purchase: Purchase
    url: str


def require_not_frozen(profile: PaymentProfile) -> None:
    """Raises: PurchasesFrozen."""
    if profile.frozen_at is not None:
        raise PurchasesFrozen("A payment is disputed. Write to support; buying and refunds are on hold until it is settled.")


def begin(
    *,
    organization: Organization,
    by: User,
    credit_cents: int,
    success_url: str,
    cancel_url: str,
    saves_card: bool = False,
    attempt: uuid.UUID | None = None,
) -> Begun:
    """Open Checkout for an amount of credit. The fee is computed here, whatever the browser showed.

    ``attempt`` becomes the purchase's id, so that a page sent twice buys once; ``{PURCHASE}`` in an address stands for it.
    Raises: NotPermitted, fees.BadAmount, PurchasesFrozen, AlreadyBegun, stripe_api.NotConfigured, StripeDown, StripeRefused.
    """
    permissions.require(by=by, organization=organization, action="credit.buy")
    price = quote(credit_cents)
    require_not_frozen(profiles.ensure_profile(organization))
    profile = profiles.ensure_customer(organization=organization, email=by.email)
    purchase = _write_down(
        Purchase(
            id=attempt or new_id(),
            organization=organization,
            kind=PurchaseKind.CHECKOUT,
            state=PurchaseState.OPEN,
            credit_cents=price.credit_cents,
            fee_cents=price.fee_cents,
            asked_by=name_actor(by),
        )
    )
    try:
        session = stripe_api.create_checkout(
            purchase=str(purchase.pk),
            customer=profile.stripe_customer or "",
            lines=[("Credit for models", price.credit_cents), ("Processing fee", price.fee_cents)],
            success_url=success_url.replace("{PURCHASE}", str(purchase.pk)),
            cancel_url=cancel_url.replace("{PURCHASE}", str(purchase.pk)),
            saves_card=saves_card,
            idempotency_key=f"checkout:{purchase.pk}",
        )
    except (stripe_api.StripeDown, stripe_api.StripeRefused) as error:
        # A session that was made all the same has an address that nobody knows; it expires by itself.
        Purchase.objects.filter(pk=purchase.pk).update(state=PurchaseState.FAILED, failure="Stripe did not open its page.")
        _log.warning("no Checkout for purchase %s: %s", purchase.pk, error)
        raise
    purchase.session = session.id
    purchase.save(update_fields=["session", "updated_at"])
    return Begun(purchase, session.url)


def resume(*, purchase: Purchase, by: User) -> str:
    """Return the address where a purchase that was begun is paid. Raises: NotPermitted, NotOpen, PurchasesFrozen, stripe_api's."""
    permissions.require(by=by, organization=purchase.organization, action="credit.buy")
    require_not_frozen(profiles.ensure_profile(purchase.organization))
    if purchase.state != PurchaseState.OPEN or purchase.session is None:
        raise NotOpen(purchase.state)
    session = stripe_api.read_checkout(purchase.session)
    if session.status != "open" or not session.url:
        raise NotOpen(session.status)
    return session.url


def begin_card_setup(*, organization: Organization, by: User, success_url: str, cancel_url: str) -> str:
    """Return the address where a card is saved without paying. Raises: like ``begin``."""
    permissions.require(by=by, organization=organization, action="credit.buy")
    require_not_frozen(profiles.ensure_profile(organization))
    profile = profiles.ensure_customer(organization=organization, email=by.email)
    return stripe_api.create_card_setup(
        customer=profile.stripe_customer or "", organization=organization.public_id, success_url=success_url, cancel_url=cancel_url
    ).url


def open_portal(*, organization: Organization, by: User, return_url: str) -> str:
    """Return a link to Stripe's customer portal. Raises: NotPermitted, stripe_api.NotConfigured, StripeDown, StripeRefused."""
    permissions.require(by=by, organization=organization, action="credit.buy")
    profile = profiles.ensure_customer(organization=organization, email=by.email)
    return stripe_customers.create_portal(customer=profile.stripe_customer or "", return_url=return_url)


def _write_down(purchase: Purchase) -> Purchase:
    """Raises: AlreadyBegun, also when the same page was sent twice at once."""
    try:
        with transaction.atomic():
            purchase.save(force_insert=True)
    except IntegrityError:
        begun = Purchase.objects.select_related("organization").filter(pk=purchase.pk, organization=purchase.organization).first()
        if begun is None:
            raise
        raise AlreadyBegun(begun) from None
    return purchase
