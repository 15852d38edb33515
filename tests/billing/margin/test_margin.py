"""What is earned, by every dimension, to the nano that the ledger has."""

import csv
import datetime as dt
import io
from pathlib import Path

import pytest
from django.db import connection
from django.urls import reverse

from billing import migrations
from billing.books import invariants, settlement, transfers
from billing.books.chart import AccountCode, AccountKey, TransferCode
from billing.books.transfers import Leg
from billing.margin import report
from billing.margin.report import BadPeriod
from billing.models import Account, UsageRollup
from billing.proof.plots import draw
from billing.reconciliation import providers
from billing.types import AttemptRecord
from tests.billing import plane
from tests.billing.conftest import USD

CENT = 10_000_000
NOW = dt.datetime.now(dt.UTC)  # of every event: the hour may end while the tests run
TODAY, YESTERDAY = NOW.date(), NOW.date() - dt.timedelta(days=1)


@pytest.fixture
def earned(make_organization):
    """Return two organizations that used two models of two providers on two days, and one of which bought credit."""
    first, second = make_organization(100 * USD), make_organization(100 * USD)
    today, yesterday = NOW, NOW - dt.timedelta(days=1)
    for organization, amount, cost, model, provider, at in (
        (first, 1_000_003, 700_001, "acme/large", "acme", today),
        (first, 500, 600, "acme/small", "acme", yesterday),
        (second, 2_000_000, 1_500_000, "acme/large", "bolt", today),
        (second, 7, 0, "acme/small", "bolt", today),
    ):
        event = plane.make_event(organization, amount, cost_nanos=cost, model=model, provider=provider, event_id=plane.id_at(at))
        plane.settle(event, late=True)
    fields = {"cost_nanos": 5, "simulated": True, "model": "acme/small", "provider": "bolt", "event_id": plane.id_at(today)}
    free = plane.make_event(second, 9, **fields)
    plane.settle(free, late=True)
    settlement.settle_shard(shard=7)
    clearing, fee = AccountKey(AccountCode.STRIPE_CLEARING), AccountKey(AccountCode.REVENUE_PURCHASE_FEE)
    transfers.post(
        kind="purchase", key="pi_1", legs=[Leg(clearing, fee, 80 * CENT)], code=TransferCode.PURCHASE, by=None, organization=first
    )
    legs = [Leg(AccountKey(AccountCode.STRIPE_FEES), clearing, 33 * CENT)]
    transfers.post(kind="stripe_fee", key="txn_1", legs=legs, code=TransferCode.STRIPE_FEE, by=None)
    return first, second


def _rows(by):
    made = report.make(by=by, since=YESTERDAY, until=TODAY)
    return {row.name: (row.requests, row.revenue_nanos, row.cost_nanos, row.fees_nanos, row.margin_nanos) for row in made.rows}


def test_by_day(earned):
    assert _rows("day") == {
        str(YESTERDAY): (1, 500, 600, 0, -100),
        str(TODAY): (4, 3_000_019, 2_200_001, 47 * CENT, 800_018 + 47 * CENT),
    }


def test_by_model_and_by_provider(earned):
    assert _rows("model") == {
        "acme/large": (2, 3_000_003, 2_200_001, None, 800_002),
        "acme/small": (3, 516, 600, None, -84),
    }
    assert _rows("provider") == {"bolt": (3, 2_000_016, 1_500_000, None, 500_016), "acme": (2, 1_000_503, 700_601, None, 299_902)}


def test_by_organization_with_the_fees_that_belong_to_it(earned):
    first, second = earned
    assert _rows("organization") == {
        f"{first.name} ({first.public_id})": (2, 1_000_503, 700_601, 80 * CENT, 299_902 + 80 * CENT),
        f"{second.name} ({second.public_id})": (3, 2_000_016, 1_500_000, 0, 500_016),
        "service": (0, 0, 0, -33 * CENT, -33 * CENT),
    }


