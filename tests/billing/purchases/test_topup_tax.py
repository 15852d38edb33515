"""Tax on top-ups that nobody is there to see: exact, reported with the payment, and never left out."""

import datetime as dt

import pytest
from django.utils import timezone

from billing.books import invariants, settlement
from billing.models import Notice, PaymentProfile, Purchase
from billing.purchases import auto_topups, profiles, refunds, stripe_api
from tests.billing import plane

CENT = 10_000_000
USD = 1_000_000_000
CALCULATE, CHARGE = "POST /v1/tax/calculations", "POST /v1/payment_intents"
WHERE = {"company_name": "", "address": "", "country": "US", "postal_code": "94080", "tax_id": "", "billing_email": ""}


@pytest.fixture(autouse=True)
def _taxed(settings):
    settings.STRIPE_AUTOMATIC_TAX = True


@pytest.fixture
def low(topped, organization, buyer):
    """Let auto top-up be due: $4 of $20 are left. With ``where``, Stripe knows the place."""

    def make(*, where=True):
        topped()
        if where:
            profiles.change_details(organization=organization, by=buyer, **WHERE)
            profiles.tell_stripe(organization)
        plane.spend(organization, 16 * USD)
        settlement.settle_shard(shard=organization.shard)

    return make


def _intents(stripe):
    return stripe.account.store.newest("payment_intent")


def test_the_tax_is_charged_on_top_booked_as_tax_and_goes_to_stripe_with_the_payment(low, organization, stripe, books):
    low()
    before = books()

    made = auto_topups.top_up(organization)

    assert (made.state, made.credit_cents, made.fee_cents, made.tax_cents, made.total_cents) == ("paid", 1_000, 80, 108, 1_188)
    assert _intents(stripe)[0]["amount"] == 1_188
    assert _intents(stripe)[0]["hooks"] == {"inputs": {"tax": {"calculation": made.tax_calculation}}}
    moved = {name: nanos - before.get(name, 0) for name, nanos in books().items() if nanos != before.get(name, 0)}
    fee = 35 + 30  # Stripe's: 2.9 % of $11.88, rounded up, and 30 cents
    assert moved == {
        "stripe_clearing": (1_188 - fee) * CENT, "customer_credit": 10 * USD, "revenue_purchase_fee": 80 * CENT,
        "tax_payable": 108 * CENT, "stripe_fees": fee * CENT,
    }  # fmt: skip
    assert invariants.verify(shards=[]) == []


def test_a_refund_gives_its_share_of_the_tax_back(low, organization, buyer, stripe, books):
    low()
    made = auto_topups.top_up(organization)

    refund = refunds.ask(purchase=made, by=buyer, credit_cents=500)

    assert (refund.credit_cents, refund.total_cents) == (500, 550)
    assert books()["tax_payable"] == (211 + 108 - 50) * CENT


@pytest.mark.parametrize("fault", ["lost_after", "500_before"])
@pytest.mark.parametrize("call", [CALCULATE, CHARGE])
def test_an_answer_that_is_lost_changes_neither_tax_nor_number_of_charges(low, organization, stripe, call, fault):
    low()
    stripe.fail(call, fault)
    assert auto_topups.top_up(organization).state == "charging"

    auto_topups.sweep(now=timezone.now() + dt.timedelta(minutes=2))

    made = Purchase.objects.get(kind="auto")
    if fault == "500_before":  # Stripe keeps the error under its key, so this attempt is given up in time and nothing was charged
        assert (made.state, len(_intents(stripe))) == ("charging", 1)
    else:
        assert (made.state, made.tax_cents, len(_intents(stripe))) == ("paid", 108, 2)


def test_a_top_up_that_was_read_before_its_tax_was_known_is_credited_and_not_sent_to_review(low, organization, stripe):
    low()
    stripe.fail(CALCULATE, "lost_after")
    early = auto_topups.top_up(organization)
    stripe.fail(CHARGE, "lost_after")
    auto_topups.sweep(now=timezone.now() + dt.timedelta(minutes=2))  # another worker's: charges, and hears no answer
    assert (early.state, early.tax_cents, len(_intents(stripe))) == ("charging", 0, 2)

    auto_topups._find_out(early, timezone.now() + dt.timedelta(minutes=2))

    made = Purchase.objects.get(kind="auto")
    assert (made.state, made.tax_cents, len(_intents(stripe))) == ("paid", 108, 2)


def test_where_stripe_knows_no_place_nothing_is_charged_until_it_does(low, organization, buyer, stripe):
    low(where=False)

    made = auto_topups.top_up(organization)

    assert (made.state, "country and postal code" in made.failure) == ("failed", True)
    assert (PaymentProfile.objects.get().auto_paused_for, len(_intents(stripe))) == ("no_place", 1)
    assert Notice.objects.get(kind="topup_paused").context == {"reason": "no_place"}
    assert auto_topups.top_up(organization) is None

    profiles.change_details(organization=organization, by=buyer, **WHERE)
    profiles.tell_stripe(organization)

    assert PaymentProfile.objects.get().auto_paused_for == ""
    assert auto_topups.top_up(organization).tax_cents == 108


def test_when_tax_is_refused_for_another_reason_nothing_is_charged(low, organization, stripe, monkeypatch):
    low()

    def refuse(**_):
        raise stripe_api.StripeRefused("Tax is not set up.", code="tax_settings_incomplete")

    monkeypatch.setattr("billing.purchases.stripe_customers.calculate_tax", refuse)

    made = auto_topups.top_up(organization)

    assert (made.state, made.failure, len(_intents(stripe))) == ("declined", "Tax is not set up.", 1)


def test_without_automatic_tax_none_is_asked_for(low, organization, stripe, settings):
    settings.STRIPE_AUTOMATIC_TAX = False
    low()

    made = auto_topups.top_up(organization)

    assert (made.tax_cents, made.tax_calculation, CALCULATE in stripe.calls) == (0, "", False)
