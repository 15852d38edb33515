"""Sessions through the real path."""

import pytest

ANY = {"provider": {"only": ["alpha", "beta"]}}


def test_a_session_stays_with_the_endpoint_that_answered_it_first(customer):
    first = customer.post(session_id="talk", provider={"only": ["beta"]}).json()["provider"]

    # Alpha is four times cheaper: without a session beta would be drawn once in seventeen.
    followed = {customer.post(session_id="talk", **ANY).json()["provider"] for _ in range(6)}

    assert first == "Beta"
    assert followed == {"Beta"}


def test_the_header_names_a_session_and_the_body_goes_before_it(customer):
    headers = {**customer.headers, "x-session-id": "header-talk"}
    body = {"model": "test/chat", "messages": [{"role": "user", "content": "Hello"}]}
    client = customer.stack.client
    client.post("/api/v1/chat/completions", json={**body, "provider": {"only": ["beta"]}}, headers=headers)

    explained = client.post("/api/v1/route/explain", json=body, headers=headers).json()["data"]
    assert [(one["provider"], one["reason"], one["first_permille"]) for one in explained["endpoints"]] == [
        ("beta", "session", None),
        ("alpha", "price", None),
    ]
    other = client.post("/api/v1/route/explain", json={**body, "session_id": "other"}, headers=headers).json()["data"]
    assert "session" not in [one["reason"] for one in other["endpoints"]]
    (receipt,) = customer.receipts()
    assert receipt.session_id == "header-talk"


def test_a_session_of_another_organization_is_another_session(customer, new_customer):
    customer.post(session_id="talk", provider={"only": ["beta"]})
    body = {"model": "test/chat", "messages": [{"role": "user", "content": "Hello"}], "session_id": "talk"}

    stranger = new_customer()
    data = stranger.stack.client.post("/api/v1/route/explain", json=body, headers=stranger.headers).json()["data"]

    assert "session" not in [one["reason"] for one in data["endpoints"]]


@pytest.mark.parametrize("path", ["/api/v1/chat/completions", "/api/v1/route/explain"])
def test_a_session_that_is_too_long_is_refused_with_its_name(customer, path):
    body = {"model": "test/chat", "messages": [{"role": "user", "content": "Hello"}]}

    answer = customer.stack.client.post(path, json=body, headers={**customer.headers, "x-session-id": "x" * 257})

    assert answer.status_code == 400
    assert answer.json()["error"]["metadata"]["param"] == "x-session-id"
