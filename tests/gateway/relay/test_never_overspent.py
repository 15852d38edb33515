"""What a request may cost is held before it runs, and what was generated is paid for, however the client behaves."""

import asyncio
import dataclasses
import json
import socket
import time
from urllib.parse import urlsplit

import msgspec
import pytest
import redis
from django.conf import settings

from billing.authorizer.keys import shard_keys
from catalog.types import ProviderSpec
from gateway.simulator.tokens import count_tokens
from tests.gateway.relay import conftest
from tests.gateway.relay.conftest import COMPLETION_PICOS, PROMPT_PICOS, ServerThread

NANOS_PER_CENT = 10_000_000
SEEN = []


async def scripted(scope, receive, send):
    """A provider that answers what the last message tells it to: a whole body, or chunks and pauses."""
    if scope["type"] == "lifespan":
        for word in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{word}.complete"})
        return
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    request = json.loads(body)
    SEEN.append(request)
    content = request["messages"][-1]["content"]
    script = json.loads(content if isinstance(content, str) else content[-1]["text"])
    kind = b"application/json" if isinstance(script, dict) else b"text/event-stream"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
    if isinstance(script, dict):
        await send({"type": "http.response.body", "body": json.dumps(script).encode()})
        return
    for step in script:
        if isinstance(step, int):
            await asyncio.sleep(step)
        else:
            data = step if isinstance(step, str) else json.dumps(step)
            await send({"type": "http.response.body", "body": f"data: {data}\n\n".encode(), "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def chunk(text="", finish=None):
    return {"id": "x", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]}


def usage(prompt, completion):
    return {"prompt_tokens": prompt, "completion_tokens": completion}


def whole(prompt, completion):
    message = {"role": "assistant", "content": "hi"}
    return {"id": "x", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage(prompt, completion)}


def saying(script):
    return {"provider": {}, "messages": [{"role": "user", "content": json.dumps(script)}]}


@pytest.fixture(scope="module", autouse=True)
def _scripted_provider():
    """Put models at the scripted provider into the catalog of this module's stack."""
    server = ServerThread(scripted)
    server.start()
    make = conftest.make_snapshot

    def with_scripted(simulator_url, dead_url):
        snapshot = make(simulator_url, dead_url)
        snapshot.providers["script"] = ProviderSpec(
            slug="script",
            name="Script",
            base_url=f"{server.url}/v1",
            dialect="chat_completions",
            auth="none",
            mode="live",
            allow_private_address=True,
        )
        thinks = frozenset({"reasoning", "max_tokens"})
        for name, changes in {
            "test/plain": {"supported_parameters": frozenset({"max_tokens"})},
            "test/thinker": {"supported_parameters": thinks},
            "test/boundless": {"supported_parameters": thinks, "context_length": 0, "max_output_tokens": 0},
        }.items():
            endpoint = msgspec.structs.replace(
                snapshot.endpoints["test/chat@alpha"], id=f"{name}@script", model=name, provider="script", tag="script", **changes
            )
            snapshot.endpoints[endpoint.id] = endpoint
            snapshot.models[name] = msgspec.structs.replace(snapshot.models["test/chat"], id=name, endpoints=(endpoint.id,))
        return snapshot

    conftest.make_snapshot = with_scripted
    yield
    conftest.make_snapshot = make
    server.stop()


def only_receipt(customer):
    for _ in range(60):
        if found := customer.receipts():
            return found[0]
        time.sleep(0.05)
    raise AssertionError("the request was never settled")


def read_until(customer, *, enough, **fields):
    """Read a stream's text until ``enough`` says so, and leave."""
    text = ""
    body = {"model": "test/chat", "stream": True, **fields}
    with customer.stack.client.stream("POST", "/api/v1/chat/completions", json=body, headers=customer.headers) as answer:
        for line in answer.iter_lines():
            if line.startswith("data: {"):
                choices = json.loads(line[6:])["choices"]
                text += (choices[0]["delta"].get("content") or "") if choices else ""
            if enough(text):
                return text
    return text


def test_who_leaves_in_the_middle_pays_for_what_was_said_in_every_wire_format(customer):
    words = [{"role": "user", "content": "[[simulate: big=6000 rate=3000]] hello"}]

    text = read_until(customer, model="test/claude", max_tokens=6000, messages=words, enough=lambda text: count_tokens(text) > 2000)

    receipt = only_receipt(customer)
    assert receipt.status == "cancelled"
    assert receipt.amount_nanos >= count_tokens(text) * COMPLETION_PICOS // 1000 * 9 // 10


def test_who_leaves_before_usage_is_told_pays_for_the_pictures_too(customer):
    pictures = [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}] * 40
    content = [*pictures, {"type": "text", "text": json.dumps([chunk("The answer is 42. END"), 3, chunk("more")])}]

    read_until(
        customer, model="test/plain", max_tokens=100, messages=[{"role": "user", "content": content}], enough=lambda text: "END" in text
    )

    assert only_receipt(customer).meters["input_tokens"] > 40 * 500


