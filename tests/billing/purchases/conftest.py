"""A Stripe of one's own, organizations that buy, and the tasks at hand instead of a worker."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from accounts import organizations
from accounts.models import Organization, User
from billing import live
from billing.books import rebuild
from billing.models import Notice, PaymentProfile, Purchase
from billing.purchases import auto_settings, checkout, inbox, profiles
from billing.purchases.shapes import SavedCard
from tests.billing import plane
from tests.factories.people import UserFactory
from tests.fakes.stripe import FakeStripe, signed
from tests.fakes.stripe.fixture import stripe, stripe_server

__all__ = ["stripe", "stripe_server"]
SHARD = 7


@pytest.fixture
def buyer(transactional_db: None) -> User:
    """Return a person who owns ``shop_organization``."""
    return UserFactory(email="ada@example.com")


@pytest.fixture
def organization(buyer: User, money_store: object) -> Organization:
    """Return an organization that is ready to spend and has nothing."""
    made = organizations.create(name="Acme", owner=buyer, shard=SHARD)
    rebuild.rebuild_shard(shard=SHARD)
    live.resync_balance(shard=SHARD, seed=live.BalanceSeed(made.pk, 0, 0))
    return made


@pytest.fixture
def begin(stripe: FakeStripe, organization: Organization, buyer: User) -> Callable[..., Purchase]:
    """Return what opens Checkout for an amount of cents."""

    def open_checkout(credit_cents: int = 2_000, **fields: Any) -> Purchase:
        urls = {"success_url": "http://site/return?session_id={CHECKOUT_SESSION_ID}", "cancel_url": "http://site/credits"}
        return checkout.begin(organization=organization, by=buyer, credit_cents=credit_cents, **(urls | fields)).purchase

    return open_checkout


@pytest.fixture
def deliver(stripe: FakeStripe) -> Callable[..., list[int]]:
    """Return what sends events to our address as Stripe does, and returns the statuses."""
    client = Client()

    def send(*events: dict[str, Any], **how: Any) -> list[int]:
        statuses = []
        for event in events:
            body, signature = signed(event, **how)
            answer = client.post("/webhooks/stripe", data=body, content_type="application/json", headers={"Stripe-Signature": signature})
            statuses.append(answer.status_code)
        return statuses

    return send


@pytest.fixture
def buy(stripe: FakeStripe, begin: Callable[..., Purchase], deliver: Callable[..., list[int]]) -> Callable[..., Purchase]:
    """Return what buys an amount from the button to the credit."""

    def complete(credit_cents: int = 2_000, *, saves_card: bool = False, **form: str) -> Purchase:
        purchase = begin(credit_cents, saves_card=saves_card)
        before = len(stripe.events())
        stripe.pay(purchase.session, **form)
        deliver(*stripe.events()[before:])
        inbox.process_due()
        purchase.refresh_from_db()
        return purchase

    return complete


@pytest.fixture
def topped(stripe, organization, buyer, buy):
    """Return what buys $20 with a card that is saved, and switches auto top-up on: below $5, for $10, at most $30 a month."""

    def make(card="4242 4242 4242 4242", **settings):
        profiles.ensure_customer(organization=organization, email=buyer.email)
        buy(2_000, saves_card=True)
        profile = PaymentProfile.objects.get(organization=organization)
        if card != "4242 4242 4242 4242":
            method = stripe.account.save_card(card.replace(" ", ""), customer=profile.stripe_customer)
            profiles.keep_card(profile=profile, card=SavedCard(method["id"], "visa", card[-4:], "12/2030"))
        chosen = {"enabled": True, "threshold_nanos": 5_000_000_000, "amount_cents": 1_000, "monthly_cap_cents": 3_000}
        auto_settings.change_topup(organization=organization, by=buyer, **(chosen | settings))
        plane.put_key(organization.shard)
        Notice.objects.all().delete()
        return PaymentProfile.objects.get(organization=organization)

    return make
