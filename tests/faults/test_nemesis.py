"""Pauses and a random enemy against the whole service under traffic. Afterwards every answer is billed once and the books balance."""

import contextlib
import os
import random
import signal
import time

import pytest
import redis

from tests.faults.scale import times
from tests.faults.test_bad_days import assert_everything_is_billed_once

pytestmark = [pytest.mark.faults, pytest.mark.xdist_group("faults")]


def _pause(pids, seconds):
    _tell(pids, signal.SIGSTOP)
    time.sleep(seconds)
    _tell(pids, signal.SIGCONT)


def _tell(pids, word):
    for pid in pids:
        # One that ended meanwhile, as a connection's process does, is no reason to leave the others as they are.
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, word)


@pytest.mark.long
def test_a_database_that_stands_still_stops_no_traffic_and_is_caught_up_with(stack, record_property):
    before = stack.earlier()
    paused_s = times(5, 60)

    with stack.traffic() as record:
        stack.await_answers(record, 20)
        _pause(stack.processes("postgres"), paused_s)
        stack.await_answers(record, 20)

    assert len(record.costs_nanos) > 50
    assert_everything_is_billed_once(stack, record, before)
    record_property(
        "figure", f"{len(record.costs_nanos):,} answers while the database stood still for {paused_s} s, {record.refused} refused"
    )


@pytest.mark.long
def test_a_worker_that_dies_with_its_wake_up_and_an_emptied_broker_delay_the_books_by_seconds(stack, record_property):
    before = stack.earlier()
    rounds = times(1, 10)

    with stack.traffic() as record, redis.Redis.from_url(stack.settings["BROKER_REDIS_URL"]) as broker:
        for _ in range(rounds):
            stack.await_answers(record, 10)
            stack.kill(*stack.processes("celery -A gateway.celery worker"))
            broker.flushdb()
        stack.await_answers(record, 10)

    assert record.unknown == 0
    assert_everything_is_billed_once(stack, record, before)
    record_property("repeats", rounds)


@pytest.mark.long
def test_a_money_store_that_stands_still_refuses_and_charges_nothing_twice(stack):
    before = stack.earlier()

    with stack.traffic() as record:
        for _ in range(times(1, 5)):
            stack.await_answers(record, 10)
            refused = record.refused
            _pause(stack.money_store(), 5)
            stack.await_answers(record, 10)
            assert record.refused > refused

    assert_everything_is_billed_once(stack, record, before)


@pytest.mark.long
def test_a_random_enemy_of_everything_loses(stack, record_property):
    before = stack.earlier()
    seed = int(os.environ.get("FAULTS_SEED") or random.randrange(10**6))
    print(f"seed {seed}")  # noqa: T201 -- to play it again with FAULTS_SEED
    numbers = random.Random(seed)
    attacks = {
        "settlement worker killed": lambda: stack.kill(*stack.processes("celery -A gateway.celery worker")),
        "web worker killed": lambda: stack.kill(numbers.choice(stack.web_workers())),
        "money store killed": lambda: stack.kill(*stack.money_store()),
        "database killed": lambda: stack.kill(*stack.processes("postgres -D")[:1]),
        "money store paused": lambda: _pause(stack.money_store(), numbers.uniform(0.2, 3)),
        "database paused": lambda: _pause(stack.processes("postgres"), numbers.uniform(0.2, 5)),
    }
    done = []
    deadline = time.monotonic() + times(20, 240)
    with stack.traffic() as record:
        while time.monotonic() < deadline:
            time.sleep(numbers.uniform(2, 8))
            name = numbers.choice(sorted(attacks))
            try:
                attacks[name]()
            except (ProcessLookupError, IndexError):
                continue  # the last attack's victim is not back yet
            done.append(name)
        stack.await_answers(record, 20)

    assert len(done) > 1
    assert_everything_is_billed_once(stack, record, before)
    record_property("repeats", len(done))
    record_property(
        "figure", f"seed {seed}: {len(done)} attacks, {len(record.costs_nanos):,} answers billed once, {record.refused:,} refused"
    )
