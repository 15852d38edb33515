"""POST /api/v1/route/explain through the real path: nothing is held, charged or sent."""

import pytest

from billing.money import NANOS_PER_USD

PATH = "/api/v1/route/explain"
HELLO = [{"role": "user", "content": "Hello"}]


def explained(customer, body, *, query="", **headers):
    return customer.stack.client.post(f"{PATH}{query}", json=body, headers={**customer.headers, **headers})


@pytest.mark.parametrize(
    ("body", "query", "headers", "api"),
    [
        ({"model": "test/chat", "messages": HELLO}, "", {}, "chat"),
        ({"model": "test/claude", "messages": HELLO, "max_tokens": 10, "system": "Be brief."}, "", {}, "messages"),
        ({"model": "test/claude", "messages": HELLO, "max_tokens": 10}, "", {"anthropic-version": "2023-06-01"}, "messages"),
        ({"model": "test/chat", "messages": HELLO, "max_tokens": 10}, "?api=messages", {}, "messages"),
        ({"model": "test/chat", "input": "Hello"}, "", {}, "responses"),
        ({"model": "test/chat", "prompt": "Hello"}, "", {}, "completions"),
        ({"model": "test/embed", "input": "Hello"}, "", {}, "embeddings"),
    ],
)
def test_every_kind_of_body_is_explained(customer, body, query, headers, api):
    answer = explained(customer, body, query=query, **headers)

    assert answer.status_code == 200, answer.text
    data = answer.json()["data"]
    assert data["api"] == api
    assert data["error"] is None
    assert {one["model"] for one in data["endpoints"]} == {body["model"]}


def test_a_dry_run_costs_nothing_holds_nothing_and_leaves_no_receipt(customer):
    before = customer.balance_nanos()

    data = explained(customer, {"model": "test/chat", "messages": HELLO}).json()["data"]

    assert int(data["hold"]["amount"]["nanos"]) > 0
    assert data["limits"][0]["remaining"] == {"nanos": str(before), "usd": "10"}
    assert customer.balance_nanos() == before == 10 * NANOS_PER_USD
    assert customer.receipts() == []


def test_the_hold_foretold_is_the_hold_taken(customer):
    body = {"model": "test/chat", "messages": HELLO, "provider": {"order": ["alpha"]}, "max_tokens": 50}

    foretold = explained(customer, body).json()["data"]["hold"]["amount"]["nanos"]

    customer.post(**body)
    (receipt,) = customer.receipts()
    assert receipt.hold_nanos == int(foretold)


def test_a_key_with_a_limit_is_told_what_is_left_of_it(new_customer):
    customer = new_customer(limit_nanos=1_000_000, limit_reset="daily")

    data = explained(customer, {"model": "test/chat", "messages": HELLO}).json()["data"]

    assert [(one["scope"], one["remaining"]["nanos"], one["reset"], one["covers"]) for one in data["limits"]] == [
        ("organization", str(10 * NANOS_PER_USD), None, True),
        ("key", "1000000", "daily", False),
    ]
    assert data["error"]["code"] == 402


@pytest.mark.parametrize(
    ("body", "query", "param"),
    [
        ({"model": "test/chat", "messages": []}, "", "messages"),
        ({"messages": HELLO}, "", "model"),
        ({"model": "test/nothing", "messages": HELLO}, "", "model"),
        ({"model": "test/chat", "messages": HELLO, "provider": {"order": ["nobody"]}}, "", "provider.order"),
        ({"model": "test/chat", "messages": HELLO, "models": ["test/chat"] * 40}, "", "models"),
        ({"model": "test/chat", "messages": HELLO}, "?api=telepathy", "api"),
    ],
)
def test_a_malformed_request_is_refused_as_it_would_be(customer, body, query, param):
    answer = explained(customer, body, query=query)

    assert answer.status_code == 400
    assert answer.json()["error"]["metadata"]["param"] == param


def test_a_stranger_learns_nothing(stack):
    assert stack.client.post(PATH, json={"model": "test/chat", "messages": HELLO}).status_code == 401
    wrong = {"Authorization": "Bearer sk-tw-v1-nobody"}
    assert stack.client.post(PATH, json={"model": "test/chat", "messages": HELLO}, headers=wrong).status_code == 401


def test_only_post_is_allowed(customer):
    answer = customer.stack.client.get(PATH, headers=customer.headers)

    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"
