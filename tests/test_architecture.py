"""House rules that a machine can hold."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
APPS = ("accounts", "billing", "catalog", "gateway")
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
# Only these know the process environment. gateway/provider_variables.py names variables and reads none.
ENVIRONMENT_READERS = {"gateway/env.py", "gateway/settings.py", "gateway/local", "gateway/celery.py", "gateway/asgi.py"}


def sources(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from (path for path in sorted((ROOT / folder).rglob("*.py")) if "migrations" not in path.parts)


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_no_file_is_longer_than_400_lines() -> None:
    lengths = {named(path): len(path.read_text().splitlines()) for path in sources(*APPS, "bench", "tests")}
    assert {name: length for name, length in lengths.items() if length > FILE_LINES_MAX} == {}


def test_no_function_is_longer_than_70_lines() -> None:
    long = {}
    for path in sources(*APPS, "bench"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > FUNCTION_LINES_MAX:
                    long[f"{named(path)}:{node.name}"] = length
    assert long == {}


def test_only_the_settings_and_the_launcher_read_the_environment() -> None:
    found = set()
    for path in sources(*APPS):
        if any(named(path) == reader or named(path).startswith(f"{reader}/") for reader in ENVIRONMENT_READERS):
            continue
        if re.search(r"\bos\.(environ|getenv)\b|from os import .*\b(environ|getenv)\b|gateway\.env\b", path.read_text()):
            found.add(named(path))
    assert found == set()


def test_the_two_entry_points_only_name_the_settings_module() -> None:
    for name in ("gateway/celery.py", "gateway/asgi.py"):
        assert re.findall(r"os\.environ\S*", (ROOT / name).read_text()) == ['os.environ.setdefault("DJANGO_SETTINGS_MODULE",']


def test_no_unfinished_work_is_marked_in_the_code() -> None:
    mark = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|raise NotImplementedError")
    found = {named(path): mark.findall(path.read_text()) for path in sources(*APPS, "bench") if mark.search(path.read_text())}
    assert found == {}


def test_no_file_is_a_drawer_for_everything() -> None:
    drawers = {"utils.py", "helpers.py", "common.py", "misc.py", "util.py"}
    assert [named(path) for path in sources(*APPS, "bench") if path.name in drawers] == []


@pytest.mark.parametrize("app", APPS)
def test_every_app_explains_itself(app: str) -> None:
    assert len((ROOT / app / "README.md").read_text().split()) > 50


def test_the_import_contracts_hold() -> None:
    run = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout[-3000:]


def test_the_hot_path_loads_without_django() -> None:
    heavy = {"django", "celery", "rest_framework"}
    program = f"import sys, gateway.relay.plane; print(sorted({{name.partition('.')[0] for name in sys.modules}} & {heavy}))"
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
