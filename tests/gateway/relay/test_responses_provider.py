"""A provider that speaks OpenAI's Responses, behind every client: streams, thoughts that survive a turn, errors, missing usage."""

import msgspec
import pytest

from tests.gateway.dialects.conversations import read_named_events
from tests.gateway.relay.conftest import COMPLETION_PICOS, PROMPT_PICOS, cost_nanos, read_events

TOOL = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {"at": {"type": "string"}}}}
QUESTION = {"type": "message", "role": "user", "content": "Look at the hills."}


def respond(customer, **fields):
    body = {"model": "test/responses", "input": [QUESTION], "max_output_tokens": 500, **fields}
    return customer.stack.client.post("/api/v1/responses", json=body, headers=customer.headers)


def test_a_chat_client_streams_words_thoughts_and_calls_from_it_and_pays_once(customer):
    before = customer.balance_nanos()
    tool = {"type": "function", "function": {name: value for name, value in TOOL.items() if name != "type"}}

    events = customer.stream(model="test/responses", provider={}, tools=[tool], reasoning={"effort": "low"})

    deltas = [choice["delta"] for event in events[:-1] for choice in event["choices"]]
    assert "".join(delta.get("reasoning") or "" for delta in deltas).startswith("The prompt has about")
    arguments = "".join(call["function"].get("arguments", "") for delta in deltas for call in delta.get("tool_calls", ()))
    assert msgspec.json.decode(arguments) == {"at": "simulated"}
    usage = events[-2]["usage"]
    nanos = (usage["prompt_tokens"] * PROMPT_PICOS + usage["completion_tokens"] * COMPLETION_PICOS + 500) // 1000
    assert before - customer.balance_nanos() == cost_nanos(usage) == nanos


@pytest.mark.parametrize("stream", [False, True])
def test_what_it_thought_comes_back_to_it_sealed_as_it_was(customer, stream):
    fields = {"tools": [TOOL], "reasoning": {"effort": "low", "summary": "auto"}}
    if stream:
        answer = respond(customer, stream=True, **fields)
        output = read_named_events(answer.content)[-1]["response"]["output"]
    else:
        output = respond(customer, **fields).json()["output"]
    assert [item["type"] for item in output] == ["reasoning", "function_call"]

    result = {"type": "function_call_output", "call_id": output[1]["call_id"], "output": "green"}
    again = respond(customer, input=[QUESTION, *output, result], **fields)

    assert again.status_code == 200, again.text
    sent = customer.stack.recorder.last("/p/rhea/").json()["input"]
    assert sent[1]["encrypted_content"].startswith("sealed-")
    assert sent[1]["id"].startswith("rs_")
    assert sent[1]["summary"] == output[0]["summary"]


def test_its_errors_keep_their_reason_before_and_inside_a_stream(customer):
    refused = respond(customer, input="[[simulate: status=429 retry_after=7]]")
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "7")

    broken = customer.post(
        model="test/responses",
        provider={},
        stream=True,
        messages=[{"role": "user", "content": "[[simulate: error_in_stream=8 rate=400]] hi"}],
    )
    (failed,) = [event for event in read_events(broken.text) if isinstance(event, dict) and "error" in event]
    assert failed["choices"][0]["finish_reason"] == "error"
    assert "Simulated error" in failed["error"]["message"]


@pytest.mark.parametrize("directive", ["drip=0", "crlf", "no_done"])
def test_borders_and_line_ends_change_nothing(customer, directive):
    text = "[[simulate: %s]] Say hello to the road."
    plain = customer.stream(model="test/responses", provider={}, messages=[{"role": "user", "content": text % "usage_every_chunk"}])
    odd = customer.stream(model="test/responses", provider={}, messages=[{"role": "user", "content": text % directive}])

    def counted(events):
        return "".join(choice["delta"].get("content") or "" for event in events[:-1] for choice in event["choices"])[:60]

    assert counted(plain) == counted(odd) != ""


def test_missing_usage_is_estimated_and_zero_usage_is_free(customer):
    missing = respond(customer, input="[[simulate: missing_usage]] Say hello.").json()["usage"]
    assert missing["output_tokens"] > 0
    assert cost_nanos(missing) > 0
    assert cost_nanos(respond(customer, input="[[simulate: zero_usage]] Say hello.").json()["usage"]) == 0
