"""Routers and aliases through the real path: the answer names the model that was used, and the receipt what was asked for."""

import pytest


@pytest.mark.parametrize("router", ["openrouter/auto", "tollway/auto"])
def test_the_answer_of_a_router_names_the_model_that_was_used_and_is_priced_by_it(customer, router):
    answer = customer.post(model=router, provider={}, plugins=[{"id": "auto-router", "allowed_models": ["test/chat"]}])

    assert answer.status_code == 200, answer.text
    assert answer.json()["model"] == "test/chat"
    (receipt,) = customer.receipts()
    assert (receipt.requested_model, receipt.model) == (router, "test/chat")
    assert receipt.amount_nanos > 0


def test_the_free_router_costs_nothing(customer):
    before = customer.balance_nanos()

    assert customer.post(model="openrouter/free", provider={}).json()["model"] == "test/free"
    assert customer.balance_nanos() == before


def test_a_router_that_finds_nothing_is_a_404(customer):
    answer = customer.post(model="openrouter/auto", provider={}, plugins=[{"id": "auto-router", "excluded_models": ["*"]}])

    assert answer.status_code == 404
    assert answer.json()["error"]["message"] == "No models match your request and model restrictions"


def test_the_latest_of_a_family_answers_under_its_own_name(customer):
    assert customer.post(model="~test/chat-latest").json()["model"] == "test/chat"


@pytest.mark.parametrize(
    ("model", "strategy"),
    [("openrouter/auto", "auto"), ("openrouter/free", "free"), ("~test/chat-latest", "latest"), ("test/chat:floor", "direct")],
)
def test_the_road_of_a_request_names_how_the_model_was_found(customer, model, strategy):
    body = {
        "model": model,
        "messages": [{"role": "user", "content": "Hello"}],
        "plugins": [{"id": "auto-router", "allowed_models": ["test/chat", "test/free"]}],
    }
    headers = {**customer.headers, "x-openrouter-metadata": "enabled"}

    metadata = customer.stack.client.post("/api/v1/chat/completions", json=body, headers=headers).json()["openrouter_metadata"]

    assert (metadata["requested"], metadata["strategy"]) == (model, strategy)
