import threading
import time
from dataclasses import dataclass

import pytest

from gateway.relay.health import EndpointHealth
from gateway.relay.samples import Sample
from gateway.relay.stalls import Stalls
from gateway.relay.statistics import Statistics

NOW_S = 1_800_000_000.0
S = 1_000_000_000
ONE = "a/m@one"


@dataclass(eq=False)
class Attempt:
    began_ns: int
    endpoint_id: str = ONE


@pytest.fixture
def health():
    statistics = Statistics(lambda: NOW_S)
    for _ in range(30):
        statistics.record(Sample(ONE, "ok", first_token_ms=600))
        statistics.record(Sample("a/m@unmeasured", "ok"))
    statistics.merge(statistics.take(), NOW_S)
    statistics.refresh()
    return EndpointHealth(statistics=statistics)


def wait(stalls, *began_s, endpoint=ONE):
    attempts = [Attempt(int(100 * S + at * S), endpoint) for at in began_s]
    for attempt in attempts:
        stalls.started(attempt)
    return attempts


def test_three_streams_without_a_token_for_five_times_the_p99_are_an_outage(health):
    stalls = Stalls(health)
    wait(stalls, 0, 0.1, 0.2)
    stalls.look(int(103.1 * S))  # 5 × 0.6 s is 3 s, and only two have waited that long
    assert not health.is_down(ONE)
    stalls.look(int(103.4 * S))
    assert health.is_down(ONE)


def test_two_streams_may_be_slow_by_chance(health):
    stalls = Stalls(health)
    wait(stalls, 0, 0.1)
    stalls.look(200 * S)
    assert not health.is_down(ONE)


def test_an_endpoint_that_answers_later_requests_is_alive(health):
    stalls = Stalls(health)
    wait(stalls, 0, 0.1, 0.2)
    (later,) = wait(stalls, 1)
    stalls.answered(later)
    stalls.look(110 * S)
    assert not health.is_down(ONE)


def test_an_answer_to_an_earlier_request_does_not_speak_for_it(health):
    stalls = Stalls(health)
    (earlier,) = wait(stalls, -1)
    wait(stalls, 0, 0.1, 0.2)
    stalls.answered(earlier)
    stalls.look(110 * S)
    assert health.is_down(ONE)


def test_what_ended_does_not_wait_any_more(health):
    stalls = Stalls(health)
    for attempt in wait(stalls, 0, 0.1, 0.2):
        stalls.ended(attempt)
    stalls.look(110 * S)
    assert not health.is_down(ONE)


def test_five_lost_races_in_a_row_are_an_outage(health):
    stalls = Stalls(health)
    for attempt in wait(stalls, 0, 1, 2, 3):
        stalls.lost(attempt)
    assert not health.is_down(ONE)
    stalls.lost(*wait(stalls, 4))
    assert health.is_down(ONE)


def test_an_answer_between_lost_races_says_that_the_endpoint_is_alive(health):
    stalls = Stalls(health)
    for _ in range(3):
        attempts = wait(stalls, 0, 1, 2, 3, 4)
        for attempt in attempts[:4]:
            stalls.lost(attempt)
        stalls.answered(attempts[4])
    assert not health.is_down(ONE)


def test_lost_races_of_an_endpoint_that_was_not_measured_say_nothing(health):
    stalls = Stalls(health)
    for attempt in wait(stalls, *range(9), endpoint="a/m@unknown"):
        stalls.lost(attempt)
    assert not health.has_trouble


def test_an_endpoint_that_was_not_measured_is_not_judged(health):
    stalls = Stalls(health)
    wait(stalls, 0, 0.1, 0.2, endpoint="a/m@unmeasured")
    wait(stalls, 0, 0.1, 0.2, endpoint="a/m@unknown")
    stalls.look(200 * S)
    assert not health.has_trouble


def test_a_provider_that_hangs_is_noticed_while_its_requests_still_wait(stack, new_customer):
    customer, endpoint = new_customer(), "test/hanging@alpha"
    for _ in range(25):
        customer.stream(model="test/hanging", provider={"sort": "price"})
    deadline = time.monotonic() + 5
    while (figures := stack.plane.statistics.figures(endpoint)) is None or figures.graded < 25:
        assert time.monotonic() < deadline
        time.sleep(0.02)

    hang = {"role": "user", "content": "[[simulate: hang only=alpha]]"}
    waiting = [threading.Thread(target=customer.stream, kwargs={"model": "test/hanging", "messages": [hang]}) for _ in range(3)]
    for thread in waiting:
        thread.start()
    time.sleep(2.8)  # two seconds of patience, half a second between two looks
    answer = customer.post(model="test/hanging", provider={})
    assert answer.json()["provider"] == "Beta"
    for thread in waiting:
        thread.join()
