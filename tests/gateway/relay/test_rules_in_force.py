"""Presets and policies through the real path: laid down by people, felt by the next requests, and by nobody else's."""

import time
from decimal import Decimal

import pytest

from accounts import presets

HELLO = [{"role": "user", "content": "Hello"}]


def lay_down(customer, kind, slug, config, *, system_prompt="", is_default=False):
    preset, _ = presets.save_version(
        organization=customer.organization, kind=kind, slug=slug, config=config, by=None, system_prompt=system_prompt
    )
    if is_default:
        presets.change(preset=preset, by=None, is_default=True)
    return preset


def until(answers, timeout_s=2.0):
    deadline = time.monotonic() + timeout_s
    while not (answer := answers()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return answer


def test_a_preset_chooses_the_model_and_the_provider(customer):
    lay_down(customer, "preset", "beta", {"model": "test/chat", "provider": {"only": ["beta"]}, "max_tokens": 20})

    body = customer.post(model="@preset/beta", provider=None).json()

    assert (body["model"], body["provider"]) == ("test/chat", "Beta")
    (receipt,) = customer.receipts()
    assert receipt.provider == "beta"


def test_a_preset_of_another_organization_is_not_found(customer, new_customer):
    lay_down(new_customer(), "preset", "theirs", {"model": "test/chat"})

    answer = customer.post(model="@preset/theirs")

    assert answer.status_code == 404
    assert answer.json()["error"]["metadata"]["param"] == "preset"


def test_a_default_policy_is_felt_by_the_next_requests_and_by_nobody_elses(customer, new_customer):
    other = new_customer()
    assert customer.post(provider={"order": ["alpha"]}).json()["provider"] == "Alpha"

    policy = lay_down(customer, "policy", "beta-only", {"only": ["beta"]}, is_default=True)

    assert until(lambda: customer.post(provider={}).json()["provider"] == "Beta")
    assert customer.post(provider={"only": ["alpha"]}).status_code == 404
    assert other.post(provider={"only": ["alpha"]}).json()["provider"] == "Alpha"
    presets.change(preset=policy, by=None, status="disabled")
    assert until(lambda: customer.post(provider={"only": ["alpha"]}).status_code == 200)


def test_a_dry_run_shows_the_preset_and_the_policy_at_work(customer):
    lay_down(customer, "preset", "brief", {"model": "test/chat"})
    lay_down(customer, "policy", "no-alpha", {"ignore": ["alpha"]}, is_default=True)

    answer = customer.stack.client.post(
        "/api/v1/route/explain", json={"model": "@preset/brief", "messages": HELLO}, headers=customer.headers
    )

    data = answer.json()["data"]
    assert [one["tag"] for one in data["endpoints"]] == ["beta"]
    assert [(one["tag"], one["rule"]) for one in data["rejected"]] == [("alpha", "ignored_providers")]


@pytest.mark.parametrize("path", ["messages", "responses"])
def test_other_formats_take_presets_too(customer, path):
    lay_down(customer, "preset", "brief", {"model": "test/chat", "max_tokens": 20}, system_prompt="Be brief.")
    body = {"messages": HELLO} if path == "messages" else {"input": "Hello"}

    answer = customer.stack.client.post(f"/api/v1/{path}", json={"model": "@preset/brief", **body}, headers=customer.headers)

    assert answer.status_code == 200, answer.text
    assert answer.json()["model"] == "test/chat"


def models_of(customer, path="/api/v1/models/user"):
    answer = customer.stack.client.get(path, params={"output_modalities": "all"}, headers=customer.headers)
    return {one["id"]: one["pricing"]["prompt"] for one in answer.json()["data"]}


def test_the_models_of_a_caller_are_those_that_the_default_policy_leaves(customer, new_customer):
    other = new_customer()
    everything = models_of(customer)
    assert everything == models_of(customer, "/api/v1/models")

    policy = lay_down(customer, "policy", "beta-only", {"only": ["beta"]}, is_default=True)

    served_by_beta = {
        model.id
        for model in customer.stack.plane.app.view.snapshot.models.values()
        if any(one.host.spec.slug == "beta" for one in customer.stack.plane.app.view.candidates[model.id])
    }
    known = customer.stack.plane.app.view.snapshot.models  # names that stand for models are listed beside them
    assert until(lambda: models_of(customer).keys() & known.keys() == served_by_beta)
    assert 0 < len(served_by_beta) < len(everything)
    assert models_of(other) == everything
    presets.change(preset=policy, by=None, status="disabled")
    assert until(lambda: models_of(customer) == everything)


def test_a_model_of_a_caller_costs_what_the_cheapest_allowed_endpoint_costs(customer):
    cheapest = models_of(customer)["test/chat"]
    lay_down(customer, "policy", "no-cheapest", {"ignore": ["alpha"]}, is_default=True)

    assert until(lambda: models_of(customer)["test/chat"] != cheapest)

    allowed = [one for one in customer.stack.plane.app.view.candidates["test/chat"] if one.host.spec.slug != "alpha"]
    assert Decimal(models_of(customer)["test/chat"]) * 10**12 == allowed[0].endpoint.price.rates["input_tokens"]


def test_a_policy_that_nothing_satisfies_leaves_a_caller_no_model(customer):
    lay_down(customer, "policy", "nothing", {"enforce_distillable_text": True}, is_default=True)

    assert until(lambda: not models_of(customer))
