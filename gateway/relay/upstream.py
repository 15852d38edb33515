"""Calls to providers: the only importer of the HTTP client, chosen by measurement (docs/adr). Pools, limits, time-outs."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Protocol

from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import ConnectError, ConnectTimeoutError, PyreqwestError, RequestTimeoutError

_IDLE_POOL_S = 60
_ANSWER_MAX_BYTES = 64 * 1024 * 1024


class UpstreamDown(Exception):
    """The provider could not be reached or broke off. ``kind``: connect, timeout or network. ``sent``: it may have done the work."""

    def __init__(self, kind: str, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.kind = kind
        self.sent = sent


class UpstreamAnswer:
    """A whole answer: status, headers (lower-case names), body."""

    __slots__ = ("body", "header", "status")

    def __init__(self, status: int, header: "HeaderGetter", body: bytes) -> None:
        self.status = status
        self.header = header
        self.body = body


class HeaderGetter(Protocol):
    """Looks a response header up, case-insensitively."""

    def __call__(self, name: str, /) -> str | None:
        """Return the first value, or None."""


class UpstreamStream:
    """An answer whose body arrives in pieces of whatever size the network gave."""

    __slots__ = ("_reader", "header", "status")

    def __init__(self, status: int, header: HeaderGetter, reader: object) -> None:
        self.status = status
        self.header = header
        self._reader = reader

    async def read(self) -> bytes | None:
        """Return the next piece, or None at the end. Raises: UpstreamDown when the provider breaks off or falls silent."""
        try:
            chunk = await self._reader.read_chunk()  # type: ignore[attr-defined]
        except PyreqwestError as error:
            raise _down(error) from error
        return None if chunk is None else bytes(chunk)

    async def read_all(self) -> bytes:
        """Return the rest, for error bodies; cut at 64 MiB."""
        parts: list[bytes] = []
        size = 0
        while size < _ANSWER_MAX_BYTES and (part := await self.read()) is not None:
            parts.append(part)
            size += len(part)
        return b"".join(parts)


def _down(error: PyreqwestError) -> UpstreamDown:
    if isinstance(error, ConnectError | ConnectTimeoutError):
        return UpstreamDown("connect", "could not connect", sent=False)
    if isinstance(error, RequestTimeoutError):
        return UpstreamDown("timeout", "no answer in time", sent=True)
    return UpstreamDown("network", "connection broke off", sent=True)


class UpstreamClient:
    """One connection pool per process. Redirects are never followed: a provider's key must not travel elsewhere."""

    def __init__(self, *, connect_timeout_s: float, idle_timeout_s: float) -> None:
        self._client: Client = (
            ClientBuilder()
            .connect_timeout(timedelta(seconds=connect_timeout_s))
            .read_timeout(timedelta(seconds=idle_timeout_s))
            .pool_idle_timeout(timedelta(seconds=_IDLE_POOL_S))
            .pool_max_idle_per_host(512)
            .follow_redirects(False)  # noqa: FBT003 -- the client's own signature
            .no_proxy()
            .tcp_nodelay(True)  # noqa: FBT003 -- the client's own signature
            .user_agent("Tollway/0.1")
            .build()
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._client.close()

    async def send(self, url: str, *, body: bytes, headers: Mapping[str, str], timeout_s: float) -> UpstreamAnswer:
        """POST and read the whole answer. Raises: UpstreamDown."""
        request = self._client.post(url).headers(headers).timeout(timedelta(seconds=timeout_s)).body_bytes(body).build()
        try:
            response = await request.send()
            return UpstreamAnswer(response.status, response.get_header, bytes(await response.bytes()))
        except PyreqwestError as error:
            raise _down(error) from error

    @asynccontextmanager
    async def stream(self, url: str, *, body: bytes, headers: Mapping[str, str], timeout_s: float) -> AsyncIterator[UpstreamStream]:
        """POST and hand out the answer as it arrives; ``timeout_s`` bounds the wait for its head. Leaving closes the connection,
        which stops the provider. Raises: UpstreamDown.
        """
        # A limit of 0 hands every chunk over at once; the default would gather them.
        request = self._client.post(url).headers(headers).body_bytes(body).streamed_read_buffer_limit(0).build_streamed()
        try:
            async with asyncio.timeout(timeout_s):
                response = await request.__aenter__()
        except TimeoutError as error:
            if isinstance(error, PyreqwestError):
                raise _down(error) from error
            raise UpstreamDown("timeout", "no answer in time", sent=True) from error
        except PyreqwestError as error:
            raise _down(error) from error
        try:
            yield UpstreamStream(response.status, response.get_header, response.body_reader)
        finally:
            await request.__aexit__(None, None, None)
