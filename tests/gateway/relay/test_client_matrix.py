"""Every client dialect in front of every provider format: the same words, counts and money, whole and streamed."""

import msgspec
import pytest

from tests.gateway.relay.conftest import COMPLETION_PICOS, PROMPT_PICOS, cost_nanos

MODELS = ["test/chat", "test/claude", "test/gemini", "test/responses", "test/bedrock", "test/vertex-claude", "test/cohere"]
QUESTION = "Say hello to the road, and to the hills."
SCHEMA = {"type": "object", "properties": {"at": {"type": "string"}}}
CHAT_TOOL = {"type": "function", "function": {"name": "look", "parameters": SCHEMA}}


def chat(text, **wishes):
    body = {"messages": [{"role": "user", "content": text}], "max_tokens": 2000}
    if wishes.get("tools"):
        body["tools"] = [CHAT_TOOL]
    if wishes.get("thinks"):
        body["reasoning"] = {"max_tokens": 1024}
    return "/api/v1/chat/completions", body


def messages(text, **wishes):
    body = {"messages": [{"role": "user", "content": text}], "max_tokens": 2000}
    if wishes.get("tools"):
        body["tools"] = [{"name": "look", "input_schema": SCHEMA}]
    if wishes.get("thinks"):
        body["thinking"] = {"type": "enabled", "budget_tokens": 1024}
    return "/api/v1/messages", body


def responses(text, **wishes):
    body = {"input": text, "max_output_tokens": 2000}
    if wishes.get("tools"):
        body["tools"] = [{"type": "function", "name": "look", "parameters": SCHEMA}]
    if wishes.get("thinks"):
        body["reasoning"] = {"max_tokens": 1024}
    return "/api/v1/responses", body


CLIENTS = [chat, messages, responses]


def said(path, body):
    """Return words, thoughts, calls and (input, output, nanos) of a whole answer of any dialect."""
    if path.endswith("/completions"):
        message, usage = body["choices"][0]["message"], body["usage"]
        calls = [(call["function"]["name"], msgspec.json.decode(call["function"]["arguments"])) for call in message.get("tool_calls") or []]
        counts = (usage["prompt_tokens"], usage["completion_tokens"])
        return message["content"] or "", message.get("reasoning") or "", calls, (*counts, cost_nanos(usage))
    usage = body["usage"]
    counts = (usage["input_tokens"], usage["output_tokens"], cost_nanos(usage))
    if path.endswith("/messages"):
        blocks = body["content"]
        words = "".join(block["text"] for block in blocks if block["type"] == "text")
        thoughts = "".join(block["thinking"] for block in blocks if block["type"] == "thinking")
        return words, thoughts, [(block["name"], block["input"]) for block in blocks if block["type"] == "tool_use"], counts
    items = body["output"]
    words = "".join(part["text"] for item in items if item["type"] == "message" for part in item["content"])
    thoughts = "".join(part["text"] for item in items if item["type"] == "reasoning" for part in item["summary"] or item["content"])
    calls = [(item["name"], msgspec.json.decode(item["arguments"])) for item in items if item["type"] == "function_call"]
    return words, thoughts, calls, counts


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    "wishes", [{}, {"tools": True}, {"thinks": True}, {"tools": True, "thinks": True}], ids=lambda wishes: "+".join(wishes) or "text"
)
def test_every_client_gets_the_same_answer_at_the_same_price(customer, model, wishes):
    text = f"[[simulate: calls=2]] {QUESTION}" if wishes.get("tools") else QUESTION
    before = customer.balance_nanos()
    answers = []
    for make in CLIENTS:
        path, body = make(text, **wishes)
        answer = customer.stack.client.post(path, json={"model": model, "provider": {"order": ["alpha"]}, **body}, headers=customer.headers)
        assert answer.status_code == 200, answer.text
        answers.append(said(path, answer.json()))

    assert answers[0] == answers[1] == answers[2]
    words, thoughts, calls, (inputs, outputs, nanos) = answers[0]
    assert bool(words) is not bool(wishes.get("tools"))
    assert bool(thoughts) is bool(wishes.get("thinks"))
    assert calls == ([("look", {"at": "simulated"})] * 2 if wishes.get("tools") else [])
    assert nanos == (inputs * PROMPT_PICOS + outputs * COMPLETION_PICOS + 500) // 1000 > 0
    assert before - customer.balance_nanos() == 3 * nanos
    receipts = customer.receipts()
    assert [(receipt.api_type, receipt.amount_nanos, receipt.model) for receipt in receipts] == [("completions", nanos, model)] * 3


def test_what_a_providers_format_cannot_say_is_refused_and_free(customer):
    before = customer.balance_nanos()

    answer = customer.post(model="test/claude", n=2, provider={})

    assert answer.status_code == 400
    assert "n above 1" in answer.json()["error"]["message"]
    assert customer.balance_nanos() == before
