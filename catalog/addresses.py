"""Where a provider may be: checks a base URL before a key is ever sent to it.

The data plane looks again when it connects (``ProviderSpec.allow_private_address``), because a name can resolve to something else later.
"""

import ipaddress
import socket
from typing import Final
from urllib.parse import urlsplit

_PRIVATE_SUFFIXES: Final = (".localhost", ".local", ".internal", ".lan", ".home.arpa", ".intranet", ".corp")


class BadBaseUrl(ValueError):
    """The URL cannot be a provider's; the message says why."""


class PrivateAddress(BadBaseUrl):
    """The URL leads into a private network, to this machine, or is not encrypted, and the operator has not allowed that."""


def _is_private(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        pass
    if "." not in host or host.endswith(_PRIVATE_SUFFIXES):
        return True
    try:
        found = socket.getaddrinfo(host, None, proto=socket.IPPROTO_TCP)
    except OSError:
        return False  # it has no address here and now; the data plane will look again
    return any(not ipaddress.ip_address(address[4][0]).is_global for address in found)


def check_base_url(url: str, *, allow_private: bool) -> str:
    """Return ``url`` without a trailing slash. Raises: BadBaseUrl, PrivateAddress."""
    text = url.strip().rstrip("/")
    try:
        parts = urlsplit(text)
        host = (parts.hostname or "").rstrip(".")
        parts.port  # noqa: B018 -- raises ValueError when it is no port
    except ValueError as error:
        msg = f"{text!r} is not a URL: {error}"
        raise BadBaseUrl(msg) from error
    if parts.scheme not in {"http", "https"} or not host:
        msg = f"{text!r} must start with https:// (or http://) and name a host"
        raise BadBaseUrl(msg)
    if parts.username or parts.password or parts.query or parts.fragment:
        msg = "a base URL has no user name, password, query or fragment; the key goes into --api-key"
        raise BadBaseUrl(msg)
    if allow_private:
        return text
    if _is_private(host):
        msg = f"{host} is on this machine or a private network; say --allow-private if that is meant"
        raise PrivateAddress(msg)
    if parts.scheme != "https":
        msg = f"{text} is not encrypted and would send keys and prompts in the clear; say --allow-private on a network of your own"
        raise PrivateAddress(msg)
    return text
