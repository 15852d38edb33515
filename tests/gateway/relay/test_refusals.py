"""Bad input: the right status in the error shape, before anything is held or sent."""

import json

import pytest

from accounts import api_keys
from billing.proof import freezes


def error_of(answer):
    body = answer.json()
    assert set(body) == {"error"}
    error = body["error"]
    assert error["code"] == answer.status_code
    assert isinstance(error["message"], str)
    assert set(error["metadata"]) >= {"error_type", "source", "retryable"}
    return error


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "JSON"),
        (b"", "JSON"),
        (b"[]", "object"),
        (b'{"model": "test/chat", "messages": "hello"}', "messages"),
        (b'{"model": "test/chat", "messages": []}', "messages"),
        (b'{"model": "test/chat"}', "messages"),
        (b'{"model": 5, "messages": [{"role": "user", "content": "x"}]}', "model"),
        (b'{"messages": [{"role": "user", "content": "x"}]}', "model"),
        (b'{"model": "test/chat", "stream": "yes", "messages": [{"role": "user", "content": "x"}]}', "stream"),
        (b'{"model": "test/chat", "temperature": 9, "messages": [{"role": "user", "content": "x"}]}', "temperature"),
        (b'{"model": "test/chat", "max_tokens": 0, "messages": [{"role": "user", "content": "x"}]}', "max_tokens"),
        (b'{"model": "test/chat", "messages": [{"role": "king", "content": "x"}]}', "role"),
        (b'{"model": "test/chat", "provider": {"order": 3}, "messages": [{"role": "user", "content": "x"}]}', "provider.order"),
        (b"\xff\xfe", "JSON"),
    ],
)
def test_a_bad_body_is_a_400_that_names_the_field(customer, body, words):
    answer = customer.stack.client.post("/api/v1/chat/completions", content=body, headers=customer.headers)

    error = error_of(answer)
    assert answer.status_code == 400
    assert error["metadata"]["error_type"] == "invalid_request"
    assert words in error["message"] + str(error["metadata"].get("param"))


def test_an_unknown_model_is_told_by_name(customer):
    answer = customer.post(model="nobody/nothing")

    error = error_of(answer)
    assert answer.status_code == 400
    assert error["message"] == "nobody/nothing is not a valid model ID"
    assert error["availability"]["code"] == "model_not_found"
    assert error["availability"]["requested_models"] == ["nobody/nothing"]


def test_a_model_of_another_kind_is_a_wrong_endpoint(customer):
    answer = customer.post(model="test/embed")

    assert answer.status_code == 400
    assert error_of(answer)["availability"]["code"] == "wrong_endpoint"


def test_preferences_that_exclude_everyone_are_explained(customer):
    answer = customer.post(provider={"only": ["clio"]})

    error = error_of(answer)
    assert answer.status_code == 404
    assert error["availability"] == {
        "code": "constraint_filtered",
        "retryable": False,
        "requested_models": ["test/chat"],
        "excluded_by": ["allowed_providers"],
    }


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({}, "Missing Authentication header"),
        ({"Authorization": "Basic abc"}, "Missing Authentication header"),
        ({"Authorization": "Bearer sk-tw-v1-" + "0" * 64}, "User not found."),
        ({"Authorization": "Bearer nonsense"}, "User not found."),
    ],
)
def test_a_missing_or_unknown_key_is_a_401(stack, headers, message):
    answer = stack.client.post("/api/v1/chat/completions", json={}, headers=headers)

    assert answer.status_code == 401
    assert error_of(answer)["message"] == message


def test_a_disabled_key_stops_at_its_next_request_and_works_again_when_enabled(customer):
    assert customer.post().status_code == 200

    api_keys.update(api_key=customer.key, by=None, disabled=True)
    refused = customer.post()
    assert refused.status_code == 401
    assert error_of(refused)["message"] == "This API key is disabled."

    api_keys.update(api_key=customer.key, by=None, disabled=False)
    assert customer.post().status_code == 200


def test_a_deleted_key_stops_at_its_next_request(customer):
    assert customer.post().status_code == 200

    api_keys.delete(api_key=customer.key, by=None)

    assert customer.post().status_code == 401


def test_a_management_key_cannot_call_models(new_customer):
    customer = new_customer(is_management=True)

    answer = customer.post()

    assert answer.status_code == 403
    assert error_of(answer)["metadata"]["error_type"] == "permission_denied"


def test_a_body_over_the_cap_is_a_413_with_and_without_its_length_announced(customer):
    body = json.dumps({"model": "test/chat", "messages": [{"role": "user", "content": "x" * 1_000_001}]}).encode()

    announced = customer.stack.client.post("/api/v1/chat/completions", content=body, headers=customer.headers)
    pieces = customer.stack.client.post(
        "/api/v1/chat/completions", content=iter([body[:500_000], body[500_000:]]), headers=customer.headers
    )

    assert (announced.status_code, pieces.status_code) == (413, 413)
    assert error_of(announced)["metadata"]["error_type"] == "payload_too_large"


def test_a_wrong_method_names_the_right_ones(customer):
    answer = customer.stack.client.get("/api/v1/chat/completions", headers=customer.headers)

    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"
    error_of(answer)


def test_no_credit_is_a_402_even_for_a_cent(new_customer):
    customer = new_customer(credit_nanos=0)

    answer = customer.post()

    assert answer.status_code == 402
    assert error_of(answer)["metadata"]["available_usd"] == "0"


def test_an_account_whose_balance_is_in_doubt_is_told_so_and_when_to_come_back(new_customer):
    customer = new_customer()
    freezes.freeze(org_ids=[customer.organization.pk], reason="test")

    answer = customer.post()

    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "60"
    error = error_of(answer)
    assert error["metadata"]["reason"] == "account_frozen"
    assert (error["metadata"]["source"], error["metadata"]["retryable"]) == ("account", True)
    assert "Nothing was charged" in error["message"]


def test_refusals_leave_no_receipt_and_no_hold(customer):
    customer.post(model="nobody/nothing")
    customer.post(temperature=9)
    customer.post(provider={"only": ["nobody"]})

    assert customer.receipts() == []
    assert customer.balance_nanos() == 10_000_000_000


def test_browsers_may_call_from_anywhere(stack):
    answer = stack.client.options(
        "/api/v1/chat/completions",
        headers={
            "Origin": "https://app.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization",
        },
    )

    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "authorization" in answer.headers["access-control-allow-headers"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [{"type": "web_search_20250305", "name": "web_search", "max_uses": 50}]}, "tools[0].type"),
        ({"web_search_options": {"search_context_size": "high"}}, "web_search_options"),
        ({"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "file-123"}}]}]}, "messages"),
        ({"messages": [{"role": "user", "content": "x"}] * 10_001}, "messages"),
        ({"models": [f"test/{number}" for number in range(33)]}, "models"),
    ],
)
def test_what_no_hold_could_cover_is_refused(customer, fields, param):
    answer = customer.post(**fields)

    assert answer.status_code == 400
    assert error_of(answer)["metadata"]["param"] == param
