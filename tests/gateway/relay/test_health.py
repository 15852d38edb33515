import pytest

from gateway.relay.health import EndpointHealth


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def health(clock):
    return EndpointHealth(clock)


def fail(health, times=3, name="one"):
    for _ in range(times):
        health.failure(name)


def test_two_failures_may_be_chance_and_three_in_a_row_are_an_outage(health):
    fail(health, 2)
    assert not health.is_down("one")
    fail(health, 1)
    assert health.is_down("one")
    assert not health.is_down("other")


def test_a_success_in_between_starts_the_count_again(health):
    fail(health, 2)
    health.success("one")
    fail(health, 2)
    assert not health.is_down("one")


def test_half_of_ten_requests_failing_is_an_outage_although_never_three_in_a_row(health):
    for _ in range(4):
        fail(health, 1)
        health.success("one")
    assert not health.is_down("one")
    health.success("one")
    fail(health, 1)
    assert health.is_down("one")
    health.success("one")
    assert health.is_down("one")  # one good answer does not end a brown-out


def test_a_few_failures_in_many_requests_are_no_outage(health):
    for place in range(1000):
        if place % 3:
            health.success("one")
        else:
            health.failure("one")
        assert not health.is_down("one")


def test_failures_of_long_ago_do_not_add_up(health, clock):
    for _ in range(20):
        fail(health, 1)
        health.success("one")
        clock.now_s += 11
    assert not health.is_down("one")


def test_an_outage_lasts_thirty_seconds_after_the_last_failure(health, clock):
    fail(health)
    clock.now_s += 20
    fail(health, 1)
    clock.now_s += 29.9
    assert health.is_down("one")
    clock.now_s += 0.2
    assert not health.is_down("one")


def test_half_open_lets_one_request_try_and_its_success_closes_the_breaker(health, clock):
    fail(health)
    clock.now_s += 30
    assert not health.is_down("one")
    health.started("one")
    assert health.is_down("one")
    health.success("one")
    assert not health.is_down("one")
    assert not health.has_trouble


def test_a_probe_that_fails_opens_the_breaker_for_another_thirty_seconds(health, clock):
    fail(health)
    clock.now_s += 30
    health.started("one")
    fail(health, 1)
    clock.now_s += 29
    assert health.is_down("one")
    clock.now_s += 1
    assert not health.is_down("one")


def test_a_probe_that_is_never_heard_of_again_lets_another_try_after_ten_seconds(health, clock):
    fail(health)
    clock.now_s += 30
    health.started("one")
    clock.now_s += 10
    assert not health.is_down("one")


def test_a_last_resort_that_answers_ends_an_outage_of_failures_in_a_row(health):
    fail(health)
    health.success("one")
    assert not health.is_down("one")


@pytest.mark.parametrize(("asked_s", "kept_s"), [(7, 7), (None, 5), (0, 0), (7200, 3600)])
def test_a_rate_limit_is_kept_for_as_long_as_asked_and_an_hour_at_most(health, clock, asked_s, kept_s):
    health.rate_limited("one", asked_s)
    if kept_s:
        clock.now_s += kept_s - 0.1
        assert health.is_down("one")
        clock.now_s += 0.2
    assert not health.is_down("one")


def test_an_outage_and_its_end_are_told_to_the_other_processes(clock):
    here, there = EndpointHealth(clock), EndpointHealth(clock)
    fail(here)
    there.hear(*here.take_news())
    assert there.is_down("one")

    here.success("one")
    there.hear(*here.take_news())
    assert not there.is_down("one")
    assert here.take_news() == ({}, {})


def test_an_outage_heard_of_late_ends_when_it_ends_everywhere(clock):
    here, there = EndpointHealth(clock), EndpointHealth(clock)
    fail(here)
    news = here.take_news()
    clock.now_s += 25
    # Unix time has not moved with the test's clock: shift what was said.
    there.hear({name: at - 25_000 for name, at in news[0].items()}, {})
    assert there.is_down("one")
    clock.now_s += 5.1
    assert not there.is_down("one")


def test_an_old_outage_is_not_taken_over(clock):
    there = EndpointHealth(clock)
    there.hear({"one": 1}, {"one": 1})
    assert not there.has_trouble


def test_a_rate_limit_is_told_to_the_other_processes(clock):
    here, there = EndpointHealth(clock), EndpointHealth(clock)
    here.rate_limited("one", 20)
    there.hear(*here.take_news())
    assert there.is_down("one")
    clock.now_s += 20.1
    assert not there.is_down("one")


def test_what_says_nothing_any_more_is_forgotten(health, clock):
    fail(health, 1)
    health.rate_limited("two", 3)
    clock.now_s += 31
    health.forget_old()
    assert not health.has_trouble
