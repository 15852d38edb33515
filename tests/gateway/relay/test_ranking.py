"""The order by what was measured. That of price, draws and outages is in test_routing.py."""

import random
from collections import Counter
from dataclasses import replace

import msgspec
import pytest

from catalog.types import Usage
from gateway.relay.balancing import Balancer
from gateway.relay.catalog import Credential
from gateway.relay.errors import NoEndpoint
from gateway.relay.health import EndpointHealth
from gateway.relay.preferences import NO_PREFERENCES, read_preferences
from gateway.relay.quality import GOOD, POOR
from gateway.relay.routing import find_route, order_endpoints
from gateway.relay.samples import Bulletin, Sample
from gateway.relay.statistics import Statistics
from tests.gateway.relay.builders import make_candidate
from tests.gateway.relay.catalog_views import make_view

NOW_S = 1_800_000_000.0
TOOLS = [{"type": "function", "function": {"name": "f"}}]


class Known:
    """What is known of some endpoints of one model, each dearer than the one before."""

    def __init__(self, *names: str, models: tuple[str, ...] = ("author/model",)) -> None:
        self.statistics = Statistics(lambda: NOW_S)
        self.health = EndpointHealth(statistics=self.statistics)
        self.view = make_view(
            *(make_candidate(name, model=model, prompt_usd_per_million=price + 1) for model in models for price, name in enumerate(names))
        )

    def measure(self, name, *, ms=(100,), tps=(50,), failed=0, model="author/model"):
        endpoint = f"{model}@{name}"
        for first_token_ms in ms:
            self.statistics.record(Sample(endpoint, "ok", first_token_ms=first_token_ms))
        for speed in tps:
            self.statistics.record(Sample(endpoint, "ok", total_ms=1000, usage=Usage(output_tokens=speed)))
        for _ in range(failed):
            self.statistics.record(Sample(endpoint, "server"))
        self.statistics.merge(self.statistics.take(), NOW_S)
        self.statistics.refresh()

    def fail(self, name):
        for _ in range(3):
            self.health.failure(f"author/model@{name}")

    def order(self, *, names=("author/model",), seed=1, **provider):
        body = {"tools": TOOLS} if provider.pop("tools", False) else {}
        route = find_route(
            self.view,
            names=names,
            kind="chat",
            wish=read_preferences(provider),
            body=body,
            max_tokens=None,
            health=self.health,
            rng=random.Random(seed),
        )
        return [one.endpoint.tag for one in route.candidates]

    def firsts(self, **provider):
        return {self.order(seed=seed, **provider)[0] for seed in range(200)}


def test_sort_by_latency_is_by_the_median_time_to_the_first_token_and_what_was_not_measured_comes_last():
    known = Known("a", "b", "c", "d")
    known.measure("a", ms=(300,))
    known.measure("b", ms=(50, 200, 9000))
    known.measure("d", ms=(100,))
    assert known.order(sort="latency") == ["d", "b", "a", "c"]


@pytest.mark.parametrize("wish", [{"sort": "throughput"}, {"sort": {"by": "throughput"}}, {"names": ("author/model:nitro",)}])
def test_sort_by_throughput_is_the_fastest_first_and_nitro_is_the_same(wish):
    known = Known("a", "b", "c", "d")
    known.measure("a", tps=(20,))
    known.measure("b", tps=(90, 90, 1))
    known.measure("d", tps=(60,))
    assert known.order(**wish) == ["b", "d", "a", "c"]


def test_an_outage_goes_last_however_fast_it_was():
    known = Known("a", "b")
    known.measure("a", ms=(500,))
    known.measure("b", ms=(5,))
    known.fail("b")
    assert known.order(sort="latency") == ["a", "b"]


def test_sorted_endpoints_of_all_models_are_in_one_list():
    known = Known("a", "b", models=("author/one", "author/two"))
    for model, name, ms in (("one", "a", 400), ("one", "b", 100), ("two", "a", 200), ("two", "b", 300)):
        known.measure(name, ms=(ms,), model=f"author/{model}")
    names = ("author/one", "author/two")
    assert known.order(names=names, sort={"by": "latency", "partition": "none"}) == ["b", "a", "b", "a"]
    assert known.order(names=names, sort={"by": "latency", "partition": "model"}) == ["b", "a", "a", "b"]


