"""Dry runs as a pure function: the order with its reasons, the rejected with their rules, the hold."""

import random

import pytest

from billing.authorizer.standing import Standing
from gateway.dialects.chat_completions import read_request
from gateway.relay.errors import BadRequest
from gateway.relay.explanation import Terms, explain
from gateway.relay.health import EndpointHealth
from tests.gateway.relay.builders import make_candidate
from tests.gateway.relay.catalog_views import make_view

TERMS = Terms(attempts_max=4, hold_output_tokens=4096, public_url="https://tollway.example")
RICH = Standing(10**15, 0, None, "", None, key_is_disabled=False)


def dry_run(view, *, standing=RICH, health=None, seed=1, **fields):
    body = {"model": "author/model", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 100, **fields}
    return explain(
        view,
        read_request(body, has_extras=False),
        api="chat",
        health=health or EndpointHealth(),
        standing=standing,
        terms=TERMS,
        rng=random.Random(seed),
    )


def ranks(explanation):
    return [(one.rank, one.tag, one.reason, one.first_permille) for one in explanation.endpoints]


def rules(explanation):
    return {one.tag: one.rule for one in explanation.rejected}


def test_the_published_example_says_how_often_each_is_drawn_and_puts_the_outage_last():
    health = EndpointHealth()
    a, b, c = (make_candidate(slug, prompt_usd_per_million=price) for slug, price in (("a", 1), ("b", 2), ("c", 3)))
    for _ in range(3):
        health.failure(b.endpoint.id)

    explanation = dry_run(make_view(a, b, c), health=health)

    assert ranks(explanation) == [(1, "a", "draw", 900), (2, "c", "price", 100), (3, "b", "outage", None)]
    assert explanation.rejected == []
    assert explanation.error is None


@pytest.mark.parametrize(
    ("provider", "expected"),
    [
        ({"order": ["b"]}, [("b", "order"), ("a", "fallback")]),
        ({"sort": "price"}, [("a", "sort"), ("b", "sort")]),
        ({"sort": "price", "allow_fallbacks": False}, [("a", "sort")]),
    ],
)
def test_each_place_has_its_reason(provider, expected):
    view = make_view(make_candidate("a"), make_candidate("b", prompt_usd_per_million=2))

    assert [(one.tag, one.reason) for one in dry_run(view, provider=provider).endpoints] == expected


def test_a_free_endpoint_is_not_drawn():
    view = make_view(make_candidate("a", prompt_usd_per_million=0), make_candidate("b"))

    assert ranks(dry_run(view))[0] == (1, "a", "free", None)


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"provider": {"only": ["a"]}}, "allowed_providers"),
        ({"provider": {"order": ["a"], "allow_fallbacks": False}}, "allowed_providers"),
        ({"provider": {"sort": "price", "allow_fallbacks": False}}, "allow_fallbacks"),
        ({"provider": {"ignore": ["b"]}}, "ignored_providers"),
        ({"max_tokens": 5000}, "max_tokens"),
        ({"provider": {"quantizations": ["fp8"]}}, "quantization"),
        ({"provider": {"require_parameters": True}, "temperature": 1}, "require_parameters"),
        ({"provider": {"data_collection": "deny"}}, "data_policy:training"),
        ({"provider": {"zdr": True}}, "data_policy:zdr"),
        ({"provider": {"max_price": {"completion": 1}}}, "max_price"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "parameter:tools"),
    ],
)
def test_every_rule_that_rejects_an_endpoint_is_named_and_put_into_words(fields, rule):
    good = make_candidate("a", quantization="fp8", data_policy={"zdr": True, "trains_on_prompts": False})
    bad = make_candidate("b", prompt_usd_per_million=2, max_output_tokens=4096, parameters=frozenset())

    explanation = dry_run(make_view(good, bad), **fields)

    assert [one.tag for one in explanation.endpoints] == ["a"]
    assert rules(explanation) == {"b": rule}
    assert len(explanation.rejected[0].detail.split()) >= 3


def test_an_empty_list_is_told_with_the_error_that_the_request_would_get():
    explanation = dry_run(make_view(make_candidate("a")), provider={"zdr": True})

    assert explanation.endpoints == []
    assert rules(explanation) == {"a": "data_policy:zdr"}
    assert explanation.hold is None
    assert explanation.error["code"] == 404
    assert explanation.error["availability"]["code"] == "constraint_filtered"
    assert explanation.error["availability"]["excluded_by"] == ["data_policy:zdr"]


def test_the_bound_and_the_hold_are_what_the_endpoint_can_cost_at_most():
    explanation = dry_run(make_view(make_candidate("a", prompt_usd_per_million=1)))

    # 5 bytes, 8 around the message, 256 for the template; 100 tokens out: $1 per million each.
    assert explanation.endpoints[0].price_bound.nanos == str((5 + 8 + 256 + 100) * 1000)
    assert explanation.endpoints[0].price_bound.usd == "0.000369"
    assert explanation.hold.amount == explanation.endpoints[0].price_bound
    assert (explanation.hold.prompt_tokens_max, explanation.hold.output_tokens_max) == (269, 100)


def test_a_purse_too_small_for_the_first_endpoint_falls_to_the_cheapest_and_then_to_402():
    view = make_view(make_candidate("a"), make_candidate("b", prompt_usd_per_million=2))
    dear_first = {"provider": {"order": ["b"]}}

    enough = dry_run(view, standing=Standing(500_000, 0, None, "", None, key_is_disabled=False), **dear_first)
    assert enough.hold.endpoint_id.endswith("@a")
    assert enough.error is None
    assert [(one.scope, one.covers) for one in enough.limits] == [("organization", True)]

    short = dry_run(view, standing=Standing(10**12, 0, 10**9, "daily", 300, key_is_disabled=False), **dear_first)
    assert short.error["code"] == 402
    assert short.error["metadata"]["limit_source"] == "key_limit"
    assert [(one.scope, one.covers, one.reset) for one in short.limits] == [("organization", True, None), ("key", False, "daily")]


def test_a_switched_off_key_is_told():
    explanation = dry_run(make_view(make_candidate("a")), standing=Standing(10**12, 0, None, "", None, key_is_disabled=True))

    assert explanation.error["code"] == 401


def test_only_as_many_endpoints_as_are_tried_are_marked_so():
    view = make_view(*(make_candidate(f"p{number}", prompt_usd_per_million=number + 1) for number in range(6)))

    assert [one.is_tried for one in dry_run(view).endpoints] == [True] * 4 + [False] * 2


def test_fallback_models_and_suffixes_are_resolved_one_by_one():
    view = make_view(make_candidate("a"), make_candidate("b", model="author/other"))

    explanation = dry_run(view, model="author/model:floor", models=["author/other"])

    assert [(one.requested, one.model, one.suffix) for one in explanation.models] == [
        ("author/model:floor", "author/model", "floor"),
        ("author/other", "author/other", ""),
    ]
    assert [(one.model, one.reason) for one in explanation.endpoints] == [("author/model", "sort"), ("author/other", "draw")]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": "author/unknown"}, "model"),
        ({"provider": {"only": ["nobody"]}}, "provider.only"),
        ({"provider": {"only": ["a"], "ignore": ["a"]}}, "provider.ignore"),
        ({"provider": {"max_price": {"prompt": -1}}}, "provider.max_price.prompt"),
    ],
)
def test_what_the_request_would_be_refused_for_refuses_the_dry_run(fields, param):
    with pytest.raises(BadRequest) as refused:
        dry_run(make_view(make_candidate("a")), **fields)

    assert refused.value.metadata["param"] == param
