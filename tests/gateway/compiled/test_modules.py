"""What the compiler would translate wrongly without a word, and so must not stand in a module that is compiled."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.compiled import modules
from gateway.compiled.modules import MODULES, ROOT, fingerprint, source_of

TREES = {name: ast.parse((ROOT / source_of(name)).read_text()) for name in MODULES}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def inside(node: ast.AST) -> Iterator[ast.AST]:
    """Walk a function without the functions in it."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, (*FUNCTIONS, ast.Lambda)):
            yield child
            yield from inside(child)


def caught_names(function: ast.AST) -> dict[str, set[str]]:
    names: dict[str, set[str]] = {}
    for node in inside(function):
        if isinstance(node, ast.ExceptHandler) and node.name and node.type:
            names.setdefault(node.name, set()).add(ast.unparse(node.type))
    return names


def test_every_module_is_named_once() -> None:
    assert len(set(MODULES)) == len(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_no_function_gives_exceptions_of_two_kinds_one_name(name: str) -> None:
    # The compiler gives the name the type of the first: a second kind would be a TypeError in the place of what it should become.
    functions = [node for node in ast.walk(TREES[name]) if isinstance(node, FUNCTIONS)]
    doubled = {function.name: caught for function in functions for caught in caught_names(function).items() if len(caught[1]) > 1}
    assert doubled == {}


@pytest.mark.parametrize("name", MODULES)
def test_no_struct_is_compiled(name: str) -> None:
    # A compiled class statement passes no options (frozen, kw_only, …) to the class that it makes.
    structs = [
        node.name
        for node in ast.walk(TREES[name])
        if isinstance(node, ast.ClassDef) and any("Struct" in ast.unparse(base) for base in node.bases)
    ]
    assert structs == []


@pytest.mark.parametrize("name", MODULES)
def test_no_constant_is_a_tuple_of_floats_without_its_type(name: str) -> None:
    # The compiler takes such a Final for unset. Final[tuple[float, ...]] is right.
    unset = [
        ast.unparse(node.target)
        for node in ast.walk(TREES[name])
        if isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Tuple) and ast.unparse(node.annotation) == "Final"
        if any(isinstance(one, ast.Constant) and isinstance(one.value, float) for one in node.value.elts)
    ]
    assert unset == []


def test_a_change_of_any_source_changes_the_fingerprint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("accounts", "billing", "catalog", "gateway"):
        (tmp_path / package).mkdir()
    source = tmp_path / "catalog/rates.py"
    source.write_text("RATE = 1\n")
    monkeypatch.setattr(modules, "ROOT", tmp_path)
    seen = {fingerprint()}

    source.write_text("RATE = 2\n")
    seen.add(fingerprint())
    source.rename(tmp_path / "billing/rates.py")
    seen.add(fingerprint())

    assert len(seen) == 3
