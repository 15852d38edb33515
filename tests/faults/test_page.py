"""The page about faults says what happened, and no more."""

import datetime as dt

from tests.faults import __main__ as run
from tests.faults.cases import CASES
from tests.faults.page import Outcome, has_held, read_outcomes, result_of, write_page

_REPORT = """<testsuites><testsuite>
<testcase file="tests/faults/test_races.py" name="test_a[1]" time="1.5"><properties><property name="repeats" value="20"/>
<property name="figure" value="20 of 20"/></properties></testcase>
<testcase file="tests/faults/test_races.py" name="test_a[2]" time="0.5"/>
<testcase file="tests/faults/test_races.py" name="test_b" time="1"><failure>no</failure></testcase>
<testcase file="tests/faults/test_races.py" name="test_c" time="1"><skipped/></testcase>
</testsuite></testsuites>"""


def test_a_report_is_summed_up_by_test_and_a_skipped_test_has_not_held():
    outcomes = read_outcomes(_REPORT)

    assert outcomes == {
        "faults/test_races.py::test_a": Outcome(2, 0, 21, 2.0, ("20 of 20",)),
        "faults/test_races.py::test_b": Outcome(1, 1, 1, 1.0),
        "faults/test_races.py::test_c": Outcome(1, 1, 1, 1.0),
    }


def test_a_fault_holds_when_the_latest_attempt_at_each_of_its_tests_passed():
    case = CASES[1]
    good, bad = Outcome(1, 0, 1, 1.0), Outcome(1, 1, 1, 1.0)

    assert result_of(case, {}) == "not run"
    assert result_of(case, {test: [good] for test in case.tests[1:]}) == "not run"
    assert result_of(case, {test: [good, bad] for test in case.tests}) == f"{len(case.tests)} failed"
    assert result_of(case, {test: [bad, good] for test in case.tests}) == "held"
    assert has_held(case.tests[0], {case.tests[0]: [bad, good]})
    assert not has_held(case.tests[0], {})


def test_the_page_names_what_had_to_be_run_again():
    test = CASES[0].tests[0]

    page = write_page({test: [Outcome(1, 1, 1, 1.0), Outcome(1, 0, 3, 2.0)]}, at=dt.datetime(2026, 1, 2, tzinfo=dt.UTC), commit="abc")

    assert f"- {test}, 1" in page.splitlines()
    assert "Run on 2026-01-02 at commit abc" in page
    assert "| F01 |" in page
    assert "| 1 | 3 | held |" in page


def test_the_page_compares_the_worst_round_with_what_another_library_publishes():
    test = next(case for case in CASES if case.name == "F19").tests[0]
    figure = "{} requests in 4.9 s, 1,000 refused, none wrongly; {} % of the dollar used, {} % over"

    def page(*rounds):
        figures = tuple(figure.format(*one) for one in rounds)
        return write_page({test: [Outcome(2, 0, 2, 2.0, figures)]}, at=dt.datetime(2026, 1, 2, tzinfo=dt.UTC), commit="abc").replace(
            "\n", " "
        )

    good = page(("2,136", "99.99", "0.000"), ("2,000", "99.50", "0.010"))
    assert "In 2 rounds 4,136 requests were paid and 2,000 refused" in good
    assert "At least 99.50 % of the dollar was used, and at most 0.010 % more than it." in good
    assert "this is better in both" in good
    assert "this is not better in one or both" in page(("2,136", "99.99", "0.031"))
    assert "this is not better in one or both" in page(("2,136", "98.70", "0.000"))


def test_what_was_done_is_taken_up_again(monkeypatch, tmp_path):
    monkeypatch.setattr(run, "STATE", tmp_path / "faults" / "outcomes.json")
    attempts = {"a::b": [Outcome(1, 1, 2, 0.5, ("x",)), Outcome(1, 0, 2, 0.25)]}

    assert run._read_state() == {}
    run._write_state(attempts)

    assert run._read_state() == attempts
