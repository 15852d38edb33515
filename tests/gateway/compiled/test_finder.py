"""A compilation is used as a whole, or the reason why not is told."""

import json
import os
import runpy
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from types import SimpleNamespace

import pytest
from uvicorn_worker import UvicornWorker

from gateway.compiled import finder
from gateway.compiled.finder import NotCompiled, find_obstacle, read_mode, use_compiled
from gateway.compiled.modules import ROOT, fingerprint
from gateway.server import DirectProtocol


@pytest.fixture
def manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "manifest.json"
    monkeypatch.setattr(finder, "MANIFEST", path)
    monkeypatch.setattr(sys, "meta_path", [one for one in sys.meta_path if not isinstance(one, finder.Finder)])
    return path


def write(path: Path, **changes: str) -> None:
    path.write_text(json.dumps({"fingerprint": fingerprint(), "python": EXTENSION_SUFFIXES[0], "files": {}} | changes))


def test_a_compilation_of_this_source_for_this_python_has_no_obstacle(manifest: Path) -> None:
    write(manifest)
    assert find_obstacle() == ""


def test_what_was_never_compiled_is_told_so(manifest: Path) -> None:
    assert find_obstacle() == "nothing is compiled"


def test_a_compilation_of_other_source_is_not_used(manifest: Path) -> None:
    write(manifest, fingerprint="0" * 64)
    assert find_obstacle() == "the source has changed since they were made"


def test_a_compilation_for_another_python_is_not_used(manifest: Path) -> None:
    write(manifest, python=".cpython-39-pdp11.so")
    assert find_obstacle() == "they were made for another Python (.cpython-39-pdp11.so)"


def test_a_manifest_that_is_cut_off_is_an_obstacle_and_no_crash(manifest: Path) -> None:
    manifest.write_text('{"fingerprint": "')
    assert find_obstacle().startswith(f"{manifest} cannot be read (")


def test_modules_of_python_that_are_there_already_are_not_mixed_with_compiled_ones(manifest: Path) -> None:
    write(manifest)
    assert "was already imported" in use_compiled("auto")
    assert not any(isinstance(one, finder.Finder) for one in sys.meta_path)


def test_switched_off_it_is_not_used_even_if_it_fits(manifest: Path) -> None:
    write(manifest)
    assert use_compiled("off") == "it is switched off"


def test_required_and_not_there_stops_the_start_and_says_what_to_do(manifest: Path) -> None:
    with pytest.raises(NotCompiled, match=r"cannot be used: nothing is compiled\. `make compiled` makes them; COMPILED=auto does"):
        use_compiled("required")


def test_a_mode_is_one_of_three() -> None:
    assert [read_mode(mode) for mode in ("auto", "off", "required")] == ["auto", "off", "required"]
    with pytest.raises(ValueError, match="COMPILED must be one of auto, off, required, not 'on'"):
        read_mode("on")


def test_a_worker_says_how_it_runs_and_serves_with_our_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(UvicornWorker, "init_process", lambda _self: None)
    worker_class = runpy.run_path(str(ROOT / "docker/gunicorn.conf.py"))["TollwayWorker"]
    worker = worker_class.__new__(worker_class)
    worker.config, worker.log = SimpleNamespace(http="auto"), SimpleNamespace(info=lambda text, *values: said.append(text % values))

    worker.init_process()

    assert worker.config.http is DirectProtocol
    as_python = "The hot path runs as Python: it is switched off."
    assert said == [as_python if os.environ["COMPILED"] == "off" else "The hot path is compiled."]


def test_the_web_server_reads_its_configuration_without_the_service(tmp_path: Path) -> None:
    # What the parent imports before it forks would stay as it was through every reload.
    script = (
        f"import runpy, sys; runpy.run_path('{ROOT}/docker/gunicorn.conf.py'); "
        "print([name for name in sys.modules if 'relay' in name or 'billing' in name])"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
