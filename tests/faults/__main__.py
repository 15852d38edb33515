"""``make faults``: run the tests of every fault, many times over, and write docs/reliability.md from what they said.

With arguments, the page is written from reports of earlier runs (pytest's --junitxml, xunit1) and nothing is run.
"""

import datetime as dt
import os
import platform
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

from tests.faults.cases import CASES, Case
from tests.faults.stack import ROOT

PAGE = ROOT / "docs" / "reliability.md"
_HEAD = """# Reliability

What happens to money when something breaks, as tested on real processes: PostgreSQL, Valkey, gunicorn, Celery. `make faults` runs
everything and writes this page; a quick part of it is in `make test`. After every fault the same must hold: each answer that a client saw
has one receipt with its cost, debits equal credits, usage equals its transfers and hourly sums, live balances equal the books, and nothing
stays held.
"""


_DOLLAR = """F19 gives an organization one dollar and lets 200 tasks in each of four processes spend it with holds of $0.0002 to $0.002; one
request in fifty costs up to a fifth more than was held for it, as when a provider counts more tokens than the bound allowed for. What is
spent beyond the dollar is bounded by those overruns of the requests that run when the money ends. For comparison, the library hardcap
publishes +0.03 % over budget with 98.7 % of it usable."""


class Outcome(NamedTuple):
    """What became of one test function: its cases, those that failed, its repetitions as it tells them, and its figures."""

    runs: int = 0
    failed: int = 0
    repeats: int = 0
    seconds: float = 0.0
    figures: tuple[str, ...] = ()

    def plus(self, other: "Outcome") -> "Outcome":
        return Outcome(*(mine + its for mine, its in zip(self, other, strict=True)))


def main(reports: list[str]) -> int:
    """Run, write, and return pytest's exit code."""
    if reports:
        earlier: dict[str, Outcome] = {}
        for report_path in reports:
            earlier |= read_outcomes(Path(report_path).read_text())
        PAGE.write_text(write_page(earlier, at=dt.datetime.now(dt.UTC)))
        return 0
    tests = sorted({f"tests/{test}" for case in CASES for test in case.tests})
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-n", "0", "-q", "-o", "junit_family=xunit1", f"--junitxml={report}", *tests]
        code = subprocess.run(command, cwd=ROOT, env={**os.environ, "FAULTS": "full"}, check=False).returncode
        if not report.exists():
            return code or 1
        outcomes = read_outcomes(report.read_text())
    PAGE.write_text(write_page(outcomes, at=dt.datetime.now(dt.UTC)))
    sys.stdout.write(f"{PAGE.relative_to(ROOT)} is written\n")
    return code


def read_outcomes(xml: str) -> dict[str, Outcome]:
    """Return what each test function did, by its name as cases.py has it."""
    outcomes: defaultdict[str, Outcome] = defaultdict(Outcome)
    for one in ET.fromstring(xml).iter("testcase"):  # noqa: S314 -- pytest's own report
        name = f"{one.attrib['file'].removeprefix('tests/')}::{one.attrib['name'].partition('[')[0]}"
        said = [(each.attrib["name"], each.attrib["value"]) for each in one.iter("property")]
        repeats = sum(int(value) for key, value in said if key == "repeats") or 1
        figures = tuple(value for key, value in said if key == "figure")
        has_failed = any(one.find(word) is not None for word in ("failure", "error", "skipped"))
        outcomes[name] = outcomes[name].plus(Outcome(1, int(has_failed), repeats, float(one.attrib["time"]), figures))
    return dict(outcomes)


def write_page(outcomes: dict[str, Outcome], *, at: dt.datetime) -> str:
    """Return the page."""
    held = [case for case in CASES if case.tests and all(test in outcomes and not outcomes[test].failed for test in case.tests)]
    total = Outcome()
    for outcome in outcomes.values():
        total = total.plus(outcome)
    summary = (
        f"Run on {at:%Y-%m-%d}, {os.cpu_count()} cores, Python {platform.python_version()}: {total.runs} tests, {total.failed} failed,"
        f" {total.seconds / 60:.0f} minutes. Every test of {len(held)} of the {len(CASES)} faults ran and passed."
    )
    lines = [
        _HEAD,
        summary,
        "",
        "| | Fault | Expected | Tests | Repetitions | Result |",
        "|---|---|---|---|---|---|",
        *(_row(case, outcomes) for case in CASES),
        "",
        "## Figures",
        "",
        *(f"- {case.name}: {figure}" for case in CASES for test in case.tests for figure in outcomes.get(test, Outcome()).figures),
        "",
        "## One dollar, many spenders",
        "",
        _DOLLAR,
        "",
        "## What no test holds",
        "",
        *(f"- {case.name}. {case.fault}: {case.open_point}" for case in CASES if case.open_point),
        "",
    ]
    return "\n".join(lines)


def _row(case: Case, outcomes: dict[str, Outcome]) -> str:
    if not case.tests:
        return f"| {case.name} | {case.fault} | {case.expected or '–'} | – | – | not tested |"
    total = Outcome()
    for test in case.tests:
        total = total.plus(outcomes.get(test, Outcome()))
    missing = [test for test in case.tests if test not in outcomes]
    result = f"{total.failed} failed" if total.failed else "not run" if missing else "held"
    return f"| {case.name} | {case.fault} | {case.expected} | {total.runs} | {total.repeats:,} | {result} |"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