def test_a_missed_threshold_puts_an_endpoint_last_and_never_out():
    known = Known("a", "b", "c")
    known.measure("a", ms=(3000,))
    known.measure("b", ms=(100,))
    known.measure("c", ms=(100,))
    assert known.firsts(preferred_max_latency=1) == {"b", "c"}
    assert known.order(preferred_max_latency=1)[2] == "a"
    assert known.order(preferred_max_latency=0.001, sort="price") == ["a", "b", "c"]


def test_what_was_not_measured_comes_between_those_that_keep_a_threshold_and_those_that_miss_it():
    known = Known("a", "b", "c")
    known.measure("a", ms=(3000,))
    known.measure("c", ms=(100,))
    assert known.order(preferred_max_latency=1) == ["c", "b", "a"]


def test_all_percentiles_of_all_thresholds_have_to_hold():
    known = Known("a", "b", "c")
    known.measure("a", ms=[100] * 95 + [5000] * 5, tps=[80] * 100)
    known.measure("b", ms=[300] * 100, tps=[80] * 50 + [8] * 50)
    known.measure("c", ms=[300] * 100, tps=[60] * 100)
    assert known.firsts(preferred_max_latency={"p50": 0.2}) == {"a"}
    assert known.firsts(preferred_max_latency={"p50": 0.4, "p99": 1}) == {"b", "c"}
    assert known.firsts(preferred_max_latency={"p99": 1}, preferred_min_throughput={"p50": 50, "p90": 50}) == {"c"}


def test_a_later_model_that_keeps_the_threshold_goes_before_an_earlier_one_that_misses_it():
    known = Known("a", models=("author/one", "author/two"))
    known.measure("a", ms=(3000,), model="author/one")
    known.measure("a", ms=(100,), model="author/two")

    route = find_route(
        known.view,
        names=("author/one", "author/two"),
        kind="chat",
        wish=read_preferences({"preferred_max_latency": 1}),
        body={},
        max_tokens=None,
        health=known.health,
        rng=random.Random(1),
    )
    assert [one.endpoint.model for one in route.candidates] == ["author/two", "author/one"]


def test_a_degraded_endpoint_comes_behind_normal_ones_and_a_bad_one_behind_both():
    known = Known("a", "b", "c", "d")
    known.measure("a", ms=[100] * 70, failed=30)
    known.measure("b", ms=[100] * 90, failed=10)
    known.measure("c", ms=[100] * 99, failed=1)
    assert known.firsts() == {"c", "d"}
    assert known.order()[2:] == ["b", "a"]
    assert known.order(sort="price") == ["c", "d", "b", "a"]


def test_only_those_that_nothing_puts_behind_are_drawn_with_the_inverse_square_of_the_price():
    known = Known("a", "b", "c")  # $1, $2, $3
    known.measure("b", ms=[100] * 80, failed=20)
    draws = Counter()
    rng = random.Random(11)
    for _ in range(20_000):
        route = find_route(
            known.view,
            names=("author/model",),
            kind="chat",
            wish=read_preferences({}),
            body={},
            max_tokens=None,
            health=known.health,
            rng=rng,
        )
        draws[tuple(one.endpoint.tag for one in route.candidates)] += 1
    assert set(draws) == {("a", "c", "b"), ("c", "a", "b")}
    expected = {("a", "c", "b"): 18_000, ("c", "a", "b"): 2_000}
    chi_squared = sum((draws[order] - count) ** 2 / count for order, count in expected.items())
    assert chi_squared < 10.83  # one degree of freedom, p = 0.001


def test_requests_with_tools_go_to_those_that_call_them_well_unless_sorted_by_something_else():
    known = Known("a", "b", "c")
    known.statistics._quality = {"author/model@a": POOR, "author/model@c": GOOD}
    assert known.firsts(tools=True) == {"c"}
    assert known.order(tools=True) == ["c", "b", "a"]
    assert known.order(tools=True, sort="price") == ["a", "b", "c"]
    assert known.firsts() == {"a", "b", "c"}


