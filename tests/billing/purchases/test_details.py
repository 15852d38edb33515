"""Billing details: kept here, told to Stripe, and what Stripe does not take."""

import pytest

from accounts.models import AuditEvent
from accounts.permissions import NotPermitted
from billing.models import PaymentProfile
from billing.purchases import profiles, stripe_api, tasks, tax_ids
from billing.purchases.profiles import BadDetails
from billing.purchases.tax_ids import TaxId

ACME = {
    "company_name": "Acme GmbH", "address": "Lange Gasse 1\n2. Hof\nBerlin", "postal_code": "10115", "country": "de",
    "tax_id": "123 456 789", "billing_email": "bills@acme.example",
}  # fmt: skip


@pytest.fixture
def change(organization, buyer):
    """Return what changes details as the page does."""
    return lambda **fields: profiles.change_details(organization=organization, by=buyer, **(ACME | fields))


@pytest.fixture
def customer(stripe, organization, buyer):
    """Return what reads the organization's customer at Stripe, which is there already."""
    profiles.ensure_customer(organization=organization, email=buyer.email)
    return lambda: stripe.newest("customer")


def _ids(stripe) -> list[tuple[str, str]]:
    return [(one["type"], one["value"]) for one in stripe.account.store.newest("tax_id") if one["customer"]]


def test_changed_details_reach_the_customer_at_stripe(change, customer, organization, stripe):
    assert change().is_stripe_behind

    assert tasks.tell_stripe(organization.pk)

    told = customer()
    assert (told["name"], told["email"]) == ("Acme GmbH", "bills@acme.example")
    assert told["address"] == {
        "line1": "Lange Gasse 1", "line2": "2. Hof, Berlin", "city": None, "state": None, "postal_code": "10115", "country": "DE",
    }  # fmt: skip
    assert _ids(stripe) == [("eu_vat", "DE123456789")]
    assert not PaymentProfile.objects.get().is_stripe_behind
    assert not tasks.tell_stripe(organization.pk)
    assert AuditEvent.objects.get(action="billing_details.changed").detail == {"changed": sorted(ACME)}


def test_another_tax_id_takes_the_place_of_the_first_and_none_leaves_none(change, customer, organization, stripe):
    for tax_id, country, expected in (
        ("DE1111", "DE", ("eu_vat", "DE1111")),
        ("12-3456789", "US", ("us_ein", "12-3456789")),
        ("", "US", None),
    ):
        change(tax_id=tax_id, country=country)
        profiles.tell_stripe(organization)
        assert _ids(stripe) == ([expected] if expected else [])


def test_a_tax_id_given_at_checkout_outlives_a_change_of_something_else(change, customer, organization, stripe):
    stripe_api.client().v1.customers.tax_ids.create(customer()["id"], params={"type": "eu_vat", "value": "FR12345678901"})
    change(tax_id="")
    profiles.tell_stripe(organization)
    change(tax_id="", billing_email="other@acme.example")
    profiles.tell_stripe(organization)

    assert _ids(stripe) == [("eu_vat", "FR12345678901")]


def test_a_country_alone_keeps_the_street_and_postal_code_of_checkout(change, customer, organization, stripe):
    found = {"line1": "1 Main St", "line2": None, "city": "Berkeley", "state": "CA", "postal_code": "94105", "country": "US"}
    stripe.account.store.put(customer() | {"address": found})

    change(country="US", address="", postal_code="", tax_id="")
    profiles.tell_stripe(organization)

    assert customer()["address"] == found


def test_a_key_that_stripe_does_not_take_is_ours_to_mend_and_the_details_are_told_later(change, customer, organization, settings):
    change()
    settings.STRIPE_SECRET_KEY = "sk_live_revoked"
    with pytest.raises(stripe_api.StripeDown):
        profiles.tell_stripe(organization)

    profile = PaymentProfile.objects.get()
    assert (profile.is_stripe_behind, profile.tax_id_problem) == (True, "")


def test_what_checkout_knows_of_the_same_place_stays(change, customer, organization, stripe):
    found = {"line1": "x", "line2": None, "city": "Berlin", "state": "BE", "postal_code": "10115", "country": "DE"}
    stripe.account.store.put(customer() | {"address": found})
    change()
    profiles.tell_stripe(organization)
    assert (customer()["address"]["city"], customer()["address"]["state"]) == ("Berlin", "BE")

    change(postal_code="80331")
    profiles.tell_stripe(organization)
    assert (customer()["address"]["city"], customer()["address"]["postal_code"]) == (None, "80331")


def test_a_tax_id_that_stripe_refuses_stays_on_receipts_and_says_so(change, customer, organization, stripe):
    change(tax_id="DE?")

    profiles.tell_stripe(organization)

    profile = PaymentProfile.objects.get()
    assert (profile.tax_id, profile.tax_id_problem, profile.is_stripe_behind) == ("DE?", "Invalid value for eu_vat.", False)
    assert customer()["name"] == "Acme GmbH"
    assert change(tax_id="DE123456789").tax_id_problem == ""


def test_when_stripe_is_away_the_sweep_tells_it_later(change, customer, organization, stripe):
    stripe.fail(f"POST /v1/customers/{customer()['id']}", "500_before")
    change()

    assert profiles.tell_due() == 0
    assert profiles.tell_due() == 1
    assert (customer()["name"], profiles.tell_due()) == ("Acme GmbH", 0)


def test_details_that_were_written_before_the_first_purchase_are_told_with_it(change, organization, buyer, stripe):
    assert not change().is_stripe_behind

    profiles.ensure_customer(organization=organization, email=buyer.email)
    assert profiles.tell_due() == 1

    assert stripe.newest("customer")["address"]["country"] == "DE"


def test_strangers_change_nothing_and_the_same_details_are_no_change(change, customer, organization, stranger):
    change()
    with pytest.raises(NotPermitted):
        profiles.change_details(organization=organization, by=stranger, **ACME)
    with pytest.raises(BadDetails, match="postal code has at most 20"):
        change(postal_code="1" * 21)

    change()

    assert AuditEvent.objects.filter(action="billing_details.changed").count() == 1


@pytest.mark.parametrize(
    ("text", "country", "expected"),
    [
        ("de 123.456-789", "DE", TaxId("eu_vat", "DE123456789")), ("123456789", "GR", TaxId("eu_vat", "EL123456789")),
        ("XI123", "GB", TaxId("gb_vat", "XI123")), ("CHE-123.456.789 MWST", "CH", TaxId("ch_vat", "CHE-123.456.789 MWST")),
        ("1", "KP", None), ("", "DE", None), ("1", "", None),
    ],
)  # fmt: skip
def test_a_tax_id_is_of_the_kind_of_its_country(text, country, expected):
    assert tax_ids.read(text, country=country) == expected
