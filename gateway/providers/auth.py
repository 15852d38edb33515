"""How a provider wants to be shown our credential. Pure; no Django."""

from collections.abc import Mapping
from typing import Protocol

from catalog.types import ProviderSpec

ANTHROPIC_VERSION = "2023-06-01"

_BEARER_HEADERS: dict[str, tuple[str, str]] = {
    # kind → (header, what stands before the secret)
    "bearer": ("authorization", "Bearer "),
    "oauth2": ("authorization", "Bearer "),
    "sigv4": ("authorization", "Bearer "),  # a Bedrock API key; access keys are signed with
    "authorization-raw": ("authorization", ""),
    "token": ("authorization", "Token "),
    "key": ("authorization", "Key "),
    "x-api-key": ("x-api-key", ""),
    "api-key": ("api-key", ""),
    "x-key": ("x-key", ""),
    "xi-api-key": ("xi-api-key", ""),
    # Google takes the key in the query too, where it would end up in logs.
    "query-key": ("x-goog-api-key", ""),
}
# Kinds that take a JSON object, an account to get tokens for, in the place of what they show otherwise.
_ACCOUNTS = frozenset({"oauth2", "api-key"})


class Signer(Protocol):
    """Authenticates a call that is ready to go; what it says depends on the call, or on the time."""

    def headers(self, url: str, headers: Mapping[str, str], body: bytes) -> dict[str, str]:
        """Return the headers that authenticate exactly this call. Raises: NotReady when it cannot now."""
        ...


class NotReady(Exception):
    """We hold no valid token at the moment; another endpoint should be tried."""


class UnknownAuth(Exception):
    """The catalog names a kind of authentication that this gateway cannot do."""


def auth_headers(provider: ProviderSpec, secret: str) -> dict[str, str]:
    """Return the headers that authenticate us at ``provider`` with ``secret``; '' sends none (an own server without keys).

    Raises: UnknownAuth.
    """
    headers = {"anthropic-version": ANTHROPIC_VERSION} if provider.dialect == "messages" else {}
    if provider.auth == "none" or not secret or needs_signer(provider, secret):
        return headers
    try:
        name, prefix = _BEARER_HEADERS[provider.auth]
    except KeyError as error:
        msg = f"provider {provider.slug} wants {provider.auth!r}, which is none of {', '.join(_BEARER_HEADERS)}"
        raise UnknownAuth(msg) from error
    headers[name] = prefix + secret
    return headers


def needs_signer(provider: ProviderSpec, secret: str) -> bool:
    """Whether ``secret`` is no token to be shown but something to sign with or to get tokens for."""
    if provider.auth == "sigv4":
        return ":" in secret  # ACCESS_KEY_ID:SECRET[:SESSION_TOKEN]; a Bedrock API key has none
    # A service account of Google's, an application of Microsoft's; anything else is a token or a key.
    return provider.auth in _ACCOUNTS and secret.startswith("{")
