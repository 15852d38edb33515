import random
from collections import Counter
from dataclasses import replace

import msgspec
import pytest

from gateway.relay.balancing import Balancer
from gateway.relay.catalog import Credential
from gateway.relay.health import EndpointHealth
from gateway.relay.statistics import Bulletin
from tests.gateway.relay.builders import make_candidate

MINUTE_S = 1_800_000_000.0


class Group:
    """A provider with several credentials at one endpoint."""

    def __init__(self, *credentials: Credential, strategy: str = "weighted") -> None:
        self.now_s = MINUTE_S
        self.monotonic_s = 100.0
        self.health = EndpointHealth(lambda: self.monotonic_s)
        self.balancer = Balancer(self.health, clock=lambda: self.now_s, rng=random.Random(5))
        one = make_candidate("twins")
        host = replace(one.host, spec=msgspec.structs.replace(one.host.spec, balancing=strategy), credentials=credentials)
        self.candidate = replace(one, host=host)

    def choose(self, tried=()):
        return self.balancer.choose(self.candidate, tried)

    def name(self):
        chosen = self.choose()
        return None if chosen is None else chosen.credential.name


def test_requests_are_shared_by_weight():
    group = Group(Credential("a", "1", weight=3), Credential("b", "2"))
    counts = Counter(group.name() for _ in range(20_000))
    chi_squared = (counts["a"] - 15_000) ** 2 / 15_000 + (counts["b"] - 5_000) ** 2 / 5_000
    assert chi_squared < 10.83  # one degree of freedom, p = 0.001


def test_the_least_busy_is_the_one_with_the_fewest_requests_in_flight_for_its_weight():
    group = Group(Credential("a", "1", weight=2), Credential("b", "2"), strategy="least_busy")
    chosen = []
    for _ in range(3):
        one = group.choose()
        group.balancer.began(one)
        chosen.append(one)
    assert Counter(one.credential.name for one in chosen) == {"a": 2, "b": 1}

    group.balancer.ended(next(one for one in chosen if one.credential.name == "b"))
    assert group.name() == "b"


def test_the_lowest_latency_wins_after_each_has_been_measured():
    group = Group(Credential("a", "1"), Credential("b", "2"), strategy="lowest_latency")
    for name, latency_ms in (("a", 300), ("b", 100)):
        one = group.choose()
        assert one.credential.name == name
        group.balancer.measured(one, latency_ms=latency_ms)
    assert group.name() == "b"
    for _ in range(20):
        group.balancer.measured(group.choose(), latency_ms=900)
    assert group.name() == "a" or group.balancer.choose(group.candidate).latency_ms > 300


def test_headroom_is_the_tightest_of_the_providers_limit_and_the_operators():
    group = Group(Credential("a", "1", rpm_limit=10), Credential("b", "2"), strategy="headroom")
    statistics = group.health.statistics
    statistics._clock = lambda: MINUTE_S
    statistics.merge(Bulletin(headroom={"author/model@twins|a": 0.9, "author/model@twins|b": 0.4}), MINUTE_S)
    one = group.choose()
    assert (one.credential.name, group.balancer.headroom(one)) == ("a", 0.9)

    for _ in range(7):
        group.balancer.began(one)
    assert group.balancer.headroom(one) == pytest.approx(0.3)
    assert group.name() == "b"


def test_a_credential_that_is_rate_limited_rests_and_the_others_go_on():
    group = Group(Credential("a", "1", weight=100), Credential("b", "2"))
    group.health.rate_limited("author/model@twins|a", 20)
    assert {group.name() for _ in range(50)} == {"b"}
    assert not group.health.is_down("author/model@twins")
    assert group.balancer.rests_for_s(group.candidate) == 0

    group.health.rate_limited("author/model@twins|b", 7)
    assert group.name() is None
    assert group.balancer.rests_for_s(group.candidate) == pytest.approx(7)
    group.monotonic_s += 7.1
    assert group.name() == "b"


def test_what_was_tried_is_not_chosen_again():
    group = Group(Credential("a", "1"), Credential("b", "2"))
    first = group.choose()
    second = group.choose({first.name})
    assert second.name != first.name
    assert group.choose({first.name, second.name}) is None


def test_requests_and_tokens_a_minute_are_kept_and_a_new_minute_begins_at_zero():
    group = Group(Credential("a", "1", rpm_limit=2), Credential("b", "2", tpm_limit=100))
    for _ in range(2):
        group.balancer.began(next(one for one in group.balancer._all(group.candidate) if one.credential.name == "a"))
    assert {group.name() for _ in range(20)} == {"b"}

    group.balancer.used(group.choose(), tokens=100)
    assert group.name() is None
    group.now_s += 45
    assert group.balancer.rests_for_s(group.candidate) == 15
    group.now_s += 15
    assert {group.name() for _ in range(50)} == {"a", "b"}


def test_what_other_processes_send_counts_too():
    group = Group(Credential("a", "1", rpm_limit=10), Credential("b", "2"))
    group.choose()
    group.balancer.hear({"author/model@twins|a": (10, 5), "of/another@one": (3, 3)})
    assert {group.name() for _ in range(20)} == {"b"}
