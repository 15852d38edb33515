"""Bedrock as a provider of a running data plane: signed calls, API keys, binary streams cut anywhere, errors."""

import pytest

from tests.gateway.providers.test_signers import signature_of
from tests.gateway.relay.conftest import COMPLETION_PICOS, PROMPT_PICOS, cost_nanos, read_events

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


@pytest.mark.parametrize("stream", [False, True])
def test_every_call_is_signed_over_its_final_body(customer, stream):
    before = customer.balance_nanos()
    if stream:
        usage = customer.stream(model="test/bedrock", provider={}, temperature=0.5)[-2]["usage"]
    else:
        usage = customer.post(model="test/bedrock", provider={}, temperature=0.5).json()["usage"]

    nanos = (usage["prompt_tokens"] * PROMPT_PICOS + usage["completion_tokens"] * COMPLETION_PICOS + 500) // 1000
    assert before - customer.balance_nanos() == cost_nanos(usage) == nanos > 0
    call = customer.stack.recorder.last("/p/amazon-bedrock/")
    path = call.path.replace(":", "%3A")
    signature = signature_of("POST", f"http://x{path}", call.headers, call.body, secret=SECRET)
    assert call.headers["authorization"].endswith(f"Signature={signature}")
    assert "/eu-central-1/bedrock/aws4_request" in call.headers["authorization"]
    assert call.headers["x-amz-security-token"] == "session"


def test_an_api_key_for_bedrock_is_a_bearer(customer):
    assert customer.post(model="test/bedrock-key", provider={}).status_code == 200
    assert customer.stack.recorder.last("/p/bedrock-key/").headers["authorization"] == "Bearer ABSKexample"


def test_a_binary_stream_may_be_cut_anywhere(customer):
    def said(directive):
        events = customer.stream(model="test/bedrock", provider={}, messages=[{"role": "user", "content": f"[[simulate: {directive}]] Hi"}])
        return "".join(choice["delta"].get("content") or "" for event in events[:-1] for choice in event["choices"])[:50]

    assert said("drip=0") == said("first_token_ms=1") != ""


def test_errors_before_and_inside_a_stream_are_told(customer):
    def post(directive, **fields):
        return customer.post(
            model="test/bedrock", provider={}, messages=[{"role": "user", "content": f"[[simulate: {directive}]]"}], **fields
        )

    refused = post("status=400")
    assert (refused.status_code, refused.json()["error"]["metadata"]["provider_code"]) == (400, "ValidationException")
    broken = post("error_in_stream=9 rate=400", stream=True)
    (failed,) = [event for event in read_events(broken.text) if isinstance(event, dict) and "error" in event]
    assert failed["error"]["metadata"]["error_type"] == "provider_overloaded"
    malformed = post("malformed=9 rate=400", stream=True)
    assert "malformed" in malformed.text or "not JSON" in malformed.text
