"""Errors of providers: which word, may another try help, and nothing of ours shown."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.base import ERROR_STATUS
from gateway.dialects.faults import fault_from_status, redact

NO_HEADERS = {}.get


def openai(message="x", kind=None, code=None):
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def anthropic(kind, message="x"):
    return {"type": "error", "error": {"type": kind, "message": message}}


def gemini(code, word, message="x", details=None):
    return {"error": {"code": code, "message": message, "status": word, "details": details or []}}


@pytest.mark.parametrize(
    ("status", "body", "error_type", "retryable"),
    [
        (
            400,
            openai("This model's maximum context length is 8192 tokens.", code="context_length_exceeded"),
            "context_length_exceeded",
            False,
        ),
        (400, anthropic("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"), "context_length_exceeded", False),
        (400, gemini(400, "INVALID_ARGUMENT", "The input token count (9) exceeds the maximum"), "context_length_exceeded", False),
        (400, openai("max_tokens is too large: 99999", "invalid_request_error"), "max_tokens_exceeded", False),
        (400, openai("Unknown parameter", "invalid_request_error"), "invalid_request", False),
        (400, openai("flagged", code="content_policy_violation"), "content_policy_violation", False),
        (400, openai("x", code="content_filter"), "content_policy_violation", False),
        (400, openai("Could not process image", "invalid_request_error"), "invalid_image", False),
        (400, openai("x", code="invalid_image_url"), "image_download_failed", False),
        (400, openai("x", code="string_above_max_length"), "string_too_long", False),
        (413, anthropic("request_too_large"), "payload_too_large", False),
        (422, {"detail": [{"loc": ["body"], "msg": "field required"}]}, "unprocessable", False),
        (429, openai("slow", "requests", "rate_limit_exceeded"), "rate_limit_exceeded", True),
        (429, anthropic("rate_limit_error"), "rate_limit_exceeded", True),
        (429, gemini(429, "RESOURCE_EXHAUSTED"), "rate_limit_exceeded", True),
        (500, anthropic("api_error"), "provider_unavailable", True),
        (503, gemini(503, "UNAVAILABLE"), "provider_overloaded", True),
        (503, {}, "provider_overloaded", True),
        (504, gemini(504, "DEADLINE_EXCEEDED"), "timeout", True),
        (529, anthropic("overloaded_error"), "provider_overloaded", True),
        (408, {}, "timeout", True),
        (418, {}, "unmapped", True),
        (400, gemini(400, "FAILED_PRECONDITION"), "precondition_failed", True),
        # Failures of our account are none of the customer's.
        (401, openai("Incorrect API key provided: sk-abc", code="invalid_api_key"), "provider_unavailable", True),
        (401, anthropic("authentication_error"), "provider_unavailable", True),
        (402, anthropic("billing_error"), "provider_unavailable", True),
        (403, gemini(403, "PERMISSION_DENIED"), "provider_unavailable", True),
        (404, openai("The model does not exist", code="model_not_found"), "provider_unavailable", True),
        (429, openai("You exceeded your current quota", "insufficient_quota", "insufficient_quota"), "provider_unavailable", True),
    ],
)
def test_providers_words_become_ours(status, body, error_type, retryable):
    fault = fault_from_status(status, NO_HEADERS, msgspec.json.encode(body))
    assert (fault.error_type, fault.status, fault.retryable, fault.upstream_status) == (
        error_type,
        ERROR_STATUS[error_type],
        retryable,
        status,
    )


@pytest.mark.parametrize(
    ("headers", "body", "wait_s"),
    [
        ({"retry-after": "7"}, {}, 7.0),
        ({"retry-after": "1.5"}, {}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "1"}, {}, 0.25),
        ({"retry-after": "99999999"}, {}, 3600.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, {}, None),
        ({"retry-after": "-1"}, {}, None),
        ({}, gemini(429, "RESOURCE_EXHAUSTED", details=[{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "37s"}]), 37.0),
        ({}, {}, None),
    ],
)
def test_the_wait_that_a_provider_asks_for_is_read(headers, body, wait_s):
    assert fault_from_status(429, headers.get, msgspec.json.encode(body)).retry_after_s == wait_s


@pytest.mark.parametrize(
    "secret",
    [
        "sk-proj-AbC123xyz456",
        "sk-ant-api03-aaaaBBBBcccc",
        "sk-abc***********wxyz",
        "AIzaSyA1234567890abcdefg",
        "gsk_1234567890abcdef",
        "xai-1234567890abcdef",
        "Bearer abc.def.ghi",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc",
        "hf_AbCdEfGhIjKl",
        "nvapi-1234567890",
    ],
)
def test_nothing_that_looks_like_a_credential_is_passed_on(secret):
    for message in (f"Incorrect API key provided: {secret}.", f"bad key {secret} in request", f"https://x.example/v1?key={secret}&a=1"):
        fault = fault_from_status(400, NO_HEADERS, msgspec.json.encode(openai(message, code=secret)))
        assert secret.rstrip(".") not in fault.message
        assert secret not in fault.code


def test_ordinary_words_are_left_alone():
    text = "Invalid value for 'temperature': must be at most 2 (got 3) for model gpt-4o-mini-2024-07-18."
    assert redact(text) == text


@given(st.integers(0, 999), st.binary(max_size=200))
def test_any_body_with_any_status_makes_a_fault(status, body):
    fault = fault_from_status(status, NO_HEADERS, body)
    assert fault.error_type in ERROR_STATUS
    assert fault.message


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(
                st.sampled_from(["error", "message", "code", "type", "status", "detail", "details", "retryDelay"]), inner, max_size=4
            )
        ),
        max_leaves=8,
    )
)
def test_any_json_makes_a_fault(value):
    fault = fault_from_status(500, NO_HEADERS, msgspec.json.encode(value))
    assert fault.status in (502, 503, 504, 429, 400, 412, 413, 422, 404)


def test_a_page_of_html_is_not_shown_to_customers():
    fault = fault_from_status(502, NO_HEADERS, b"<html><body>Bad gateway at 10.0.0.7</body></html>")
    assert fault.message == "The provider answered with status 502."
