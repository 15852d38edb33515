"""How fast the catalog is: its page, cold and warm, and its list for programs: ``python -m bench.catalog``.

Writes docs/catalog-benchmarks.md. Pages are asked for over HTTP, by one visitor at a time: the figures hold all from the socket on.
"""

import argparse
import datetime as dt
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from http.client import HTTPConnection
from typing import Any, Final

from rich.console import Console

from bench import machine
from bench.servers import BenchFailed
from bench.stack import Stack

PAGE: Final = machine.ROOT / "docs" / "catalog-benchmarks.md"
PAGE_GOAL_MS: Final = 50
_LIST: Final = "/api/v1/models"
_TIMES: Final = 200
_PUBLICATIONS: Final = 12
_HEARD_WITHIN_S: Final = 3.0
_HTMX: Final = {"HX-Target": "results", "HX-Request": "true"}


class Visitor:
    """One browser's connection, kept open."""

    def __init__(self, port: int) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=30)

    def time_ms(self, path: str, headers: dict[str, str] | None = None) -> float:
        """Return the milliseconds from asking for a page to its last byte. Raises: BenchFailed when it is no page."""
        began = time.perf_counter()
        self._connection.request("GET", path, headers=headers or {})
        answer = self._connection.getresponse()
        answer.read()
        took_ms = (time.perf_counter() - began) * 1e3
        if answer.status != 200:  # noqa: PLR2004 -- HTTP
            raise BenchFailed(f"{path} answered {answer.status}")
        return took_ms

    def read(self, path: str, headers: dict[str, str]) -> tuple[dict[str, str], bytes]:
        """Return the headers, in lower case, and the body."""
        self._connection.request("GET", path, headers=headers)
        answer = self._connection.getresponse()
        return {name.lower(): value for name, value in answer.getheaders()}, answer.read()


