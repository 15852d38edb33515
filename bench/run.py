"""The run: phases in order, each shown while it goes."""

import datetime as dt
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from bench import machine
from bench.figures import Books, Figures, Load, Streaming
from bench.servers import has_wrk, run_driver, run_wrk
from bench.stack import CHAT_PATH, Stack
from bench.translation import measure_all
from gateway.compiled.finder import find_obstacle

CONNECTIONS = (1, 16, 64)
STREAMS = ((1, 100.0), (100, 5_000.0), (500, 15_000.0))  # streams, chunks/s over all of them
GATEWAY, UPSTREAM, NGINX = "Tollway", "the upstream itself", "nginx proxy_pass"
_US_PER_S = 1_000_000
_MIB = 1024 * 1024
_DRAIN_WITHIN_S = 90.0
_QUIET_S = 2.5  # beat wakes the Celery worker every second


@dataclass(frozen=True, slots=True)
class Pace:
    """How long each phase takes: in seconds, or in rounds."""

    load_s: float
    rate_s: float
    stream_s: float
    warm_s: float
    backlog_s: float
    translation_rounds: int
    rounds: int  # of whole answers


FULL = Pace(load_s=5, rate_s=6, stream_s=5, warm_s=3, backlog_s=5, translation_rounds=200, rounds=5)
QUICK = Pace(load_s=2, rate_s=2, stream_s=2, warm_s=1, backlog_s=2, translation_rounds=50, rounds=1)


class _Seen(NamedTuple):
    """How many receipts PostgreSQL had at a monotonic second."""

    at_s: float
    receipts: int


