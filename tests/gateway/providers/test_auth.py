"""How a credential is shown to a provider."""

import pytest

from gateway.providers.auth import UnknownAuth, auth_headers
from gateway.providers.table import DEFAULT_QUIRKS, QUIRKS, quirks_of
from tests.gateway.dialects.builders import provider


@pytest.mark.parametrize(
    ("auth", "dialect", "headers"),
    [
        ("bearer", "chat_completions", {"authorization": "Bearer secret"}),
        ("x-api-key", "messages", {"x-api-key": "secret", "anthropic-version": "2023-06-01"}),
        ("query-key", "gemini", {"x-goog-api-key": "secret"}),
        ("api-key", "chat_completions", {"api-key": "secret"}),
        ("none", "chat_completions", {}),
    ],
)
def test_the_credential_goes_into_the_header_that_the_provider_reads(auth, dialect, headers):
    assert auth_headers(provider(auth=auth, dialect=dialect), "secret") == headers


def test_no_credential_sends_none():
    assert auth_headers(provider(), "") == {}
    assert auth_headers(provider(dialect="messages", auth="x-api-key"), "") == {"anthropic-version": "2023-06-01"}


def test_an_unknown_kind_is_an_error_that_names_it_and_not_the_secret():
    with pytest.raises(UnknownAuth) as caught:
        auth_headers(provider(auth="hmac"), "secret")
    assert "hmac" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_an_unlisted_provider_gets_the_defaults():
    assert quirks_of("never-heard-of") is DEFAULT_QUIRKS
    assert all(row != DEFAULT_QUIRKS for row in QUIRKS.values())