def percentile(values: Iterable[float], share: float) -> float:
    """Return the value that ``share`` of all are at or below."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def searches(names: Iterable[str]) -> list[str]:
    """Return what people would have typed on the way to each model: the beginnings of the words of its name, each once."""
    words = dict.fromkeys(word for name in names for word in re.split(r"[/\-:.]", name) if word.isalpha())
    return list(dict.fromkeys(word[:length] for word in words for length in range(1, len(word) + 1)))


def measure_pages(stack: Stack, visitor: Visitor) -> dict[str, list[float]]:
    """Return milliseconds per kind of visit."""
    listed = json.loads(visitor.read(f"{_LIST}?output_modalities=all&limit=1000", {})[1])["data"]
    words = searches(one["id"] for one in listed)
    first = [visitor.time_ms("/models")]
    found = {
        "a search that nobody made before, as one types": [visitor.time_ms(f"/models?q={word}", _HTMX) for word in words[:_TIMES]],
        "such a search as a whole page": [visitor.time_ms(f"/models?q={word}") for word in words[_TIMES : 2 * _TIMES]],
        "each page of each order, with a filter": [
            visitor.time_ms(f"/models?sort={sort}&max={price}&page={page}")
            for sort in ("newest", "name", "input", "output", "context")
            for price in (1, 100)
            for page in range(1, 11)
        ],
        "the list": [visitor.time_ms("/models") for _ in range(_TIMES)],
    }
    changed, early = [], []
    for number in range(_PUBLICATIONS):
        stack.manage("set_markup", str(number + 1), "--apply")  # every price on the page is another one
        if number % 2:
            early.append(visitor.time_ms("/models"))
            continue
        time.sleep(_HEARD_WITHIN_S)
        changed.append(visitor.time_ms("/models"))
    found["the list after a publication that changed every price"] = changed
    found["the same, before the process has heard of the publication"] = early
    found["the first page of a process, which imports and compiles"] = first
    return found


def run_wrk(port: int, *, seconds: int, headers: dict[str, str]) -> tuple[float, bool]:
    """Return requests per second of the whole list at 32 connections, and whether every answer was one. Raises: BenchFailed."""
    given = [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]
    command = [shutil.which("wrk") or "wrk", "-t1", "-c32", f"-d{seconds}s", *given, f"http://127.0.0.1:{port}{_LIST}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 -- ours
    found = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    if found is None:
        raise BenchFailed(f"wrk said:\n{done.stdout[-1000:]}{done.stderr[-1000:]}")
    return float(found[1]), "Non-2xx" not in done.stdout and "Socket errors" not in done.stdout


def measure_list(port: int, visitor: Visitor, *, seconds: int) -> list[tuple[str, float, int, int]]:
    """Return what is asked for, requests per second, their goal (0 is none) and the bytes of one answer."""
    packed = {"Accept-Encoding": "gzip"}
    told, body = visitor.read(_LIST, packed)
    plain = visitor.read(_LIST, {"Accept-Encoding": "identity"})[1]
    rows = []
    for name, headers, goal, size in (
        ("compressed", packed, 3_000, len(body)),
        ("unchanged (304)", {**packed, "If-None-Match": told["etag"]}, 8_000, 0),
        ("not compressed", {"Accept-Encoding": "identity"}, 0, len(plain)),
    ):
        per_s, is_whole = run_wrk(port, seconds=seconds, headers=headers)
        if not is_whole:
            raise BenchFailed(f"not every {name} answer was one")
        rows.append((name, per_s, goal, size))
    return rows


def render(pages: dict[str, list[float]], lists: list[tuple[str, float, int, int]]) -> str:
    """Return the page."""
    lines = [
        "# The catalog's speed",
        "",
        "Written by `python -m bench.catalog`: one gateway process with the shipped catalog, asked over HTTP on the same machine.",
        "",
        f"Measured {dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M} UTC at commit {machine.commit() or 'unknown'} on {machine.describe()}.",
        "",
        f"## The page of all models (goal: {PAGE_GOAL_MS} ms at p95)",
        "",
        "| visit | times | p50 ms | p95 ms | slowest ms |",
        "|---|---|---|---|---|",
    ]
    for name, values in pages.items():
        lines.append(f"| {name} | {len(values)} | {percentile(values, 0.5):.1f} | {percentile(values, 0.95):.1f} | {max(values):.1f} |")
    lines += ["", "## `GET /api/v1/models`, the whole list, one process", ""]
    if not lists:
        return "\n".join([*lines, "Not measured: wrk is not installed.", ""])
    lines += ["| answer | bytes | requests/s | goal | met |", "|---|---|---|---|---|"]
    for name, per_s, goal, size in lists:
        met = "" if not goal else "yes" if per_s >= goal else "no"
        lines.append(f"| {name} | {size:,} | {per_s:,.0f} | {f'{goal:,}' if goal else ''} | {met} |")
    return "\n".join([*lines, ""])


def main(arguments: list[str] | None = None) -> int:
    """Measure, print and write; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.catalog", description=__doc__)
    parser.add_argument("--seconds", type=int, default=5, help="of each load on the list (default: 5)")
    parser.add_argument("--print", action="store_true", help="write nothing")
    options = parser.parse_args(arguments)
    console = Console()
    lists: list[Any] = []
    try:
        with Stack(cores=machine.Cores(pinned=False), variables={"DEMO_MODE": "1"}) as stack:
            with console.status("starting"):
                stack.start_engines()
                stack.prepare()
                stack.manage("collectstatic", "--no-input")
                stack.start_jobs()
                stack.start_web()
            visitor = Visitor(stack.port)
            with console.status("measuring"):
                if shutil.which("wrk"):
                    lists = measure_list(stack.port, visitor, seconds=options.seconds)
                page = render(measure_pages(stack, visitor), lists)
    except BenchFailed as error:
        console.print(str(error), markup=False)
        return 1
    console.print(page, markup=False, highlight=False, soft_wrap=True)
    if not options.print:
        PAGE.write_text(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
