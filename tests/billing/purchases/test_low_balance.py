import datetime as dt
import threading

import pytest
from django.core import mail
from django.db import connection
from django.utils import timezone

from billing.books import settlement, transfers
from billing.models import LowBalance, Notice, UsageRollup
from billing.purchases import auto_settings, forecast, low_balance, notices, tasks, watch
from billing.purchases.auto_settings import BadSetting
from tests.billing import plane

USD = 1_000_000_000


@pytest.fixture
def warned(organization, buyer):
    """Return an organization with $100 that is warned at $50 and $10."""
    grant(organization, 100 * USD, "start")
    plane.put_key(organization.shard)
    auto_settings.change_alerts(organization=organization, by=buyer, thresholds_nanos=[10 * USD, 50 * USD, 10 * USD])
    return organization


def grant(organization, nanos, key):
    transfers.grant(organization=organization, amount_nanos=nanos, reason="", idempotency_key=key, by=None, promo=False)


def spend(organization, nanos):
    plane.spend(organization, nanos)
    settlement.settle_shard(shard=organization.shard)


def keys():
    return [notice.context["threshold"] for notice in Notice.objects.order_by("pk")]


def test_each_fall_below_a_threshold_is_one_mail_and_rising_above_arms_it_again(warned):
    spend(warned, 50 * USD)
    assert low_balance.check(warned) is None  # exactly at it
    spend(warned, 1)
    assert low_balance.check(warned) == 50 * USD
    assert low_balance.check(warned) is None
    spend(warned, 10 * USD)
    assert low_balance.check(warned) is None

    grant(warned, 20 * USD, "again")
    assert low_balance.check(warned) is None
    assert not LowBalance.objects.exists()
    spend(warned, 10 * USD)
    assert low_balance.check(warned) == 50 * USD

    assert keys() == ["$50", "$50"]


def test_a_fall_past_several_thresholds_is_one_mail_about_the_lowest(warned):
    spend(warned, 95 * USD)

    assert low_balance.check(warned) == 10 * USD
    assert low_balance.check(warned) is None

    assert keys() == ["$10"]
    assert LowBalance.objects.count() == 2


def test_holds_that_come_and_go_are_no_fall(warned):
    event = plane.make_event(warned, 1, hold_nanos=95 * USD)
    assert plane.reserve(warned, event.event_id, 95 * USD) == "OK"

    assert low_balance.check(warned) is None


def test_callers_at_once_write_one_mail(warned):
    spend(warned, 60 * USD)
    errors = []

    def work():
        try:
            low_balance.check(warned)
        except Exception as error:  # noqa: BLE001 -- the test asserts that there was none
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert keys() == ["$50"]


def test_booked_usage_wakes_the_warning_and_the_sweep_finds_what_was_not_told(warned, monkeypatch, broker):
    woken = []
    monkeypatch.setattr(tasks, "wake", lambda task, *args: woken.append((task.name, *args)))
    spend(warned, 1)
    assert woken == []
    spend(warned, 60 * USD)
    assert woken == [("billing.purchases.tasks.watch_balance", warned.pk)]

    assert watch.sweep() == 1
    assert keys() == ["$50"]
    broker.flushdb()
    woken.clear()
    spend(warned, 1)
    assert woken == []


def test_the_mail_says_what_is_left_and_how_long_it_lasts(warned):
    UsageRollup.objects.create(
        org_id=warned.pk, key_id=1, hour=timezone.now() - dt.timedelta(days=5, hours=1), model="m", provider="p",
        requests=1, amount_nanos=1, cost_nanos=0, input_tokens=0, output_tokens=0,
    )  # fmt: skip
    spend(warned, 55 * USD)
    low_balance.check(warned)
    notices.send(notice_id=Notice.objects.get().pk)

    assert mail.outbox[0].subject == "Tollway: Acme has $45 left"
    assert "The balance fell below $50. At the pace of the last days it lasts about 4 days." in mail.outbox[0].body
    assert mail.outbox[0].to == ["ada@example.com"]


def test_thresholds_that_are_chosen_above_the_balance_are_no_news(warned, buyer):
    auto_settings.change_alerts(organization=warned, by=buyer, thresholds_nanos=[200 * USD, 50 * USD])
    assert low_balance.check(warned) is None

    spend(warned, 60 * USD)
    assert low_balance.check(warned) == 50 * USD
    auto_settings.change_alerts(organization=warned, by=buyer, thresholds_nanos=[])
    assert not LowBalance.objects.exists()
    assert low_balance.check(warned) is None


@pytest.mark.parametrize("thresholds", [[0], [-1], [1], [10**18], [USD * n for n in range(1, 7)]])
def test_thresholds_that_make_no_sense_are_refused(warned, buyer, thresholds):
    with pytest.raises(BadSetting) as refused:
        auto_settings.change_alerts(organization=warned, by=buyer, thresholds_nanos=thresholds)
    assert refused.value.field == "thresholds"


@pytest.mark.parametrize(
    ("left", "spent", "hours", "words"),
    [
        (9 * USD, USD, 24, "about 9 days"),
        (45 * USD, 55 * USD, 121, "about 4 days"),
        (USD, USD, 24, "about 24 hours"),
        (USD, 30 * USD, 24, "less than an hour"),
        (USD, 16 * USD, 24, "about 1 hour"),
        (1_000 * USD, USD, 24, "more than a year"),
        (0, USD, 24, ""),
        (-1, USD, 24, ""),
        (USD, 0, 24, ""),
    ],
)
def test_how_long_a_balance_lasts_is_said_as_people_say_it(left, spent, hours, words):
    assert forecast.lasts(left, forecast.Pace(spent, hours)) == words


def test_the_pace_counts_from_the_first_request_of_the_week_and_nobody_elses(warned, make_usage):
    now = dt.datetime(2027, 3, 8, 12, 30, tzinfo=dt.UTC)
    make_usage(warned.pk, now - dt.timedelta(days=9), 7 * USD)
    make_usage(warned.pk, now - dt.timedelta(hours=30, minutes=30), 2 * USD)
    make_usage(warned.pk, now - dt.timedelta(minutes=30), 3 * USD)
    make_usage(warned.pk + 1, now - dt.timedelta(hours=1), 100 * USD)

    assert forecast.pace(warned, now=now) == (5 * USD, 31)
    assert forecast.pace(warned, now=now + dt.timedelta(days=30)) == (0, 1)
    assert forecast.Pace(5 * USD, 31).per_day_nanos == 5 * USD * 24 // 31


@pytest.fixture
def make_usage(db):
    """Return what books an hour's usage."""

    def make(org_id, hour, nanos):
        UsageRollup.objects.create(
            org_id=org_id, key_id=1, hour=hour, model="m", provider="p", requests=1, amount_nanos=nanos,
            cost_nanos=0, input_tokens=0, output_tokens=0,
        )  # fmt: skip

    return make
