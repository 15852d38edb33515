"""Refuse the network beyond loopback: a test that needs it would prove somebody else's service."""

import ipaddress
import os
import socket
from typing import Any

# Clients in C and Rust do not pass through Python's sockets; those that honour a proxy find one that refuses.
_DEAD_PROXY = "http://127.0.0.1:9"


class NetworkRefused(Exception):
    """A test tried to leave the machine."""


def _is_local(host: str) -> bool:
    if host in {"", "localhost"}:
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def allow_only_loopback() -> None:
    """Make Python's sockets refuse every address but loopback, in this process; children get a dead proxy."""
    connect, connect_ex, getaddrinfo = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def check(sock: socket.socket, address: Any) -> None:
        if sock.family in {socket.AF_INET, socket.AF_INET6} and not _is_local(str(address[0])):
            raise NetworkRefused(f"Tests may not connect to {address}.")

    def guarded_connect(self: socket.socket, address: Any) -> None:
        check(self, address)
        connect(self, address)

    def guarded_connect_ex(self: socket.socket, address: Any) -> int:
        check(self, address)
        return connect_ex(self, address)

    def guarded_getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host or ""
        if not _is_local(name) and name not in {"0.0.0.0", "::"}:  # noqa: S104 -- compared, not bound
            raise NetworkRefused(f"Tests may not look up {name}.")
        return getaddrinfo(host, *args, **kwargs)

    socket.socket.connect = guarded_connect  # type: ignore[method-assign]
    socket.socket.connect_ex = guarded_connect_ex  # type: ignore[method-assign]
    socket.getaddrinfo = guarded_getaddrinfo
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        os.environ[name] = os.environ[name.lower()] = _DEAD_PROXY
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "localhost,127.0.0.1,::1"
