"""Answers, events and errors of every route that models answer on, against the saved OpenAPI contract."""

import io
import wave
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from gateway.dialects.base import ERROR_STATUS
from tests.gateway.api.contract import model_breaches, model_schema

SCHEMA = {"type": "object", "properties": {"at": {"type": "string"}}}
HELLO = [{"role": "user", "content": "Say hello to the road."}]
LOOK = [{"role": "user", "content": "[[simulate: calls=2]] Look."}]
FUNCTION = {"type": "function", "function": {"name": "look", "parameters": SCHEMA}}
MODELS = ["test/single", "test/claude", "test/gemini", "test/responses", "test/bedrock", "test/cohere"]
CHATS: dict[str, dict[str, dict[str, Any]]] = {
    "chat": {
        "words": {"messages": HELLO},
        "tools": {"messages": LOOK, "tools": [FUNCTION]},
        "thoughts": {"messages": HELLO, "reasoning": {"max_tokens": 1024}, "max_tokens": 2000},
    },
    "messages": {
        "words": {"messages": HELLO, "max_tokens": 500},
        "tools": {"messages": LOOK, "max_tokens": 500, "tools": [{"name": "look", "input_schema": SCHEMA}]},
        "thoughts": {"messages": HELLO, "max_tokens": 2000, "thinking": {"type": "enabled", "budget_tokens": 1024}},
    },
    "responses": {
        "words": {"input": HELLO[0]["content"]},
        "tools": {"input": LOOK[0]["content"], "tools": [{"type": "function", "name": "look", "parameters": SCHEMA}]},
        "thoughts": {"input": HELLO[0]["content"], "reasoning": {"max_tokens": 1024}, "max_output_tokens": 2000},
    },
}
PATHS = {"chat": "chat/completions", "messages": "messages", "responses": "responses", "embeddings": "embeddings", "rerank": "rerank"}
UNITS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "embeddings": [("test/embed", {"input": ["a", "b"]}), ("test/gem-embed", {"input": "a", "encoding_format": "base64"})],
    "rerank": [
        (model, {"query": "a", "documents": ["a", "b"]}) for model in ("test/rank-searches", "test/rank-tokens", "test/rank-voyage")
    ],
    "images": [(model, {"prompt": "a road", "n": 2}) for model in ("test/image-pieces", "test/image-tokens", "test/imagen")],
}


def post(customer, path: str, **body: Any):
    answer = customer.stack.client.post(f"/api/v1/{path}", json=body, headers=customer.headers)
    assert answer.status_code == 200, answer.text
    return answer


def events(answer) -> Iterator[dict[str, Any]]:
    """Yield what a client's parser makes of a stream: the name, if there is one, and the data."""
    for block in answer.text.split("\n\n"):
        lines = [line for line in block.splitlines() if not line.startswith(":")]
        fields = dict(line.split(": ", 1) for line in lines)
        if fields and fields["data"] != "[DONE]":
            yield {**fields, "data": msgspec.json.decode(fields["data"])}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("wish", ["words", "tools", "thoughts"])
@pytest.mark.parametrize("api", CHATS)
def test_chats_keep_the_contract_whole_and_streamed(customer, api, wish, model):
    body = {"model": model, **CHATS[api][wish]}
    assert model_breaches(api, post(customer, PATHS[api], **body).json()) == []

    heard = list(events(post(customer, PATHS[api], **body, stream=True)))
    assert len(heard) > 2
    assert [found for event in heard for found in model_breaches(f"{api}_event", event)] == []


