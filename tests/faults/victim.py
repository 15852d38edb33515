"""Gateways that die at a named point of a request, with signal 9 and at that very instruction.

``python -m tests.faults.victim`` loads the service once. For each point that it reads it forks a gateway, which serves on a free port
(told as ``port N``), tells what it knows of the request at its point (``died EVENT NANOS``), and kills itself.
"""

import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

import redis
import uvicorn

from billing.authorizer.gathering import Reservations
from billing.authorizer.holds import Holds
from billing.authorizer.keys import shard_keys
from billing.authorizer.spool import Spool
from gateway import asgi
from gateway.relay.http1 import Http1Connection
from gateway.relay.settlement import Settler
from gateway.server import DirectProtocol


class _Request:
    """The one request of this process."""

    event = "-"
    shard = org_id = nanos = 0


def _die() -> None:
    os.write(1, f"died {_Request.event} {_Request.nanos}\n".encode())
    os.kill(os.getpid(), signal.SIGKILL)


def _note_request() -> None:
    reserve = Holds.reserve

    async def noting(self: Holds, **wanted: Any) -> Any:
        _Request.event, _Request.shard, _Request.org_id = wanted["event_id"].hex, wanted["caller"].shard, wanted["caller"].org_id
        return await reserve(self, **wanted)

    Holds.reserve = noting  # type: ignore[method-assign]


def _before_reserve() -> None:
    async def dying(*_: Any, **__: Any) -> None:
        _die()

    Holds._take = dying  # type: ignore[method-assign]


def _reply_lost() -> None:
    """The store has the hold, and its reply lies unread in the socket."""
    reserve = Reservations.reserve

    def dying(self: Reservations, *asked: Any) -> Any:
        future = reserve(self, *asked)
        self._connection._flush()
        with redis.Redis.from_url(os.environ["REDIS_URL"]) as store:
            # Not after a refusal that says what the store lacks: it is then loaded, and asked again.
            for _ in range(50):
                if store.hexists(f"{shard_keys(_Request.shard).holds}{_Request.org_id}", _Request.event):
                    _die()
        return future

    Reservations.reserve = dying  # type: ignore[method-assign]


def _after_reserve() -> None:
    take = Holds._take

    async def dying(self: Holds, hold: Any, **how: Any) -> None:
        await take(self, hold, **how)
        _die()

    Holds._take = dying  # type: ignore[method-assign]


def _before_the_first_byte() -> None:
    """The provider has the request and answers; nothing of it was read."""

    class Dying(Http1Connection):
        __slots__ = ()

        def data_received(self, data: bytes) -> None:  # noqa: ARG002 -- the protocol's signature
            _die()

    import gateway.relay.upstream as module  # noqa: PLC0415 -- to be changed

    module.Http1Connection = Dying  # type: ignore[misc]


def _mid_stream() -> None:
    """The store has heard what the answer came to so far; more of it came since."""
    asgi.plane._holds._heartbeat_s = 0.3
    send, renew, told = Holds._send_heartbeat, Holds._renew, {}

    def noting(self: Holds, shard: int, holds: list[Any]) -> Any:
        told.update({hold.event: hold.spent_nanos for hold in holds})
        return send(self, shard, holds)

    async def dying(self: Holds) -> bool:
        everyone_known = await renew(self)
        if everyone_known and told.get(_Request.event):
            _Request.nanos = told[_Request.event]
            _die()
        return everyone_known

    Holds._send_heartbeat, Holds._renew = noting, dying  # type: ignore[method-assign]


def _after_the_last_byte() -> None:
    def dying(*_: Any) -> None:
        _die()

    Settler.settle = dying  # type: ignore[assignment, method-assign]


def _at_spool(*, is_synced: bool) -> Callable[[], None]:
    """The event is in the file, whose bytes the system has or the disk too; the store was not told."""

    def arm() -> None:
        append = Spool.append

        def dying(self: Spool, event: Any, *, name: str = "") -> Any:
            record = append(self, event, name=name)
            if is_synced:
                os.fdatasync(record.segment.fd)
            _Request.nanos = event.amount_nanos
            _die()

        Spool.append = dying  # type: ignore[method-assign]

    return arm


def _after_settle() -> None:
    """The store has settled; the spool was not told."""
    acknowledge = Spool.acknowledge

    def dying(self: Spool, record: Any, *, epoch: int) -> None:
        if record.event == _Request.event:
            _Request.nanos = record.amount_nanos
            _die()
        acknowledge(self, record, epoch=epoch)

    Spool.acknowledge = dying  # type: ignore[method-assign]


POINTS: dict[str, Callable[[], None]] = {
    "before reserve": _before_reserve,
    "reply lost": _reply_lost,
    "after reserve": _after_reserve,
    "before the first byte": _before_the_first_byte,
    "mid-stream": _mid_stream,
    "after the last byte": _after_the_last_byte,
    "before the spool's sync": _at_spool(is_synced=False),
    "after the spool": _at_spool(is_synced=True),
    "after settle": _after_settle,
}


def main() -> None:
    """Fork a gateway for each point read; tell how it ended."""
    for line in sys.stdin:
        child = os.fork()
        if not child:
            _serve(line.strip())
            os._exit(1)
        ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        os.write(1, f"ended {ended}\n".encode())


def _serve(point: str) -> None:
    _note_request()
    POINTS[point]()
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        os.write(1, f"port {listening.getsockname()[1]}\n".encode())
        config = uvicorn.Config(
            asgi.application, log_level="warning", lifespan="on", loop="uvloop", http=DirectProtocol, interface="asgi3", proxy_headers=False
        )
        uvicorn.Server(config).run([listening])


if __name__ == "__main__":
    main()
