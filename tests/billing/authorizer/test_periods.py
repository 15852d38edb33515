import datetime as dt
import time

import pytest
import redis

from billing import live
from billing.authorizer.periods import periods_at
from billing.authorizer.scripts import RESERVE
from tests.billing.authorizer.shard import KEY, MS_PER_DAY, ORG, SHARD, Shard, new_id, scope
from tests.billing.authorizer.test_settle import ack

MIDDAY = dt.time(12)


def noon(year: int, month: int, day: int) -> int:
    return int(dt.datetime(year, month, day, 12, tzinfo=dt.UTC).timestamp())


def test_weeks_begin_on_monday_and_months_on_the_first() -> None:
    saturday, sunday, monday = (periods_at(noon(2026, 11, day)) for day in (28, 29, 30))
    assert saturday.week == sunday.week == monday.week - 1
    assert monday.week_start == dt.datetime(2026, 11, 30, tzinfo=dt.UTC)
    assert sunday.week_start == dt.datetime(2026, 11, 23, tzinfo=dt.UTC)
    assert periods_at(noon(2026, 12, 1)).month == monday.month + 1
    assert periods_at(noon(2027, 1, 1)).month_start == dt.datetime(2027, 1, 1, tzinfo=dt.UTC)
    assert monday.day_start == dt.datetime(2026, 11, 30, tzinfo=dt.UTC)


def test_the_scripts_count_periods_like_python(money_store: redis.Redis) -> None:
    head = RESERVE.text.partition("-- Check and take every scope")[0]
    script = (
        head
        + "local r = {} for day = tonumber(ARGV[1]), tonumber(ARGV[2]) do r[#r + 1] = week_of(day) r[#r + 1] = month_of(day) end return r"
    )
    first, last = 0, 50_000  # 1970 to 2106: every leap-year rule
    numbers = money_store.eval(script, 0, first, last)
    expected = [number for day in range(first, last + 1) for number in periods_at(day * 86_400)[1:]]
    assert numbers == expected


@pytest.mark.parametrize(("reset", "days"), [("daily", 1), ("weekly", 7), ("monthly", 31)])
def test_a_limit_starts_anew_with_its_period(shard: Shard, reset: str, days: int) -> None:
    shard.open(10_000, key=scope(limit=100, reset=reset))
    event_id = new_id()
    shard.reserve(event_id, 100)
    shard.settle(event_id, 100, held=100)
    assert shard.reserve(new_id(), 1) == "SHORT_KEY"
    shard.move_periods_back(days)
    assert shard.key().free_nanos == 100
    assert shard.reserve(new_id(), 100) == "OK"
    assert shard.reserve(new_id(), 1) == "SHORT_KEY"
    assert shard.key().spent_nanos == 100


def test_a_limit_without_reset_never_starts_anew(shard: Shard) -> None:
    shard.open(10_000, key=scope(limit=100))
    event_id = new_id()
    shard.reserve(event_id, 100)
    shard.settle(event_id, 100, held=100)
    shard.move_periods_back(400)
    assert shard.reserve(new_id(), 1) == "SHORT_KEY"
    assert shard.key()[:4] == (100, 0, 0, 0)


def test_a_new_day_in_the_same_week_does_not_renew_a_weekly_limit(shard: Shard) -> None:
    shard.open(10_000, key=scope(limit=100, reset="weekly"))
    event_id = new_id()
    shard.reserve(event_id, 60)
    shard.settle(event_id, 60, held=60)
    shard.store.hincrby(f"{shard.keys.scope}{KEY}", "day", -1)
    assert shard.reserve(new_id(), 41) == "SHORT_KEY"
    assert shard.reserve(new_id(), 40) == "OK"
    assert shard.key()[:4] == (60, 0, 60, 60)


def test_a_hold_that_outlives_its_day_keeps_its_money_aside_and_counts_for_the_day_it_began(shard: Shard) -> None:
    shard.open(10_000, key=scope(limit=100, reset="daily"))
    yesterday = new_id(at_ms=time.time_ns() // 1_000_000 - MS_PER_DAY)
    shard.reserve(yesterday, 80)
    shard.move_periods_back(1)
    assert shard.reserve(new_id(), 21) == "SHORT_KEY"
    assert shard.settle(yesterday, 70, held=80) == "OK"
    assert shard.key().day_nanos == 0
    assert shard.key().spent_nanos == 70
    assert shard.stored_free() == shard.key().free_nanos == 100
    assert shard.reserve(new_id(), 100) == "OK"


def test_a_refund_goes_to_the_period_in_which_the_request_began(shard: Shard) -> None:
    shard.open(10_000, key=scope(limit=100, reset="daily"))
    yesterday, today = new_id(at_ms=time.time_ns() // 1_000_000 - MS_PER_DAY), new_id()
    shard.settle(yesterday, 30, late=True)
    shard.settle(today, 20, late=True)
    old, new = shard.entries()
    live.acknowledge(shard=SHARD, acks=[ack(old, refund=30), ack(new, refund=5)])
    assert shard.key()[:2] == (15, 15)
    assert shard.stored_free() == shard.key().free_nanos == 85


def test_an_id_from_a_clock_ahead_counts_as_today(shard: Shard) -> None:
    shard.open(10_000, key=scope(limit=100, reset="daily"))
    shard.settle(new_id(at_ms=time.time_ns() // 1_000_000 + 3 * MS_PER_DAY), 30, late=True)
    assert shard.key()[:2] == (30, 30)


def test_a_clock_that_is_set_back_does_not_renew_a_limit(shard: Shard) -> None:
    shard.open(10_000, key=scope(limit=100, reset="daily"))
    event_id = new_id()
    shard.reserve(event_id, 100)
    shard.settle(event_id, 100, held=100)
    shard.move_periods_back(-2)
    assert shard.reserve(new_id(), 1) == "SHORT_KEY"
    assert shard.balance(ORG) == (9_900, 0, 100)
