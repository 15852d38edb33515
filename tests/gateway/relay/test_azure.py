"""Azure as a provider: deployments by path with an API version, the v1 API, Responses and Claude beside them, the key in its header."""

import pytest


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("model", "path", "wants"),
    [
        ("test/azure-gpt", "/p/azure/openai/deployments/gpt-4o/chat/completions?api-version=2025-01-01-preview", "messages"),
        ("test/azure-gpt-5-pro", "/p/azure/openai/responses?api-version=2025-01-01-preview", "input"),
        ("test/azure-claude", "/p/azure/anthropic/v1/messages", "messages"),
        ("test/azure-v1", "/p/azure-v1/openai/v1/chat/completions", "messages"),
    ],
)
def test_each_model_is_asked_where_azure_has_it(customer, model, path, wants, stream):
    if stream:
        events = customer.stream(model=model, provider={})
        said = "".join(choice["delta"].get("content") or "" for event in events[:-1] for choice in event["choices"])
        assert events[-2]["usage"]["completion_tokens"] > 0
    else:
        said = customer.post(model=model, provider={}).json()["choices"][0]["message"]["content"]

    assert said.startswith("This is a simulated answer")
    call = customer.stack.recorder.calls[-1]
    assert call.path == path
    assert call.headers["api-key"] == "azure-key"
    assert "authorization" not in call.headers
    assert wants in call.json()
    assert call.headers.get("anthropic-version") == ("2023-06-01" if "anthropic" in path else None)