@pytest.mark.parametrize("by", report.DIMENSIONS)
def test_every_dimension_sums_to_the_ledger(earned, books, by):
    made = report.make(by=by, since=YESTERDAY, until=TODAY)

    has = books()
    assert made.total.revenue_nanos == sum(row.revenue_nanos for row in made.rows) == has["revenue_usage"]
    assert made.total.cost_nanos == sum(row.cost_nanos for row in made.rows) == has["provider_cost"]
    assert made.total.fees_nanos == has["revenue_purchase_fee"] - has["stripe_fees"]
    assert [check.reported_nanos - check.ledger_nanos for check in report.ledger_check()] == [0, 0]
    assert dict(made.results) == {
        "revenue from usage": 3_000_519, "revenue from purchase fees": 80 * CENT, "provider cost": -2_200_601,
        "Stripe fees": -33 * CENT, "goodwill": -200 * USD,
    }  # fmt: skip


@pytest.fixture
def raced(earned):
    """Let a race be won by bolt, in which acme's try cost 300 of 1,000; and one that a late settlement told of after the reaper."""
    first, _ = earned
    lost = AttemptRecord(endpoint_id="acme/large@acme", provider="acme", status=200, latency_ms=9, reason="hedged", cost_nanos=300)
    won = AttemptRecord(endpoint_id="acme/large@bolt", provider="bolt", status=200, latency_ms=5)
    race = {"cost_nanos": 1_000, "model": "acme/large", "provider": "bolt", "attempts": (lost, won)}
    plane.settle(plane.make_event(first, 2_000, event_id=plane.id_at(NOW), **race), late=True)
    fields = {"status": "expired", "cost_nanos": 0, "model": "acme/large", "provider": "bolt", "meters": {}, "event_id": plane.id_at(NOW)}
    expired = plane.make_event(first, 50, **fields)
    for event in (expired, plane.make_event(first, 2_000, event_id=expired.event_id, **race)):
        plane.settle(event, late=True)
        settlement.settle_shard(shard=7)


def test_what_a_try_cost_that_did_not_answer_is_its_providers_as_in_the_accounts(raced):
    assert _rows("provider") == {
        "bolt": (5, 2_000_016 + 4_000, 1_500_000 + 1_400, None, 500_016 + 2_600),
        "acme": (2, 1_000_503, 700_601 + 600, None, 299_902 - 600),
    }
    for code in (AccountCode.PROVIDER_COST, AccountCode.PROVIDER_PAYABLE):
        owed = {account.provider: account.balance_nanos for account in Account.objects.filter(code=code)}
        assert owed == {"bolt": 1_501_400, "acme": 701_201}
    booked = [providers.booked_costs(name, since=YESTERDAY, until=TODAY) for name in ("bolt", "acme")]
    assert [sum(bill.values()) for bill in booked] == [1_501_400, 701_201]
    assert invariants.verify(shards=[]) == []


def test_sums_of_before_are_moved_to_the_provider_of_the_try(raced):
    now = list(UsageRollup.objects.order_by("pk").values())
    with connection.cursor() as cursor:  # as they were: all of it with the provider that answered
        cursor.execute("UPDATE billing_usagerollup SET cost_nanos = cost_nanos - 600 WHERE provider = 'acme' AND model = 'acme/large'")
        cursor.execute("DELETE FROM billing_usagerollup WHERE provider = 'acme' AND requests = 0 AND cost_nanos = 0")
        cursor.execute(
            "UPDATE billing_usagerollup SET cost_nanos = cost_nanos + 600 WHERE provider = 'bolt' AND org_id = %s", [now[0]["org_id"]]
        )
        assert {one.invariant for one in invariants.verify(shards=[])} == {"I3"}
        cursor.execute((Path(migrations.__file__).parent / "0014_costs_by_provider.sql").read_text())

    assert list(UsageRollup.objects.order_by("pk").values()) == now
    assert invariants.verify(shards=[]) == []


def test_corrections_and_bills_beside_usage_are_in_the_comparison_with_the_ledger(earned):
    cost, payable = AccountKey(AccountCode.PROVIDER_COST, None, 0, "acme"), AccountKey(AccountCode.PROVIDER_PAYABLE, None, 0, "acme")
    transfers.post(kind="bill", key="1", legs=[Leg(cost, payable, 12)], code=TransferCode.PROVIDER_COST, by=None)

    assert [(check.reported_nanos, check.ledger_nanos) for check in report.ledger_check()] == [(3_000_519,) * 2, (2_200_613,) * 2]


