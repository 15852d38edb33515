"""How a provider wants to be shown our credential. Pure; no Django."""

from catalog.types import ProviderSpec

ANTHROPIC_VERSION = "2023-06-01"

_BEARER_HEADERS: dict[str, tuple[str, str]] = {
    # kind → (header, what stands before the secret)
    "bearer": ("authorization", "Bearer "),
    "oauth2": ("authorization", "Bearer "),
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


class UnknownAuth(Exception):
    """The catalog names a kind of authentication that this gateway cannot do."""


def auth_headers(provider: ProviderSpec, secret: str) -> dict[str, str]:
    """Return the headers that authenticate us at ``provider`` with ``secret``; '' sends none (an own server without keys).

    Raises: UnknownAuth.
    """
    headers = {"anthropic-version": ANTHROPIC_VERSION} if provider.dialect == "messages" else {}
    if provider.auth == "none" or not secret:
        return headers
    try:
        name, prefix = _BEARER_HEADERS[provider.auth]
    except KeyError as error:
        msg = f"provider {provider.slug} wants {provider.auth!r}, which is none of {', '.join(_BEARER_HEADERS)}"
        raise UnknownAuth(msg) from error
    headers[name] = prefix + secret
    return headers
