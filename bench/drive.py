"""The load that wrk cannot make, and all of it where wrk is missing. A process of its own, so that nothing else shares its loop.

``python -m bench.drive JOB`` where JOB is JSON: ``{"kind": "closed" | "rate" | "streams", "port": …, …}``; prints one JSON line.
"""

import asyncio
import contextlib
import json
import os
import selectors
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any, cast

from bench.figures import percentile

_HEAD_END = b"\r\n\r\n"


class Whole(asyncio.Protocol):
    """One keep-alive connection that sends a request and reads a whole answer with a content-length (or in chunks)."""

    def __init__(self, request: bytes, on_answer: Callable[["Whole", bool], None]) -> None:
        self._request = request
        self._on_answer = on_answer
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self.began_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def send(self) -> None:
        """Send the request once more."""
        if self._transport is not None:
            self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Report when the answer is complete."""
        self._buffer += data
        end = self._buffer.find(_HEAD_END)
        if end < 0:
            return
        head = self._buffer[:end].lower()
        at = head.find(b"content-length:")
        if at < 0:
            if not self._buffer.endswith(b"0\r\n\r\n"):
                return
        else:
            line = head[at + 15 :].split(b"\r\n", 1)[0]
            if len(self._buffer) < end + 4 + int(line):
                return
        is_ok = head.startswith(b"http/1.1 200")
        self._buffer = b""
        self._on_answer(self, is_ok)

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()


class _Tally:
    def __init__(self) -> None:
        self.latencies_s: list[float] = []
        self.failures = 0

    def note(self, began_s: float, *, is_ok: bool) -> None:
        if is_ok:
            self.latencies_s.append(time.perf_counter() - began_s)
        else:
            self.failures += 1

    def report(self, connections: int, duration_s: float) -> dict[str, Any]:
        ordered = sorted(self.latencies_s)
        return {
            "connections": connections,
            "requests": len(ordered),
            "failures": self.failures,
            "duration_s": duration_s,
            "p50_ms": percentile(ordered, 50) * 1000,
            "p99_ms": percentile(ordered, 99) * 1000,
        }


def _request(job: dict[str, Any]) -> bytes:
    body: bytes = job["body"].encode()
    head = (
        f"POST {job['path']} HTTP/1.1\r\nhost: 127.0.0.1:{job['port']}\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {job['key']}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _connect(job: dict[str, Any], count: int, on_answer: Callable[[Whole, bool], None]) -> list[Whole]:
    loop, request = asyncio.get_running_loop(), _request(job)
    made = []
    for _ in range(count):
        _, protocol = await loop.create_connection(lambda: Whole(request, on_answer), "127.0.0.1", job["port"])
        made.append(protocol)
    return made


async def drive_closed(job: dict[str, Any]) -> dict[str, Any]:
    """Each connection sends its next request when it has the answer. Waits for the last answers, so that all are counted."""
    tally, open_count = _Tally(), job["connections"]
    drained = asyncio.Event()
    until_s = 0.0

    def go_on(connection: Whole, is_ok: bool) -> None:  # noqa: FBT001 -- a callback
        nonlocal open_count
        tally.note(connection.began_s, is_ok=is_ok)
        connection.began_s = time.perf_counter()
        if connection.began_s < until_s:
            connection.send()
            return
        open_count -= 1
        if not open_count:
            drained.set()

    connections = await _connect(job, open_count, go_on)
    began_s = time.perf_counter()
    until_s = began_s + job["duration_s"]
    for connection in connections:
        connection.began_s = time.perf_counter()
        connection.send()
    await asyncio.wait_for(drained.wait(), job["duration_s"] + 30)
    took_s = time.perf_counter() - began_s
    for connection in connections:
        connection.close()
    return tally.report(job["connections"], took_s)


async def drive_rate(job: dict[str, Any]) -> dict[str, Any]:
    """Send at a fixed rate whatever the answers do; latency counts from the moment a request was due and includes waiting in line."""
    loop, tally = asyncio.get_running_loop(), _Tally()
    free: deque[Whole] = deque()
    waiting: deque[float] = deque()
    total = int(job["rate_per_s"] * job["duration_s"])
    drained = asyncio.Event()

    def answered(connection: Whole, is_ok: bool) -> None:  # noqa: FBT001 -- a callback
        tally.note(connection.began_s, is_ok=is_ok)
        if waiting:
            connection.began_s = waiting.popleft()
            connection.send()
        else:
            free.append(connection)
        if len(tally.latencies_s) + tally.failures == total:
            drained.set()

    free.extend(await _connect(job, job["connections"], answered))
    began_s = loop.time()
    step_s = 1 / job["rate_per_s"]

    def fire(number: int) -> None:
        if free:
            connection = free.popleft()
            connection.began_s = time.perf_counter()
            connection.send()
        else:
            waiting.append(time.perf_counter())
        if number + 1 < total:
            loop.call_at(began_s + (number + 1) * step_s, fire, number + 1)

    loop.call_at(began_s, fire, 0)
    await asyncio.wait_for(drained.wait(), job["duration_s"] + 30)
    return tally.report(job["connections"], loop.time() - began_s)


class Stream(asyncio.Protocol):
    """One streamed answer. Notes when each chunk came and the time that its text carries."""

    def __init__(self, request: bytes, on_end: Callable[["Stream"], None]) -> None:
        self._request = request
        self._on_end = on_end
        self._transport: asyncio.Transport | None = None
        self._rest = b""
        self._head_seen = False
        self.sent_ns = 0
        self.first_ns = 0
        self.is_ok = False
        self.is_over = False
        self.arrivals: list[tuple[int, int]] = []  # when it came, when it was written; monotonic nanoseconds

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def send(self) -> None:
        """Ask for the stream."""
        self.sent_ns = time.monotonic_ns()
        if self._transport is not None:
            self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Note the chunks that are complete."""
        now_ns = time.monotonic_ns()
        if not self._head_seen:
            self._head_seen = True
            self._head_ok = data.startswith(b"HTTP/1.1 200")
            if not self._head_ok:
                self._end()
                return
        data = self._rest + data
        end = data.rfind(b"\n\n")
        if end < 0:
            self._rest = data
            return
        self._rest = data[end + 2 :]
        for part in data[:end].split(b"@t")[1:]:
            if not self.first_ns:
                self.first_ns = now_ns
            self.arrivals.append((now_ns, int(part[: part.index(b";")])))
        if b"[DONE]" in data:
            self.is_ok = self._head_ok
            self._end()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- the protocol's signature
        """Count a stream that was cut."""
        self._end()

    def _end(self) -> None:
        if not self.is_over:
            self.is_over = True
            self._on_end(self)
            if self._transport is not None:
                self._transport.close()