def test_days_outside_the_period_are_not_in_it(earned):
    made = report.make(by="day", since=YESTERDAY, until=YESTERDAY)

    assert (made.total.revenue_nanos, made.total.fees_nanos) == (500, 0)


def test_a_period_with_nothing_in_it_is_empty(earned):
    made = report.make(by="model", since=dt.date(2020, 1, 1), until=dt.date(2020, 1, 2))

    assert (made.rows, made.plot, made.results) == ((), None, ())
    assert made.total.margin_basis_points is None


@pytest.mark.parametrize(
    ("since", "until", "words"),
    [
        ("yesterday", "", "like 2026"),
        ("2026-02-01", "2026-01-01", "after the last"),
        ("0001-01-01", "", "ten years"),
        ("", "9999-12-31", "ten"),
    ],
)
def test_a_period_that_is_none_is_refused(since, until, words):
    with pytest.raises(BadPeriod, match=words):
        report.read_period(since, until, today=dt.date(2026, 5, 4))


def test_the_last_thirty_days_are_meant_when_nothing_is_said():
    assert report.read_period("", "", today=dt.date(2026, 5, 30)) == (dt.date(2026, 5, 1), dt.date(2026, 5, 30))


def test_the_page_and_its_csv_say_the_same(earned, operator, client):
    client.force_login(operator)
    address = reverse("operator_margin")
    assert "$0.003 000 519" not in client.get(address).content.decode()  # grouped by markup, exact in the title
    assert "3,000,519 nanos" in client.get(f"{address}?by=model").content.decode()

    answer = client.get(f"{address}?by=provider&format=csv")
    rows = list(csv.reader(io.StringIO(b"".join(answer.streaming_content).decode())))

    assert rows[0] == ["provider", "requests", "revenue_usd", "provider_cost_usd", "fees_usd", "margin_usd"]
    assert rows[1] == ["bolt", "3", "0.002000016", "0.0015", "", "0.000500016"]
    assert rows[3][:4] == ["Total", "5", "0.003000519", "0.002200601"]


def test_a_name_that_looks_like_a_formula_is_none_in_the_csv(make_organization, operator, client):
    organization = make_organization(USD)
    organization.name = "=1+1"
    organization.save()
    plane.spend(organization, 5)
    settlement.settle_shard(shard=7)
    client.force_login(operator)

    answer = client.get(f"{reverse('operator_margin')}?by=organization&format=csv")

    assert b"\r\n'=1+1 (" in b"".join(answer.streaming_content)


def test_a_period_that_is_not_understood_is_said_on_the_page(operator, client):
    client.force_login(operator)

    answer = client.get(f"{reverse('operator_margin')}?since=soon")

    assert answer.status_code == 400
    assert "a day is written like" in answer.content.decode()


def test_nobody_but_operators_sees_it(client, member):
    client.force_login(member)

    assert client.get(reverse("operator_margin")).status_code == 404


def test_a_plot_shows_the_whole_time_that_was_asked_for():
    day, since, until = dt.date(2026, 11, 3), dt.date(2026, 11, 1), dt.date(2026, 11, 5)

    plot = draw("t", {"a": {day: 10_000_000}}, since=since, until=until)

    assert plot is not None
    assert [mark.text for mark in plot.columns] == ["2026-11-01", "2026-11-05"]
    assert plot.lines[0].path.count("L") == 4
    assert draw("t", {"a": {}}, since=since, until=until) is None


def test_every_dimension_but_the_day_is_drawn_by_what_earns_most(earned):
    made = report.make(by="model", since=YESTERDAY, until=TODAY)

    assert made.plot is not None
    drawn = {line.label: line.path.count("L") + 1 for line in made.plot.lines}
    assert drawn == {row.name: 2 for row in made.rows}
    assert made.plot.lines[0].label == max(made.rows, key=lambda row: abs(row.margin_nanos)).name
