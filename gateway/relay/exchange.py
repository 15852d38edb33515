"""One HTTP request and its answer in ASGI messages. With ``app.py`` the only file that sees scope, receive and send."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Generator, MutableMapping
from typing import TYPE_CHECKING, Any, Protocol

from gateway.relay.errors import ApiError, BodyTimeout, BodyTooLarge
from gateway.relay.generation import ClientInfo
from gateway.relay.sse import KEEPALIVE

if TYPE_CHECKING:
    from gateway.dialects.client import ErrorEncoder

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
HeaderPairs = list[tuple[bytes, bytes]]

JSON: tuple[bytes, bytes] = (b"content-type", b"application/json")
SSE: tuple[bytes, bytes] = (b"content-type", b"text/event-stream; charset=utf-8")
# Answers belong to one key: no cache may keep them, and proxies must not gather a stream.
_PRIVATE: tuple[bytes, bytes] = (b"cache-control", b"private, no-store")
_UNBUFFERED: tuple[bytes, bytes] = (b"x-accel-buffering", b"no")
_ANY_ORIGIN: tuple[bytes, bytes] = (b"access-control-allow-origin", b"*")
_EXPOSED: tuple[bytes, bytes] = (
    b"access-control-expose-headers",
    b"x-generation-id, x-request-id, retry-after, x-tollway-simulated, idempotent-replayed",
)
_CORS = (_ANY_ORIGIN, _EXPOSED)
_OK = 200
# Of an answer that its client may ask for again, no more than this is kept.
KEPT_MAX_BYTES = 1024 * 1024


class Direct(Protocol):
    """What our own server offers beside ASGI's messages (``gateway/server.py``): plain calls that say whether they could be done."""

    def take_body(self) -> bytes | None:
        """Return the whole body when it has arrived, else None."""

    def answer(self, status: int, headers: HeaderPairs, body: bytes) -> bool:
        """Send a whole answer."""

    def begin_stream(self, headers: HeaderPairs, data: bytes) -> bool:
        """Send the head of a stream, with status 200, and its first piece."""

    def write_piece(self, data: bytes) -> bool:
        """Send a piece of a stream that has begun."""


class ClientGone(Exception):
    """The client closed the connection before its request was complete."""


class AnswerCut(Exception):
    """An answer that has begun cannot be ended properly: the connection is to be closed, so that its end does not look like one."""


class _GoOn:
    """Awaits what has been begun: ``receiving`` stopped to wait for ``waits_for``."""

    __slots__ = ("_receiving", "_waits_for")

    def __init__(self, receiving: Generator[Any, Any, Message], waits_for: Any) -> None:
        self._receiving = receiving
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, Message]:
        try:
            yield self._waits_for
        except BaseException as error:  # noqa: BLE001 -- whatever is thrown into us is meant for what we wait for
            try:
                self._waits_for = self._receiving.throw(error)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]
            yield self._waits_for
        return (yield from self._receiving)


class Kept:
    """A copy of an answer for whoever repeats its request. ``is_whole`` when it came to its end within ``KEPT_MAX_BYTES``."""

    __slots__ = ("content_type", "is_whole", "pieces", "size")

    def __init__(self) -> None:
        self.content_type = b""
        self.is_whole = False
        self.pieces: list[bytes] = []
        self.size = 0

    def add(self, data: bytes, content_type: tuple[bytes, bytes]) -> None:
        """Keep a piece while all of them fit."""
        self.content_type = content_type[1]
        self.size += len(data)
        if self.size <= KEPT_MAX_BYTES:
            self.pieces.append(data)

    def end(self) -> None:
        """The answer is complete."""
        self.is_whole = self.size <= KEPT_MAX_BYTES


