"""How soon a webhook of Stripe's is answered, while pages are being looked at and Celery looks into what came."""

import asyncio
import datetime as dt
import hashlib
import hmac
import json
import os
import statistics
import time
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.request import urlopen

from rich.console import Console

from bench.figures import percentile
from bench.machine import ROOT, Cores, commit, cpu_s, describe
from bench.servers import BenchFailed
from bench.stack import Stack

SECRET = "whsec_bench"  # noqa: S105 -- of a gateway that lives for this run
GOAL_MS = 100
_PATH, _LOOKED_AT = "/webhooks/stripe", "/models"
_PAGE = ROOT / "docs" / "benchmarks-webhooks.md"
_RATE_PER_S, _CONNECTIONS, _SECONDS = 20.0, 8, 20.0
_COPIES = 4  # every fourth event comes twice


class Answered(NamedTuple):
    """What a phase saw, milliseconds. ``first_ms`` is the very first of the process."""

    count: int
    first_ms: float
    p50_ms: float
    p99_ms: float
    most_ms: float


def measure(*, rounds: int, writes: bool, console: Console) -> bool:
    """Start a gateway with Celery, send it events alone and beside a reader of pages, say how long each took.

    True when the 99th percentile of every round is within the goal. Raises: BenchFailed.
    """
    alone, beside = [], []
    used_s = 0.0
    with Stack(cores=Cores(pinned=False), variables={"STRIPE_WEBHOOK_SECRET": SECRET}) as stack:
        with console.status("preparing"):
            stack.start_engines()
            stack.prepare()
            stack.manage("collectstatic", "--no-input")
            stack.start_jobs()
            stack.start_web()
        with urlopen(f"http://127.0.0.1:{stack.port}/readyz") as answer:  # as load balancers do first
            answer.read()
        load = os.getloadavg()[0]
        with console.status(f"sending events, {rounds} rounds of {2 * _SECONDS:.0f} s"):
            for number in range(rounds):
                before_s = cpu_s(stack.worker_pid)
                alone.append(asyncio.run(_phase(stack.port, f"a{number}", looks=False)))
                used_s += cpu_s(stack.worker_pid) - before_s
                beside.append(asyncio.run(_phase(stack.port, f"b{number}", looks=True)))
    lines = [
        f"| {title} | {sum(one.count for one in phases):,} | {_median(phases, 'p50_ms'):.1f} | {_median(phases, 'p99_ms'):.1f} | "
        f"{max(one.most_ms for one in phases):.0f} |"
        for title, phases in (("nothing else", alone), ("pages looked at without a pause", beside))
    ]
    table = ["| beside | events | p50 ms | p99 ms | longest ms |", "|---|---|---|---|---|", *lines]
    cpu_ms = 1000 * used_s / sum(one.count for one in alone)
    first = (
        f"The first event of the process took {alone[0].first_ms:.0f} ms. The web worker used {cpu_ms:.1f} ms of CPU per event, telling\n"
        f"Celery and all else in the process included. Load average of the machine when it began: {load:.1f}."
    )
    console.print("\n".join([*table, "", first]), markup=False)
    if writes:
        _PAGE.write_text(_write_page(table, first, rounds))
        console.print(f"wrote {_PAGE.relative_to(ROOT)}")
    return all(one.p99_ms <= GOAL_MS for one in alone + beside)


def _median(phases: list[Answered], name: str) -> float:
    return statistics.median(getattr(one, name) for one in phases)


def _write_page(table: list[str], first: str, rounds: int) -> str:
    lines = [
        "# How soon a webhook is answered",
        "",
        "Written by `python -m bench webhooks --write`: one web worker with Celery and beat receives signed events of Stripe's at",
        f"{_RATE_PER_S:.0f} a second over {_CONNECTIONS} connections, every fourth twice, {rounds} times for {_SECONDS:.0f} s.",
        f"A time counts from when the event was due. Medians of the rounds; the goal is {GOAL_MS} ms. Before the answer: the signature",
        "and one INSERT. Celery is told by a thread beside.",
        "",
        f"Measured {dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M} UTC at commit {commit()} on {describe()}.",
        first,
        "",
        *table,
        "",
    ]  # fmt: skip
    return "\n".join(lines)


async def _phase(port: int, name: str, *, looks: bool) -> Answered:
    due: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
    took: list[float] = []
    senders = [asyncio.create_task(_send(port, due, took)) for _ in range(_CONNECTIONS)]
    readers = [asyncio.create_task(_look(port))] if looks else []
    began_s = time.perf_counter()
    for number, body in enumerate(_bodies(name, int(_RATE_PER_S * _SECONDS))):
        at_s = began_s + number / _RATE_PER_S
        await asyncio.sleep(max(0.0, at_s - time.perf_counter()))
        # From when it was due: an event that waits for a connection waits for us.
        due.put_nowait((at_s, _request(body)))
    async with asyncio.timeout(_SECONDS):
        await due.join()
    for task in senders + readers:
        task.cancel()
    ended = await asyncio.gather(*senders, *readers, return_exceptions=True)
    for failure in ended:
        if isinstance(failure, Exception):
            raise failure
    ms = sorted(1000 * one for one in took)
    return Answered(len(ms), 1000 * took[0], percentile(ms, 50), percentile(ms, 99), ms[-1])


def _bodies(name: str, count: int) -> Iterator[bytes]:
    for number in range(count):
        event = number - 1 if number % _COPIES == 1 else number
        item = {"id": f"prod_{event}", "object": "product", "metadata": {"words": "x" * 2_000}}
        yield json.dumps(
            {
                "id": f"evt_{name}_{event}",
                "object": "event",
                "type": "product.updated",
                "created": int(time.time()),
                "data": {"object": item},
            }
        ).encode()


def _request(body: bytes) -> bytes:
    at_s = int(time.time())
    signature = hmac.new(SECRET.encode(), f"{at_s}.".encode() + body, hashlib.sha256).hexdigest()
    head = f"POST {_PATH} HTTP/1.1\r\nhost: 127.0.0.1\r\nstripe-signature: t={at_s},v1={signature}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def _send(port: int, due: asyncio.Queue[tuple[float, bytes]], took: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while True:
        at_s, request = await due.get()
        writer.write(request)
        head = await _read(reader)
        took.append(time.perf_counter() - at_s)
        due.task_done()
        if not head.startswith(b"HTTP/1.1 200"):
            raise BenchFailed(f"A webhook was answered {head[:300]!r}")


async def _look(port: int) -> None:
    while True:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET {_LOOKED_AT} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n".encode())
        answer = await reader.read(-1)
        writer.close()
        if not answer.startswith(b"HTTP/1.1 200"):
            raise BenchFailed(f"{_LOOKED_AT} was answered {answer[:300]!r}")


async def _read(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length: Any = next((line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b"0")
    await reader.readexactly(int(length))
    return head
