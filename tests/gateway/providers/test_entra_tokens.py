"""Tokens of Microsoft Entra ID for Azure, against a real server in the place of Microsoft's."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs

import pytest

from gateway.providers import entra_tokens
from gateway.providers.auth import NotReady, auth_headers, needs_signer
from gateway.providers.entra_tokens import BadApplication, EntraTokens
from gateway.providers.held_tokens import NoToken
from gateway.providers.signers import make_signer
from tests.gateway.dialects.builders import provider

AZURE = provider("azure", auth="api-key")
APPLICATION = {"tenant_id": "9a3c0000-0000-4000-8000-00000000beef", "client_id": "app", "client_secret": "very-secret~1"}


class Issuer(BaseHTTPRequestHandler):
    """Gives tokens to the application above. ``answer`` is (status, body, where it redirects to)."""

    asked: list[tuple[str, dict[str, list[str]]]]
    answer: tuple[int, bytes, str]

    def do_POST(self):
        form = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
        self.asked.append((self.path, form))
        status, body, location = self.answer
        self.send_response(status)
        if location:
            self.send_header("location", location)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def issuer(monkeypatch):
    Issuer.asked, Issuer.answer = [], (200, b'{"token_type":"Bearer","expires_in":3599,"access_token":"eyJ0.token"}', "")
    server = HTTPServer(("127.0.0.1", 0), Issuer)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setattr(entra_tokens, "HOST", f"http://127.0.0.1:{server.server_port}")
    yield Issuer
    server.shutdown()
    thread.join(5)
    server.server_close()


def headers_of(signer):
    """Return the headers once the first token is there: its thread waits for the machine as everybody does."""
    until_s = time.monotonic() + 20
    while True:
        try:
            return signer.headers("", {}, b"")
        except NotReady:
            assert time.monotonic() < until_s
            time.sleep(0.01)


def test_azure_is_shown_a_token_that_was_asked_for_by_the_application(issuer):
    # The id differs, so that no other test's holder is found.
    account = json.dumps({**APPLICATION, "client_id": "app-of-this-test"})

    signer = make_signer(AZURE, account)

    assert headers_of(signer) == {"authorization": "Bearer eyJ0.token"}
    assert issuer.asked == [
        (
            f"/{APPLICATION['tenant_id']}/oauth2/v2.0/token",
            {
                "grant_type": ["client_credentials"],
                "client_id": ["app-of-this-test"],
                "client_secret": ["very-secret~1"],
                "scope": ["https://cognitiveservices.azure.com/.default"],
            },
        )
    ]
    assert make_signer(AZURE, account) is signer
    assert len(issuer.asked) == 1


def test_an_application_is_signed_for_and_a_key_is_shown():
    assert needs_signer(AZURE, json.dumps(APPLICATION))
    assert auth_headers(AZURE, json.dumps(APPLICATION)) == {}
    assert not needs_signer(AZURE, "plain-key")
    assert auth_headers(AZURE, "plain-key") == {"api-key": "plain-key"}


def test_the_next_token_is_due_a_quarter_of_an_hour_before_the_end(issuer):
    tokens = EntraTokens(json.dumps(APPLICATION))
    with pytest.raises(NotReady):
        tokens.headers("", {}, b"")
    assert 2600 < tokens.refresh() <= 2699
    assert tokens.headers("", {}, b"") == {"authorization": "Bearer eyJ0.token"}


@pytest.mark.parametrize(
    "answer",
    [
        (401, b'{"error":"invalid_client","error_description":"very-secret~1"}', ""),
        (302, b"", "http://127.0.0.1:1/elsewhere"),
        (200, b"{}", ""),
        (200, b"no json", ""),
    ],
)
def test_no_token_is_said_without_repeating_the_secret_or_following_elsewhere(issuer, answer):
    issuer.answer = answer
    with pytest.raises(NoToken) as caught:
        EntraTokens(json.dumps(APPLICATION)).refresh()
    assert "secret" not in str(caught.value)
    assert len(issuer.asked) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {**APPLICATION, "tenant_id": "../evil"},
        {**APPLICATION, "tenant_id": "a/b"},
        {**APPLICATION, "tenant_id": ""},
        {**APPLICATION, "client_secret": ""},
        {"client_secret": "very-secret~1"},
        {**APPLICATION, "client_id": 7},
    ],
)
def test_a_wrong_application_is_refused_without_being_repeated(wrong):
    with pytest.raises(BadApplication) as caught:
        EntraTokens(json.dumps(wrong))
    assert "very-secret" not in str(caught.value)


def test_the_host_is_microsofts():
    assert entra_tokens.HOST == "https://login.microsoftonline.com"