@pytest.mark.parametrize("wish", [{"sort": "exacto"}, {"names": ("author/model:exacto",)}])
def test_exacto_sorts_by_quality_and_then_by_the_share_of_bad_tool_calls(wish):
    known = Known("a", "b", "c", "d")
    for name, faults in (("b", 3), ("c", 1), ("d", 2)):
        for place in range(10):
            call = ("f", "{" if place < faults else "{}")
            sample = Sample(f"author/model@{name}", "ok", total_ms=100, usage=Usage(output_tokens=9), calls=[call], tools=TOOLS)
            known.statistics.record(sample)
    known.statistics.merge(known.statistics.take(), NOW_S)
    known.statistics.refresh()
    known.statistics._quality = {"author/model@b": GOOD, "author/model@c": GOOD, "author/model@d": POOR}
    assert known.order(**wish) == ["c", "b", "a", "d"]


def test_text_that_may_be_learned_from_is_no_endpoints_while_nobodys_permission_is_known():
    with pytest.raises(NoEndpoint) as raised:
        Known("a").order(enforce_distillable_text=True)
    assert raised.value.availability["excluded_by"] == ["distillable_text"]


def grouped(*names, strategy="weighted", weights=None, usd=1):
    members = []
    for name in names:
        one = make_candidate(name, prompt_usd_per_million=usd)
        spec = msgspec.structs.replace(one.host.spec, group="boxes", balancing=strategy)
        credentials = (Credential("main", "", weight=(weights or {}).get(name, 1)),)
        members.append(replace(one, host=replace(one.host, spec=spec, credentials=credentials)))
    return members


def first_of(members, health, seed):
    route = order_endpoints(members, wish=NO_PREFERENCES, parameters=frozenset(), max_tokens=None, health=health, rng=random.Random(seed))
    assert sorted(one.endpoint.tag for one in route.candidates) == sorted(one.endpoint.tag for one in members)
    return route.candidates[0].endpoint.tag


def test_a_group_shares_requests_by_weight_even_where_it_costs_nothing():
    members = grouped("a", "b", weights={"b": 4}, usd=0)
    counts = Counter(first_of(members, EndpointHealth(), seed) for seed in range(5000))
    chi_squared = (counts["a"] - 1000) ** 2 / 1000 + (counts["b"] - 4000) ** 2 / 4000
    assert chi_squared < 10.83  # one degree of freedom, p = 0.001


def test_the_least_busy_of_a_group_goes_first():
    members, health = grouped("a", "b", "c", strategy="least_busy"), EndpointHealth()
    balancer = Balancer(health)
    started = []
    for seed in range(30):
        tag = first_of(members, health, seed)
        started.append(tag)
        balancer.began(balancer.choose(next(one for one in members if one.endpoint.tag == tag)))
    assert Counter(started) == {"a": 10, "b": 10, "c": 10}

    done = balancer.choose(members[1])
    balancer.ended(done)
    assert first_of(members, health, 1) == "b"


def test_the_fastest_of_a_group_goes_first_after_each_was_measured():
    known = Known("a", "b", "c")
    members = grouped("a", "b", "c", strategy="lowest_latency")
    known.measure("a", ms=(300,))
    known.measure("b", ms=(100,))
    assert first_of(members, known.health, 1) == "c"
    known.measure("c", ms=(200,))
    assert {first_of(members, known.health, seed) for seed in range(20)} == {"b"}


def test_the_member_with_the_most_of_its_rate_limit_left_goes_first():
    members, health = grouped("a", "b", strategy="headroom"), EndpointHealth(statistics=Statistics(lambda: NOW_S))
    health.statistics.merge(Bulletin(headroom={"author/model@a|main": 0.2, "author/model@b|main": 0.7}), NOW_S)
    assert {first_of(members, health, seed) for seed in range(20)} == {"b"}


def test_a_member_with_an_outage_is_passed_over():
    members, health = grouped("a", "b", strategy="least_busy"), EndpointHealth()
    for _ in range(3):
        health.failure("author/model@a")
    assert {first_of(members, health, seed) for seed in range(20)} == {"b"}