class Bench:
    """One run. ``answers`` counts every 200 that a client of the gateway read to its end, ``cut_off`` those that wrk may have left."""

    def __init__(self, stack: Stack, pace: Pace, figures: Figures) -> None:
        self._stack = stack
        self._pace = pace
        self.figures = figures
        self._answers = 1  # the readiness probe's
        self._cut_off = 0

    def phases(self) -> Iterator[tuple[str, Callable[[], None]]]:
        """Yield what is to be done, in order, with its title."""
        stack = self._stack
        yield "PostgreSQL, Valkey, upstreams", stack.start_engines
        yield "migrations, catalog, organization, key", stack.prepare
        yield "gunicorn, Celery worker, beat", self._start
        yield "warm-up", self._warm_up
        for _ in range(self._pace.rounds):
            for connections in CONNECTIONS:
                for who in self._peers():
                    yield f"{who}, {connections} connections", lambda who=who, n=connections: self._load(who, n)  # type: ignore[misc]
        for _ in range(self._pace.rounds):
            yield "latency at a fifth of full load", self._fifth
        for streams, per_s in STREAMS:
            for who in (UPSTREAM, GATEWAY):
                yield f"{who}, {streams} streams", lambda who=who, n=streams, r=per_s: self._stream(who, n, r)  # type: ignore[misc]
        yield "more chunks than can be relayed", lambda: self._stream(GATEWAY, 200, 25_000.0)
        yield "translation, every pair of formats", self._translate
        yield "settlement of a backlog, and the books", self._books

    def _peers(self) -> tuple[str, ...]:
        return (UPSTREAM, NGINX, GATEWAY) if self._stack.upstreams.proxy_port else (UPSTREAM, GATEWAY)

    def _start(self) -> None:
        # The jobs first: a money store without an epoch takes no holds until the Celery worker has built the balances from the books.
        self._stack.start_jobs()
        self._stack.start_web()

    def _warm_up(self) -> None:
        self._answers += self._stack.warm_up(self._pace.warm_s)
        self.figures.rss_before_mib = machine.rss_bytes(self._stack.worker_pid) / _MIB

    def _target(self, who: str, *, streamed: bool = False) -> dict[str, Any]:
        upstreams = self._stack.upstreams
        direct = upstreams.stream_port if streamed else upstreams.static_port
        port = {UPSTREAM: direct, NGINX: upstreams.proxy_port, GATEWAY: self._stack.port}[who]
        return {"port": port, "path": CHAT_PATH, "key": self._stack.key, "body": self._stack.body()}

    def _load(self, who: str, connections: int) -> None:
        target, duration_s = self._target(who), self._pace.load_s
        with self._cpu(who) as cpu:
            if has_wrk():
                told = run_wrk(**target, connections=connections, duration_s=duration_s)
            else:
                told = run_driver({"kind": "closed", **target, "connections": connections, "duration_s": duration_s})
        load = Load(**told, cpu_us=cpu(told["requests"]))
        if who == GATEWAY:
            self._answers += load.requests
            self._cut_off += connections if has_wrk() else 0
        self.figures.add_load(who, load)

    def _fifth(self) -> None:
        best = self.figures.best(GATEWAY)
        rate_per_s = (best.per_s if best else 0) / 5 or 100
        for who in self._peers():
            job = {"kind": "rate", **self._target(who), "connections": 32, "rate_per_s": rate_per_s, "duration_s": self._pace.rate_s}
            with self._cpu(who) as cpu:
                told = run_driver(job)
            self.figures.add_fifth(who, Load(**told, cpu_us=cpu(told["requests"])))
            if who == GATEWAY:
                self._answers += told["requests"]

    def _stream(self, who: str, streams: int, per_s: float) -> None:
        ramp_s, duration_s = min(1.0, streams / 100), self._pace.stream_s
        pace_us = round(_US_PER_S * streams / per_s)
        chunks = max(10, round((ramp_s + duration_s + 1) * _US_PER_S / pace_us))
        job = {**self._target(who, streamed=True), "body": self._stack.stream_body(chunks=chunks, pace_us=pace_us)}
        with self._cpu(who) as cpu:
            told = run_driver(
                {"kind": "streams", **job, "streams": streams, "offered_per_s": per_s, "ramp_s": ramp_s, "duration_s": duration_s}
            )
        self.figures.streams.setdefault(who, []).append(Streaming(**told, cpu_us=cpu(streams * chunks)))
        if who == GATEWAY:
            self._answers += told["requests"]
            self._cut_off += told["failures"]

    def _translate(self) -> None:
        self.figures.translations = measure_all(rounds=self._pace.translation_rounds)

    @contextmanager
    def _cpu(self, who: str) -> Iterator[Callable[[int], float]]:
        """Measure the worker's CPU time over the block; the function that it gives divides it by a count, in microseconds."""
        pid = self._stack.worker_pid
        before_s = machine.cpu_s(pid)
        yield lambda count: (machine.cpu_s(pid) - before_s) * _US_PER_S / count if who == GATEWAY and count else 0.0

    def _books(self) -> None:
        """Let a backlog grow without the Celery worker, start it again, and see how fast it books and whether all of it agrees."""
        stack = self._stack
        before = self._await_settled(self._answers)[-1].receipts
        stack.stop_settlement()
        backlog = self._load_backlog()
        self._answers += backlog
        stack.start_settlement()
        seen = [one for one in self._await_settled(before + backlog) if one.receipts > before]
        took_s = seen[-1].at_s - seen[0].at_s if seen else 0.0
        self.figures.rss_after_mib = machine.rss_bytes(stack.worker_pid) / _MIB
        exit_status, said = stack.try_manage("verify_ledger")
        receipts, nanos, amounts = stack.sum_receipts()
        self.figures.books = Books(
            answers=self._answers,
            cut_off=self._cut_off,
            receipts=receipts,
            charged_nanos=nanos,
            distinct_amounts=amounts,
            settled_per_s=(seen[-1].receipts - seen[0].receipts) / took_s if took_s else 0.0,
            backlog=backlog,
            verify_exit=exit_status,
            verify_says=said[-500:],
        )

    def _load_backlog(self) -> int:
        job = {"kind": "closed", **self._target(GATEWAY), "connections": 16, "duration_s": self._pace.backlog_s}
        return int(run_driver(job)["requests"])

    def _await_settled(self, expected: int) -> list[_Seen]:
        """Wait until at least ``expected`` receipts are there and no more come; returns the count each time it had changed."""
        seen = [_Seen(time.monotonic(), self._stack.count_receipts())]
        deadline = seen[0].at_s + _DRAIN_WITHIN_S
        while (now_s := time.monotonic()) < deadline:
            count = self._stack.count_receipts()
            if count != seen[-1].receipts:
                seen.append(_Seen(now_s, count))
            elif count >= expected and now_s - seen[-1].at_s > _QUIET_S:
                break
            time.sleep(0.05)
        return seen


def run(*, quick: bool, pinned: bool, console: Console) -> Figures:
    """Measure and return the figures. Raises: BenchFailed, EngineError."""
    cores = machine.Cores(pinned=pinned)
    figures = Figures(
        when=dt.datetime.now(tz=dt.UTC).strftime("%Y-%m-%d %H:%M"),
        commit=machine.commit(),
        machine=machine.describe(),
        versions=machine.versions(),
        cores=cores.explain(),
        driver="wrk" if has_wrk() else "bench/drive.py (wrk is not installed)",
        python_because="it is switched off" if os.environ.get("COMPILED") == "off" else find_obstacle(),
        quick=quick,
    )
    cores.keep_rest()
    with Stack(cores=cores) as stack:
        bench = Bench(stack, QUICK if quick else FULL, figures)
        phases = list(bench.phases())
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"), TimeElapsedColumn())
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task("", total=len(phases))
            for title, phase in phases:
                progress.update(task, description=title)
                began_s = time.monotonic()
                phase()
                progress.advance(task)
                if not console.is_terminal:
                    console.print(f"{title}: {time.monotonic() - began_s:.1f} s")
    return figures
