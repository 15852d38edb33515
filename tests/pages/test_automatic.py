import datetime as dt

import pytest
from django.utils import timezone

from billing.books import transfers
from billing.models import CreditLot, PaymentProfile

USD = 1_000_000_000
CHOSEN = {"enabled": "on", "threshold": "$7.50", "amount": "20", "monthly_cap": "1,000"}


@pytest.fixture(autouse=True)
def _sells(settings):
    settings.STRIPE_SECRET_KEY = "sk_test_fake"


@pytest.fixture
def profile(organization):
    """Return a profile with a saved card."""
    return PaymentProfile.objects.create(
        organization=organization, stripe_customer="cus_1", payment_method="pm_1", card_brand="visa", card_last4="4242"
    )


def text(answer):
    return " ".join(answer.content.decode().split())


def test_auto_top_up_is_set_and_the_page_says_what_is_charged(as_person, owner, profile):
    client = as_person(owner)

    answer = client.post("/credits/automatic/topup", CHOSEN, follow=True)

    profile.refresh_from_db()
    assert (profile.auto_enabled, profile.auto_threshold_nanos, profile.auto_amount_cents, profile.auto_monthly_cap_cents) == (
        True, 7_500_000_000, 2_000, 100_000,
    )  # fmt: skip
    page = text(answer)
    assert "Visa ending in 4242 is charged $21.10 each time: $20 of credit and $1.10 fee" in page
    assert "Auto top-up is on." in page
    assert "$20 when less than $7.5 is left" in text(client.get("/credits"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"threshold": "0"}, "Choose an amount above zero"),
        ({"threshold": "lots"}, "Write an amount of dollars"),
        ({"amount": "4.99"}, "Choose an amount from $5"),
        ({"amount": "-20"}, "Choose an amount from $5"),
        ({"amount": "20.001"}, "whole cents"),
        ({"monthly_cap": "19"}, "at least one top-up ($20)"),
        ({"monthly_cap": ""}, "This field is required"),
    ],
)
def test_bad_input_is_refused_beside_its_field_and_changes_nothing(as_person, owner, profile, changes, message):
    answer = as_person(owner).post("/credits/automatic/topup", CHOSEN | changes)

    assert answer.status_code == 422
    assert message in text(answer)
    profile.refresh_from_db()
    assert not profile.auto_enabled


def test_without_a_card_it_cannot_be_switched_on(as_person, owner, organization):
    answer = as_person(owner).post("/credits/automatic/topup", CHOSEN)

    assert answer.status_code == 422
    assert "Save a card first" in text(answer)


def test_while_a_payment_is_disputed_it_cannot_be_switched_on(as_person, owner, profile):
    PaymentProfile.objects.update(frozen_at=timezone.now())

    assert as_person(owner).post("/credits/automatic/topup", CHOSEN).status_code == 409


def test_a_pause_says_why_and_what_to_do(as_person, owner, profile):
    PaymentProfile.objects.update(auto_enabled=True, auto_amount_cents=2_000, auto_paused_for="runaway")

    page = text(as_person(owner).get("/credits/automatic"))

    assert "Paused" in page
    assert "Three top-ups within ten minutes." in page


def test_warnings_are_set_and_taken_back(as_person, owner, profile):
    client = as_person(owner)

    assert "You are warned by mail." in text(client.post("/credits/automatic/warnings", {"thresholds": "10, $50"}, follow=True))
    profile.refresh_from_db()
    assert profile.alert_thresholds_nanos == [50 * USD, 10 * USD]
    assert 'value="50, 10"' in text(client.get("/credits/automatic"))
    for bad in ("x", "0", "1,2,3,4,5,6", "-3"):
        assert client.post("/credits/automatic/warnings", {"thresholds": bad}).status_code == 422
    client.post("/credits/automatic/warnings", {"thresholds": ""})
    profile.refresh_from_db()
    assert profile.alert_thresholds_nanos == []


def test_members_look_and_do_not_touch_and_strangers_see_nothing(as_person, member, stranger, profile, organization):
    transfers.grant(organization=organization, amount_nanos=USD, reason="Spring campaign", idempotency_key="k", by=None)

    page = text(as_person(member).get("/credits/automatic"))
    assert "Owners and admins decide" in page
    assert "Spring campaign" in page
    assert "Save auto top-up" not in page
    for person in (member, stranger):
        assert as_person(person).post("/credits/automatic/warnings", {"thresholds": "5"}).status_code == (403 if person == member else 302)
    assert as_person(member).post("/credits/automatic/topup", CHOSEN).status_code == 403
    assert "Spring campaign" not in text(as_person(stranger).get("/credits/automatic"))
    profile.refresh_from_db()
    assert (profile.auto_enabled, profile.alert_thresholds_nanos) == (False, [])


def test_granted_credit_is_listed_with_what_is_left_and_its_end(as_person, owner, organization):
    client = as_person(owner)
    assert "No granted credit." in text(client.get("/credits/automatic"))
    for key, days in (("Long", 90), ("Short", 3), ("Ended", 30)):
        expires_at = timezone.now() + dt.timedelta(days=days)
        transfers.grant(
            organization=organization, amount_nanos=2 * USD, reason=key, idempotency_key=key, by=None, expires_at=expires_at
        )  # fmt: skip
    CreditLot.objects.filter(reason="Ended").update(spent_nanos=2 * USD)

    page = text(client.get("/credits/automatic"))

    assert page.index("Short") < page.index("Long") < page.index("Ended")
    assert page.count("Used up") == 1
    assert page.count("Soon") == 1
