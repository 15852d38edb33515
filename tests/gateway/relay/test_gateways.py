"""The gateways of the field as providers: OpenRouter, a LiteLLM proxy, Cloudflare's in front of any provider."""

import msgspec
import pytest

from tests.gateway.relay.conftest import COMPLETION_PICOS, PROMPT_PICOS, cost_nanos

ROUTES = {"test/openrouter": "/p/openrouter", "test/litellm": "/p/house-litellm", "test/cloudflare": "/p/behind-cloudflare"}
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {"at": {"type": "string"}}}}}


@pytest.mark.parametrize("model", ROUTES)
@pytest.mark.parametrize("stream", [False, True])
def test_each_answers_and_is_charged_by_our_card(customer, model, stream):
    before = customer.balance_nanos()

    if stream:
        events = customer.stream(model=model, provider={}, tools=[TOOL])
        usage = events[-2]["usage"]
    else:
        usage = customer.post(model=model, provider={}, tools=[TOOL]).json()["usage"]

    nanos = (usage["prompt_tokens"] * PROMPT_PICOS + usage["completion_tokens"] * COMPLETION_PICOS + 500) // 1000
    assert cost_nanos(usage) == nanos > 0
    assert before - customer.balance_nanos() == nanos


def test_a_gateway_of_last_resort_answers_when_the_provider_itself_is_down(customer):
    answer = customer.post(model="test/rescued", provider={})

    assert answer.status_code == 200
    assert answer.json()["provider"] == "Openrouter"


def test_a_gateway_of_last_resort_is_not_asked_while_another_answers_however_cheap_it_is(customer):
    for _ in range(20):
        assert customer.post(model="test/spared", provider={}).json()["provider"] == "Alpha"
    assert customer.post(model="test/spared", provider={"sort": "price"}).json()["provider"] == "Alpha"
    assert customer.post(model="test/spared", provider={"order": ["openrouter"]}).json()["provider"] == "Openrouter"


def test_openrouter_gets_its_own_words_and_nothing_of_ours(customer):
    customer.post(model="test/openrouter", provider={"sort": "price"}, reasoning={"effort": "low"}, models=["test/free"], user="eve")

    call = customer.stack.recorder.last("/p/openrouter/")
    body = call.json()
    assert call.headers["authorization"] == "Bearer sk-or-test"
    assert body["reasoning"] == {"effort": "low"}
    assert body["user"] != "eve"
    assert not {"provider", "models"} & set(body)


def test_a_litellm_proxy_is_told_to_keep_no_answer_for_another_tenant(customer):
    customer.post(model="test/litellm", provider={})

    assert customer.stack.recorder.last("/p/house-litellm/").json()["cache"] == {"no-cache": True, "no-store": True}


def test_cloudflares_gateway_gets_the_operators_headers_and_serves_no_cached_answer(customer):
    customer.post(model="test/cloudflare", provider={})

    call = customer.stack.recorder.last("/p/behind-cloudflare/")
    assert call.path.endswith("/v1/account/gateway/anthropic/v1/messages")
    assert call.headers["cf-aig-authorization"] == "Bearer cf-secret"
    assert msgspec.json.decode(call.headers["cf-aig-metadata"]) == {"team": "a"}
    assert call.headers["cf-aig-skip-cache"] == "true"


def test_no_header_of_the_clients_reaches_a_gateway(customer):
    headers = {**customer.headers, "cf-aig-skip-cache": "false", "cf-aig-authorization": "Bearer stolen", "x-litellm-tags": "x"}

    body = {"model": "test/cloudflare", "messages": [{"role": "user", "content": "hi"}]}
    assert customer.stack.client.post("/api/v1/chat/completions", json=body, headers=headers).status_code == 200

    call = customer.stack.recorder.last("/p/behind-cloudflare/")
    assert (call.headers["cf-aig-skip-cache"], call.headers["cf-aig-authorization"]) == ("true", "Bearer cf-secret")
    assert "x-litellm-tags" not in call.headers