class Exchange:
    """A request being answered. ``silent_since`` is the monotonic second of the latest byte sent, for keep-alive comments.

    ``encode_error`` is the client dialect's; without one errors have the shape of Chat Completions.
    """

    __slots__ = (
        "_body_max_bytes",
        "_body_timeout_s",
        "_direct",
        "_is_late",
        "_receive",
        "_send",
        "content_type",
        "encode_error",
        "extra_headers",
        "generation_id",
        "headers",
        "keepalive",
        "kept",
        "method",
        "path",
        "query_string",
        "silent_since",
        "started",
        "writing",
    )

    def __init__(self, scope: Message, receive: Receive, send: Send, *, body_max_bytes: int, body_timeout_s: float = 30.0) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query_string: bytes = scope["query_string"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        extensions = scope.get("extensions")
        self._direct: Direct | None = extensions.get("tollway.direct") if extensions else None
        self._receive = receive
        self._send = send
        self._body_max_bytes = body_max_bytes
        self._body_timeout_s = body_timeout_s
        self._is_late = False
        self.extra_headers: HeaderPairs = []
        self.encode_error: ErrorEncoder | None = None
        self.content_type = SSE  # of a stream
        self.generation_id = ""
        self.keepalive = KEEPALIVE
        self.kept: Kept | None = None
        self.started = False
        self.writing = False
        self.silent_since = time.monotonic()

    def header(self, name: bytes) -> str:
        """Return a request header, or ''. Bytes that are not Latin-1 cannot occur."""
        value = self.headers.get(name)
        return value.decode("latin-1") if value else ""

    def client_info(self) -> ClientInfo:
        """Return what the client said about itself, cut to what a receipt keeps."""
        headers = self.headers
        agent = headers.get(b"user-agent", b"")
        referer = headers.get(b"http-referer") or headers.get(b"referer", b"")
        title = headers.get(b"x-openrouter-title") or headers.get(b"x-title", b"")
        return ClientInfo(agent[:200].decode("latin-1"), referer[:200].decode("latin-1"), title[:200].decode("latin-1"))

    async def read_body(self) -> bytes:
        """Return the whole body. Raises: BodyTooLarge, ClientGone."""
        length = self.headers.get(b"content-length")
        if length is not None and length.isdigit() and int(length) > self._body_max_bytes:
            raise self._too_large()
        if self._direct is not None and (whole := self._direct.take_body()) is not None:
            if len(whole) > self._body_max_bytes:
                raise self._too_large()
            return whole
        message = await self._receive_piece()
        body: bytes = message.get("body", b"")
        if not message.get("more_body"):
            if len(body) > self._body_max_bytes:
                raise self._too_large()
            return body
        parts = [body]
        size = len(body)
        while message.get("more_body"):
            if size > self._body_max_bytes:
                raise self._too_large()
            message = await self._receive_piece()
            part = message.get("body", b"")
            size += len(part)
            parts.append(part)
        if size > self._body_max_bytes:
            raise self._too_large()
        return b"".join(parts)

    async def _receive_piece(self) -> Message:
        # Nearly every body is there already, and then nothing is waited for and no timer is set.
        receiving = self._receive().__await__()
        try:
            waits_for = next(receiving)
        except StopIteration as done:
            message: Message = done.value
        else:
            message = await self._receive_slowly(receiving, waits_for)
        if message["type"] == "http.disconnect":
            raise ClientGone
        return message

    async def _receive_slowly(self, receiving: Generator[Any, Any, Message], waits_for: Any) -> Message:
        # As asyncio.timeout, at a third of its cost.
        task = asyncio.current_task()
        timer = asyncio.get_running_loop().call_later(self._body_timeout_s, self._give_up, task)
        try:
            return await _GoOn(receiving, waits_for)
        except asyncio.CancelledError:
            if not self._is_late or task is None or task.uncancel():
                raise
            raise BodyTimeout("The request body did not arrive in time", remedy="Send the whole body, then wait.") from None
        finally:
            timer.cancel()

    def _give_up(self, task: asyncio.Task[object] | None) -> None:
        self._is_late = True
        if task is not None:
            task.cancel()

    def _too_large(self) -> BodyTooLarge:
        return BodyTooLarge(
            f"Request payload too large: the limit is {self._body_max_bytes:,} bytes",
            remedy="Send less, for example images by URL instead of inline.",
        )

    def _cors(self) -> tuple[tuple[bytes, bytes], ...]:
        """Return what a page of another origin needs; nobody else asks."""
        return _CORS if b"origin" in self.headers else ()

    async def wait_until_gone(self) -> None:
        """Return when the client has closed the connection."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def respond(self, status: int, body: bytes, *headers: tuple[bytes, bytes], content_type: tuple[bytes, bytes] = JSON) -> None:
        """Send a whole answer."""
        self.started = True
        if self.kept is not None and status == _OK:
            self.kept.add(body, content_type)
            self.kept.end()
        pairs = [content_type, (b"content-length", b"%d" % len(body)), _PRIVATE, *self._cors(), *self.extra_headers, *headers]
        await self._send_whole(status, pairs, body)

    async def respond_cached(self, status: int, body: bytes, headers: HeaderPairs) -> None:
        """Send a public answer whose headers (type, length, validators) were made beforehand."""
        self.started = True
        await self._send_whole(status, [*headers, _ANY_ORIGIN], body)

    async def _send_whole(self, status: int, pairs: HeaderPairs, body: bytes) -> None:
        if self._direct is None or not self._direct.answer(status, pairs, body):
            await self._send({"type": "http.response.start", "status": status, "headers": pairs})
            await self._send({"type": "http.response.body", "body": body})

    async def fail(self, error: ApiError) -> None:
        """Send an error as a whole answer."""
        headers: HeaderPairs = []
        if error.retry_after_s is not None:
            headers.append((b"retry-after", b"%d" % max(1, round(error.retry_after_s))))
        body = error.body() if self.encode_error is None else self.encode_error(error.to_dict(), self.generation_id)
        await self.respond(error.status, body, *headers)

    async def write(self, data: bytes) -> None:
        """Send a piece of a stream; starts the answer if it has not begun. Waits while the client reads slowly."""
        self.writing = True
        if self.kept is not None:
            self.kept.add(data, self.content_type)
        try:
            if self.started:
                if self._direct is not None and self._direct.write_piece(data):
                    return
            else:
                self.started = True
                pairs = [self.content_type, _PRIVATE, _UNBUFFERED, *self._cors(), *self.extra_headers]
                if self._direct is not None and self._direct.begin_stream(pairs, data):
                    return
                await self._send({"type": "http.response.start", "status": 200, "headers": pairs})
            await self._send({"type": "http.response.body", "body": data, "more_body": True})
        finally:
            self.writing = False
            self.silent_since = time.monotonic()

    async def keep_alive(self) -> None:
        """Send a sign of life: a comment line, which every parser of event streams skips. A client that has just left, or an answer
        that has just ended, is no error.
        """
        with contextlib.suppress(OSError, RuntimeError):
            await self.write(self.keepalive)

    async def finish(self) -> None:
        """End a stream."""
        if self.kept is not None:
            self.kept.end()
        await self._send({"type": "http.response.body", "body": b""})