def test_thoughts_that_are_not_shown_are_held_for_or_forbidden(new_customer):
    customer = new_customer(credit_nanos=5 * NANOS_PER_CENT)
    script = [chunk("4"), chunk(finish="stop"), {"choices": [], "usage": usage(20, 60_000)}, "[DONE]"]

    customer.stream(model="test/thinker", **saying(script))

    receipt = only_receipt(customer)
    sent = SEEN[-1].get("max_tokens")
    assert sent is not None
    assert receipt.hold_nanos >= sent * COMPLETION_PICOS // 1000


@pytest.mark.parametrize("asked", [None, 120_000])
def test_an_endpoint_without_a_known_limit_is_told_one_that_the_hold_covers(new_customer, asked):
    customer = new_customer(credit_nanos=500 * NANOS_PER_CENT)

    answer = customer.post(model="test/boundless", max_tokens=asked, **saying(whole(20, 10)))

    assert answer.status_code == 200, answer.text
    assert only_receipt(customer).hold_nanos >= SEEN[-1]["max_tokens"] * COMPLETION_PICOS // 1000


def test_text_in_fields_that_we_do_not_know_is_held_for(new_customer):
    customer = new_customer(credit_nanos=NANOS_PER_CENT)
    functions = [{"name": "f", "description": "word " * 60_000, "parameters": {}}]

    answer = customer.post(model="test/plain", max_tokens=5, functions=functions, **saying(whole(60_000, 2)))

    assert answer.status_code == 402
    assert customer.balance_nanos() == NANOS_PER_CENT


def test_an_end_users_name_is_cut_to_what_a_receipt_keeps(customer):
    customer.post(user="u" * 500_000)

    with redis.Redis.from_url(settings.REDIS_URL) as store:
        entries = store.xrange(shard_keys(customer.organization.shard).stream)
    assert all(len(fields[b"d"]) < 10_000 for _, fields in entries)
    assert only_receipt(customer).external_user == "u" * 256


def test_what_the_reaper_would_charge_is_near_what_is_owed(customer):
    """Look at what the heartbeat tells while an answer of 2,000 tokens is under way."""
    spent = 0

    def look(_text):
        nonlocal spent
        mine = [hold for hold in customer.stack.plane._holds._in_flight.values() if hold.caller.org_id == customer.organization.pk]
        spent = max([spent, *(hold.spent_nanos for hold in mine)])
        return False

    words = [{"role": "user", "content": "[[simulate: big=2000 rate=4000]] hello"}]
    read_until(customer, provider={"order": ["alpha"]}, max_tokens=3000, messages=words, enough=look)

    owed = only_receipt(customer).amount_nanos
    assert owed // 2 < spent < owed * 5 // 4


def test_a_body_that_stops_arriving_is_given_up(customer):
    customer.stack.plane.app._config = msgspec_replace(customer.stack.plane.app._config, body_timeout_s=0.3)
    address = urlsplit(customer.stack.url)
    head = f"POST /api/v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {customer.secret}\r\ncontent-length: 100\r\n\r\n{{"
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.settimeout(3)
        connection.sendall(head.encode())
        assert b" 408 " in connection.recv(100)


def msgspec_replace(config, **changes):
    return dataclasses.replace(config, **changes)


assert PROMPT_PICOS


def test_a_max_tokens_beyond_all_money_is_the_callers_mistake_and_holds_nothing(customer):
    answer = customer.post(model="test/boundless", provider={}, max_tokens=10**18)

    assert answer.status_code == 400
    assert answer.json()["error"]["metadata"]["param"] == "max_tokens"
    assert customer.receipts() == []
    assert customer.balance_nanos() == 10_000_000_000
