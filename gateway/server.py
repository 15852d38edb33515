"""uvicorn's HTTP protocol with short cuts for the data plane.

ASGI takes a whole answer in two awaited messages, checks every header with two regular expressions and sets a timer behind each
answer. That was a quarter of what a small request cost. The protocol here offers the application its ``DirectCycle`` as the ASGI
extension ``tollway.direct``: a body that has arrived is taken, and an answer or a piece of a stream is written, by one plain call each.
An application that does not know the extension is served as by uvicorn, and the data plane without it works under any server.
"""

import logging
import urllib.parse
from asyncio import AbstractEventLoop, Event, Task, TimerHandle
from collections.abc import Sequence
from typing import Any, cast

import httptools
from mypy_extensions import mypyc_attr
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from gateway.relay.outbox import outbox_of

_EXTENSION = "tollway.direct"
_CHUNKED = (b"transfer-encoding", b"chunked")
_CLOSE = (b"connection", b"close")
_OF_UPGRADES = frozenset((b"connection", b"upgrade", b"http2-settings"))


class Arrival:
    """An event that becomes one of asyncio's when somebody waits for it: nearly every body is there before it is asked for."""

    __slots__ = ("_event", "_is_set")

    def __init__(self) -> None:
        self._event: Event | None = None
        self._is_set = False

    def set(self) -> None:
        """Let everyone who waits go on."""
        self._is_set = True
        if self._event is not None:
            self._event.set()

    def clear(self) -> None:
        """Make those wait who come from now on."""
        self._is_set = False
        if self._event is not None:
            self._event.clear()

    async def wait(self) -> bool:
        """Return when it is set."""
        if not self._is_set:
            if self._event is None:
                self._event = Event()
            await self._event.wait()
        return True


def _nothing() -> None:
    """Stand where a callback stood."""


def _ending(result: object, raised: BaseException | None) -> Any:
    """Return an application that ends as one has ended."""

    async def end(*_arguments: Any) -> object:
        if raised is not None:
            raise raised
        return result

    return end


