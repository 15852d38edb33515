"""docs/benchmarks.md and its plot: what was measured, beside what was hoped for, and a line for every earlier run."""

from pathlib import Path

from bench.figures import Books, Figures, Load, Streaming
from bench.machine import ROOT
from bench.plot import draw
from bench.run import GATEWAY, NGINX, UPSTREAM
from bench.translation import CHUNK_GOAL_US, PASS_GOAL_US, REQUEST_GOAL_US, find, render_section

PAGE = ROOT / "docs" / "benchmarks.md"
PLOT = ROOT / "docs" / "benchmarks.svg"
_HISTORY = "## History\n"
_HISTORY_HEAD = (
    "| when (UTC) | commit | requests/s | p50 added, 1 connection | added at a fifth, p50 / p99 | share of nginx | chunks/s "
    "| settled/s | memory |\n|---|---|---|---|---|---|---|---|---|\n"
)
_INTRODUCTION = """Written by `make bench`. Everything is switched on: authentication, hold, routing, metering, settlement, spool,
stream, Celery, ledger. One gateway process. The upstream hit directly, a plain nginx before it and the gateway were measured in the same
run, one after the other, so compare ratios, not figures of different machines."""
_MISSING = "–"
_REQUESTS_PER_S = 4_000
_ADDED_P50_MS = 0.6
_ADDED_P99_MS = 2.0
_CHUNKS_PER_S = 15_000
_SETTLED_PER_S = 10_000
_MEMORY_MIB = 150


def _ratio(part: float, whole: float) -> str:
    return f"{part / whole:.3f}" if whole else _MISSING


