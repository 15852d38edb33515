"""A client repeats its request under one Idempotency-Key while gateways die: what it is told was charged, and nothing else."""

import time
from decimal import Decimal

import httpx
import pytest

from tests.faults.scale import times
from tests.faults.stack import MODEL, NANOS_PER_USD

pytestmark = [pytest.mark.faults, pytest.mark.xdist_group("faults")]

WITHIN_S = 400


def _send(stack, name, text):
    body = {"model": MODEL, "max_tokens": 4000, "messages": [{"role": "user", "content": text}]}
    headers = {"Authorization": f"Bearer {stack.demo['TOLLWAY_API_KEY']}", "Idempotency-Key": name}
    return httpx.post(f"{stack.url}/api/v1/chat/completions", json=body, headers=headers, timeout=60)


def _is_to_be_repeated(answer):
    return answer.status_code == 503 or (answer.status_code == 409 and "idempotency_in_progress" in answer.text)


def _send_until_answered(stack, name, text):
    deadline = time.monotonic() + WITHIN_S
    while True:
        try:
            answer = _send(stack, name, text)
        except httpx.HTTPError:
            answer = None
        if answer is not None and answer.status_code == 200:
            return answer
        assert answer is None or _is_to_be_repeated(answer), answer.text
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.mark.long
def test_a_request_repeated_over_the_death_of_its_gateway_is_charged_once(stack, record_property):
    before = stack.earlier()
    stack.is_settled = False
    rounds = times(1, 5)
    charged = {}
    for number in range(rounds):
        name, text = f"killed-{time.time_ns()}", f"[[simulate: big=2000 rate=100]] round {number}"
        body = {"model": MODEL, "max_tokens": 4000, "stream": True, "messages": [{"role": "user", "content": text}]}
        headers = {"Authorization": f"Bearer {stack.demo['TOLLWAY_API_KEY']}", "Idempotency-Key": name}
        with httpx.stream("POST", f"{stack.url}/api/v1/chat/completions", json=body, headers=headers, timeout=60) as answer:
            lost = answer.headers["x-generation-id"]
            time.sleep(7)  # longer than a heartbeat, which tells what was spent so far
            stack.kill(*stack.web_workers())
        deadline = time.monotonic() + WITHIN_S
        while True:
            try:
                with httpx.Client(timeout=120) as client:
                    again = client.post(f"{stack.url}/api/v1/chat/completions", json=body, headers=headers)
            except httpx.HTTPError:
                again = None
            if again is not None and again.status_code == 200:
                break
            assert again is None or _is_to_be_repeated(again), again.text
            assert time.monotonic() < deadline
            time.sleep(0.5)
        assert again.headers["x-generation-id"] == lost
        costs = [line for line in again.text.splitlines() if '"cost":' in line]
        charged[lost] = int(Decimal(costs[-1].split('"cost":')[1].split(",")[0].split("}")[0]) * NANOS_PER_USD)

    stack.await_receipts(charged)
    stack.settle()
    receipts = {name: sum(amount for amount, _ in rows) for name, rows in stack.receipts().items() if name not in before}
    assert receipts == charged
    assert stack.freezes() == []
    record_property("repeats", rounds)


@pytest.mark.long
def test_requests_repeated_until_answered_over_kills_of_gateways_are_charged_once_each(stack, record_property):
    before = stack.earlier()
    stack.is_settled = False
    rounds, told = times(2, 20), {}
    for number in range(rounds):
        name, text = f"order-{time.time_ns()}", f"order {number}"
        if number % 2:
            stack.kill(stack.web_workers()[0])
        first = _send_until_answered(stack, name, text)
        again = _send_until_answered(stack, name, text)
        assert again.content == first.content
        told[first.json()["id"]] = int(Decimal(repr(first.json()["usage"]["cost"])) * NANOS_PER_USD)
        deadline = time.monotonic() + WITHIN_S
        while (changed := _send(stack, name, f"another {number}")).status_code == 503:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert changed.status_code == 409

    stack.await_receipts(told)
    stack.settle()
    receipts = {name: sum(amount for amount, _ in rows) for name, rows in stack.receipts().items() if name not in before}
    assert {name: amount for name, amount in receipts.items() if amount} == told
    record_property("repeats", 3 * rounds)