@pytest.mark.parametrize("model", ["test/gpt-5", "test/claude"])
def test_calls_with_free_text_keep_it_in_responses(customer, model):
    tool = {"type": "custom", "name": "run", "format": {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"}}
    asked = {"model": model, "input": LOOK[0]["content"], "tools": [tool]}
    whole = post(customer, "responses", **asked).json()
    assert [item["type"] for item in whole["output"]] == ["custom_tool_call"] * 2
    assert model_breaches("responses", whole) == []

    heard = list(events(post(customer, "responses", **asked, stream=True)))
    assert any(event["event"] == "response.custom_tool_call_input.done" for event in heard)
    assert [found for event in heard for found in model_breaches("responses_event", event)] == []


@pytest.mark.parametrize(("api", "model", "body"), [(api, *case) for api, cases in UNITS.items() for case in cases])
def test_models_that_are_no_chats_keep_it_too(customer, api, model, body):
    assert model_breaches(api, post(customer, PATHS.get(api, api), model=model, **body).json()) == []


def test_streamed_pictures_keep_it(customer):
    heard = list(events(post(customer, "images", model="test/image-pieces", prompt="a road", n=2, stream=True)))
    assert len(heard) == 2
    assert [found for event in heard for found in model_breaches("images_event", event)] == []


@pytest.mark.parametrize("model", ["test/whisper", "test/listen-tokens", "test/listen-eleven", "test/listen-deep", "test/listen-gemini"])
@pytest.mark.parametrize("form", ["json", "verbose_json"])
def test_transcripts_keep_it(customer, model, form):
    if form == "verbose_json" and model in ("test/listen-tokens", "test/listen-gemini"):
        form = "json"  # such models tell no times
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(4000)
        file.writeframes(b"\0\0" * 4000)
    answer = customer.stack.client.post(
        "/api/v1/audio/transcriptions",
        data={"model": model, "response_format": form},
        files={"file": ("road.wav", target.getvalue(), "audio/wav")},
        headers=customer.headers,
    )
    assert answer.status_code == 200, answer.text
    assert model_breaches("transcriptions", answer.json()) == []


ASKED: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("chat/completions", {"model": "test/single", "messages": HELLO}),
    "messages": ("messages", {"model": "test/single", "messages": HELLO, "max_tokens": 50}),
    "responses": ("responses", {"model": "test/single", "input": "hello"}),
    "embeddings": ("embeddings", {"model": "test/embed", "input": "hello"}),
    "rerank": ("rerank", {"model": "test/rank-tokens", "query": "a", "documents": ["b"]}),
    "images": ("images", {"model": "test/image-pieces", "prompt": "a road"}),
}
WRONG: dict[int, dict[str, Any]] = {400: {"provider": {"sort": "colour"}}, 404: {"provider": {"only": ["modest"]}}}


@pytest.mark.parametrize("status", [400, 402, 404])
@pytest.mark.parametrize("api", ASKED)
def test_refusals_keep_it(customer, new_customer, api, status):
    # The contract has no 402 of Messages; its errors have one shape.
    name = "messages_400" if api == "messages" else f"{api}_{status}"
    path, body = ASKED[api]
    who = new_customer(credit_nanos=0) if status == 402 else customer
    answer = who.stack.client.post(f"/api/v1/{path}", json={**body, **WRONG.get(status, {})}, headers=who.headers)
    assert answer.status_code == status, answer.text
    assert model_breaches(name, answer.json()) == []


@pytest.mark.parametrize("status", [429, 502, 503])
@pytest.mark.parametrize("api", ["chat", "messages", "responses"])
def test_failures_of_providers_keep_it(customer, api, status):
    words = f"[[simulate: status={500 if status == 502 else status}]] hello"
    path, body = ASKED[api]
    asked = {**body, "input": words} if api == "responses" else {**body, "messages": [{"role": "user", "content": words}]}
    answer = customer.stack.client.post(f"/api/v1/{path}", json=asked, headers=customer.headers)
    assert answer.status_code == status, answer.text
    name = "messages_503" if (api, status) == ("messages", 502) else f"{api}_{status}"
    assert model_breaches(name, answer.json()) == []


def test_the_words_for_what_went_wrong_with_a_provider_are_the_contracts():
    assert set(ERROR_STATUS) == set(model_schema("ApiErrorType")["enum"])


def test_a_breach_is_found_wherever_it_is():
    assert model_breaches("rerank", {"results": [{"index": "0", "relevance_score": 1.0}]}) == [
        "$.model is missing",
        "$.results[0].document is missing",
        "$.results[0].index: '0' is not integer",
    ]
    event = {"event": "message_stop", "data": {"type": "content_block_stop", "index": None, "more": 1}}
    assert len(model_breaches("messages_event", event)) == 1
