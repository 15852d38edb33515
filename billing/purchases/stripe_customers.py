"""Customers at Stripe: who they are, where they are taxed, their cards, and what Stripe says of the tax on an amount.

Errors as in stripe_api.py.
"""

from typing import Any, NamedTuple

from billing.purchases import stripe_objects
from billing.purchases.shapes import SavedCard
from billing.purchases.stripe_api import StripeRefused, asks_stripe, client
from billing.purchases.tax_ids import TaxId

_NO_PLACE = "customer_tax_location_invalid"


class Place(NamedTuple):
    """Where a customer is taxed. ``lines`` are street and city as they were written; ``country`` is ISO 3166."""

    lines: tuple[str, ...]
    postal_code: str
    country: str


class Tax(NamedTuple):
    """The tax that comes on top of an amount, and Stripe's name for the calculation."""

    calculation: str
    cents: int


class NoPlace(Exception):
    """Stripe does not know where the customer is taxed; nothing happened. A country is needed, in the US and Canada a postal code too."""


@asks_stripe
def create_customer(*, org_public_id: str, name: str, email: str, idempotency_key: str) -> str:
    """Make a customer and return its id."""
    params: Any = {"name": name, "email": email, "metadata": {"organization": org_public_id}}
    return client().v1.customers.create(params=params, options={"idempotency_key": idempotency_key}).id


@asks_stripe
def update_customer(*, customer: str, name: str, email: str, place: Place | None) -> None:
    """Tell Stripe who the customer is now. Without an address the one that was written at Checkout stays."""
    params: dict[str, Any] = {"name": name}
    if email:
        params["email"] = email
    if place is not None:
        known = stripe_objects.plain(client().v1.customers.retrieve(customer)).get("address") or {}
        # What Checkout knew better than we do stays, as long as it is about the same place.
        is_same = known.get("country") == place.country and (not place.postal_code or known.get("postal_code") in {None, place.postal_code})
        kept = known if is_same else {}
        line1, *rest = place.lines or (kept.get("line1") or "", kept.get("line2") or "")
        params["address"] = {
            "line1": line1,
            "line2": ", ".join(rest),
            "city": kept.get("city") or "",
            "state": kept.get("state") or "",
            "postal_code": place.postal_code or kept.get("postal_code") or "",
            "country": place.country,
        }
    changes: Any = params
    client().v1.customers.update(customer, params=changes)


@asks_stripe
def set_tax_id(*, customer: str, tax_id: TaxId | None, told: TaxId | None) -> None:
    """Let the customer have this tax id and no other. Raises: StripeRefused when it cannot be one; the others are gone then.

    None takes back the one that was ``told`` before; one that was given at Checkout stays.
    """
    known = stripe_objects.plain(client().v1.customers.tax_ids.list(customer, params={"limit": 100}))["data"]
    for one in known:
        this = TaxId(one["type"], one["value"])
        if this == told if tax_id is None else this != tax_id:
            client().v1.customers.tax_ids.delete(customer, one["id"])
    if tax_id is not None and tax_id not in {TaxId(one["type"], one["value"]) for one in known}:
        params: Any = {"type": tax_id.kind, "value": tax_id.value}
        client().v1.customers.tax_ids.create(customer, params=params)


def calculate_tax(*, customer: str, lines: list[tuple[str, int]], idempotency_key: str) -> Tax:
    """Return the tax on top of lines of (reference, cents), by where the customer is. Raises: NoPlace."""
    try:
        return _calculate_tax(customer=customer, lines=lines, idempotency_key=idempotency_key)
    except StripeRefused as refused:
        if refused.code == _NO_PLACE:
            raise NoPlace(str(refused)) from refused
        raise


@asks_stripe
def _calculate_tax(*, customer: str, lines: list[tuple[str, int]], idempotency_key: str) -> Tax:
    params: Any = {
        "currency": "usd",
        "customer": customer,
        "line_items": [{"reference": name, "amount": cents, "tax_behavior": "exclusive"} for name, cents in lines if cents],
    }
    found = stripe_objects.plain(client().v1.tax.calculations.create(params=params, options={"idempotency_key": idempotency_key}))
    return Tax(found["id"], found["tax_amount_exclusive"])


@asks_stripe
def read_default_card(*, customer: str) -> SavedCard | None:
    """Return the card that the customer made the default, else the newest saved one, None when there is none."""
    saved = client().v1.customers.payment_methods.list(customer, params={"type": "card", "limit": 100})
    cards = [stripe_objects.read_card(method) for method in stripe_objects.plain(saved)["data"]]
    settings_of = stripe_objects.plain(client().v1.customers.retrieve(customer)).get("invoice_settings") or {}
    default = settings_of.get("default_payment_method")
    return next((card for card in cards if card.id == default), cards[0] if cards else None)


@asks_stripe
def detach_card(*, card: str) -> None:
    """Forget a saved card."""
    client().v1.payment_methods.detach(card)


@asks_stripe
def create_portal(*, customer: str, return_url: str) -> str:
    """Return a link to the customer portal, good for a few minutes."""
    return client().v1.billing_portal.sessions.create(params={"customer": customer, "return_url": return_url}).url