async def drive_streams(job: dict[str, Any]) -> dict[str, Any]:
    """Open streams evenly over ``ramp_s``, let them run; chunks are counted while all of them are open."""
    loop, request = asyncio.get_running_loop(), _request(job)
    streams: list[Stream] = []
    drained, open_count = asyncio.Event(), job["streams"]

    def ended(_stream: Stream) -> None:
        nonlocal open_count
        open_count -= 1
        if not open_count:
            drained.set()

    for _ in range(job["streams"]):
        _, protocol = await loop.create_connection(lambda: Stream(request, ended), "127.0.0.1", job["port"])
        streams.append(protocol)
    began_s = loop.time()
    for number, stream in enumerate(streams):
        loop.call_at(began_s + job["ramp_s"] * number / job["streams"], stream.send)
    from_ns = time.monotonic_ns() + int((job["ramp_s"] + 0.5) * 1e9)
    until_ns = from_ns + int(job["duration_s"] * 1e9)
    with contextlib.suppress(TimeoutError):  # streams that hang are failures, and are counted below
        await asyncio.wait_for(drained.wait(), job["ramp_s"] + job["duration_s"] * 4 + 30)
    window = [came - written for stream in streams for came, written in stream.arrivals if from_ns <= came < until_ns]
    delays_ms = sorted(delay / 1e6 for delay in window)
    firsts_ms = sorted((stream.first_ns - stream.sent_ns) / 1e6 for stream in streams if stream.first_ns)
    return {
        "streams": job["streams"],
        "offered_per_s": job["offered_per_s"],
        "chunks_per_s": len(window) / job["duration_s"],
        "failures": sum(not stream.is_ok for stream in streams),
        "first_p50_ms": percentile(firsts_ms, 50),
        "first_p99_ms": percentile(firsts_ms, 99),
        "delay_p50_ms": percentile(delays_ms, 50),
        "delay_p99_ms": percentile(delays_ms, 99),
        "requests": sum(stream.is_ok for stream in streams),
    }


def _run(job: dict[str, Any]) -> dict[str, Any]:
    if job["kind"] == "rate":
        # select() waits to the microsecond; the timers of epoll and libuv tick in milliseconds, which would send in bursts.
        with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
            return runner.run(drive_rate(job))
    import uvloop  # noqa: PLC0415 -- not used for the other kind

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(drive_closed(job) if job["kind"] == "closed" else drive_streams(job))


if __name__ == "__main__":
    print(json.dumps(_run(json.loads(os.environ["BENCH_JOB"] if len(sys.argv) < 2 else sys.argv[1]))))  # noqa: PLR2004
