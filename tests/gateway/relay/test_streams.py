"""Streams through the real path: order, usage, faults before and after the first byte, and clients that leave."""

import socket
import time

import httpx
import pytest

from tests.gateway.relay.conftest import cost_nanos, read_events
from tests.gateway.relay.test_answers import priced


def words(directive):
    return [{"role": "user", "content": f"[[simulate: {directive}]] hello"}]


def chunks_of(events):
    return [event for event in events if isinstance(event, dict)]


def text_of(events):
    return "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks_of(events) if chunk["choices"])


@pytest.mark.parametrize("model", ["test/chat", "test/claude", "test/gemini"])
def test_a_stream_ends_with_its_finish_reason_then_usage_once_then_done(customer, model):
    before = customer.balance_nanos()

    events = customer.stream(model=model)

    chunks = chunks_of(events)
    assert events[-1] == "[DONE]"
    assert chunks[-1]["choices"] == []
    assert [chunk for chunk in chunks if "usage" in chunk] == [chunks[-1]]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks if chunk["choices"] and chunk["choices"][0].get("finish_reason")] == [
        "stop"
    ]
    usage = chunks[-1]["usage"]
    assert cost_nanos(usage) == priced(usage) > 0
    assert before - customer.balance_nanos() == cost_nanos(usage)
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert {(chunk["object"], chunk["model"]) for chunk in chunks} == {("chat.completion.chunk", model)}


@pytest.mark.parametrize("model", ["test/chat", "test/claude", "test/gemini"])
def test_a_stream_says_and_costs_the_same_as_the_whole_answer(customer, model):
    whole = customer.post(model=model).json()

    events = customer.stream(model=model)

    assert text_of(events) == whole["choices"][0]["message"]["content"]
    assert chunks_of(events)[-1]["usage"] == whole["usage"]


def test_a_failure_before_the_first_byte_is_replaced_in_silence(customer):
    events = customer.stream(messages=words("status=503 only=alpha"), provider={"order": ["alpha"]})

    assert {chunk["provider"] for chunk in chunks_of(events)} == {"Beta"}


def test_a_failure_before_the_first_byte_of_the_last_endpoint_is_an_ordinary_error(customer):
    answer = customer.post(stream=True, messages=words("status=429 retry_after=7"), provider={"only": ["alpha"]})

    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "7"
    assert answer.json()["error"]["metadata"]["error_type"] == "rate_limit_exceeded"


@pytest.mark.parametrize("directive", ["error_in_stream=4 rate=50", "cut_after=4 rate=50", "malformed=4 rate=50"])
def test_a_failure_after_the_first_byte_is_told_in_the_stream_and_costs_nothing(customer, directive):
    before = customer.balance_nanos()

    events = customer.stream(messages=words(directive), provider={"order": ["alpha"]})

    chunks = chunks_of(events)
    (failed,) = [chunk for chunk in chunks if "error" in chunk]
    assert failed["choices"][0]["finish_reason"] == "error"
    assert isinstance(failed["error"]["code"], int)
    assert failed["error"]["metadata"]["provider_name"] == "Alpha"
    assert {chunk["provider"] for chunk in chunks} == {"Alpha"}
    assert cost_nanos(chunks[-1]["usage"]) == 0
    assert events[-1] == "[DONE]"
    assert customer.balance_nanos() == before
    (receipt,) = customer.receipts()
    assert (receipt.status, receipt.amount_nanos) == ("error", 0)


@pytest.mark.parametrize("directive", ["missing_usage", "usage_every_chunk", "crlf", "no_done", "drip", "wrong_model"])
def test_odd_providers_give_ordinary_streams(customer, directive):
    events = customer.stream(messages=words(directive), provider={"only": ["alpha"]})

    chunks = chunks_of(events)
    assert events[-1] == "[DONE]"
    assert text_of(events)
    assert {chunk["model"] for chunk in chunks} == {"test/chat"}
    assert [chunk for chunk in chunks if "usage" in chunk] == [chunks[-1]]
    assert cost_nanos(chunks[-1]["usage"]) == priced(chunks[-1]["usage"]) > 0


def test_a_silent_provider_is_covered_by_comments_and_the_answer_still_comes(customer):
    answer = customer.post(stream=True, messages=words("first_token_ms=1500"), provider={"only": ["alpha"]})

    events = read_events(answer.text)
    assert ": TOLLWAY PROCESSING" in events
    assert text_of(events)
    assert events[-1] == "[DONE]"


