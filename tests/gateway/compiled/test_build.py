"""One module, compiled by the real compiler, and used by a process of its own."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.compiled import build, finder, modules
from gateway.compiled.build import BuildFailed, find_compiler
from gateway.compiled.modules import ROOT

needs_compiler = pytest.mark.skipif(find_compiler() is None, reason="needs a C compiler and Python's headers")
USE = """
import json, sys
from pathlib import Path
from gateway.compiled import finder
finder.FOLDER = Path(sys.argv[1]); finder.MANIFEST = finder.FOLDER / "manifest.json"
finder.use_compiled("required")
from billing import money
try:
    money.nanos_from_usd("0.0000000001")
except money.NotAnAmount as error:
    refusal = str(error)
print(json.dumps([money.__file__, money.nanos_from_usd("0.25"), refusal]))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "build/compiled"
    for module in (build, finder, modules):
        monkeypatch.setattr(module, "FOLDER", folder, raising=False)
    monkeypatch.setattr(finder, "MANIFEST", folder / "manifest.json")
    monkeypatch.setattr(build, "MODULES", ("billing.money",))
    return folder


@needs_compiler
def test_a_compiled_module_does_what_its_source_says(folder: Path) -> None:
    told: list[tuple[str, int, int]] = []

    build.build(lambda *progress: told.append(progress))

    done = subprocess.run([sys.executable, "-c", USE, str(folder)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    library = next((folder / "billing").glob("money.*.so"))
    assert done.stdout.strip() == f'["{library}", 250000000, "\'0.0000000001\' has more than nine decimals or is too large"]'
    assert [told[0], told[-1][1] == told[-1][2]] == [("translate to C", 0, 1), True]


@needs_compiler
def test_a_compilation_that_fails_leaves_the_one_before(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("the one before")
    monkeypatch.setattr(build, "MODULES", ("billing.no_such_module",))

    with pytest.raises(BuildFailed, match="mypyc did not accept the source"):
        build.build(lambda *_: None)

    assert (folder / "manifest.json").read_text() == "the one before"


def test_without_a_c_compiler_it_says_what_to_install(tmp_path: Path) -> None:
    environment = {"PATH": str(tmp_path)}
    shutil.copytree(ROOT / "gateway", tmp_path / "gateway", ignore=shutil.ignore_patterns("__pycache__"))
    for package in ("accounts", "billing", "catalog"):
        (tmp_path / package).mkdir()

    runs = [
        subprocess.run(
            [sys.executable, "-m", "gateway.compiled", *more], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        for more in ([], ["--if-possible"])
    ]

    assert [run.returncode for run in runs] == [1, 0]
    assert all("There is no C compiler with Python's headers here" in run.stdout for run in runs)
