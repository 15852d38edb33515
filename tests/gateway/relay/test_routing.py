import random
from collections import Counter

import pytest

from gateway.relay.errors import BadRequest
from gateway.relay.health import EndpointHealth
from gateway.relay.preferences import Preferences, read_preferences
from gateway.relay.routing import find_route, order_endpoints, parameters_of
from tests.gateway.relay.builders import make_candidate
from tests.gateway.relay.catalog_views import make_view


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def order(candidates, *, wish=None, parameters=frozenset(), max_tokens=None, health=None, seed=1):
    ranked = sorted(candidates, key=lambda one: one.blended_picos)
    return order_endpoints(
        ranked,
        wish=wish or Preferences(),
        parameters=parameters,
        max_tokens=max_tokens,
        health=health or EndpointHealth(),
        rng=random.Random(seed),
    )


def find(view, *names, provider=None, max_tokens=None, body=None, health=None):
    return find_route(
        view,
        names=names or ("author/model",),
        kind="chat",
        wish=read_preferences(provider or {}),
        body=body or {},
        max_tokens=max_tokens,
        health=health or EndpointHealth(),
        rng=random.Random(1),
    )


def slugs(route):
    return [candidate.endpoint.tag for candidate in route.candidates]


def test_the_published_example_draws_a_nine_times_as_often_as_c_and_keeps_b_with_its_outage_last():
    clock = Clock()
    health = EndpointHealth(clock)
    a, b, c = (make_candidate(slug, prompt_usd_per_million=price) for slug, price in (("a", 1), ("b", 2), ("c", 3)))
    for _ in range(3):
        health.failure(b.endpoint.id)

    rng = random.Random(7)
    draws = Counter()
    for _ in range(100_000):
        route = order_endpoints([a, b, c], wish=Preferences(), parameters=frozenset(), max_tokens=None, health=health, rng=rng)
        draws[tuple(slugs(route))] += 1

    assert set(draws) == {("a", "c", "b"), ("c", "a", "b")}
    first, second = draws[("a", "c", "b")], draws[("c", "a", "b")]
    expected_first, expected_second = 90_000, 10_000
    chi_squared = (first - expected_first) ** 2 / expected_first + (second - expected_second) ** 2 / expected_second
    assert chi_squared < 10.83  # one degree of freedom, p = 0.001


def test_an_outage_is_forgotten_after_thirty_seconds_and_after_a_success():
    clock = Clock()
    health = EndpointHealth(clock)
    for _ in range(3):
        health.failure("one")
    assert health.is_down("one")

    clock.now_s += 30
    assert not health.is_down("one")

    health.failure("one")
    assert health.is_down("one")
    health.success("one")
    assert not health.is_down("one")


def test_a_rate_limited_endpoint_cools_down_for_as_long_as_it_asked_and_a_minute_at_most():
    clock = Clock()
    health = EndpointHealth(clock)
    health.rate_limited("one", 7)
    clock.now_s += 6.9
    assert health.is_down("one")
    clock.now_s += 0.2
    assert not health.is_down("one")

    health.rate_limited("one", 3600)
    clock.now_s += 60.1
    assert not health.is_down("one")


def test_order_comes_first_and_the_others_follow_unless_fallbacks_are_off():
    candidates = [make_candidate(slug, prompt_usd_per_million=price) for slug, price in (("a", 1), ("b", 2), ("c", 3))]

    assert slugs(order(candidates, wish=Preferences(order=("c",)))) == ["c", "a", "b"]
    assert slugs(order(candidates, wish=Preferences(order=("c", "b"), allow_fallbacks=False))) == ["c", "b"]


def test_without_fallbacks_only_the_top_endpoint_remains():
    candidates = [make_candidate("a", prompt_usd_per_million=1), make_candidate("b", prompt_usd_per_million=2)]

    assert slugs(order(candidates, wish=Preferences(sort="price", allow_fallbacks=False))) == ["a"]


def test_a_base_slug_matches_every_variant_and_a_full_slug_one():
    candidates = [
        make_candidate("deepinfra", tag="deepinfra"),
        make_candidate("deepinfra", tag="deepinfra/turbo", prompt_usd_per_million=2),
        make_candidate("other", prompt_usd_per_million=3),
    ]

    assert slugs(order(candidates, wish=Preferences(only=("deepinfra",), sort="price"))) == ["deepinfra", "deepinfra/turbo"]
    assert slugs(order(candidates, wish=Preferences(only=("deepinfra/turbo",), sort="price"))) == ["deepinfra/turbo"]
    assert slugs(order(candidates, wish=Preferences(ignore=("deepinfra",), sort="price"))) == ["other"]


@pytest.mark.parametrize(
    ("wish", "max_tokens", "parameters", "rule"),
    [
        (Preferences(only=("nobody",)), None, frozenset(), "allowed_providers"),
        (Preferences(ignore=("a",)), None, frozenset(), "ignored_providers"),
        (Preferences(quantizations=("fp8",)), None, frozenset(), "quantization"),
        (Preferences(require_parameters=True), None, frozenset({"logprobs"}), "require_parameters"),
        (Preferences(deny_data_collection=True), None, frozenset(), "data_policy:training"),
        (Preferences(zdr=True), None, frozenset(), "data_policy:zdr"),
        (Preferences(max_rates=(("input_tokens", 999_999),)), None, frozenset(), "max_price"),
        (Preferences(max_rates=(("output_tokens", 999_999),)), None, frozenset(), "max_price"),
        (Preferences(), 8193, frozenset(), "max_tokens"),
    ],
)
def test_a_rule_that_empties_the_list_is_named(wish, max_tokens, parameters, rule):
    route = order([make_candidate("a")], wish=wish, max_tokens=max_tokens, parameters=parameters)

    assert route.candidates == []
    assert route.excluded_by == {rule: 1}


def test_an_endpoint_at_exactly_the_limit_is_allowed():
    wish = Preferences(max_rates=(("input_tokens", 1_000_000), ("output_tokens", 1_000_000), ("requests", 0), ("images", 0)))

    route = order([make_candidate("a")], wish=wish, max_tokens=8192)

    assert slugs(route) == ["a"]


def test_tools_prefer_endpoints_that_know_them_and_are_ignored_when_none_does():
    able = make_candidate("able", prompt_usd_per_million=5)
    unable = make_candidate("unable", prompt_usd_per_million=1, parameters=frozenset())

    assert slugs(order([able, unable], parameters=frozenset({"tools"}))) == ["able"]
    assert slugs(order([unable], parameters=frozenset({"tools"}))) == ["unable"]


def test_only_fields_that_an_endpoint_must_know_count_as_parameters():
    body = {"model": "m", "messages": [], "stream": True, "temperature": 0, "tools": [], "seed": None, "reasoning_effort": "low"}

    assert parameters_of(body) == frozenset({"temperature", "tools", "reasoning"})


def test_a_provider_that_the_catalog_does_not_know_is_refused_before_any_endpoint_is_chosen():
    view = make_view(make_candidate("a"))

    with pytest.raises(BadRequest) as refused:
        find(view, provider={"order": ["a", "nobody"]})

    assert refused.value.metadata == {"param": "provider.order"}
