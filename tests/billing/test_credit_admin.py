import datetime as dt

import pytest
import time_machine
from django.test import Client

from accounts.models import Organization, User
from billing import queries
from billing.books import transfers
from billing.models import CreditLot

ADD = "/operator/billing/creditlot/add/"
NOW = dt.datetime(2027, 3, 1, 12, tzinfo=dt.UTC)


@pytest.fixture
def as_operator(operator: User) -> Client:
    client = Client()
    client.force_login(operator, backend="django.contrib.auth.backends.ModelBackend")
    return client


def fields(organization: Organization, **changes: str) -> dict[str, str]:
    return {
        "organization": str(organization.pk),
        "usd": "12.50",
        "days": "30",
        "campaign": "spring",
        "reason": "Spring campaign",
        "grant_key": "k1",
    } | changes


def test_an_operator_grants_credit_that_expires_and_a_form_sent_twice_grants_once(as_operator, operator, organization):
    with time_machine.travel(NOW, tick=False):
        as_operator.force_login(operator, backend="django.contrib.auth.backends.ModelBackend")
        assert as_operator.get(ADD).status_code == 200
        first, again = (as_operator.post(ADD, fields(organization)) for _ in range(2))

    assert (first.status_code, again.status_code) == (302, 302)
    lot = CreditLot.objects.get()
    assert (lot.organization, lot.amount_nanos, lot.campaign, lot.granted_by) == (organization, 12_500_000_000, "spring", operator.email)
    assert lot.expires_at == NOW + dt.timedelta(days=30)
    assert queries.balance(organization).remaining_nanos == 12_500_000_000
    as_operator.force_login(operator, backend="django.contrib.auth.backends.ModelBackend")
    assert as_operator.get(f"/operator/billing/creditlot/{lot.pk}/change/").status_code == 200
    assert b"12.5" in as_operator.get("/operator/billing/creditlot/").content


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"usd": "-1"}, "above zero"),
        ({"usd": "0.0000000001"}, "nine decimals"),
        ({"days": "-1"}, "greater than or equal to 0"),
        ({"reason": " "}, "the customer reads it"),
    ],
    ids=["negative", "too fine", "days", "no reason"],
)
def test_a_bad_grant_is_refused_with_the_field_named(as_operator, organization, changes, message):
    answer = as_operator.post(ADD, fields(organization, **changes))

    assert answer.status_code == 200
    assert message in answer.content.decode()
    assert CreditLot.objects.count() == 0


def test_a_person_who_is_no_operator_grants_nothing(owner, organization):
    client = Client()
    client.force_login(owner, backend="django.contrib.auth.backends.ModelBackend")

    assert client.post(ADD, fields(organization)).status_code == 302
    assert CreditLot.objects.count() == 0


def test_the_list_of_credits_has_what_is_spent_next_first_and_no_strangers(organization, stranger):
    other = Organization.objects.exclude(pk=organization.pk).get()
    for number, (to, days) in enumerate([(organization, None), (organization, 90), (organization, 9), (other, 5)]):
        transfers.grant(
            organization=to,
            amount_nanos=100 + number,
            reason="",
            idempotency_key=str(number),
            by=None,
            expires_at=None if days is None else dt.datetime.now(tz=dt.UTC) + dt.timedelta(days=days),
        )
    CreditLot.objects.filter(amount_nanos=102).update(spent_nanos=102)

    assert [lot.amount_nanos for lot in queries.credit_lots(organization)] == [101, 100, 102]
    assert [lot.amount_nanos for lot in queries.credit_lots(other)] == [103]