def render(figures: Figures) -> str:
    """Return the page without its history."""
    parts = [
        "# Benchmarks",
        _INTRODUCTION,
        f"Measured {figures.when} UTC at commit {figures.commit or 'unknown'} on {figures.machine}. {figures.cores}",
        f"Whole answers were asked for by {figures.driver}, the rest by `bench/drive.py`. {_how_it_ran(figures)}",
        "Versions: " + ", ".join(f"{name} {version}" for name, version in figures.versions.items()) + ".",
        "![Requests per second and latency](benchmarks.svg)",
        "## Goals",
        _goals(figures),
        "## Whole answers",
        _loads(figures),
        "## Time added at a fifth of full load",
        _fifth(figures),
        "## Streams",
        _streams(figures),
        render_section(figures.translations),
        "## Memory and books",
        _books(figures, figures.books),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _how_it_ran(figures: Figures) -> str:
    if figures.python_because:
        return f"The hot path ran as Python: {figures.python_because}."
    return "The hot path was compiled (`make compiled`)."


def _goals(figures: Figures) -> str:
    best, fifth, direct = figures.best(GATEWAY), figures.fifth.get(GATEWAY), figures.fifth.get(UPSTREAM)
    relayed = max((one.chunks_per_s for one in figures.streams.get(GATEWAY, [])), default=0)
    rows = []
    if best:
        rows.append(_at_least("requests/s per process, whole answers", best.per_s, _REQUESTS_PER_S))
    alone, upstream = (_at(figures.loads.get(who, []), 1) for who in (GATEWAY, UPSTREAM))
    if alone and upstream:
        rows.append(_at_most("added to one request at a time, p50", alone.p50_ms - upstream.p50_ms, _ADDED_P50_MS, "ms"))
    if fifth and direct:
        rows.append(_at_most("added at a fifth of that, p50", fifth.p50_ms - direct.p50_ms, _ADDED_P50_MS, "ms"))
        rows.append(_at_most("added at a fifth of that, p99", fifth.p99_ms - direct.p99_ms, _ADDED_P99_MS, "ms"))
    rows.append(_at_least("chunks relayed/s per process", relayed, _CHUNKS_PER_S))
    if translated := find(figures.translations, "chat", "messages"):
        rows.append(_at_most("a 2 KiB request, Chat to Messages and back, p50", translated.both_us / 1000, REQUEST_GOAL_US / 1000, "ms"))
        rows.append(_at_most("a streamed chunk, Messages to Chat, p50", translated.chunk_us or 0, CHUNK_GOAL_US, "µs"))
    if passed := find(figures.translations, "chat", "chat_completions"):
        rows.append(_at_most("a streamed chunk that passes through, p50", passed.chunk_us or 0, PASS_GOAL_US, "µs"))
    if figures.books and figures.books.settled_per_s:
        rows.append(_at_least("events settled/s by the Celery worker", figures.books.settled_per_s, _SETTLED_PER_S))
    if figures.books:
        verdict = "yes" if figures.books.agree else "no"
        rows.append(f"| one receipt per answer, ledger balances | exactly | {verdict} | {verdict} |")
    rows.append(_at_most("memory of the process after the run", figures.rss_after_mib, _MEMORY_MIB, "MiB"))
    return "\n".join(["| what | goal | measured | met |", "|---|---|---|---|", *rows])


def _at_least(what: str, measured: float, goal: float) -> str:
    return f"| {what} | ≥ {goal:,.0f} | {measured:,.0f} | {'yes' if measured >= goal else 'no'} |"


def _at_most(what: str, measured: float, goal: float, unit: str) -> str:
    return f"| {what} | ≤ {goal:g} {unit} | {measured:.{0 if goal > 10 else 2}f} {unit} | {'yes' if measured <= goal else 'no'} |"  # noqa: PLR2004


def _at(loads: list[Load], connections: int) -> Load | None:
    return next((load for load in loads if load.connections == connections), None)


def _loads(figures: Figures) -> str:
    rows = [
        "| connections | who | requests/s | of the upstream | of nginx | p50 ms | p99 ms | p50 added ms | CPU µs/request | failures |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for connections in sorted({load.connections for loads in figures.loads.values() for load in loads}):
        direct = _at(figures.loads.get(UPSTREAM, []), connections)
        nginx = _at(figures.loads.get(NGINX, []), connections)
        for who in (UPSTREAM, NGINX, GATEWAY):
            load = _at(figures.loads.get(who, []), connections)
            if load is None:
                continue
            to_direct = _ratio(load.per_s, direct.per_s) if direct else _MISSING
            to_nginx = _ratio(load.per_s, nginx.per_s) if nginx and who == GATEWAY else ""
            added = f"{load.p50_ms - direct.p50_ms:.2f}" if direct and who != UPSTREAM else ""
            rows.append(
                f"| {connections} | {who} | {load.per_s:,.0f} | {to_direct} | {to_nginx} | {load.p50_ms:.2f} | {load.p99_ms:.2f} "
                f"| {added} | {load.cpu_us or '':{'.0f' if load.cpu_us else ''}} | {load.failures} |"
            )
    return "\n".join(rows) + _rounds(figures)


def _rounds(figures: Figures) -> str:
    """Return every round of the gateway, where there were several."""
    rounds = figures.rounds.get(GATEWAY, {})
    if all(len(loads) < 2 for loads in rounds.values()):  # noqa: PLR2004 -- one round is in the table
        return ""
    lines = ["\n\nEach is the middle of several rounds, in which all were measured in turn. Of Tollway these were:\n"]
    for connections, loads in rounds.items():
        told = ", ".join(f"{load.per_s:,.0f}/s ({load.p50_ms:.2f} ms, {load.cpu_us:.0f} µs)" for load in loads)
        lines.append(f"- {connections} connections: {told}")
    return "\n".join(lines)


def _fifth(figures: Figures) -> str:
    direct = figures.fifth.get(UPSTREAM)
    if direct is None:
        return ""
    rows = [
        f"A fixed rate of {direct.per_s:,.0f} requests/s, sent whether or not earlier ones were answered.\n",
        "| who | p50 ms | p99 ms | added p50 ms | added p99 ms |",
        "|---|---|---|---|---|",
    ]
    for who, load in figures.fifth.items():
        added = f"{load.p50_ms - direct.p50_ms:.2f} | {load.p99_ms - direct.p99_ms:.2f}" if who != UPSTREAM else " | "
        rows.append(f"| {who} | {load.p50_ms:.2f} | {load.p99_ms:.2f} | {added} |")
    return "\n".join(rows)


def _streams(figures: Figures) -> str:
    rows = [
        "The delay of a chunk is from the upstream's write to the client's read. The last row offers more than can be relayed.\n",
        "| streams | who | chunks/s offered | chunks/s relayed | first byte p50 / p99 ms | delay p50 / p99 ms | CPU µs/chunk | failures |",
        "|---|---|---|---|---|---|---|---|",
    ]
    upstream, gateway = figures.streams.get(UPSTREAM, []), figures.streams.get(GATEWAY, [])
    pairs: list[tuple[str, Streaming]] = []
    for number in range(max(len(upstream), len(gateway))):
        pairs += [(who, runs[number]) for who, runs in ((UPSTREAM, upstream), (GATEWAY, gateway)) if number < len(runs)]
    for who, one in pairs:
        cpu = f"{one.cpu_us:.0f}" if one.cpu_us else ""
        rows.append(
            f"| {one.streams} | {who} | {one.offered_per_s:,.0f} | {one.chunks_per_s:,.0f} "
            f"| {one.first_p50_ms:.2f} / {one.first_p99_ms:.2f} "
            f"| {one.delay_p50_ms:.2f} / {one.delay_p99_ms:.2f} | {cpu} | {one.failures} |"
        )
    return "\n".join(rows)


def _books(figures: Figures, books: Books | None) -> str:
    if books is None:
        return ""
    verdict = "balance" if books.verify_exit == 0 else f"**do not balance**: {books.verify_says}"
    cut = f" (wrk leaves up to {books.cut_off} answers unread when it stops; they are charged all the same)" if books.cut_off else ""
    speed = f"at {books.settled_per_s:,.0f} events/s" if books.settled_per_s else "in one batch, too few to time"
    return (
        f"Resident memory of the worker: {figures.rss_before_mib:.0f} MiB after the warm-up, "
        f"{figures.rss_after_mib:.0f} MiB after {books.receipts:,} requests.\n\n"
        f"Clients read {books.answers:,} answers to their end; PostgreSQL has {books.receipts:,} receipts{cut}. They come to "
        f"{books.charged_nanos:,} nanos; all whole answers cost the same ({books.distinct_amounts} distinct amount). "
        f"`verify_ledger`: the books {verdict}.\n\n"
        f"A backlog of {books.backlog:,} events, let grow while the Celery worker was stopped, was booked {speed}."
    )


def _history_line(figures: Figures) -> str:
    best, one = figures.best(GATEWAY), _at(figures.loads.get(GATEWAY, []), 1)
    direct_one = _at(figures.loads.get(UPSTREAM, []), 1)
    nginx = figures.best(NGINX)
    fifth, direct = figures.fifth.get(GATEWAY), figures.fifth.get(UPSTREAM)
    added = f"{fifth.p50_ms - direct.p50_ms:.2f} / {fifth.p99_ms - direct.p99_ms:.2f} ms" if fifth and direct else _MISSING
    chunks = max((stream.chunks_per_s for stream in figures.streams.get(GATEWAY, [])), default=0)
    cells = (
        figures.when + (" (quick)" if figures.quick else ""),
        figures.commit or _MISSING,
        f"{best.per_s:,.0f}" if best else _MISSING,
        f"{one.p50_ms - direct_one.p50_ms:.2f} ms" if one and direct_one else _MISSING,
        added,
        _ratio(best.per_s, nginx.per_s) if best and nginx else _MISSING,
        f"{chunks:,.0f}",
        f"{figures.books.settled_per_s:,.0f}" if figures.books else _MISSING,
        f"{figures.rss_after_mib:.0f} MiB",
    )
    return "| " + " | ".join(cells) + " |\n"


def write(figures: Figures, *, page: Path = PAGE, plot: Path = PLOT) -> tuple[Path, Path]:
    """Write the page and the plot; earlier history lines stay. Returns both paths."""
    old = page.read_text(encoding="utf-8") if page.exists() else ""
    _, _, history = old.partition(_HISTORY)
    earlier = history.replace(_HISTORY_HEAD, "").strip("\n")
    lines = _history_line(figures) + (earlier + "\n" if earlier else "")
    page.write_text(f"{render(figures)}\n{_HISTORY}\n{_HISTORY_HEAD}{lines}", encoding="utf-8")
    draw(figures, plot)
    return page, plot