@mypyc_attr(native_class=False)
class DirectCycle(RequestResponseCycle):
    """One request and its answer. Each short cut says whether it could be taken; where not, the ASGI message does the same."""

    def __init__(self, protocol: "DirectProtocol", scope: Any, *, keep_alive: bool) -> None:
        # All that uvicorn's has, without its eleven named arguments.
        self.scope = scope
        self.transport = protocol.transport
        self.flow = protocol.flow
        self.logger = protocol.logger
        self.access_logger = protocol.access_logger
        self.access_log = protocol.access_log
        self.default_headers = protocol.server_state.default_headers
        self.message_event = cast("Event", Arrival())
        self.on_response = protocol.on_response_complete
        self.disconnected = False
        self.keep_alive = keep_alive
        self.waiting_for_100_continue = protocol.expect_100_continue
        self.body = bytearray()
        self.more_body = True
        self.response_started = False
        self.response_complete = False
        self.chunked_encoding = None
        self.expected_content_length = 0
        # And what is ours.
        self.outbox = protocol.outbox
        self.tasks = protocol.tasks
        self.task: Task[None] | None = None

    async def run_asgi(self, app: Any) -> None:
        """Run the application for this request. What it leaves undone is uvicorn's to end and to report."""
        result: object = None
        raised: BaseException | None = None
        try:
            result = await app(self.scope, self.receive, self.send)
        except BaseException as error:  # noqa: BLE001 -- raised again below
            raised = error
        try:
            if raised is None and result is None and self.response_complete:
                self.on_response = _nothing
                return

            await RequestResponseCycle.run_asgi(self, _ending(result, raised))
        finally:
            if self.task is not None:
                self.tasks.discard(self.task)
                self.task = None

    def take_body(self) -> bytes | None:
        """Return the whole body when it has arrived, else None."""
        if self.more_body or self.disconnected or self.waiting_for_100_continue:
            return None
        body = bytes(self.body)
        self.body = bytearray()
        self.message_event.clear()
        return body

    def answer(self, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> bool:
        """Send a whole answer, whose headers name its length."""
        if not self._may_begin():
            return False
        data = self._head(status, headers) + body
        self.outbox.write(self.transport, data)
        if not self.keep_alive:
            self.outbox.flush()  # the connection is closed next
        self._complete()
        return True

    def begin_stream(self, headers: Sequence[tuple[bytes, bytes]], data: bytes) -> bool:
        """Send the head of a stream, with status 200, and its first piece. An empty piece would end it."""
        if not (data and self._may_begin()):
            return False
        self.chunked_encoding = True
        self.transport.write(b"%b%x\r\n%b\r\n" % (self._head(200, (*headers, _CHUNKED)), len(data), data))
        return True

    def write_piece(self, data: bytes) -> bool:
        """Send a piece of a stream that has begun."""
        if not data or self.disconnected or self.flow.write_paused or self.response_complete:
            return False
        self.transport.write(b"%x\r\n%b\r\n" % (len(data), data))
        return True

    def _may_begin(self) -> bool:
        busy = self.response_started or self.disconnected or self.flow.write_paused
        return not (busy or self.access_log or self.scope["method"] == "HEAD")

    def _head(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> bytes:
        self.response_started = True
        self.waiting_for_100_continue = False
        lines = [*self.default_headers, *headers]
        if not self.keep_alive:
            lines.append(_CLOSE)
        head = b"%b%b\r\n" % (STATUS_LINE[status], b"".join([b"%b: %b\r\n" % line for line in lines]))
        # One line each: a value with a line break in it would let its author write headers, or an answer, of their own.
        if head.count(b"\n") != len(lines) + 2 or head.count(b"\r") != len(lines) + 2:
            raise RuntimeError("Invalid HTTP header value.")
        return head

    def _complete(self) -> None:
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()


@mypyc_attr(native_class=False)
class DirectProtocol(HttpToolsProtocol):
    """A client's connection."""

    def __init__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any], _loop: AbstractEventLoop | None = None
    ) -> None:  # the names are uvicorn's, which calls by them
        super().__init__(config, server_state, app_state, _loop)
        self.access_log = self.access_log and self.access_logger.isEnabledFor(logging.INFO)
        self.outbox = outbox_of(self.loop)
        self._idle_since_s: float | None = None
        self._idle_timer: TimerHandle | None = None
        self._upgrades = False
        self._declines = False

    def data_received(self, data: bytes) -> None:
        """Parse what arrived, as uvicorn does; a request whose wish for another protocol is declined is parsed once more without it.

        Java's own client and `curl --http2` wish for HTTP/2 with every request that is not encrypted, and take HTTP/1.1. The parser leaves
        the body of such a request to the other protocol.
        """
        self._idle_since_s = None
        piece: Any = data  # bytes, or a view of them, which mypyc would take for bytes
        rest: Any = None
        while piece:
            try:
                self.parser.feed_data(piece)
                piece, rest = rest, None
            except httptools.HttpParserUpgrade as upgrade:
                if self._declines:  # the wish stood in what was fed, so nothing else waits behind it
                    piece, rest = self._begin_without_wish(), memoryview(piece)[upgrade.args[0] :]
                    continue
                if self._should_upgrade():
                    self.handle_websocket_upgrade()
                else:
                    self._unsupported_upgrade_warning()
                return
            except httptools.HttpParserError:
                message = "Invalid HTTP request received."
                self.logger.warning(message)
                self.send_400_response(message)
                return

    def _begin_without_wish(self) -> bytes:
        """Return the head of the request without its wish, for the new parser that is in place then."""
        self._declines = False
        lines = [b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())]
        for name, value in self.headers:
            if name == b"connection" and b"close" in [token.strip() for token in value.lower().split(b",")]:
                lines.append(b"connection: close\r\n")
            elif name not in _OF_UPGRADES:
                lines.append(b"%b: %b\r\n" % (name, value))
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's
        return b"%b\r\n" % b"".join(lines)

    def on_message_begin(self) -> None:
        """Begin a request."""
        self.url = b""
        self.headers = []
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": "1.1",
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "root_path": self.root_path,
            "headers": self.headers,
            "state": self.app_state.copy(),
        }
        self.scope = cast("Any", scope)

    def on_url(self, url: bytes) -> None:
        """Keep a piece of the request's path and query."""
        self.url = self.url + url if self.url else url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; what it means is asked once, when all are here."""
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Begin a request as uvicorn does, in a ``DirectCycle``."""
        self.expect_100_continue = dict(self.headers).get(b"expect", b"").lower() == b"100-continue"
        self._upgrades = self.parser.should_upgrade()
        self._declines = self._upgrades and self._get_upgrade() != b"websocket" and self.parser.get_method() != b"CONNECT"
        if self._declines:
            return
        if self._upgrades or self.limit_concurrency is not None:
            self.outbox.flush()  # another protocol may take the transport over
            super().on_headers_complete()
            return
        version = self.parser.get_http_version()
        scope = cast("dict[str, Any]", self.scope)  # filled piece by piece, as uvicorn does it
        scope["method"] = self.parser.get_method().decode("ascii")
        scope["http_version"] = version
        self._read_url(scope)
        before = self.cycle
        self.cycle = cycle = DirectCycle(self, scope, keep_alive=version != "1.0" and self.parser.should_keep_alive())
        scope["extensions"] = {_EXTENSION: cycle}
        if before is None or before.response_complete:
            self.outbox.expect()
            self._start_asgi_task(cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if not isinstance(cycle, DirectCycle) or self.config.reset_contextvars:
            super()._start_asgi_task(cycle, app)
            return
        cycle.task = task = self.loop.create_task(cycle.run_asgi(app))
        self.tasks.add(task)

    def on_body(self, body: bytes) -> None:
        """Keep a piece of the body."""
        cycle = self.cycle
        if self._upgrades or len(body) + len(cycle.body) > HIGH_WATER_LIMIT:
            super().on_body(body)
        elif not cycle.response_complete:
            cycle.body += body
            cycle.message_event.set()

    def on_message_complete(self) -> None:
        """The whole request has arrived."""
        cycle = self.cycle
        if self._declines:
            return
        if self._upgrades:
            super().on_message_complete()
        elif not cycle.response_complete:
            cycle.more_body = False
            cycle.message_event.set()

    def _read_url(self, scope: dict[str, Any]) -> None:
        url = self.url
        # `in` would try whether the byte is a number first, and raise and catch an exception.
        if url[:1] == b"/" and url.find(b"?") < 0 and url.find(b"%") < 0 and url.find(b"#") < 0:
            raw_path, query = url, b""
        else:
            parsed: Any = httptools.parse_url(url)  # its types do not say that a part may be None
            raw_path, query = parsed.path, parsed.query or b""
        path = raw_path.decode("ascii")
        scope["path"] = self.root_path + (urllib.parse.unquote(path) if "%" in path else path)
        scope["raw_path"] = self.root_path.encode("ascii") + raw_path
        scope["query_string"] = query

    def on_response_complete(self) -> None:
        """Go on with the connection's next request, or be idle: one timer per connection that looks now and then, not one per answer."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
            return
        self._idle_since_s = self.loop.time()
        if self._idle_timer is None:
            self._idle_timer = self.loop.call_later(self.timeout_keep_alive, self._close_if_idle)

    def _unset_keepalive_if_required(self) -> None:
        self._idle_since_s = None

    def _close_if_idle(self) -> None:
        self._idle_timer = None
        if self._idle_since_s is None or self.transport.is_closing():
            return  # the answer that is being made sets the timer anew
        left_s = self._idle_since_s + self.timeout_keep_alive - self.loop.time()
        if left_s > 0:
            self._idle_timer = self.loop.call_later(left_s, self._close_if_idle)
        else:
            self.transport.close()

    def eof_received(self) -> None:
        """Answer a client that has said its last word, before its connection is closed for that."""
        self.outbox.flush()
        super().eof_received()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request, behind the answers to those before it."""
        self.outbox.flush()
        super().send_400_response(msg)

    def shutdown(self) -> None:
        """Take no further request."""
        self.outbox.flush()
        super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        super().connection_lost(exc)
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None
