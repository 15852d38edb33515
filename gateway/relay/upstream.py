"""Calls to providers: pools of connections, time-outs, TLS, and no private address unless the operator said so.

Redirects are never followed, and no proxy of the environment is used: a provider's key must not travel elsewhere.
"""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any, NamedTuple, cast
from urllib.parse import urlsplit

import certifi

from gateway.relay.http1 import ANSWER_MAX_BYTES, ConnectionBroken, Http1Connection

# Shorter than what servers allow (60 s and more), so that they seldom close a connection at the moment we use it.
_IDLE_POOL_S = 45.0
_JOINED_MAX_BYTES = 64 * 1024  # larger bodies are written by themselves
_IDLE_MAX = 512  # per origin
_PORTS = {"http": 80, "https": 443}
_STALE_RETRIES = 2
_ADDRESSES_MAX = 3  # of one name that are tried


class UpstreamDown(Exception):
    """The provider could not be reached or broke off. ``kind``: connect, timeout or network. ``sent``: it may have done the work."""

    def __init__(self, kind: str, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.kind = kind
        self.sent = sent


class Origin(NamedTuple):
    """What a connection is good for. ``is_public_only`` refuses private addresses when it connects."""

    scheme: str
    host: str
    port: int
    is_public_only: bool


class Target(NamedTuple):
    """Where a request goes, and its head up to the length of its body."""

    origin: Origin
    head: bytes


class UpstreamAnswer:
    """A whole answer: status, headers, body."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        self.status = status
        self.body = body
        self.headers = headers

    def header(self, name: str) -> str | None:
        """Return the first value of a header (lower-case name), or None."""
        return _find(self.headers, name)


class UpstreamStream:
    """An answer whose body arrives in pieces of whatever size the network gave."""

    __slots__ = ("_connection", "headers", "status")

    def __init__(self, connection: Http1Connection) -> None:
        self.status = connection.status
        self.headers = connection.headers
        self._connection = connection

    def header(self, name: str) -> str | None:
        """Return the first value of a header (lower-case name), or None."""
        return _find(self.headers, name)

    async def read(self) -> bytes | None:
        """Return the next piece, or None at the end. Raises: UpstreamDown when the provider breaks off or falls silent."""
        try:
            return await self._connection.read()
        except ConnectionBroken as error:
            raise _down(error) from error

    async def read_all(self) -> bytes:
        """Return the rest, for error bodies; cut at 64 MiB."""
        parts: list[bytes] = []
        size = 0
        while size < ANSWER_MAX_BYTES and (part := await self.read()) is not None:
            parts.append(part)
            size += len(part)
        return b"".join(parts)


class _Streaming:
    """The answer while it is taken in pieces: a context that gives the connection back however it is left."""

    def __init__(self, client: "UpstreamClient", target: Target, body: bytes, timeout_s: float) -> None:
        self._client = client
        self._target = target
        self._body = body
        self._timeout_s = timeout_s
        self._connection: Http1Connection | None = None

    async def __aenter__(self) -> UpstreamStream:
        self._connection = await self._client.open_stream(self._target, self._body, timeout_s=self._timeout_s)
        return UpstreamStream(self._connection)

    async def __aexit__(self, *_exc: object) -> None:
        if self._connection is not None:
            self._client.release(self._target.origin, self._connection)


class UpstreamClient:
    """One pool of connections per process, a stack of idle ones per origin."""

    def __init__(self, *, connect_timeout_s: float, idle_timeout_s: float) -> None:
        self._connect_timeout_s = connect_timeout_s
        self._idle_timeout_s = idle_timeout_s
        self._idle: dict[Origin, list[Http1Connection]] = {}
        self._tls: ssl.SSLContext | None = None
        self._sweeper: asyncio.TimerHandle | None = None

    async def close(self) -> None:
        """Close every idle connection; those in use close when their answer ends."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connections in self._idle.values():
            for connection in connections:
                connection.close()
        self._idle.clear()

    async def send(self, target: Target, body: bytes, *, timeout_s: float) -> UpstreamAnswer:
        """POST and read the whole answer. Raises: UpstreamDown."""
        connection = await self._exchange(target.origin, _request(target, body), timeout_s=timeout_s, whole=True)
        pieces = connection.pieces
        answer = UpstreamAnswer(connection.status, connection.headers, pieces[0] if len(pieces) == 1 else b"".join(pieces))
        self.release(target.origin, connection)
        return answer

    def stream(self, target: Target, body: bytes, *, timeout_s: float) -> "_Streaming":
        """POST and hand out the answer as it arrives; ``timeout_s`` bounds the wait for its head. Leaving before the end closes the
        connection, which stops the provider. Raises: UpstreamDown.
        """
        return _Streaming(self, target, body, timeout_s)

    async def open_stream(self, target: Target, body: bytes, *, timeout_s: float) -> Http1Connection:
        """POST and wait for the head of the answer. The connection is to be released. Raises: UpstreamDown."""
        connection = await self._exchange(target.origin, _request(target, body), timeout_s=timeout_s, whole=False)
        connection.watch_silence(self._idle_timeout_s)
        return connection

    async def _exchange(self, origin: Origin, request: tuple[bytes, bytes], *, timeout_s: float, whole: bool) -> Http1Connection:
        """Send on an idle connection or a new one. Providers close idle ones at any time: a request that met that moment, and of which
        the provider cannot have seen more than its closing, goes out again.
        """
        for attempt in range(_STALE_RETRIES + 1):
            connection = self._take_idle(origin) if attempt < _STALE_RETRIES else None
            if connection is None:
                connection = await self._connect(origin)
            try:
                await connection.send(*request, timeout_s=timeout_s, whole=whole)
            except ConnectionBroken as error:
                connection.release()
                if error.kind != "stale":
                    raise _down(error) from error
            except BaseException:
                connection.release()
                raise
            else:
                return connection
        raise UpstreamDown("network", "connection broke off", sent=True)

    # --- the pool ---

    def _take_idle(self, origin: Origin) -> Http1Connection | None:
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()
            if not connection.is_closed:
                return connection
        return None

    def release(self, origin: Origin, connection: Http1Connection) -> None:
        """Keep the connection for the next request, or close it when it cannot serve one."""
        if not connection.release():
            return
        idle = self._idle.setdefault(origin, [])
        if len(idle) >= _IDLE_MAX:
            connection.close()
            return
        idle.append(connection)
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(_IDLE_POOL_S / 3, self._sweep)

    def _sweep(self) -> None:
        """Close connections that nobody used for a while: the oldest lie at the bottom of each stack."""
        loop = asyncio.get_running_loop()
        oldest_s = loop.time() - _IDLE_POOL_S
        for origin, connections in list(self._idle.items()):
            kept = [one for one in connections if not one.is_closed and one.idle_since_s >= oldest_s]
            for connection in connections:
                if connection.idle_since_s < oldest_s:
                    connection.close()
            if kept:
                self._idle[origin] = kept
            else:
                del self._idle[origin]
        self._sweeper = loop.call_later(_IDLE_POOL_S / 3, self._sweep) if self._idle else None

    async def _connect(self, origin: Origin) -> Http1Connection:
        """Connect to the first address that answers. Each has the whole time-out, so that one that is dead leaves time for the next."""
        loop = asyncio.get_running_loop()
        tls = self._tls_context() if origin.scheme == "https" else None
        new_connection: Any = partial(Http1Connection, loop)  # a protocol by shape
        failure: Exception | None = None
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                addresses = await _find_addresses(loop, origin)
            for address in addresses[:_ADDRESSES_MAX]:
                try:
                    async with asyncio.timeout(self._connect_timeout_s):
                        _, connection = await loop.create_connection(
                            new_connection, address, origin.port, ssl=tls, server_hostname=origin.host if tls else None
                        )
                except (OSError, TimeoutError) as error:
                    failure = error
                else:
                    return cast("Http1Connection", connection)
        except (OSError, TimeoutError) as error:
            failure = error
        raise UpstreamDown("connect", "could not connect", sent=False) from failure

    def _tls_context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
            if not self._tls.cert_store_stats()["x509_ca"]:  # a system without certificates of its own
                self._tls.load_verify_locations(certifi.where())
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls


async def _find_addresses(loop: asyncio.AbstractEventLoop, origin: Origin) -> list[str]:
    """Return the addresses to connect to: looked at and then used, so that a name cannot change its mind in between.

    Raises: OSError for a name without any, UpstreamDown for a private one where it must be public.
    """
    found = await loop.getaddrinfo(origin.host, origin.port, proto=socket.IPPROTO_TCP)
    addresses = list(dict.fromkeys(str(address[0]) for *_, address in found))
    if origin.is_public_only and not all(ipaddress.ip_address(address).is_global for address in addresses):
        raise UpstreamDown("connect", "its name leads into a private network", sent=False)
    return addresses


def aim(url: str, headers: Mapping[str, str], *, is_public_only: bool = False) -> Target:
    """Return the target at ``url``, asked with these headers. Raises: UpstreamDown for a header with a line break in it."""
    origin, first_lines = _first_lines(url, is_public_only)
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if lines.count("\n") != len(headers):
        raise UpstreamDown("connect", "a header for it has a line break in it", sent=False)
    return Target(origin, f"{first_lines}{lines}content-length: ".encode("latin-1"))


@lru_cache(maxsize=4096)
def _first_lines(url: str, is_public_only: bool) -> tuple[Origin, str]:  # noqa: FBT001 -- a key of the cache
    """Return where ``url`` is, and the first lines of a request to it."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    named = f"[{host}]" if ":" in host else host
    shown = named if port == _PORTS[parts.scheme] else f"{named}:{port}"
    head = f"POST {target} HTTP/1.1\r\nhost: {shown}\r\nuser-agent: Tollway/0.1\r\naccept: */*\r\naccept-encoding: identity\r\n"
    return Origin(parts.scheme, host, port, is_public_only), head


def _request(target: Target, body: bytes) -> tuple[bytes, bytes]:
    """Return a request in two parts: a large body is one by itself, so that it is not copied."""
    if len(body) > _JOINED_MAX_BYTES:
        return b"%b%d\r\n\r\n" % (target.head, len(body)), body
    return b"%b%d\r\n\r\n%b" % (target.head, len(body), body), b""


def _find(headers: list[tuple[bytes, bytes]], name: str) -> str | None:
    wanted = name.encode("latin-1")
    return next((value.decode("latin-1") for key, value in headers if key == wanted), None)


def _down(error: ConnectionBroken) -> UpstreamDown:
    return UpstreamDown("timeout" if error.kind == "timeout" else "network", str(error), sent=True)
