"""The server's short cuts answer over a real connection as ASGI's messages do."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
from uvicorn.server import ServerState

from gateway.relay.outbox import outbox_of
from gateway.server import DirectCycle, DirectProtocol

_JSON = (b"content-type", b"application/json")
_PIECES = 4_000
_PIECE = b"0123456789abcdef" * 256


class _Application:
    """Answers by path with the extension. ``written`` counts pieces of a stream, ``short_cuts`` what went past ASGI."""

    def __init__(self) -> None:
        self.written = 0
        self.short_cuts: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        direct = scope["extensions"]["tollway.direct"]
        body = direct.take_body()
        if body is None:
            body = await _read(receive)
        else:
            self.short_cuts.append("body")
        if scope["path"] == "/stream":
            await self._stream(direct, send)
            return
        if scope["path"] == "/fails":
            raise RuntimeError("not today")
        if scope["path"] == "/silent":
            return
        headers = [_JSON, (b"content-length", b"%d" % (len(body) + 1)), (b"x-query", scope["query_string"] or b"none")]
        if scope["path"] == "/forged":
            headers.append((b"x-name", body))
        if scope["path"] == "/plain" or not direct.answer(200, headers, body + b"!"):
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": body + b"!"})
        else:
            self.short_cuts.append("answer")

    async def _stream(self, direct: Any, send: Any) -> None:
        assert not direct.begin_stream([], b"")
        assert direct.begin_stream([(b"content-type", b"text/event-stream")], b"first")
        for _ in range(_PIECES):
            if not direct.write_piece(_PIECE):
                await send({"type": "http.response.body", "body": _PIECE, "more_body": True})
            self.written += 1
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _read(receive: Any) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    return body


class _Served:
    def __init__(self) -> None:
        self.application = _Application()
        self._listener = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(
            self.application,
            log_level="critical",
            lifespan="off",
            http=DirectProtocol,
            interface="asgi3",
            timeout_keep_alive=1,
            access_log=False,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._server.serve([self._listener])), daemon=True)
        self._thread.start()

    def connect(self) -> socket.socket:
        connection = socket.create_connection(self._listener.getsockname(), timeout=10)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def ask(self, *parts: bytes, answers: int = 1) -> bytes:
        """Send the parts one after the other and return what came until ``answers`` exclamation marks or the end."""
        with self.connect() as connection:
            for part in parts:
                connection.sendall(part)
                time.sleep(0.05 if len(parts) > 1 else 0)
            return _until(connection, answers)

    def running(self) -> int:
        """How many requests the server would wait for."""
        return len(self._server.server_state.tasks)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(10)


def _until(connection: socket.socket, answers: int) -> bytes:
    data = b""
    while data.count(b"!") < answers and (part := connection.recv(65_536)):
        data += part
    return data


@pytest.fixture
def served() -> Iterator[_Served]:
    server = _Served()
    yield server
    server.stop()


def _post(path: bytes, body: bytes, *headers: bytes, version: bytes = b"1.1") -> bytes:
    lines = [b"POST %b HTTP/%b" % (path, version), b"host: h", b"content-length: %d" % len(body), *headers]
    return b"\r\n".join([*lines, b"", body])


def _without_date(answer: bytes) -> list[bytes]:
    return [line for line in answer.split(b"\r\n") if not line.startswith((b"date:", b"server:"))]


def test_a_whole_answer_is_the_same_by_the_short_cut_as_by_messages(served: _Served) -> None:
    short, long = served.ask(_post(b"/a?b=c", b"hello")), served.ask(_post(b"/plain?b=c", b"hello"))
    assert _without_date(short) == _without_date(long)
    assert _without_date(short) == [
        b"HTTP/1.1 200 OK",
        b"content-type: application/json",
        b"content-length: 6",
        b"x-query: b=c",
        b"",
        b"hello!",
    ]
    assert served.application.short_cuts == ["body", "answer", "body"]


def test_a_body_that_comes_in_pieces_is_read_to_its_end(served: _Served) -> None:
    request = _post(b"/a", b"hello")
    assert served.ask(request[:20], request[20:-3], request[-3:]).endswith(b"\r\n\r\nhello!")
    assert served.application.short_cuts == ["answer"]


def test_requests_sent_at_once_are_answered_in_their_order(served: _Served) -> None:
    answer = served.ask(_post(b"/a", b"one") + _post(b"/plain", b"two") + _post(b"/a", b"three"), answers=3)
    assert [part.split(b"!")[0] for part in answer.split(b"\r\n\r\n")[1:]] == [b"one", b"two", b"three"]


def test_a_client_that_asks_to_go_on_is_told_to(served: _Served) -> None:
    with served.connect() as connection:
        request = _post(b"/a", b"hello", b"expect: 100-continue")
        connection.sendall(request[:-5])
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(request[-5:])
        assert _until(connection, 1).endswith(b"hello!")


_WISH = (b"connection: Upgrade, HTTP2-Settings", b"upgrade: h2c", b"http2-settings: AAEAAEAAAAIAAAAB")  # of Java's client


@pytest.mark.parametrize("path", [b"/direct", b"/plain"])
def test_a_wish_for_another_protocol_is_declined_and_the_request_served(served: _Served, path: bytes) -> None:
    asked, plain = _post(path, b"hello", *_WISH), _post(path, b"hello")
    expected = _without_date(served.ask(plain))
    assert expected[-1].endswith(b"hello!")
    assert _without_date(served.ask(asked)) == expected
    assert _without_date(served.ask(*[asked[at : at + 40] for at in range(0, len(asked), 40)])) == expected
    assert served.ask(plain, asked, plain, answers=3).count(b"hello!") == 3
    assert served.ask(asked + plain, answers=2).count(b"hello!") == 2
    assert served.ask(_post(path, b"hello", b"connection: upgrade", b"connection: keep-alive", b"upgrade: h2c")).endswith(b"hello!")


def test_thousands_of_wishes_at_once_are_declined_one_after_the_other(served: _Served) -> None:
    asked = b"GET /direct HTTP/1.1\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n"
    with served.connect() as connection:
        threading.Thread(target=connection.sendall, args=(asked * 3_000,), daemon=True).start()
        assert _until(connection, 3_000).count(b"HTTP/1.1 200 OK") == 3_000


def test_nonsense_behind_a_declined_wish_is_refused_behind_its_answer(served: _Served) -> None:
    asked = _post(b"/direct", b"x", *_WISH)
    answers = served.ask(asked, b"NONSENSE\r\n\r\n", answers=2)
    assert 0 <= answers.find(b"HTTP/1.1 200 OK\r\n") < answers.find(b"x!HTTP/1.1 400 Bad Request\r\n")


def test_a_wish_for_another_protocol_on_a_connection_that_is_to_close_closes_it(served: _Served) -> None:
    with served.connect() as connection:
        connection.sendall(_post(b"/direct", b"x", b"connection: close, upgrade", b"upgrade: h2c"))
        assert _until(connection, 2).endswith(b"x!")  # which the end of the connection ended


def test_a_connection_that_is_to_close_is_closed_after_the_answer(served: _Served) -> None:
    for request in (_post(b"/a", b"x", b"connection: close"), _post(b"/a", b"x", version=b"1.0")):
        with served.connect() as connection:
            connection.sendall(request)
            answer = _until(connection, 2)  # to the end
        assert b"connection: close\r\n" in answer
        assert answer.endswith(b"x!")


def test_an_idle_connection_is_closed_and_one_in_use_is_not(served: _Served) -> None:
    with served.connect() as idle, served.connect() as used:
        for connection in (idle, used):
            connection.sendall(_post(b"/a", b"x"))
            assert _until(connection, 1)
        begun_s = time.monotonic()
        for _ in range(4):
            time.sleep(0.4)
            used.sendall(_post(b"/a", b"y"))
            assert _until(used, 1).endswith(b"y!")
        assert time.monotonic() - begun_s > 1.5
        assert idle.recv(1) == b""


def test_a_line_break_in_a_header_never_reaches_the_client(served: _Served) -> None:
    answer = served.ask(_post(b"/forged", b"a\r\nset-cookie: b"))
    assert b"set-cookie" not in answer
    assert served.application.short_cuts == ["body"]


def test_a_path_is_decoded_and_its_query_kept(served: _Served) -> None:
    assert b"x-query: q=%21\r\n" in served.ask(_post(b"/%70lain?q=%21", b"x"))
    assert served.application.short_cuts == ["body"]  # "/plain": answered by messages


@pytest.mark.parametrize("path", [b"/fails", b"/silent"])
def test_a_request_that_the_application_leaves_unanswered_is_answered_by_uvicorn(served: _Served, path: bytes) -> None:
    answer = served.ask(_post(path, b"x"))
    assert answer.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert answer.endswith(b"\r\n\r\nInternal Server Error")


@pytest.mark.parametrize("path", [b"/direct", b"/plain", b"/fails", b"/silent"])
def test_a_request_that_has_ended_keeps_no_server_from_stopping(served: _Served, path: bytes) -> None:
    served.ask(_post(path, b"x"))
    until_s = time.monotonic() + 5
    while served.running() and time.monotonic() < until_s:
        time.sleep(0.01)
    assert served.running() == 0


def test_a_stream_waits_for_a_slow_reader_and_arrives_whole(served: _Served) -> None:
    with served.connect() as connection:
        connection.sendall(_post(b"/stream", b"x", b"connection: close"))
        time.sleep(1)
        assert served.application.written < _PIECES
        data = b""
        while part := connection.recv(1 << 20):
            data += part
    head, _, chunks = data.partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head
    assert chunks == b"5\r\nfirst\r\n" + b"1000\r\n%b\r\n" % _PIECE * _PIECES + b"0\r\n\r\n"


def test_a_client_that_leaves_a_stream_breaks_nothing(served: _Served) -> None:
    connection = served.connect()
    connection.sendall(_post(b"/stream", b"x"))
    connection.recv(100)
    connection.close()
    assert served.ask(_post(b"/a", b"still here")).endswith(b"still here!")


async def test_a_request_has_everything_that_uvicorn_gives_one() -> None:
    protocol = DirectProtocol(uvicorn.Config(_Application(), http=DirectProtocol, log_level="critical"), ServerState(), {})
    protocol.connection_made(cast("asyncio.Transport", _Transport()))
    protocol.data_received(b"POST /x HTTP/1.1\r\nhost: t\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n")
    ours, theirs = vars(protocol.cycle), vars(_cycle_of_uvicorn(protocol))

    assert isinstance(protocol.cycle, DirectCycle)
    assert {name: value for name, value in ours.items() if name in theirs} == {**theirs, "message_event": ours["message_event"]}
    assert ours.keys() - theirs.keys() == {"outbox", "task", "tasks"}
    ours["task"].cancel()


def _cycle_of_uvicorn(protocol: Any) -> RequestResponseCycle:
    cycle = protocol.cycle
    return RequestResponseCycle(
        scope=cycle.scope,
        transport=protocol.transport,
        flow=protocol.flow,
        logger=protocol.logger,
        access_logger=protocol.access_logger,
        access_log=protocol.access_log,
        default_headers=protocol.server_state.default_headers,
        message_event=asyncio.Event(),
        expect_100_continue=True,
        keep_alive=True,
        on_response=protocol.on_response_complete,
    )


class _Transport:
    """Notes what is written and that it was closed."""

    def __init__(self) -> None:
        self.record: list[bytes] = []

    def get_extra_info(self, _name: str, default: Any = None) -> Any:
        return default

    def write(self, data: bytes) -> None:
        assert b"closed" not in self.record
        self.record.append(data)

    def close(self) -> None:
        self.record.append(b"closed")

    def is_closing(self) -> bool:
        return b"closed" in self.record

    def resume_reading(self) -> None:
        """Nothing was held back."""


@pytest.mark.parametrize(
    "close",
    [
        lambda protocol: protocol.shutdown(),
        lambda protocol: protocol.data_received(b"no request\r\n\r\n"),
        lambda protocol: (protocol.eof_received(), protocol.transport.close()),
        lambda protocol: protocol.data_received(_post(b"/a", b"x", b"connection: close")),
    ],
    ids=["the server stops", "the client sends what is no request", "the client ends its side", "the next request is the last"],
)
async def test_an_answer_that_waits_for_the_end_of_the_turn_leaves_before_its_connection_closes(close: Callable[[Any], None]) -> None:
    loop = asyncio.get_running_loop()
    config = uvicorn.Config(_Application(), log_config=None, lifespan="off", interface="asgi3", access_log=False)
    config.load()
    transport = _Transport()
    protocol = DirectProtocol(config, ServerState(), {}, loop)
    protocol.connection_made(cast("asyncio.Transport", transport))
    for _ in range(10):
        outbox_of(loop).expect()
    protocol.data_received(_post(b"/a", b"first"))
    await asyncio.sleep(0)
    assert transport.record == []  # answered, and kept
    close(protocol)
    for _ in range(3):
        await asyncio.sleep(0)
    assert transport.record[0].endswith(b"first!")
    assert transport.record[-1] == b"closed"
