"""Requests that ask for a search of the web: by suffix and by plugin, at providers that search, priced and held for by the search."""

import msgspec
import pytest

from gateway.dialects.client_registry import CLIENT_DIALECTS
from gateway.dialects.messages import MessagesDialect
from gateway.relay.errors import BadRequest
from gateway.relay.estimate import plan_hold
from gateway.relay.flow import read_request
from tests.gateway.relay.builders import make_candidate
from tests.gateway.relay.conftest import COMPLETION_PICOS, PROMPT_PICOS
from tests.gateway.relay.units import SEARCH_PICOS

CHAT = next(dialect for dialect in CLIENT_DIALECTS.values() if dialect.api == "chat")
WEB = [{"id": "web"}]


def read(**fields):
    body = {"model": "author/model", "messages": [{"role": "user", "content": "What is new?"}], **fields}
    return read_request(CHAT, msgspec.json.encode(body))


def make_searching(provider="anthropic", **fields):
    one = make_candidate(provider, **fields)
    rates = {**one.endpoint.price.rates, "searches": SEARCH_PICOS}
    return msgspec.structs.replace(one.endpoint, price=msgspec.structs.replace(one.endpoint.price, rates=rates))


@pytest.mark.parametrize(
    ("fields", "searches"),
    [
        ({}, False),
        ({"model": "author/model:online"}, True),
        ({"model": "author/model:online:nitro"}, True),
        ({"models": ["author/other:online"]}, True),
        ({"plugins": WEB}, True),
        ({"plugins": [{"id": "web", "engine": "native"}]}, True),
        ({"plugins": [{"id": "web", "enabled": False, "max_results": 3}]}, False),
        ({"plugins": [{"id": "file-parser"}]}, False),
    ],
)
def test_a_search_is_asked_for_by_suffix_or_plugin(fields, searches):
    assert read(**fields).searches_web is searches


@pytest.mark.parametrize(
    ("plugin", "param"),
    [
        ({"engine": "exa"}, "plugins[0].engine"),
        ({"max_results": 3}, "plugins[0].max_results"),
        ({"search_prompt": "x"}, "plugins[0].search_prompt"),
    ],
)
def test_what_no_provider_does_is_refused_by_name(plugin, param):
    with pytest.raises(BadRequest) as refused:
        read(plugins=[{"id": "web", **plugin}])

    assert refused.value.metadata == {"param": param}


def test_the_hold_covers_the_search_and_the_window_that_is_read_with_what_it_finds():
    endpoint = make_searching()
    plain, asking = (plan_hold(read(max_tokens=10, plugins=plugins), endpoint, default_output_tokens=100) for plugins in (None, WEB))

    assert asking.prompt_tokens == plain.prompt_tokens + len('"plugins":[{"id":"web"}]') - len('"plugins":null') + endpoint.context_length
    per_token_nanos = 1_000
    extra_tokens = asking.prompt_tokens - plain.prompt_tokens
    assert asking.amount_nanos - plain.amount_nanos == extra_tokens * per_token_nanos + SEARCH_PICOS // 1_000


def test_the_provider_is_told_to_search_once_beside_the_requests_own_tools():
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    spec = make_candidate("anthropic").host.spec

    def tools_of(**fields):
        call = MessagesDialect().encode_request(read(**fields), make_searching(), spec, stream=False, max_tokens=None)
        return msgspec.json.decode(call.body).get("tools", [])

    assert tools_of() == []
    assert tools_of(plugins=WEB) == [{"type": "web_search_20250305", "name": "web_search", "max_uses": 1}]
    assert [one["name"] for one in tools_of(plugins=WEB, tools=[tool])] == ["look", "web_search"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fields", [{"model": "test/searching:online"}, {"model": "test/searching", "plugins": WEB}])
def test_a_search_is_done_where_it_can_be_and_charged_by_what_was_reported(customer, fields, stream):
    answer = customer.post(provider={}, max_tokens=20, stream=stream, **fields)

    assert answer.status_code == 200, answer.text
    (receipt,) = customer.receipts()
    assert (receipt.provider, receipt.meters["searches"]) == ("anthropic", 1)
    tokens = 4 * (PROMPT_PICOS * receipt.meters["input_tokens"] + COMPLETION_PICOS * receipt.meters["output_tokens"])
    assert receipt.amount_nanos == (tokens + SEARCH_PICOS + 500) // 1_000
    assert receipt.hold_nanos >= receipt.amount_nanos
    assert customer.balance_nanos() == 10_000_000_000 - receipt.amount_nanos


def test_without_the_wish_nobody_searches(customer):
    customer.post(model="test/searching", provider={"only": ["anthropic"]}, max_tokens=20)

    (receipt,) = customer.receipts()
    assert "searches" not in receipt.meters


def test_a_search_in_anthropics_own_format(customer):
    body = {"model": "test/searching:online", "max_tokens": 20, "messages": [{"role": "user", "content": "What is new?"}]}
    answer = customer.stack.client.post("/api/v1/messages", json=body, headers=customer.headers)

    assert answer.json()["usage"]["server_tool_use"]["web_search_requests"] == 1


def test_where_nobody_can_search_the_answer_says_so_and_costs_nothing(customer):
    answer = customer.post(model="test/chat:online", provider={})

    error = answer.json()["error"]
    assert (answer.status_code, error["availability"]["excluded_by"]) == (404, ["web_search"])
    assert ":online" in error["metadata"]["remedy_hint"]
    assert customer.balance_nanos() == 10_000_000_000


def test_a_dry_run_says_who_cannot_search(customer):
    body = {"model": "test/searching:online", "messages": [{"role": "user", "content": "Hi"}]}
    data = customer.stack.client.post("/api/v1/route/explain", json=body, headers=customer.headers).json()["data"]

    assert [one["provider"] for one in data["endpoints"]] == ["anthropic"]
    assert {one["provider"]: one["rule"] for one in data["rejected"]}["alpha"] == "web_search"


def test_embeddings_do_not_search(customer):
    answer = customer.stack.client.post("/api/v1/embeddings", json={"model": "test/embed:online", "input": "x"}, headers=customer.headers)

    assert (answer.status_code, answer.json()["error"]["metadata"]["param"]) == (400, "model")
