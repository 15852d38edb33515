"""docs/reliability.md, written from what the tests of every fault did."""

import datetime as dt
import os
import platform
import re
from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple
from xml.etree import ElementTree as ET

from tests.faults.cases import CASES, Case

_HEAD = """# Reliability

What happens to money when something breaks, as tested on real processes: PostgreSQL, Valkey, gunicorn, Celery. `make faults` runs
everything and writes this page; a quick part of it is in `make test`. After every fault the same must hold: each answer that a client saw
has one receipt with its cost, debits equal credits, usage equals its transfers and hourly sums, live balances equal the books, nothing
stays held, and nobody's requests were frozen.
"""

_DOLLAR = """F19 gives an organization one dollar and lets 200 tasks in each of four processes spend it with holds of $0.0002 to $0.002; one
request in fifty costs up to a fifth more than was held for it, as when a provider counts more tokens than the bound allowed for. What is
spent beyond the dollar is bounded by those overruns of the requests that run when the money ends."""
_DOLLAR_CASE = next(case for case in CASES if case.name == "F19")
_ROUND = re.compile(r"([\d,]+) requests in .* ([\d,]+) refused, none wrongly; ([\d.]+) % of the dollar used, ([\d.]+) % over")
# What the library hardcap publishes of itself: how far over a budget it went, and how much of it could be used.
_HARDCAP_OVER, _HARDCAP_USED = Decimal("0.03"), Decimal("98.7")


class Outcome(NamedTuple):
    """What one run of a test function did: its cases, those that failed, its repetitions as it tells them, and its figures."""

    runs: int = 0
    failed: int = 0
    repeats: int = 0
    seconds: float = 0.0
    figures: tuple[str, ...] = ()

    def plus(self, other: "Outcome") -> "Outcome":
        return Outcome(*(mine + its for mine, its in zip(self, other, strict=True)))


# Every attempt at a test, oldest first, by its name as cases.py has it. A test that failed is run again when the run is taken up.
Attempts = dict[str, list[Outcome]]


def read_outcomes(xml: str) -> dict[str, Outcome]:
    """Return what each test function did, out of pytest's report (xunit1)."""
    outcomes: defaultdict[str, Outcome] = defaultdict(Outcome)
    for one in ET.fromstring(xml).iter("testcase"):  # noqa: S314 -- pytest's own report
        name = f"{one.attrib['file'].removeprefix('tests/')}::{one.attrib['name'].partition('[')[0]}"
        said = [(each.attrib["name"], each.attrib["value"]) for each in one.iter("property")]
        repeats = sum(int(value) for key, value in said if key == "repeats") or 1
        figures = tuple(value for key, value in said if key == "figure")
        has_failed = any(one.find(word) is not None for word in ("failure", "error", "skipped"))
        outcomes[name] = outcomes[name].plus(Outcome(1, int(has_failed), repeats, float(one.attrib["time"]), figures))
    return dict(outcomes)


def has_held(test: str, attempts: Attempts) -> bool:
    """Whether the latest attempt at a test passed."""
    return bool(attempts.get(test)) and not attempts[test][-1].failed


def result_of(case: Case, attempts: Attempts) -> str:
    """Return what became of a fault, in a word or two."""
    if not case.tests:
        return "not applicable"
    if any(not attempts.get(test) for test in case.tests):
        return "not run"
    failed = sum(attempts[test][-1].failed for test in case.tests)
    return f"{failed} failed" if failed else "held"


def write_page(attempts: Attempts, *, at: dt.datetime, commit: str) -> str:
    """Return the page."""
    named = [test for case in CASES for test in case.tests]
    last = {test: attempts[test][-1] for test in dict.fromkeys(named) if attempts.get(test)}
    total = sum_up(last)
    held = sum(result_of(case, attempts) == "held" for case in CASES)
    tested = sum(bool(case.tests) for case in CASES)
    summary = (
        f"Run on {at:%Y-%m-%d} at commit {commit}, {os.cpu_count()} cores, Python {platform.python_version()}: {total.runs} tests with"
        f" {total.repeats:,} repetitions, {total.failed} failed, {total.seconds / 60:.0f} minutes. {held} of the {tested} faults that can"
        f" happen here held; {len(CASES) - tested} of {len(CASES)} cannot. A run is taken up where it stopped, and its parts may run"
        " beside each other on a busy machine: so some held at an earlier commit, and the minutes are the sum of theirs."
    )
    earlier = [f"- {test}, {len(tries) - 1}" for test, tries in attempts.items() if test in last and len(tries) > 1]
    again = ["", "Tests that were run again because they had failed before in this run, and how often:", "", *earlier] if earlier else []
    lines = [
        _HEAD,
        summary,
        *again,
        "",
        "| | Fault | Expected | Tests | Repetitions | Result |",
        "|---|---|---|---|---|---|",
        *(_row(case, attempts) for case in CASES),
        "",
        "## Figures",
        "",
        *(f"- {case.name}: {figure}" for case in CASES for test in case.tests for figure in last.get(test, Outcome()).figures),
        "",
        "## One dollar, many spenders",
        "",
        _DOLLAR,
        "",
        *_compare([figure for test in _DOLLAR_CASE.tests for figure in last.get(test, Outcome()).figures]),
        "## What no test holds",
        "",
        *(f"- {case.name}. {case.fault}: {case.open_point}" for case in CASES if case.open_point),
        "",
    ]
    return "\n".join(lines)


def _compare(figures: Sequence[str]) -> list[str]:
    """Return what all rounds came to, beside what the library hardcap publishes."""
    rounds = [found.groups() for figure in figures if (found := _ROUND.search(figure))]
    if not rounds:
        return []
    answered, refused = (sum(int(one[place].replace(",", "")) for one in rounds) for place in (0, 1))
    used, over = min(Decimal(one[2]) for one in rounds), max(Decimal(one[3]) for one in rounds)
    is_better = used > _HARDCAP_USED and over < _HARDCAP_OVER
    return [
        f"In {len(rounds)} rounds {answered:,} requests were paid and {refused:,} refused, none of them while its hold would have fitted.",
        f"At least {used} % of the dollar was used, and at most {over} % more than it. The library hardcap publishes {_HARDCAP_USED} % and",
        f"{_HARDCAP_OVER} %: this is {'better' if is_better else 'not better'} in {'both' if is_better else 'one or both'}.",
        "",
    ]


def sum_up(outcomes: dict[str, Outcome]) -> Outcome:
    """Return all outcomes together."""
    total = Outcome()
    for outcome in outcomes.values():
        total = total.plus(outcome)
    return total


def _row(case: Case, attempts: Attempts) -> str:
    if not case.tests:
        return f"| {case.name} | {case.fault} | {case.expected or '–'} | – | – | {result_of(case, attempts)} |"
    total = sum_up({test: attempts[test][-1] for test in case.tests if attempts.get(test)})
    return f"| {case.name} | {case.fault} | {case.expected} | {total.runs} | {total.repeats:,} | {result_of(case, attempts)} |"
