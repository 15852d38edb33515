"""What an operator has set up at Stripe, read and never changed. Errors as in stripe_api.py."""

from typing import NamedTuple

from billing.purchases import stripe_objects
from billing.purchases.stripe_api import asks_stripe, client


class Endpoint(NamedTuple):
    """Where Stripe sends events. ``events`` may be ('*',); ``version`` '' is the account's own."""

    url: str
    events: frozenset[str]
    is_enabled: bool
    version: str


@asks_stripe
def may_charge() -> bool:
    """Tell whether the account may take money."""
    return bool(stripe_objects.plain(client().v1.accounts.retrieve_current())["charges_enabled"])


@asks_stripe
def endpoints() -> list[Endpoint]:
    """Return every webhook endpoint."""
    found = client().v1.webhook_endpoints.list(params={"limit": 100})
    return [
        Endpoint(one["url"], frozenset(one["enabled_events"]), one["status"] == "enabled", one.get("api_version") or "")
        for one in stripe_objects.plain(found)["data"]
    ]


@asks_stripe
def portal_shows_cards() -> bool | None:
    """Tell whether customers can change their cards in the portal; None when no portal is set up."""
    found = client().v1.billing_portal.configurations.list(params={"active": True, "is_default": True, "limit": 1})
    portals = stripe_objects.plain(found)["data"]
    return bool(portals[0]["features"]["payment_method_update"]["enabled"]) if portals else None


@asks_stripe
def tax_lacks() -> list[str] | None:
    """Return what Stripe Tax still wants to know before it computes anything; None when it computes."""
    found = stripe_objects.plain(client().v1.tax.settings.retrieve())
    if found["status"] == "active":
        return None
    return [str(name) for name in ((found["status_details"] or {}).get("pending") or {}).get("missing_fields") or []]


@asks_stripe
def tax_countries() -> list[str]:
    """Return the countries where tax is collected now."""
    found = client().v1.tax.registrations.list(params={"status": "active", "limit": 100})
    return sorted({str(one["country"]) for one in stripe_objects.plain(found)["data"]})
