"""The speed of money alone: events booked a second by one settlement worker, and admissions with every write on disk."""

import datetime as dt
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from bench import machine
from bench.machine import ROOT
from bench.money_jobs import ORGANIZATIONS, SHARDS
from bench.servers import BenchFailed
from gateway.local.engines import Engines
from gateway.local.valkey import MONEY, Valkey

_SETTLED_PER_S, _ADMITTED_PER_S, _ADMITTED_P50_US = 20_000, 5_000, 700
_EVENTS, _SECONDS = 40_000, 3.0


class Flight(NamedTuple):
    """So many gateway processes with so many requests under way in each. More of them share a sync of the disk, and wait longer for it.
    With ``leases`` only those wait whose key is not busy.
    """

    processes: int
    tasks: int
    leases: bool = False

    @property
    def requests(self) -> int:
        """How many requests are under way."""
        return self.processes * self.tasks


_FLIGHTS = (
    *(Flight(*each) for each in ((1, 1), (1, 3), (1, 6), (2, 1), (2, 2), (2, 3), (2, 6), (2, 16), (2, 32))),
    *(Flight(*each, leases=True) for each in ((1, 6), (2, 6), (2, 16), (2, 32))),
)
_TITLES = ("what", "goal", "median", "best", "rounds", "met")
_WAIT_TITLES = ("gateway processes", "in flight", "leases", "admissions/s", "p50 µs", "p99 µs")
_WAITS = ("per_s", "p50_us", "p99_us")
_PAGE = ROOT / "docs" / "benchmarks-money.md"


def measure(*, rounds: int, writes: bool, console: Console) -> bool:
    """Measure, print a table, and return whether the goals were met: the median of all rounds counts. Raises: BenchFailed."""
    with tempfile.TemporaryDirectory(prefix="tollway-bench-") as folder:
        root = Path(folder)
        root.chmod(0o755)  # PostgreSQL of a root user runs as another one, who has to walk down to its data
        engines = Engines(root)
        engines.money = engines._servers["money"] = Valkey(root / "money", options={**MONEY, "appendfsync": "always"})  # noqa: SLF001
        urls = engines.start()
        environment = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": folder,
            "DJANGO_SETTINGS_MODULE": "gateway.settings",
            "SECRET_KEY": secrets.token_urlsafe(48),
            "DATABASE_URL": urls.database_url,
            "REDIS_URL": urls.redis_url,
            "BROKER_REDIS_URL": urls.broker_redis_url,
            "TOLLWAY_DATA": folder,
            "LOG_LEVEL": "WARNING",
        }
        try:
            with console.status("preparing"):
                _run([sys.executable, "manage.py", "migrate", "--no-input"], environment)
                callers = _job(environment, [], "seed")
            with console.status(f"settling {_EVENTS:,} events, {rounds} rounds"):
                settled = [_job(environment, callers, "settle", _EVENTS) for _ in range(rounds + 1)][1:]
            with console.status(f"admitting, {rounds} rounds of {_SECONDS:.0f} s for each of {len(_FLIGHTS)} numbers in flight"):
                syncs_us: list[float] = []
                admitted: dict[Flight, list[dict[str, float]]] = {flight: [] for flight in _FLIGHTS}
                for _ in range(rounds):
                    for flight, figures in admitted.items():
                        syncs_us.append(machine.sync_s(root / "money") * 1e6)
                        figures.append(_admit(environment, callers, flight))
                _job(environment, callers, "settle", 1)
            _run([sys.executable, "manage.py", "verify_ledger", "--all"], environment)
        finally:
            engines.stop()
    rows, waits = judge(settled, admitted), list_waits(admitted)
    for name, titles, lines in ((f"Money alone, {machine.describe()}", _TITLES, rows), ("Admission", _WAIT_TITLES, waits)):
        table = Table(*titles, title=name)
        for line in lines:
            table.add_row(*line)
        console.print(table)
    disk = _describe_disk(syncs_us)
    console.print(disk)
    console.print(
        f"CPU per event of the settlement worker: {statistics.median(one['cpu_us'] for one in settled):.1f} µs. The books balance."
    )
    if writes:
        _PAGE.write_text(_write_page(rows, waits, disk=disk))
        console.print(f"wrote {_PAGE.relative_to(ROOT)}")
    return all(row[-1] == "yes" for row in rows[:3])


def _admit(environment: dict[str, str], callers: Any, flight: Flight) -> dict[str, float]:
    words = ("admit", _SECONDS, flight.tasks, "leases" if flight.leases else "")
    started = [_start(environment, callers[number :: flight.processes], *words) for number in range(flight.processes)]
    told = [_end(child) for child in started]
    return {
        "per_s": sum(one["per_s"] for one in told),
        "p50_us": max(one["p50_us"] for one in told),
        "p99_us": max(one["p99_us"] for one in told),
    }


