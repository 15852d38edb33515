"""``make faults``: run the tests of every fault, many times over, part by part, and write docs/reliability.md from what they said.

What was done is kept in ``.faults/``: a run that was broken off, or in which tests failed, is taken up where it stopped.
``python -m tests.faults F07 F41`` runs those faults alone, ``--fresh`` forgets what was done, ``--at-once 3`` runs three parts beside each
other: much of their time is waiting, and a busy machine is one more thing to be survived.
"""

import argparse
import datetime as dt
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from bench.machine import commit
from tests.faults.cases import CASES, Case
from tests.faults.page import Attempts, Outcome, has_held, read_outcomes, result_of, write_page
from tests.faults.stack import ROOT

PAGE = ROOT / "docs" / "reliability.md"
STATE = ROOT / ".faults" / "outcomes.json"
_FILE_WITHIN_S = 3600
_SLOW, _QUICK = "faults/", "everything that needs no copy of the service"


def main() -> int:
    """Run what is not done yet, write the page, and return 0 when everything held."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("faults", nargs="*", help="names such as F07; all by default")
    parser.add_argument("--fresh", action="store_true", help="forget what was done before")
    parser.add_argument("--at-once", type=int, default=1, metavar="N", help="parts to run beside each other (default: 1)")
    options = parser.parse_args()
    cases = [case for case in CASES if not options.faults or case.name in options.faults]
    attempts: Attempts = {} if options.fresh else _read_state()
    due = [test for test in dict.fromkeys(test for case in cases for test in case.tests) if not has_held(test, attempts)]
    files: dict[str, list[str]] = {}
    for test in sorted(due, key=lambda test: test.startswith(_SLOW)):
        path, _, _ = test.partition("::")
        # Those that start no copy of the service are quick: most of a run of theirs is pytest's own beginning.
        files.setdefault(path if path.startswith(_SLOW) else _QUICK, []).append(test)
    done = sum(len(case.tests) for case in cases) - len(due)
    _say(f"{len(due)} tests in {len(files)} parts are to be run" + (f", {done} are done" if done else ""))
    began_s = time.monotonic()
    with ThreadPoolExecutor(max(1, options.at_once)) as pool:
        running = {pool.submit(_run_file, tests): path for path, tests in files.items()}
        for number, ended in enumerate(as_completed(running), 1):
            path = running[ended]
            failed = _note(attempts, files[path], ended.result())
            word = f"{failed} FAILED" if failed else "held"
            minutes = (time.monotonic() - began_s) / 60
            _say(f"{number}/{len(files)} {path}: {len(files[path])} tests {word}, {minutes:.1f} min so far")
    if not files:
        PAGE.write_text(write_page(attempts, at=dt.datetime.now(dt.UTC), commit=commit()))
    _say(f"{PAGE.relative_to(ROOT)} is written")
    return _tell(cases, attempts)


def _note(attempts: Attempts, tests: list[str], outcomes: dict[str, Outcome]) -> int:
    """Keep what a part did, write the page anew, and return how many of its tests failed."""
    for test in tests:
        # What pytest did not even report (it died, or the file cannot be read) counts as failed.
        attempts.setdefault(test, []).append(outcomes.get(test, Outcome(1, 1, 1)))
    _write_state(attempts)
    PAGE.write_text(write_page(attempts, at=dt.datetime.now(dt.UTC), commit=commit()))
    return sum(bool(attempts[test][-1].failed) for test in tests)


def _run_file(tests: list[str]) -> dict[str, Outcome]:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-n", "0", "-q", "-o", "junit_family=xunit1", f"--junitxml={report}"]
        try:
            subprocess.run(
                [*command, *(f"tests/{test}" for test in tests)],
                cwd=ROOT,
                env={**os.environ, "FAULTS": "full"},
                check=False,
                timeout=_FILE_WITHIN_S,
            )
        except subprocess.TimeoutExpired:
            _say(f"{tests[0].partition('::')[0]} took more than {_FILE_WITHIN_S} s and was ended")
        return read_outcomes(report.read_text()) if report.exists() else {}


def _tell(cases: list[Case], attempts: Attempts) -> int:
    results = {case.name: result_of(case, attempts) for case in cases}
    for name, result in results.items():
        if result not in {"held", "not applicable"}:
            _say(f"{name}: {result}")
    is_good = all(result in {"held", "not applicable"} for result in results.values())
    _say("every fault held" if is_good else "run it again to take up what is left")
    return 0 if is_good else 1


def _read_state() -> Attempts:
    if not STATE.exists():
        return {}
    kept = json.loads(STATE.read_text())
    return {test: [Outcome(*one[:4], tuple(one[4])) for one in tries] for test, tries in kept.items()}


def _write_state(attempts: Attempts) -> None:
    STATE.parent.mkdir(exist_ok=True)
    fresh = STATE.with_suffix(".new")
    fresh.write_text(json.dumps(attempts))
    fresh.replace(STATE)


def _say(line: str) -> None:
    sys.stdout.write(f"{dt.datetime.now(dt.UTC):%H:%M:%S} {line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
