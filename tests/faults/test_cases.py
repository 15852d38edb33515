"""The list of faults names tests that exist, and leaves no fault out."""

import ast

import pytest

from tests.faults.cases import CASES
from tests.faults.stack import ROOT


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_fault_names_tests_that_exist_or_says_why_there_are_none(case):
    assert case.tests or case.open_point
    for test in case.tests:
        path, _, function = test.partition("::")
        tree = ast.parse((ROOT / "tests" / path).read_text())
        assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}, test


def test_the_faults_are_numbered_in_order_and_once():
    names = [case.name for case in CASES]

    assert names == sorted(set(names))
    assert (names[0], names[-1]) == ("F01", "F45")
