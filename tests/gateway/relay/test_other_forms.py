"""A provider that answers in the other form: the client gets the one it asked for, at the same price."""

import pytest

from tests.gateway.relay.conftest import cost_nanos

MODELS = ["test/chat", "test/claude", "test/responses", "test/cohere"]


def ask(directive):
    return [{"role": "user", "content": f"[[simulate: {directive}]] Say hello to the road."}]


@pytest.mark.parametrize("model", MODELS)
def test_a_stream_that_nobody_asked_for_is_put_together(customer, model):
    plain = customer.post(model=model, messages=ask("usage_every_chunk")).json()
    other = customer.post(model=model, messages=ask("other_form")).json()
    assert other["choices"][0]["message"]["content"][:40] == plain["choices"][0]["message"]["content"][:40]
    assert other["choices"][0]["finish_reason"] == "stop"
    assert cost_nanos(other["usage"]) > 0


@pytest.mark.parametrize("model", MODELS)
def test_a_whole_answer_in_place_of_a_stream_is_cut_into_chunks(customer, model):
    before = customer.balance_nanos()
    events = customer.stream(model=model, messages=ask("other_form"))
    said = "".join(choice["delta"].get("content") or "" for event in events[:-1] for choice in event["choices"])
    assert said.startswith("This is a simulated answer")
    assert events[-1] == "[DONE]"
    assert [choice["finish_reason"] for choice in events[-3]["choices"]] == ["stop"]
    assert before - customer.balance_nanos() == cost_nanos(events[-2]["usage"]) > 0


def test_an_error_in_a_success_in_place_of_a_stream_is_an_error(customer):
    answer = customer.post(stream=True, messages=ask("other_form error_in_stream"))
    assert answer.status_code >= 500
    assert "Simulated error" in answer.json()["error"]["message"]
