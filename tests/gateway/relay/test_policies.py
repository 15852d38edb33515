"""A request may tighten a policy and never loosen it."""

import pytest

from accounts.request_rules import NO_RULES, Policy, RequestRules
from gateway.relay.errors import BadRequest, NoEndpoint
from gateway.relay.policies import apply_policies, check_policy, merge


def policy(**provider):
    return Policy(slug="ours", version=1, provider=provider)


@pytest.mark.parametrize(
    ("rule", "asked", "result"),
    [
        ({"zdr": True}, {}, {"zdr": True}),
        ({"zdr": True}, {"zdr": False}, {"zdr": True}),
        ({"data_collection": "deny"}, {"data_collection": "allow"}, {"data_collection": "deny"}),
        ({"data_collection": "allow"}, {"data_collection": "deny"}, {"data_collection": "deny"}),
        ({"sort": "price"}, {"sort": "latency"}, {"sort": "latency"}),
        ({"sort": "price"}, {"sort": None}, {"sort": "price"}),
        ({"hedge": True}, {"hedge": False}, {"hedge": False}),
        ({"ignore": ["a"]}, {"ignore": ["b", "a"]}, {"ignore": ["a", "b"]}),
        ({"only": ["a", "b"]}, {"only": ["B", "c"]}, {"only": ["b"]}),
        ({"only": ["a"]}, {"only": ["a/turbo"]}, {"only": ["a/turbo"]}),
        ({"only": ["a/turbo"]}, {"only": ["a"]}, {"only": ["a/turbo"]}),
        ({"only": ["a", "b"]}, {"ignore": ["a"]}, {"only": ["b"], "ignore": ["a"]}),
        ({"quantizations": ["fp8", "bf16"]}, {"quantizations": ["bf16"]}, {"quantizations": ["bf16"]}),
        ({"max_price": {"prompt": "1"}}, {"max_price": {"prompt": 2, "completion": 3}}, {"max_price": {"prompt": "1", "completion": 3}}),
        ({"max_price": {"prompt": 2}}, {"max_price": {"prompt": "1"}}, {"max_price": {"prompt": "1"}}),
    ],
)
def test_the_stricter_of_both_holds_and_taste_is_the_requests(rule, asked, result):
    assert merge(asked, policy(**rule)) == result


@pytest.mark.parametrize(
    ("rule", "asked", "param"),
    [
        ({"only": ["a"]}, {"only": ["b"]}, "provider.only"),
        ({"only": ["a"]}, {"ignore": ["a"]}, "provider.only"),
        ({"quantizations": ["fp8"]}, {"quantizations": ["bf16"]}, "provider.quantizations"),
    ],
)
def test_nothing_left_is_a_404_that_names_the_policy(rule, asked, param):
    with pytest.raises(NoEndpoint) as refused:
        merge(asked, policy(**rule))

    assert refused.value.status == 404
    assert refused.value.metadata == {"param": param, "policy": "ours"}
    assert refused.value.availability["code"] == "constraint_filtered"


def test_the_default_applies_always_and_the_named_one_beside_it():
    rules = RequestRules(
        policies={"safe": policy(zdr=True), "cheap": Policy(slug="cheap", version=1, provider={"sort": "price"})}, default_policy="safe"
    )

    assert apply_policies({}, rules) == {"zdr": True}
    assert apply_policies({"policy": "cheap", "only": ["a"]}, rules) == {"zdr": True, "sort": "price", "only": ["a"]}
    assert apply_policies({"only": ["a"]}, NO_RULES) == {"only": ["a"]}


@pytest.mark.parametrize("name", ["unknown", 7, []])
def test_a_policy_that_is_not_there_is_refused(name):
    with pytest.raises(BadRequest) as refused:
        apply_policies({"policy": name}, NO_RULES)

    assert refused.value.metadata == {"param": "provider.policy"}


@pytest.mark.parametrize(
    ("provider", "param"),
    [
        (None, "provider"),
        ({}, "provider"),
        ([], "provider"),
        ({"policy": "other"}, "provider.policy"),
        ({"zdr": "yes"}, "provider.zdr"),
        ({"max_price": {"prompt": -1}}, "provider.max_price.prompt"),
    ],
)
def test_what_is_no_policy_is_refused_when_it_is_saved(provider, param):
    with pytest.raises(BadRequest) as refused:
        check_policy(provider)

    assert refused.value.metadata == {"param": param}