def _start(environment: dict[str, str], callers: Any, *words: object) -> subprocess.Popen[str]:
    child = subprocess.Popen(  # noqa: S603 -- our own module
        [sys.executable, "-m", "bench.money_jobs", *map(str, words)],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdin is not None  # noqa: S101 -- a pipe was asked for
    child.stdin.write(json.dumps(callers))
    child.stdin.close()
    child.stdin = None
    return child


def _end(child: subprocess.Popen[str]) -> Any:
    said, complained = child.communicate()
    if child.returncode:
        raise BenchFailed(f"A job of the money benchmark failed:\n{complained[-2000:]}")
    return json.loads(said.strip().splitlines()[-1])


def _job(environment: dict[str, str], callers: Any, *words: object) -> Any:
    return _end(_start(environment, callers, *words))


def _run(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(  # noqa: S603 -- our own commands
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BenchFailed(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-2000:]}")


def list_waits(admitted: dict[Flight, list[dict[str, float]]]) -> list[tuple[str, ...]]:
    """Return a line per number in flight: processes, requests in flight, and the medians of the rate, p50 and p99."""
    return [
        (
            str(flight.processes),
            str(flight.requests),
            "yes" if flight.leases else "no",
            *(f"{statistics.median(one[name] for one in rounds):,.0f}" for name in _WAITS),
        )
        for flight, rounds in admitted.items()
    ]


def judge(settled: list[dict[str, float]], admitted: dict[Flight, list[dict[str, float]]]) -> list[tuple[str, ...]]:
    """Return a line per goal: what, goal, median, best, every round, and whether the median meets it.

    ``admitted`` has the rounds by what was in flight. Of those whose median wait is short enough the one with the highest rate counts.
    """

    def median_of(flight: Flight, name: str) -> float:
        return statistics.median(one[name] for one in admitted[flight])

    quick = [flight for flight in admitted if median_of(flight, "p50_us") <= _ADMITTED_P50_US] or [min(admitted)]
    chosen = max(quick, key=lambda flight: median_of(flight, "per_s"))
    busiest = max(admitted, key=lambda flight: median_of(flight, "per_s"))
    goals = [
        ("events booked/s by one settlement worker", [one["per_s"] for one in settled], _SETTLED_PER_S, True),
        (
            f"admissions/s, every write synced, {chosen.requests} in flight{', leases' if chosen.leases else ''}",
            [x["per_s"] for x in admitted[chosen]],
            _ADMITTED_PER_S,
            True,
        ),
        ("admission p50 at that rate, µs", [one["p50_us"] for one in admitted[chosen]], _ADMITTED_P50_US, False),
    ]
    if busiest != chosen:
        goals.append(
            (
                f"the same, {busiest.requests} in flight{', leases' if busiest.leases else ''}",
                [x["per_s"] for x in admitted[busiest]],
                _ADMITTED_PER_S,
                True,
            )
        )
    rows = []
    for what, figures, goal, is_floor in goals:
        median, best = statistics.median(figures), max(figures) if is_floor else min(figures)
        is_met = median >= goal if is_floor else median <= goal
        every = ", ".join(f"{figure:,.0f}" for figure in figures)
        rows.append((what, f"{'≥' if is_floor else '≤'} {goal:,}", f"{median:,.0f}", f"{best:,.0f}", every, "yes" if is_met else "no"))
    return rows


def _describe_disk(syncs_us: list[float]) -> str:
    return (
        f"The disk by itself took {statistics.median(syncs_us):,.0f} µs to sync a small write (median, asked before each round; at best "
        f"{min(syncs_us):,.0f}, at worst {max(syncs_us):,.0f}). An admission waits for the sync of its own write and for the rest of one "
        "that another process began."
    )


def _write_page(rows: list[tuple[str, ...]], waits: list[tuple[str, ...]], *, disk: str) -> str:
    lines = [
        "# The speed of money",
        "",
        "Written by `make bench-money`: settlement and admission alone, on durable engines of their own. One settlement worker books",
        f"{_EVENTS:,} waiting events of {ORGANIZATIONS} organizations from {SHARDS} streams: usage rows, transfers, balances and hourly",
        "sums in one transaction per batch, then acknowledgement. Admission is hold and settlement while the money store syncs every write",
        f"to disk, with one to {max(flight.requests for flight in _FLIGHTS)} requests in flight. A wait is from the wish for a hold until",
        "the request may begin: the store's answer, given once it is on disk, or a draw on a lease that is (docs/adr/0027-leases.md),",
        "as in production; without leases everybody waits. Both goals at once are judged: the highest rate whose median wait is within",
        f"{_ADMITTED_P50_US} µs counts, and the rate without that bound stands below it. Afterwards all invariants hold.",
        "",
        f"Measured {dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M} UTC at commit {machine.commit()} on {machine.describe()}.",
        "",
        f"| {' | '.join(_TITLES)} |",
        f"|{'---|' * len(_TITLES)}",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
        "Medians of the rounds; of several processes the slower one's wait:",
        "",
        f"| {' | '.join(_WAIT_TITLES)} |",
        f"|{'---|' * len(_WAIT_TITLES)}",
        *(f"| {' | '.join(line)} |" for line in waits),
        "",
        *textwrap.wrap(disk, width=130),
        "",
    ]
    return "\n".join(lines)
