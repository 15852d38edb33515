"""POST /api/v1/completions: a prompt answered with text."""

import openai
import pytest

from tests.gateway.relay.conftest import cost_nanos, read_events
from tests.gateway.relay.test_answers import priced

MODELS = ["test/chat", "test/claude", "test/gemini"]

ALPHA = {"provider": {"order": ["alpha"]}}  # so that the draw by price does not decide what a test sees


def ask(customer, **fields):
    body = {"model": "test/chat", "prompt": "Say hello to the road.", "provider": {"order": ["alpha"]}, **fields}
    return customer.stack.client.post("/api/v1/completions", json=body, headers=customer.headers)


@pytest.mark.parametrize("model", MODELS)
def test_a_prompt_is_answered_with_text_its_cost_and_one_receipt(customer, model):
    before = customer.balance_nanos()

    body = ask(customer, model=model).json()

    assert (body["object"], body["model"], body["choices"][0]["finish_reason"]) == ("text_completion", model, "stop")
    assert body["choices"][0]["text"]
    assert cost_nanos(body["usage"]) == priced(body["usage"]) == before - customer.balance_nanos() > 0
    (receipt,) = customer.receipts()
    assert receipt.api_type == "completions"


@pytest.mark.parametrize("model", MODELS)
def test_a_stream_says_and_costs_the_same(customer, model):
    whole = ask(customer, model=model).json()

    events = read_events(ask(customer, model=model, stream=True).text)

    assert events[-1] == "[DONE]"
    chunks = events[:-1]
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks if chunk["choices"]) == whole["choices"][0]["text"]
    assert chunks[-1]["usage"] == whole["usage"]
    assert {chunk["object"] for chunk in chunks} == {"text_completion"}


def test_the_official_client_reads_them(customer):
    with openai.OpenAI(base_url=f"{customer.stack.url}/api/v1", api_key=customer.secret) as client:
        whole = client.completions.create(model="test/chat", prompt="hello", max_tokens=20, extra_body=ALPHA)
        streamed = client.completions.create(model="test/chat", prompt="hello", max_tokens=20, stream=True, extra_body=ALPHA)

        assert "".join(chunk.choices[0].text for chunk in streamed if chunk.choices) == whole.choices[0].text


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": None}, "prompt"),
        ({"prompt": ["a", "b"]}, "prompt"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"prompt": [[1, 2], [3]]}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"echo": True}, "echo"),
        ({"suffix": "end"}, "suffix"),
        ({"logprobs": 99}, "logprobs"),
        ({"temperature": 3}, "temperature"),
    ],
)
def test_mistakes_are_told_with_the_field(customer, fields, param):
    answer = ask(customer, **fields)

    assert answer.status_code == 400
    assert answer.json()["error"]["metadata"]["param"] == param


def test_a_failure_in_the_middle_is_told_in_the_stream_and_free(customer):
    before = customer.balance_nanos()

    events = read_events(ask(customer, stream=True, prompt="[[simulate: error_in_stream=4 rate=50]] x", provider={"only": ["alpha"]}).text)

    (failed,) = [event for event in events if isinstance(event, dict) and "error" in event]
    assert failed["choices"][0]["finish_reason"] == "error"
    assert events[-1] == "[DONE]"
    assert customer.balance_nanos() == before


THINKS = {"reasoning": {"max_tokens": 1024}, "max_tokens": 2000}
HIDDEN = [{"reasoning": {"max_tokens": 1024, "exclude": True}}, {"include_reasoning": False}]


@pytest.mark.parametrize("wish", HIDDEN, ids=["exclude", "include_reasoning"])
@pytest.mark.parametrize("path", ["/api/v1/chat/completions", "/api/v1/completions"])
def test_hidden_thoughts_cost_what_shown_ones_do(customer, path, wish):
    def post(**fields):
        asked = {"messages": [{"role": "user", "content": "hello"}]} if "chat" in path else {"prompt": "hello"}
        body = {"model": "test/chat", **ALPHA, **asked, **THINKS, **fields}
        return customer.stack.client.post(path, json=body, headers=customer.headers)

    shown, hidden, streamed = post(), post(**wish), post(stream=True, **wish)

    said = shown.json()["choices"][0].get("message") or shown.json()["choices"][0]
    assert said["reasoning"]
    for answer in (hidden, streamed):
        assert '"reasoning"' not in answer.text
        assert '"reasoning_details"' not in answer.text
    usages = [shown.json()["usage"], hidden.json()["usage"], read_events(streamed.text)[-2]["usage"]]
    assert usages[0] == usages[1] == usages[2]
    assert usages[0]["completion_tokens_details"]["reasoning_tokens"] > 0
    assert [receipt.amount_nanos for receipt in customer.receipts()] == [cost_nanos(usages[0])] * 3


def test_a_chat_with_a_prompt_answers_and_costs_what_one_message_does(customer):
    def post(**fields):
        answer = customer.stack.client.post(
            "/api/v1/chat/completions", json={"model": "test/chat", **ALPHA, **fields}, headers=customer.headers
        )
        assert answer.status_code == 200, answer.text
        return answer

    chatted = post(messages=[{"role": "user", "content": "hello"}]).json()
    prompted, streamed = post(prompt="hello").json(), read_events(post(prompt="hello", stream=True).text)

    words = chatted["choices"][0]["message"]["content"]
    assert prompted["choices"][0]["text"] == prompted["choices"][0]["message"]["content"] == words
    assert "".join(chunk["choices"][0]["text"] for chunk in streamed[:-2]) == words
    assert prompted["usage"] == streamed[-2]["usage"] == chatted["usage"]
    assert [receipt.amount_nanos for receipt in customer.receipts()] == [cost_nanos(chatted["usage"])] * 3
