"""Requests sent again under one Idempotency-Key: one charge, the same answer, or a clear refusal."""

import concurrent.futures
import threading
import time

import httpx
import pytest

from billing.authorizer.claims import CLAIM_TTL_S, Claim
from billing.authorizer.keys import claim_keys
from billing.live.store import store
from gateway.relay import repeats
from gateway.relay.errors import Unavailable
from gateway.relay.generation import new_event_id
from tests.factories.usage import book
from tests.gateway.relay.conftest import cost_nanos

CHAT = {"model": "test/chat", "provider": {"order": ["alpha"]}, "messages": [{"role": "user", "content": "Say hello to the road."}]}


def send(customer, name, *, path="/api/v1/chat/completions", headers=None, **fields):
    """Send once more what a money store that is slow for a moment refused (503): nothing was begun then."""
    deadline = time.monotonic() + 30
    while True:
        sent_headers = {**(headers or customer.headers), "Idempotency-Key": name}
        answer = customer.stack.client.post(path, json={**CHAT, **fields}, headers=sent_headers)
        if answer.status_code != 503:
            return answer
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.05)


def send_until_answered(customer, name, **fields):
    """Send as the official clients do, which repeat what says that it may be repeated."""
    deadline = time.monotonic() + 30
    while True:
        answer = send(customer, name, **fields)
        if answer.status_code != 409 or answer.headers.get("x-should-retry") == "false":
            return answer
        assert answer.headers["retry-after"] == "1"
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.05)


def claim_of(customer, name):
    organization = customer.organization
    return claim_keys(organization.shard, organization.pk, customer.key.pk, repeats._digest(name.encode()))[-1]


def test_a_repeated_request_is_answered_with_the_same_bytes_and_charged_once(customer):
    before = customer.balance_nanos()
    first = send(customer, "order-1")

    again = send_until_answered(customer, "order-1")

    assert (first.status_code, again.status_code) == (200, 200)
    assert again.content == first.content
    assert again.headers["x-generation-id"] == first.headers["x-generation-id"] == first.json()["id"]
    assert again.headers["content-type"] == first.headers["content-type"]
    assert ("idempotent-replayed" in first.headers, again.headers["idempotent-replayed"]) == (False, "true")
    assert before - customer.balance_nanos() == cost_nanos(first.json()["usage"])
    assert len(customer.receipts()) == 1


def test_a_repeated_stream_is_told_again_and_charged_once(customer):
    before = customer.balance_nanos()
    first = send(customer, "stream-1", stream=True)

    again = send_until_answered(customer, "stream-1", stream=True)

    assert again.content == first.content
    assert again.text.endswith("data: [DONE]\n\n")
    assert again.headers["content-type"] == first.headers["content-type"] == "text/event-stream; charset=utf-8"
    (receipt,) = customer.receipts()
    assert before - customer.balance_nanos() == receipt.amount_nanos > 0


def test_another_request_under_a_used_name_is_refused_and_not_to_be_tried_again(customer):
    first = send(customer, "order-2")
    send_until_answered(customer, "order-2")
    before = customer.balance_nanos()

    answer = send(customer, "order-2", max_tokens=7)

    error = answer.json()["error"]
    assert (answer.status_code, error["metadata"]["error_type"]) == (409, "precondition_failed")
    assert error["metadata"]["reason"] == "idempotency_conflict"
    assert error["metadata"]["param"] == "Idempotency-Key"
    assert error["metadata"]["generation_id"] == first.json()["id"]
    assert error["metadata"]["retryable"] is False
    assert answer.headers["x-should-retry"] == "false"
    assert customer.balance_nanos() == before


def test_the_same_body_at_another_path_is_another_request(customer):
    send(customer, "order-3")

    answer = send(customer, "order-3", path="/api/v1/messages", max_tokens=9)

    assert answer.status_code == 409
    assert answer.json()["type"] == "error"


def test_fifty_at_once_are_one_request(customer):
    before = customer.balance_nanos()

    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        answers = [*pool.map(lambda _: send_until_answered(customer, "order-4"), range(50))]

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert sum("idempotent-replayed" not in answer.headers for answer in answers) == 1
    (receipt,) = customer.receipts()
    assert before - customer.balance_nanos() == receipt.amount_nanos


