"""One HTTP/1.1 connection to a provider: sends a request, hands its answer over piece by piece. Parsing is llhttp's (httptools).

Everything happens in the event loop's thread: a client with a thread of its own costs two hand-overs of the interpreter per answer,
which is more than all of this (docs/adr/0004-http-client.md).
"""

import asyncio
import math
import zlib
from typing import Any, cast

import httptools

from gateway.relay.outbox import outbox_of

HEAD_MAX_BYTES = 64 * 1024
# A stream whose client reads slowly is not read further from the provider above this.
_HIGH_WATER_BYTES = 256 * 1024
ANSWER_MAX_BYTES = 64 * 1024 * 1024
# A provider that closes an idle connection just when we use it does so within a round trip; later than this it has seen the request.
_STALE_WITHIN_S = 1.0
_NEXT, _HEAD, _END = 1, 2, 3  # what the caller waits for: the next piece, the status line and headers, or the whole answer
_CHUNKED_OR_SIZED = (b"content-length", b"transfer-encoding")


class ConnectionBroken(Exception):
    """The answer did not come to its end. ``kind``: timeout, network, or stale (closed by the provider before it saw our request)."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Http1Connection:
    """A connection, used for one request at a time. Bytes of the answer wait in ``pieces`` until they are taken.

    It is an asyncio.Protocol by shape and not by name: a base that is no compiled class would make every field a look-up by name.
    """

    __slots__ = (
        "_complete", "_error", "_expected", "_head_bytes", "_idle_s", "_inflate", "_is_spoiled", "_keep", "_loop", "_outbox", "_parser",
        "_paused", "_rings_s", "_sent_s", "_size", "_timer", "_transport", "_until_s", "_used", "_waiter", "_waits_for",
        "headers", "heard_s", "idle_since_s", "is_closed", "pieces", "status",
    )  # fmt: skip

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._outbox = outbox_of(loop)
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)  # until connection_made
        self._parser: Any = httptools.HttpResponseParser(self)
        self._timer: asyncio.TimerHandle | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._used = False
        self.is_closed = False
        self.idle_since_s = self._sent_s = self._rings_s = 0.0
        self._until_s = math.inf
        self._reset()
        self._expected = False

    def _reset(self) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.pieces: list[bytes] = []
        self.heard_s = 0.0
        self._head_bytes = self._size = self._waits_for = 0
        self._complete = self._is_spoiled = self._keep = self._paused = False
        self._error: ConnectionBroken | None = None
        self._inflate: Any = None
        self._idle_s = 0.0
        self._expected = True

    # --- the caller's side ---

    async def send(self, request: bytes, rest: bytes = b"", *, timeout_s: float, whole: bool) -> None:
        """Write a request, in one part or two, and wait for the head of its answer, or for all of it. Raises: ConnectionBroken."""
        self._reset()
        self._waits_for = _END if whole else _HEAD
        self._sent_s = now_s = self._loop.time()
        self._give_until(now_s + timeout_s, now_s)
        self._outbox.write(self._transport, request)
        if rest:
            self._outbox.write(self._transport, rest)
        await self._wait()
        self._until_s = math.inf
        if self._error is not None:
            raise self._error

    def watch_silence(self, idle_s: float) -> None:
        """From now on give up when the provider sends nothing for this long."""
        self._idle_s, self.heard_s = idle_s, self._loop.time()
        self._give_until(self.heard_s + idle_s, self.heard_s)

    def _give_until(self, until_s: float, now_s: float) -> None:
        """Have ``_expire`` called then, or earlier: one timer looks now and then, since one for each answer costs more than reading it."""
        self._until_s = until_s
        if self._timer is not None:
            if self._rings_s <= until_s:
                return
            self._timer.cancel()
        self._rings_s = until_s
        self._timer = self._loop.call_later(until_s - now_s, self._expire)

    async def read(self) -> bytes | None:
        """Return what has arrived since the last call, at least a byte, or None at the end. Raises: ConnectionBroken."""
        while not self.pieces:
            if self._complete:
                return None
            if self._error is not None:
                raise self._error
            self._waits_for = _NEXT
            await self._wait()
        pieces = self.pieces
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._size = 0
        if self._paused:
            self._paused = False
            self.heard_s = self._loop.time()
            self._transport.resume_reading()
        return data

    def release(self) -> bool:
        """End the exchange. True when the connection can serve another one; otherwise it is closed, which stops the provider."""
        self._expected, self._used = False, True
        self._until_s = math.inf
        if self._complete and self._keep and not self._is_spoiled and not self.is_closed and not self._transport.is_closing():
            self.pieces = []
            self.idle_since_s = self._loop.time()
            return True
        self.close()
        return False

    def close(self) -> None:
        """Close at once."""
        self.is_closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._transport is not None:
            self._transport.abort()

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    # --- the provider's side ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Parse what arrived."""
        if not self._expected or self._complete:
            self.close()  # nothing was asked, so this is no answer
            return
        if self._idle_s:
            self.heard_s = self._loop.time()
        if not self.status:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail("network", "answered with another protocol")
        except (httptools.HttpParserError, zlib.error) as error:
            self._fail("network", f"sent what is no HTTP answer ({error})")
        if not self.status and self._head_bytes > HEAD_MAX_BYTES:
            self._fail("network", "sent an endless head")

    def eof_received(self) -> bool:
        """Say that the transport may close: what follows is ``connection_lost``."""
        return False

    def pause_writing(self) -> None:
        """Go on all the same: a request is written in one go, and then its answer is awaited."""

    def resume_writing(self) -> None:
        """See ``pause_writing``."""

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header, its name in lower case."""
        if not self._complete:
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The status is known."""
        if self._complete:
            self._is_spoiled = True  # a second answer to one question: not the next one's
            return
        self.status = self._parser.get_status_code()
        if self.status < 200:  # noqa: PLR2004 -- an interim answer; the real one follows
            return
        if dict(self.headers).get(b"content-encoding", b"").lower() not in (b"identity", b""):
            # Not asked for. 47: zlib or gzip, whichever it is.
            self._inflate = zlib.decompressobj(47)
        if self._waits_for == _HEAD:
            self._wake()

    def on_body(self, data: bytes) -> None:
        """Keep a piece of the body."""
        if self._complete:
            return
        if self._inflate is not None:
            data = self._inflate.decompress(data)
            if not data:
                return
        self.pieces.append(data)
        self._size += len(data)
        if self._waits_for == _NEXT:
            self._wake()
        if self._size > _HIGH_WATER_BYTES:
            self._hold_back()

    def _hold_back(self) -> None:
        if self._waits_for != _END:
            if not self._paused:
                self._paused = True
                self._transport.pause_reading()
        elif self._size > ANSWER_MAX_BYTES:
            self._fail("network", "sent an endless answer")

    def on_message_complete(self) -> None:
        """The answer is whole."""
        if self._complete:
            return
        if self.status < 200:  # noqa: PLR2004 -- an interim answer; the real one follows
            self.status = 0
            self.headers = []
            return
        self._complete = True
        self._keep = self._parser.should_keep_alive()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell who waits. An answer without a length ends here and is whole."""
        self.is_closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._expected and not self._complete and self._error is None:
            if self.status and exc is None and not any(name in _CHUNKED_OR_SIZED for name, _ in self.headers):
                self._complete = True
                self._wake()
            elif self._used and not self._head_bytes and self._loop.time() - self._sent_s < _STALE_WITHIN_S:
                self._fail("stale", "closed an idle connection")
            else:
                self._fail("network", "connection broke off")
        self._parser = None  # it knows us and we know it

    def _fail(self, kind: str, message: str) -> None:
        if self._error is None:
            self._error = ConnectionBroken(kind, message)
        self.close()
        self._wake()

    def _expire(self) -> None:
        self._timer = None
        if self._until_s == math.inf:
            return  # nothing is waited for; the next request sets the timer anew
        now_s = self._loop.time()
        until_s = self._until_s
        if self._idle_s:
            until_s = (now_s if self._paused else self.heard_s) + self._idle_s  # paused: it is our client who is slow
        if until_s > now_s:
            self._give_until(until_s, now_s)
        else:
            self._fail("timeout", "no answer in time")

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            self._outbox.expect()
            waiter.set_result(None)
