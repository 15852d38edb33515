"""Calls to AWS carry a signature over exactly what is sent: checked by the rules of Signature Version 4, written out here."""

import hashlib
import hmac
from urllib.parse import quote, unquote, urlsplit

import pytest
from msgspec.structs import replace

from gateway.providers.auth import auth_headers, needs_signer
from gateway.providers.signers import make_signer
from gateway.providers.sigv4 import BadAccessKey, region_of
from tests.gateway.dialects.builders import provider

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
BEDROCK = replace(provider("amazon-bedrock", "bedrock", auth="sigv4"), base_url="https://bedrock-runtime.eu-west-1.amazonaws.com")


def signature_of(method: str, url: str, headers: dict[str, str], body: bytes, *, secret: str) -> str:
    """Return the signature that ``headers`` should carry. ``url`` has its path encoded once; AWS signs it encoded twice."""
    parts = urlsplit(url)
    scope = headers["authorization"].split("Credential=", 1)[1].split(",")[0].split("/", 1)[1]
    signed = headers["authorization"].split("SignedHeaders=", 1)[1].split(",")[0]
    lines = "".join(f"{name}:{' '.join(headers[name].split())}\n" for name in signed.split(";"))
    canonical = "\n".join([method, quote(parts.path, safe="/~"), parts.query, lines, signed, hashlib.sha256(body).hexdigest()])
    text = "\n".join(["AWS4-HMAC-SHA256", headers["x-amz-date"], scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


@pytest.mark.parametrize("token", ["", ":IQoJsession/token+=="])
def test_the_signature_is_that_of_what_is_sent(token):
    signer = make_signer(BEDROCK, f"AKIDEXAMPLE:{SECRET}{token}")
    url = "https://bedrock-runtime.eu-west-1.amazonaws.com/model/eu.amazon.nova-lite-v1%3A0/converse"
    body = '{"messages":[{"role":"user","content":[{"text":"gr\u00fc\u00df dich"}]}]}'.encode()
    headers = {"content-type": "application/json", "accept": "application/json"}

    headers |= signer.headers(url, headers, body)

    sent = {**headers, "host": "bedrock-runtime.eu-west-1.amazonaws.com"}
    assert "/eu-west-1/bedrock/aws4_request" in headers["authorization"]
    assert headers.get("x-amz-security-token", "") == token.removeprefix(":")
    assert headers["authorization"].endswith(f"Signature={signature_of('POST', url, sent, body, secret=SECRET)}")
    assert unquote(url).endswith("v1:0/converse")


def test_a_bedrock_api_key_is_shown_as_a_bearer_and_nothing_is_signed():
    assert not needs_signer(BEDROCK, "ABSKQmVkcm9jaw==")
    assert auth_headers(BEDROCK, "ABSKQmVkcm9jaw==") == {"authorization": "Bearer ABSKQmVkcm9jaw=="}
    assert needs_signer(BEDROCK, f"AKIDEXAMPLE:{SECRET}")
    assert auth_headers(BEDROCK, f"AKIDEXAMPLE:{SECRET}") == {}


@pytest.mark.parametrize("secret", ["AKIDEXAMPLE:", ":x", "AKIDEXAMPLE:x:"])
def test_half_an_access_key_is_refused_without_being_repeated(secret):
    with pytest.raises(BadAccessKey) as caught:
        make_signer(BEDROCK, secret)
    assert "AKID" not in str(caught.value)


def test_the_region_is_the_options_or_the_addresss():
    assert region_of(BEDROCK) == "eu-west-1"
    assert region_of(replace(BEDROCK, options={"region": "us-west-2"})) == "us-west-2"
    assert region_of(replace(BEDROCK, base_url="https://proxy.example/aws")) == "us-east-1"