def test_while_the_first_runs_others_are_told_to_wait(customer):
    slow = [{"role": "user", "content": "[[simulate: delay_ms=3000]] hello"}]
    told = threading.Thread(target=send, args=(customer, "order-5"), kwargs={"messages": slow})
    told.start()
    deadline = time.monotonic() + 10
    while not store().exists(claim_of(customer, "order-5")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    answer = send(customer, "order-5", messages=slow)
    told.join()

    error = answer.json()["error"]
    assert error["metadata"]["reason"] == "idempotency_in_progress"
    assert error["metadata"]["retryable"] is True
    assert answer.headers["retry-after"] == "1"
    assert "x-should-retry" not in answer.headers


def test_a_request_that_failed_free_of_charge_may_be_sent_again_under_its_name(customer):
    failed = send(customer, "order-6", model="test/dead", provider={})

    again = send_until_answered(customer, "order-6", model="test/dead", provider={})

    assert failed.status_code == again.status_code == 502
    assert failed.headers["x-generation-id"] != again.headers["x-generation-id"]
    assert sum(receipt.amount_nanos for receipt in customer.receipts()) == 0


def test_a_refusal_for_lack_of_credit_leaves_the_name_free(stack):
    customer = stack.new_customer(credit_nanos=0)

    refused = [send_until_answered(customer, "order-7").status_code for _ in range(2)]

    assert refused == [402, 402]


def test_a_name_belongs_to_one_api_key(stack, customer):
    stranger = stack.new_customer()

    mine, theirs = send(customer, "order-8"), send(stranger, "order-8")

    assert (mine.status_code, theirs.status_code) == (200, 200)
    assert mine.json()["id"] != theirs.json()["id"]
    assert "idempotent-replayed" not in theirs.headers
    assert len(stranger.receipts()) == 1


def test_an_answer_whose_copy_is_gone_is_not_asked_for_again(customer, broker):
    first = send(customer, "order-9")
    assert send_until_answered(customer, "order-9").status_code == 200
    broker.delete(f"kept:{first.json()['id'].removeprefix('gen-')}")

    answer = send(customer, "order-9")

    assert answer.status_code == 409
    assert answer.json()["error"]["metadata"]["reason"] == "idempotency_ended"
    assert first.json()["id"] in answer.json()["error"]["metadata"]["remedy_hint"]
    assert len(customer.receipts()) == 1


async def test_a_kept_answer_that_cannot_be_read_now_is_not_given_up():
    away = repeats.Repeats(None, None, "redis://127.0.0.1:1/0", None)
    claim = Claim("DONE", None, "name", new_event_id())

    with pytest.raises(Unavailable) as told:
        await away._find(claim, bytes(32))

    assert told.value.retry_after_s == 1
    assert told.value.metadata["generation_id"] == f"gen-{claim.event_id.hex}"


def test_a_kept_answer_cannot_be_read_without_the_api_key(customer, broker):
    first = send(customer, "order-10")
    assert send_until_answered(customer, "order-10").status_code == 200

    kept = broker.get(f"kept:{first.json()['id'].removeprefix('gen-')}")

    assert first.json()["choices"][0]["message"]["content"].encode() not in kept
    assert 0 < broker.ttl(f"kept:{first.json()['id'].removeprefix('gen-')}") <= CLAIM_TTL_S


def test_whoever_repeats_a_request_whose_gateway_died_takes_its_event_over(customer):
    event_id = new_event_id()
    send(customer, "warm-up")  # so that the shard is open
    lost = CHAT | {"max_tokens": 31}
    body = httpx.Request("POST", "http://t", json=lost).content
    store().hset(
        claim_of(customer, "order-11"), mapping={"event": event_id.hex, "digest": repeats._digest(b"/api/v1/chat/completions", body)}
    )

    answer = send_until_answered(customer, "order-11", max_tokens=31)

    assert answer.status_code == 200
    assert answer.json()["id"] == f"gen-{event_id.hex}"
    assert [receipt.event_id for receipt in customer.receipts()].count(event_id) == 1


@pytest.mark.parametrize("name", ["", "x" * 256, "a\tb"])
def test_a_name_that_is_none_is_refused(customer, name):
    answer = send(customer, name)

    assert answer.status_code == 400
    assert answer.json()["error"]["metadata"]["param"] == "Idempotency-Key"
    assert customer.receipts() == []


def _forget_the_end(customer, name):
    """Let the end of a name have been told to nobody, and its gateway be missed for long enough."""
    wait_for_end(customer, name)
    store().hdel(claim_of(customer, name), "done")
    store().hset(claim_of(customer, name), "lost_ms", 1)


def wait_for_end(customer, name):
    deadline = time.monotonic() + 30
    while not store().hexists(claim_of(customer, name), "done"):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_request_whose_end_could_not_be_told_is_answered_again_and_neither_free_nor_charged_twice(customer):
    first = send(customer, "untold-1")
    before = customer.balance_nanos()
    assert len(customer.receipts()) == 1
    _forget_the_end(customer, "untold-1")

    again = send_until_answered(customer, "untold-1")

    assert (again.status_code, again.content, again.headers["idempotent-replayed"]) == (200, first.content, "true")
    assert customer.balance_nanos() == before
    assert store().hget(claim_of(customer, "untold-1"), "done") == b"1"


def test_a_failure_whose_end_could_not_be_told_is_tried_anew_and_charged_as_any_other(customer):
    failed = book(customer.key, amount_picos=0, status="error", finish_reason="", meters={})
    name, request = claim_of(customer, "untold-2"), {**CHAT, "max_tokens": 9}
    digest = repeats._digest(b"/api/v1/chat/completions", httpx.Request("POST", "http://x/", json=request).content)
    store().hset(name, mapping={"event": failed.event_id.hex, "digest": digest, "lost_ms": 1})
    before = customer.balance_nanos()

    answer = send(customer, "untold-2", max_tokens=9)

    assert (answer.status_code, "idempotent-replayed" in answer.headers) == (200, False)
    assert answer.json()["id"] != f"gen-{failed.event_id.hex}"
    assert before - customer.balance_nanos() == cost_nanos(answer.json()["usage"]) > 0
    assert len(customer.receipts()) == 2
