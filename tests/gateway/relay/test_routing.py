import itertools
import random
from collections import Counter
from dataclasses import replace

import msgspec
import pytest

from gateway.relay.errors import BadRequest, NoEndpoint
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


# Each rules out the one endpoint of ``one_endpoint_view``, alone.
EMPTYING = [
    ({"only": ["idle"]}, "allowed_providers"),
    ({"order": ["idle"], "allow_fallbacks": False}, "allowed_providers"),
    ({"ignore": ["a"]}, "ignored_providers"),
    ({"ignore": ["a/turbo"]}, "ignored_providers"),
    ({"quantizations": ["bf16", "unknown"]}, "quantization"),
    ({"require_parameters": True}, "require_parameters"),
    ({"data_collection": "deny"}, "data_policy:training"),
    ({"zdr": True}, "data_policy:zdr"),
    ({"max_price": {"prompt": "0.999999"}}, "max_price"),
    ({"max_price": {"completion": 1.999999}}, "max_price"),
    ({"max_price": {"request": 0.009999999}}, "max_price"),
    ({"max_price": {"image": "0.039999999"}}, "max_price"),
]


@pytest.fixture(scope="module")
def one_endpoint_view():
    one = make_candidate("a", tag="a/turbo", quantization="fp8", completion_usd_per_million=2)
    rates = {**one.endpoint.price.rates, "requests": 10_000_000_000, "images": 40_000_000_000}
    card = msgspec.structs.replace(one.endpoint.price, rates=rates)
    priced = replace(one, endpoint=msgspec.structs.replace(one.endpoint, price=card, cost=card))
    return make_view(priced, idle_providers=(make_candidate("idle").host.spec,))


def find_nothing(view, *names, **fields):
    """Return the availability of the refusal."""
    with pytest.raises(NoEndpoint) as refused:
        find(view, *names, **fields)
    assert refused.value.status == 404
    assert refused.value.remedy
    return refused.value.availability


def filtered(rules, *names):
    return {"code": "constraint_filtered", "retryable": False, "requested_models": list(names or ("author/model",)), "excluded_by": rules}


@pytest.mark.parametrize(("provider", "rule"), EMPTYING)
def test_a_preference_that_leaves_no_endpoint_is_answered_with_its_rule(one_endpoint_view, provider, rule):
    assert find_nothing(one_endpoint_view, provider=provider, body={"logprobs": True}) == filtered([rule])


def test_preferences_that_the_endpoint_just_meets_leave_it(one_endpoint_view):
    provider = {
        "only": ["a"],
        "order": ["a/turbo"],
        "allow_fallbacks": False,
        "ignore": ["idle"],
        "quantizations": ["fp8"],
        "require_parameters": True,
        "max_price": {"prompt": 1, "completion": 2, "request": 0.01, "image": "0.04"},
    }

    assert slugs(find(one_endpoint_view, provider=provider, body={"tools": []}, max_tokens=8192)) == ["a/turbo"]


def test_two_preferences_that_leave_no_endpoint_are_answered_with_one_rule_per_endpoint(one_endpoint_view):
    for (first, first_rule), (second, second_rule) in itertools.combinations(EMPTYING, 2):
        provider = {**first, **second}
        if "max_price" in first and "max_price" in second:
            provider["max_price"] = {**first["max_price"], **second["max_price"]}

        found = find_nothing(one_endpoint_view, provider=provider, body={"logprobs": True})

        assert found in (filtered([first_rule]), filtered([second_rule])), provider


def test_an_answer_that_is_longer_than_any_endpoint_gives_is_told_by_its_rule(one_endpoint_view):
    assert find_nothing(one_endpoint_view, max_tokens=8193) == filtered(["max_tokens"])


def test_endpoints_and_models_ruled_out_for_different_reasons_are_told_with_all_of_them():
    view = make_view(
        make_candidate("a", quantization="fp8", data_policy={"zdr": True}),
        make_candidate("b", quantization="bf16"),
        make_candidate("c", model="author/other", quantization="bf16", data_policy={"zdr": True}, prompt_usd_per_million=9),
    )
    provider = {"zdr": True, "quantizations": ["bf16"], "max_price": {"prompt": 5}}
    names = ("author/model", "author/other")

    assert find_nothing(view, *names, provider=provider) == filtered(["data_policy:zdr", "max_price", "quantization"], *names)


