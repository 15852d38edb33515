"""I11: yesterday's charges follow from their counts and prices, and a charge that was changed by hand is found."""

import datetime as dt

import pytest
from django.utils import timezone

from billing.books import settlement
from billing.models import AdmissionFreeze, Incident
from billing.proof import watch
from gateway import repricing
from tests.billing import plane
from tests.billing.conftest import USD, make_organization
from tests.billing.proof.conftest import tamper
from tests.factories import snapshots

__all__ = ["make_organization", "tamper"]  # fixtures of a neighbour

# 10 tokens in, 5 out.
_RATES = {"input_tokens": 250_000, "output_tokens": 600_000}
_NANOS = (10 * 250_000 + 5 * 600_000) // 1000


@pytest.fixture
def used_yesterday(make_organization, monkeypatch, settings):
    """Return an organization with a hundred requests of yesterday, all of them in the sample."""
    monkeypatch.setattr(watch, "_CONFIRM_AFTER_S", 0)
    monkeypatch.setattr(repricing.differences, "__kwdefaults__", {"day": None, "percent": 100})
    settings.OPERATOR_EMAILS = ["operator@example.com"]
    version = snapshots.make_price_version(_RATES)
    organization = make_organization(USD)
    yesterday = timezone.now() - dt.timedelta(days=1)
    for _ in range(100):
        plane.spend(organization, _NANOS, event_id=plane.id_at(yesterday), price_version_id=version.pk)
    settlement.settle_shard(shard=organization.shard)
    return organization


def test_charges_that_follow_from_their_prices_are_no_difference(used_yesterday, mailoutbox):
    assert watch.check("I11") == []
    assert mailoutbox == []


def test_a_charge_changed_by_hand_breaks_i11_alone_and_the_operator_is_mailed(used_yesterday, tamper, mailoutbox):
    tamper(
        "UPDATE billing_usageevent SET amount_nanos = amount_nanos + 1, amount_picos = amount_picos + 1000 "
        "WHERE event_id = (SELECT min(event_id::text)::uuid FROM billing_usageevent)"
    )

    [found] = watch.check("I11")

    assert (found.invariant, found.expected, found.found, found.org_ids) == ("I11", _NANOS, _NANOS + 1, (used_yesterday.pk,))
    assert Incident.objects.get().organization_id == used_yesterday.pk
    assert "I11" in mailoutbox[0].subject
    assert not AdmissionFreeze.objects.exists()  # the balance is what was charged: whether that was the price is looked into


def test_a_price_changed_by_hand_breaks_i11_for_every_request_that_names_it(used_yesterday, tamper):
    tamper("UPDATE catalog_priceversion SET price = jsonb_set(price, '{rates,input_tokens}', '250100')")

    assert {found.expected - found.found for found in watch.check("I11")} == {1}


def test_one_request_in_a_hundred_is_looked_at_and_always_the_same_ones(used_yesterday, tamper):
    tamper("UPDATE billing_usageevent SET amount_nanos = amount_nanos + 1, amount_picos = amount_picos + 1000")

    first, again = ([one.subject for one in repricing.differences(percent=20)] for _ in range(2))

    assert first == again
    assert 5 <= len(first) <= 40  # of a hundred ids drawn at random: outside of it one time in 200,000
