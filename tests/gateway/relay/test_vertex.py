"""Vertex as a provider of a running data plane: each maker's format at its own address, with the token of a service account."""

import time

import pytest

from gateway.providers.auth import NotReady, auth_headers, needs_signer
from gateway.providers.google_tokens import BadServiceAccount, GoogleTokens
from tests.gateway.dialects.builders import provider
from tests.gateway.relay.conftest import cost_nanos
from tests.gateway.relay.google_accounts import MAIL, asked, service_account_for

BASE = "/p/google-vertex/v1/projects/p/locations/europe-west4"
PATHS = {
    "test/vertex-gemini": ("/publishers/google/models/gemini-3.5-flash:generateContent", ":streamGenerateContent?alt=sse"),
    "test/vertex-claude": ("/publishers/anthropic/models/claude-opus-4-5@20251101:rawPredict", ":streamRawPredict"),
    "test/vertex-mistral": ("/publishers/mistralai/models/mistral-large@2407:rawPredict", ":streamRawPredict"),
    "test/vertex-llama": ("/endpoints/openapi/chat/completions", None),
}


@pytest.mark.parametrize("model", PATHS)
@pytest.mark.parametrize("stream", [False, True])
def test_each_model_is_asked_in_its_makers_format_with_the_accounts_token(customer, model, stream):
    before = customer.balance_nanos()
    if stream:
        events = customer.stream(model=model, provider={}, max_tokens=200)
        said = "".join(choice["delta"].get("content") or "" for event in events[:-1] for choice in event["choices"])
        usage = events[-2]["usage"]
    else:
        body = customer.post(model=model, provider={}, max_tokens=200).json()
        said, usage = body["choices"][0]["message"]["content"], body["usage"]

    assert said.startswith("This is a simulated answer")
    assert before - customer.balance_nanos() == cost_nanos(usage) > 0
    call = customer.stack.recorder.last("/p/google-vertex/")
    whole, streamed = PATHS[model]
    assert call.path == BASE + (whole.rpartition(":")[0] + streamed if stream and streamed else whole)
    assert call.headers["authorization"].startswith("Bearer ya29.token-")


def test_claude_has_its_format_version_in_the_body_and_no_model(customer):
    customer.post(model="test/vertex-claude", provider={})
    body = customer.stack.recorder.last("anthropic").json()
    assert body["anthropic_version"] == "vertex-2023-10-16"
    assert "model" not in body
    assert "anthropic-version" not in customer.stack.recorder.last("anthropic").headers


def test_tools_of_anthropics_own_reach_claude_on_vertex(customer):
    body = {
        "model": "test/vertex-claude",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": "hi"}],
        "tools": [{"type": "bash_20250124", "name": "bash"}],
    }
    answer = customer.stack.client.post("/api/v1/messages", json=body, headers=customer.headers)
    assert answer.status_code == 200, answer.text
    assert customer.stack.recorder.last("anthropic").json()["tools"] == body["tools"]


def test_one_token_serves_all_requests_and_was_asked_for_by_the_account(customer):
    customer.post(model="test/vertex-gemini", provider={})
    count = len(asked)
    for _ in range(3):
        customer.post(model="test/vertex-gemini", provider={})
    assert len(asked) == count
    assert asked[-1]["iss"] == MAIL
    assert "cloud-platform" in asked[-1]["scope"]


def test_a_token_is_refreshed_a_quarter_of_an_hour_before_its_end(customer):
    tokens = GoogleTokens(service_account_for(f"{customer.stack.simulator_url}/token"))
    with pytest.raises(NotReady):
        tokens.headers("", {}, b"")
    due_s = tokens.refresh()
    assert 2600 < due_s <= 2700
    assert tokens.headers("", {}, b"") == {"authorization": f"Bearer ya29.token-{len(asked)}"}


def test_a_token_at_its_end_is_not_shown(customer, monkeypatch):
    tokens = GoogleTokens(service_account_for(f"{customer.stack.simulator_url}/token"))
    tokens.refresh()
    late = time.time() + 3590
    monkeypatch.setattr("gateway.providers.held_tokens.time.time", lambda: late)
    with pytest.raises(NotReady):
        tokens.headers("", {}, b"")


def test_a_service_account_is_never_shown_and_a_broken_one_not_repeated():
    vertex = provider("google-vertex", "vertex", auth="oauth2")
    assert needs_signer(vertex, '{"private_key":"x"}')
    assert auth_headers(vertex, '{"private_key":"x"}') == {}
    assert auth_headers(vertex, "ya29.pasted") == {"authorization": "Bearer ya29.pasted"}
    with pytest.raises(BadServiceAccount) as caught:
        GoogleTokens('{"private_key":"very secret"}')
    assert "secret" not in str(caught.value)
