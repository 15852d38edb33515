"""One connection of a process to the money store (Redis or Valkey): under load every command of an event-loop turn leaves in one write.

Replies come back in the order of the commands, so waiting callers stand in a queue. One watchdog serves all time-outs: when the
server is silent although calls wait, nothing behind the oldest can be answered either, so the whole connection is dropped and every
caller told.
"""

import asyncio
import asyncio.protocols
import contextlib
import logging
import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import hiredis
from mypy_extensions import mypyc_attr

from billing.authorizer.address import StoreAddress
from billing.authorizer.scripts import DATA_PLANE, Script

logger = logging.getLogger(__name__)

Arg = str | bytes | int
_BACKOFF_FIRST_S = 0.05
_BACKOFF_MAX_S = 1.0
_CLOSE_LOOK_S = 0.005
_GRACE_S = 0.01
# A server that answers, but slowly, gets this many time-outs for a call: dropping it would only add the work of coming back.
_SLOW_FACTOR = 4
# Above this many waiting requests the store is not keeping up; more would only grow memory.
_PENDING_MAX = 200_000
# With no more requests than this under way a caller that waits is not made to wait for the end of the turn: there is little to gather.
_FEW_CALLS = 2
# Errors that speak of the server's state and not of the call.
_UNAVAILABLE = ("LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "OOM", "MISCONF", "NOREPLICAS", "BUSY", "TRYAGAIN", "UNKILLABLE")


@mypyc_attr(allow_interpreted_subclasses=True)
class MoneyStoreDown(Exception):
    """The money store cannot be asked now; nothing is known about the call's effect. ``retry_after_s`` is for the client."""

    def __init__(self, reason: str = "the money store is unreachable", *, retry_after_s: float = 1.0) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class MoneyStoreError(Exception):
    """The server refused a command; the text is its error reply."""


class _Listener:
    """Stands where a future stands and calls back at once: no handle, no turn of the loop in between."""

    __slots__ = ("_tell",)

    def __init__(self, tell: Callable[[Any, Exception | None], None]) -> None:
        self._tell = tell

    def done(self) -> bool:
        return False

    def set_result(self, reply: Any) -> None:
        self._tell(reply, None)

    def set_exception(self, error: Exception) -> None:
        self._tell(None, error)

    def exception(self) -> None:
        """Nobody has to fetch it."""


_Pending = TypeVar("_Pending", "asyncio.Future[Any]", _Listener, "asyncio.Future[Any] | _Listener")


class _Call:
    """A command whose reply is awaited."""

    __slots__ = ("args", "future", "keys", "requests", "script", "sent_s")

    def __init__(
        self,
        future: "asyncio.Future[Any] | _Listener",
        sent_s: float,
        script: Script | None = None,
        keys: Sequence[str] = (),
        args: Sequence[Arg] = (),
        *,
        requests: int = 1,
    ) -> None:
        self.future = future
        self.sent_s = sent_s
        self.script = script
        self.keys = keys
        self.args = args
        self.requests = requests


@mypyc_attr(native_class=False)
class _Link(asyncio.protocols.Protocol):
    """The socket's side: hands bytes up, and tells when it is gone."""

    def __init__(self, owner: "MoneyConnection") -> None:
        self._owner = owner
        self.transport: asyncio.Transport | None = None
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are not subclasses

    def data_received(self, data: bytes) -> None:
        self._owner._receive(self, data)  # noqa: SLF001 -- two halves of one thing

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- the protocol's signature
        if not self.lost.done():
            self.lost.set_result(None)
        self._owner._drop(self, "the money store closed the connection")  # noqa: SLF001


class MoneyConnection:
    """The process's one connection. Calls return futures at once; await them or attach a callback.

    A call fails with MoneyStoreDown when there is no connection, when it breaks, or when the server is silent for ``timeout_s`` (or
    behind by four times that); then its effect is unknown. It fails with MoneyStoreError when the server refuses it. Nothing is ever
    sent twice, except a script that the server did not know.
    """

    def __init__(self, url: str, *, timeout_s: float = 0.25) -> None:
        self.run_id = ""
        self.connected = False
        self.timeout_s = timeout_s
        self._where = StoreAddress.parse(url)
        self._link: _Link | None = None
        self._reader = hiredis.Reader()
        self._pending: deque[_Call] = deque()
        self._under_way = 0  # requests in the pending calls; one call may carry many
        self._gathered = 0  # requests that wait for the flush of this turn, with those who asked to be called before it
        self._gatherers: list[Callable[[], None]] = []
        self._out: list[bytes] = []
        self._is_flush_due = False
        self._task: asyncio.Task[None] | None = None
        self._watchdog: asyncio.TimerHandle | None = None
        self._first_try = asyncio.Event()
        self._run_listeners: list[Callable[[str], None]] = []
        self._pack = cast("Callable[[tuple[Arg, ...]], bytes]", hiredis.pack_command)  # its stub knows 1-tuples only
        self._loop: asyncio.AbstractEventLoop | None = None
        self._heard_s = 0.0

    def on_new_run(self, listener: Callable[[str], None]) -> None:
        """Call ``listener(run_id)`` at each connection to a server process that was not the last one, before any other call."""
        self._run_listeners.append(listener)

    def before_flush(self, gatherer: Callable[[], None]) -> None:
        """Call ``gatherer()`` before each write: it may send as one call what ``gather`` announced."""
        self._gatherers.append(gatherer)

    async def start(self) -> None:
        """Connect and stay connected. Returns after the first attempt, whether or not it succeeded: look at ``connected``."""
        self._loop = asyncio.get_running_loop()
        self._first_try.clear()
        self._task = asyncio.create_task(self._stay_connected(), name="money-connection")
        await self._first_try.wait()

    async def close(self) -> None:
        """Send what is queued, give the store a moment to answer it, answer what is pending with MoneyStoreDown, and disconnect."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        if self._link is not None:
            self._flush()
            until_s = asyncio.get_running_loop().time() + self.timeout_s
            while self._pending and self._link is not None and asyncio.get_running_loop().time() < until_s:  # noqa: ASYNC110 -- nobody tells
                await asyncio.sleep(_CLOSE_LOOK_S)  # what is written leaves in a later turn of the loop
        if self._link is not None:
            self._drop(self._link, "the money connection was closed")

    def new_future(self) -> "asyncio.Future[Any]":
        """Return a future of the connection's loop; asking asyncio for the running one takes a call of the system."""
        return (self._loop or asyncio.get_running_loop()).create_future()

    def execute(self, *args: Arg) -> "asyncio.Future[Any]":
        """Queue one command. The reply is as hiredis parses it: bytes, int, list or None."""
        future = self.new_future()
        if not self.connected or self._under_way >= _PENDING_MAX:
            return _fail_quietly(future, MoneyStoreDown())
        self._send(_Call(future, future.get_loop().time()), self._pack(args))
        return future

    def run_script(self, script: Script, keys: Sequence[str], args: Sequence[Arg]) -> "asyncio.Future[Any]":
        """Queue EVALSHA. If the server does not know the script (SCRIPT FLUSH), it is loaded and run once more."""
        future = self.new_future()
        if not self.connected or self._under_way >= _PENDING_MAX:
            return _fail_quietly(future, MoneyStoreDown())
        self._send(
            _Call(future, future.get_loop().time(), script, keys, args), self._pack(("EVALSHA", script.sha, len(keys), *keys, *args))
        )
        if self._under_way + self._gathered <= _FEW_CALLS:
            self._flush()
        return future

    def post_script(
        self,
        script: Script,
        keys: Sequence[str],
        args: Sequence[Arg],
        tell: Callable[[Any, Exception | None], None],
        *,
        requests: int = 1,
    ) -> None:
        """As ``run_script``, for a caller that waits for nothing: ``tell(reply, None)`` or ``tell(None, error)`` is called once.

        ``requests`` is for how many requests the call speaks.
        """
        listener = _Listener(tell)
        if not self.connected or self._under_way >= _PENDING_MAX:
            listener.set_exception(MoneyStoreDown())
            return
        now_s = self._loop.time()  # type: ignore[union-attr]  # connected, so started
        call = _Call(listener, now_s, script, keys, args, requests=requests)
        self._send(call, self._pack(("EVALSHA", script.sha, len(keys), *keys, *args)))

    def gather(self, *, is_awaited: bool) -> None:
        """Announce a request that a gatherer keeps until the flush, which comes in this turn; at once if somebody awaits it alone."""
        self._gathered += 1
        if not self._is_flush_due:
            self._flush_soon()
        if is_awaited and self._under_way + self._gathered <= _FEW_CALLS:
            self._flush()

    # --- sending and receiving ---

    def _send(self, call: _Call, packed: bytes) -> None:
        self._pending.append(call)
        self._under_way += call.requests
        if not self._is_flush_due:
            self._flush_soon()
        self._out.append(packed)
        if self._watchdog is None:
            self._watchdog = self._loop.call_later(self.timeout_s, self._watch)  # type: ignore[union-attr]  # connected, so started

    def _flush_soon(self) -> None:
        self._is_flush_due = True
        (self._loop or asyncio.get_running_loop()).call_soon(self._flush_in_turn)

    def _flush_in_turn(self) -> None:
        self._is_flush_due = False
        self._flush()

    def _flush(self) -> None:
        if self._gathered:
            self._gathered = 0
            for gatherer in self._gatherers:
                gatherer()
        if self._out and self._link is not None and self._link.transport is not None:
            self._link.transport.write(b"".join(self._out))
        self._out.clear()

    def _receive(self, link: _Link, data: bytes) -> None:
        if link is not self._link:
            return
        reader, pending = self._reader, self._pending
        self._heard_s = self._loop.time()  # type: ignore[union-attr]  # connected, so started
        reader.feed(data)
        try:
            while (reply := reader.gets()) is not False:
                call = pending.popleft()
                self._under_way -= call.requests
                if isinstance(reply, hiredis.ReplyError):
                    self._refuse(call, str(reply))
                elif not call.future.done():
                    call.future.set_result(reply)
        except (hiredis.ProtocolError, IndexError):
            logger.exception("money_store_protocol_error")
            self._drop(link, "the money store sent what is no reply")

    def _refuse(self, call: _Call, message: str) -> None:
        if call.script is not None and message.startswith("NOSCRIPT"):
            script, keys, args = call.script, call.keys, call.args
            call.script = None
            now_s = self._loop.time()  # type: ignore[union-attr]
            load: asyncio.Future[Any] = self._loop.create_future()  # type: ignore[union-attr]
            load.add_done_callback(_swallow)
            self._send(_Call(load, now_s), self._pack(("SCRIPT", "LOAD", script.text)))
            call.sent_s = now_s
            self._send(call, self._pack(("EVALSHA", script.sha, len(keys), *keys, *args)))
        elif not call.future.done():
            down = message.startswith(_UNAVAILABLE)
            call.future.set_exception(MoneyStoreDown(f"the money store answered: {message}") if down else MoneyStoreError(message))

    def _overdue_s(self) -> float:
        """How long the server has been silent for too long, or the oldest call waits for too long; below zero if neither."""
        now_s, sent_s = asyncio.get_running_loop().time(), self._pending[0].sent_s
        return max(now_s - max(sent_s, self._heard_s) - self.timeout_s, now_s - sent_s - self.timeout_s * _SLOW_FACTOR)

    def _watch(self) -> None:
        """Look again when the present silence would be too long."""
        self._watchdog = None
        if self._pending:
            overdue_s = self._overdue_s()
            # After a grace, because a busy loop may not have read what has arrived.
            wait_s, look = (-overdue_s + 0.001, self._watch) if overdue_s < 0 else (_GRACE_S, self._judge)
            self._watchdog = asyncio.get_running_loop().call_later(wait_s, look)

    def _judge(self) -> None:
        if not self._pending or self._link is None or self._overdue_s() < 0:
            self._watch()
            return
        logger.error("money_store_timeout timeout_s=%s pending=%s", self.timeout_s, len(self._pending))
        self._watchdog = None
        self._drop(self._link, f"the money store did not answer within {self.timeout_s} s")

    def _drop(self, link: _Link, reason: str) -> None:
        if link is not self._link:
            return
        self._link, self.connected = None, False
        self._out.clear()
        if self._watchdog is not None:
            self._watchdog.cancel()
            self._watchdog = None
        pending, self._pending, self._under_way = self._pending, deque(), 0
        for call in pending:
            if not call.future.done():
                _fail_quietly(call.future, MoneyStoreDown(reason))
        if link.transport is not None:
            link.transport.abort()
        if not link.lost.done():
            link.lost.set_result(None)

    # --- connecting ---

    async def _stay_connected(self) -> None:
        backoff_s = _BACKOFF_FIRST_S
        while True:
            try:
                link = await self._connect()
            except (OSError, MoneyStoreDown, MoneyStoreError, TimeoutError) as error:
                self._first_try.set()
                logger.warning("money_store_unreachable where=%s error=%s", self._where, error)
                await asyncio.sleep(backoff_s * random.uniform(0.5, 1.0))  # noqa: S311 -- jitter
                backoff_s = min(backoff_s * 2, _BACKOFF_MAX_S)
                continue
            self._first_try.set()
            backoff_s = _BACKOFF_FIRST_S
            await link.lost

    async def _connect(self) -> _Link:
        async with asyncio.timeout(max(self.timeout_s, 1.0) * 2):
            link = await self._where.open(lambda: _Link(self))
        self._link, self._reader, self._out = link, hiredis.Reader(), []
        hello = [*self._where.hello(), ("INFO", "server"), *(("SCRIPT", "LOAD", script.text) for script in DATA_PLANE)]
        loop = asyncio.get_running_loop()
        futures = [loop.create_future() for _ in hello]
        for future, command in zip(futures, hello, strict=True):
            self._send(_Call(future, loop.time()), self._pack(command))
        try:
            replies = await asyncio.gather(*futures)
        except BaseException:
            self._drop(link, "the handshake with the money store failed")
            for future in futures:
                future.add_done_callback(_swallow)
            raise
        run_id = _run_id(replies[len(hello) - len(DATA_PLANE) - 1])
        self.connected = self._link is link
        if run_id != self.run_id:
            self.run_id = run_id
            for listener in self._run_listeners:
                listener(run_id)
        logger.info("money_store_connected where=%s run_id=%s", self._where, run_id)
        return link


def _run_id(info: bytes) -> str:
    for line in info.split(b"\r\n"):
        if line.startswith(b"run_id:"):
            return line[7:].decode()
    msg = "INFO server told no run_id"
    raise MoneyStoreError(msg)


def _swallow(future: "asyncio.Future[Any]") -> None:
    if not future.cancelled():
        future.exception()


def _fail_quietly(future: _Pending, error: Exception) -> _Pending:
    """Set an exception without the complaint of the garbage collector if nobody awaits (fire and forget)."""
    future.set_exception(error)
    future.exception()
    return future