def test_a_model_that_nobody_here_can_serve_has_no_endpoints_rather_than_a_rule():
    idle = make_candidate("a")
    off = replace(idle, host=replace(idle.host, spec=msgspec.structs.replace(idle.host.spec, mode="off")))

    found = find_nothing(make_view(off), provider={"only": ["a"]})

    assert found == {"code": "no_endpoints", "retryable": False, "requested_models": ["author/model"]}


@pytest.fixture(scope="module")
def two_models_view():
    prices = {
        ("author/model", "a"): 2,
        ("author/model", "b"): 5,
        ("author/other", "a"): 1,
        ("author/other", "b"): 5,
        ("author/other", "c"): 3,
    }
    return make_view(*(make_candidate(slug, model=model, prompt_usd_per_million=price) for (model, slug), price in prices.items()))


def ids(route):
    return [candidate.endpoint.id.removeprefix("author/") for candidate in route.candidates]


BOTH = ("author/model", "author/other")


def test_models_come_one_after_the_other_unless_their_endpoints_are_sorted_together(two_models_view):
    apart = ["model@a", "model@b", "other@a", "other@c", "other@b"]
    together = ["other@a", "model@a", "other@c", "model@b", "other@b"]

    assert ids(find(two_models_view, *BOTH, provider={"sort": "price"})) == apart
    assert ids(find(two_models_view, *BOTH, provider={"sort": {"by": "price", "partition": "model"}})) == apart
    assert ids(find(two_models_view, *BOTH, provider={"sort": {"by": "price", "partition": "none"}})) == together
    assert ids(find(two_models_view, *BOTH, provider={"sort": {"partition": "none"}})) == together


def test_equals_of_two_models_stay_in_the_order_in_which_the_models_were_named(two_models_view):
    route = find(two_models_view, *reversed(BOTH), provider={"sort": {"partition": "none"}})

    assert ids(route) == ["other@a", "model@a", "other@c", "other@b", "model@b"]


def test_endpoints_with_an_outage_are_last_of_all_models_sorted_together(two_models_view):
    health = EndpointHealth(Clock())
    for _ in range(3):
        health.failure("author/other@a")

    route = find(two_models_view, *BOTH, provider={"sort": {"partition": "none"}}, health=health)

    assert ids(route) == ["model@a", "other@c", "model@b", "other@b", "other@a"]


def test_without_fallbacks_only_the_best_endpoint_of_all_models_sorted_together_remains(two_models_view):
    provider = {"allow_fallbacks": False, "sort": {"partition": "none"}}

    assert ids(find(two_models_view, *BOTH, provider=provider)) == ["other@a"]
    assert ids(find(two_models_view, *BOTH, provider={**provider, "sort": "price"})) == ["model@a", "other@a"]


def test_an_order_of_providers_switches_sorting_together_off(two_models_view):
    route = find(two_models_view, *BOTH, provider={"order": ["b"], "sort": {"partition": "none"}})

    assert ids(route) == ["model@b", "model@a", "other@b", "other@a", "other@c"]


def test_the_filters_hold_for_models_sorted_together(two_models_view):
    provider = {"sort": {"partition": "none"}, "max_price": {"prompt": 3}, "ignore": ["c"]}

    assert ids(find(two_models_view, *BOTH, provider=provider)) == ["other@a", "model@a"]


def test_endpoints_of_last_resort_follow_the_first_three_others_however_cheap_and_however_ill_those_are():
    def spare(name, price):
        one = make_candidate(name, prompt_usd_per_million=price)
        return replace(one, host=replace(one.host, spec=msgspec.structs.replace(one.host.spec, is_last_resort=True)))

    direct = [make_candidate(name, prompt_usd_per_million=price) for name, price in zip("abcd", (5, 6, 7, 8), strict=True)]
    health = EndpointHealth()
    for _ in range(3):
        health.failure(direct[0].endpoint.id)
    candidates = [*direct, spare("x", 1), spare("y", 2)]

    def names(**wishes):
        route = order_endpoints(
            candidates, wish=Preferences(**wishes), parameters=frozenset(), max_tokens=None, health=health, rng=random.Random(1)
        )
        return "".join(one.endpoint.provider for one in route.candidates)

    assert names(sort="price") == "bcdxya"
    assert names(order=("y",)) == "ybcdxa"
    assert names(only=("x", "y")) == "xy"
    assert names(only=("x", "a")) == "ax"