def test_a_provider_that_never_begins_is_given_up_in_time_and_told_in_the_stream(customer):
    answer = customer.post(stream=True, messages=words("hang"), provider={"only": ["alpha"]})

    events = read_events(answer.text)
    (failed,) = [chunk for chunk in chunks_of(events) if "error" in chunk]
    assert failed["error"]["metadata"]["error_type"] == "timeout"
    assert events[-1] == "[DONE]"
    (receipt,) = customer.receipts()
    assert (receipt.status, receipt.amount_nanos, receipt.http_status) == ("error", 0, 504)


def test_a_client_that_leaves_pays_for_what_was_generated_and_the_hold_goes(customer):
    before = customer.balance_nanos()
    body = {"model": "test/chat", "stream": True, "messages": words("big=2000 rate=100"), "provider": {"only": ["alpha"]}}

    with httpx.stream("POST", f"{customer.stack.url}/api/v1/chat/completions", json=body, headers=customer.headers) as answer:
        lines = answer.iter_lines()
        for _ in range(20):
            next(lines)

    deadline = time.monotonic() + 3
    while customer.stack.plane._holds.in_flight and time.monotonic() < deadline:
        time.sleep(0.01)
    assert customer.stack.plane._holds.in_flight == 0
    (receipt,) = customer.receipts()
    assert receipt.status == "cancelled"
    assert receipt.is_estimate is True
    assert 0 < receipt.amount_nanos < 2000 * 10_000
    assert before - customer.balance_nanos() == receipt.amount_nanos


def test_a_client_that_leaves_before_the_first_token_pays_nothing(customer):
    before = customer.balance_nanos()
    payload = b'{"model":"test/chat","stream":true,"messages":[{"role":"user","content":"[[simulate: first_token_ms=2000]] x"}]}'
    host, _, port = customer.stack.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as connection:
        head = (
            f"POST /api/v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {customer.secret}\r\n"
            f"content-length: {len(payload)}\r\n\r\n"
        )
        connection.sendall(head.encode() + payload)
        time.sleep(0.2)
        assert customer.stack.plane._holds.in_flight == 1

    deadline = time.monotonic() + 1
    while customer.stack.plane._holds.in_flight and time.monotonic() < deadline:
        time.sleep(0.01)
    assert customer.stack.plane._holds.in_flight == 0
    assert customer.balance_nanos() == before


def test_a_long_answer_extends_its_hold_as_it_grows(new_customer):
    customer = new_customer(credit_nanos=1_000_000_000)

    events = customer.stream(messages=words("big=9000 rate=1000000"), provider={"only": ["alpha"]}, reasoning={"enabled": False})

    usage = chunks_of(events)[-1]["usage"]
    assert usage["completion_tokens"] == 9000
    (receipt,) = customer.receipts()
    assert receipt.hold_nanos >= receipt.amount_nanos == cost_nanos(usage)


def test_an_answer_that_outgrows_the_credit_is_ended_with_a_clear_reason_and_paid(new_customer):
    # Enough for the first hold of 4,096 tokens (4.1 cents and the prompt), not for an extension.
    customer = new_customer(credit_nanos=60_000_000)

    events = customer.stream(messages=words("big=16000 rate=1000000"), provider={"only": ["alpha"]}, reasoning={"enabled": False})

    chunks = chunks_of(events)
    (finish,) = [chunk for chunk in chunks if chunk["choices"] and chunk["choices"][0].get("finish_reason")]
    assert finish["choices"][0]["finish_reason"] == "length"
    assert finish["choices"][0]["native_finish_reason"] == "credit_exhausted"
    (receipt,) = customer.receipts()
    assert 0 < receipt.amount_nanos <= 60_000_000
    assert customer.balance_nanos() == 60_000_000 - receipt.amount_nanos


def test_tool_calls_arrive_in_pieces_that_join_to_valid_arguments(customer):
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {"at": {"type": "string"}}}}}

    events = customer.stream(tools=[tool])

    deltas = [chunk["choices"][0]["delta"] for chunk in chunks_of(events) if chunk["choices"]]
    calls = [call for delta in deltas for call in delta.get("tool_calls") or []]
    assert calls[0]["function"]["name"] == "look"
    assert chunks_of(events)[-2]["choices"][0]["finish_reason"] == "tool_calls"
