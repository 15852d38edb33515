"""What tests of the pages that sell ask for. Import the fixtures where they are used."""

import re

import pytest
from django.test import Client

from accounts.models import Organization, User
from billing.models import Purchase
from billing.purchases import fulfilment
from tests.fakes.stripe import FakeStripe
from tests.fakes.stripe.fixture import stripe, stripe_server

__all__ = ["browser", "buying_form", "purchase", "refund_form", "stripe", "stripe_server"]


def buying_form(browser: Client, amount: str = "20") -> dict[str, str]:
    """Return the fields of the buying form as a browser would send them."""
    page = browser.get("/credits", {"amount": amount}).content.decode()
    return {"amount": amount} | {name: re.search(rf'name="{name}" value="([^"]*)"', page)[1] for name in ("attempt", "total")}  # type: ignore[index]


def refund_form(browser: Client, purchase: Purchase, amount: str) -> dict[str, str]:
    """Return the fields of the refunding form as a browser would send them."""
    page = browser.get(f"/credits/purchases/{purchase.pk}/refund").content.decode()
    return {"amount": amount, "attempt": re.search(r'name="attempt" value="([^"]*)"', page)[1]}  # type: ignore[index]


@pytest.fixture
def browser(owner: User, organization: Organization, as_person: object) -> Client:
    """Return a browser of the owner of ``organization``."""
    return as_person(owner)  # type: ignore[operator,no-any-return]


@pytest.fixture
def purchase(browser: Client, stripe: FakeStripe) -> Purchase:
    """Return a purchase of $20 that was paid with 4242… and returned from."""
    browser.post("/credits/buy", buying_form(browser))
    begun = Purchase.objects.get()
    stripe.pay(begun.session)
    return fulfilment.fulfil_session(begun.session)  # type: ignore[return-value,arg-type]
