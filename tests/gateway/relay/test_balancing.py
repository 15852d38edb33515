import random
from collections import Counter
from dataclasses import replace

import msgspec
import pytest

from gateway.relay.balancing import Balancer
from gateway.relay.catalog import Credential
from gateway.relay.health import EndpointHealth
from gateway.relay.samples import Bulletin
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
    group.balancer.hear(b"other", {"author/model@twins|a": (10, 5), "of/another@one|main": (3, 3)}, {}, group.now_s)
    assert {group.name() for _ in range(20)} == {"b"}


def test_what_others_sent_counts_from_the_first_request_here():
    group = Group(Credential("a", "1", rpm_limit=10), Credential("b", "2"))
    group.balancer.hear(b"other", {"author/model@twins|a": (10, 5)}, {}, group.now_s)
    assert {group.name() for _ in range(20)} == {"b"}


def test_what_was_sent_in_another_minute_does_not_count():
    group = Group(Credential("a", "1", rpm_limit=10))
    group.balancer.hear(b"other", {"author/model@twins|a": (10, 5)}, {}, group.now_s - 1)
    assert group.name() == "a"


def test_the_least_busy_counts_the_requests_of_all_processes():
    group = Group(Credential("a", "1", weight=2), Credential("b", "2"), strategy="least_busy")
    group.balancer.hear(b"one", {}, {"author/model@twins|a": 3}, group.now_s)
    group.balancer.hear(b"two", {}, {"author/model@twins|a": 2, "author/model@twins|b": 1}, group.now_s)
    assert group.name() == "b"
    assert group.health.load_of("author/model@twins") == 6

    group.balancer.hear(b"one", {}, {}, group.now_s)  # what a process says takes the place of what it said before
    assert group.name() == "a"


def test_a_process_that_is_silent_for_five_seconds_is_gone_with_what_it_had_on_its_way():
    group = Group(Credential("a", "1"), Credential("b", "2"), strategy="least_busy")
    group.balancer.hear(b"one", {}, {"author/model@twins|a": 3}, group.now_s)
    assert (group.name(), group.balancer.peers.count) == ("b", 2)

    group.now_s += 5
    group.balancer.peers.forget_silent()
    assert (group.name(), group.balancer.peers.count) == ("a", 1)
    group.balancer.hear(b"one", {}, {"author/model@twins|a": 3}, group.now_s - 5)  # read late
    assert group.balancer.peers.count == 1


def test_news_stay_news_until_they_were_told():
    group = Group(Credential("a", "1", rpm_limit=100))
    deployment = group.choose()
    group.balancer.began(deployment)
    group.balancer.used(deployment, tokens=7)
    assert group.balancer.take_news() == ({deployment.name: (1, 7)}, {deployment.name: 1})
    assert group.balancer.take_news() == ({deployment.name: (1, 7)}, {deployment.name: 1})  # the broker was away

    group.balancer.began(deployment)
    group.balancer.told()
    group.balancer.ended(deployment)
    assert group.balancer.take_news() == ({deployment.name: (1, 0)}, {deployment.name: 1})
    group.now_s += 60
    group.balancer.told()
    assert group.balancer.take_news() == ({}, {deployment.name: 1})


def tell(groups, teller):
    loads, in_flight = teller.balancer.take_news()
    teller.balancer.told()
    for group in groups:
        if group is not teller:
            group.balancer.hear(b"%d" % groups.index(teller), loads, in_flight, group.now_s)


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("limit", [1, 7, 60, 500])
def test_a_limit_is_passed_by_at_most_one_request_for_each_other_process(limit, count):
    """Every process sends all it may, and tells once in each second, in another order every second."""
    for seed in range(5):
        rng, sent = random.Random(seed), 0
        groups = [Group(Credential("a", "1", rpm_limit=limit)) for _ in range(count)]
        for group in groups:
            tell(groups, group)
        for _ in range(60):
            for teller in rng.sample(groups, count):
                for group in rng.sample(groups, count):
                    while group.choose() is not None and rng.random() < 0.97:
                        group.balancer.began(group.choose())
                        sent += 1
                tell(groups, teller)
        assert limit <= sent <= limit + count - 1, (seed, sent)


def test_a_part_that_is_spent_rests_for_a_second_and_a_limit_that_is_spent_for_the_minute():
    group = Group(Credential("a", "1", rpm_limit=24))
    group.now_s += 10
    group.balancer.hear(b"other", {}, {}, group.now_s)
    for _ in range(2):
        group.balancer.began(group.choose())
    assert group.choose() is None
    assert group.balancer.rests_for_s(group.candidate) == 1

    group.balancer.take_news()
    group.balancer.told()
    assert group.choose() is not None
    group.balancer.hear(b"other", {"author/model@twins|a": (22, 0)}, {}, group.now_s)
    assert group.balancer.rests_for_s(group.candidate) == 50


def test_a_process_alone_may_spend_a_limit_at_once():
    group = Group(Credential("a", "1", rpm_limit=24))
    for _ in range(24):
        group.balancer.began(group.choose())
    assert group.choose() is None
