"""Every trap names tests that exist."""

import ast
from functools import cache
from pathlib import Path

import pytest

from tests.gateway.traps import TRAPS

TESTS = Path(__file__).parents[1]


@cache
def functions_of(path: str) -> set[str]:
    tree = ast.parse((TESTS / path).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: str(trap.number))
def test_a_trap_has_tests(trap):
    assert trap.tests
    for test in trap.tests:
        path, _, function = test.partition("::")
        assert function in functions_of(path), test


def test_no_trap_of_counting_failing_and_translating_is_left_out():
    assert [trap.number for trap in TRAPS] == [*range(1, 13), *range(23, 35), *range(42, 53)]
