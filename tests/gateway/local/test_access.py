import stat
from pathlib import Path

import pytest

from accounts.key_format import is_well_formed
from gateway.demo import DemoAccess
from gateway.local.access import keep_demo_access, keep_secret_key


@pytest.fixture(autouse=True)
def _nothing_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("API_KEY", "MANAGEMENT_KEY", "EMAIL", "PASSWORD", "ADMIN_EMAIL", "ADMIN_PASSWORD"):
        monkeypatch.delenv(f"TOLLWAY_{name}", raising=False)


def test_access_is_made_once_and_kept_for_the_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "demo.env"
    first = keep_demo_access(path, public_url="http://127.0.0.1:8000")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert keep_demo_access(path, public_url="http://127.0.0.1:8000") == first
    assert first["TOLLWAY_BASE_URL"] == "http://127.0.0.1:8000/api/v1"
    assert is_well_formed(first["TOLLWAY_API_KEY"])
    assert is_well_formed(first["TOLLWAY_MANAGEMENT_KEY"])
    assert first["TOLLWAY_API_KEY"] != first["TOLLWAY_MANAGEMENT_KEY"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["demo.env"]


def test_what_is_written_is_what_the_seeding_reads(tmp_path: Path) -> None:
    path = tmp_path / "demo.env"
    written = keep_demo_access(path, public_url="http://x")
    read = DemoAccess.from_env_text(path.read_text())
    assert (read.api_key, read.email, read.password) == (
        written["TOLLWAY_API_KEY"],
        written["TOLLWAY_EMAIL"],
        written["TOLLWAY_PASSWORD"],
    )


def test_the_environment_wins_over_the_file_and_may_name_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "demo.env"
    keep_demo_access(path, public_url="http://x")
    (tmp_path / "password").write_text("from a mounted file\n")
    monkeypatch.setenv("TOLLWAY_EMAIL", "me@example.com")
    monkeypatch.setenv("TOLLWAY_PASSWORD_FILE", str(tmp_path / "password"))
    changed = keep_demo_access(path, public_url="http://y")
    assert (changed["TOLLWAY_EMAIL"], changed["TOLLWAY_PASSWORD"]) == ("me@example.com", "from a mounted file")
    assert changed["TOLLWAY_BASE_URL"] == "http://y/api/v1"


def test_an_open_file_is_closed_again(tmp_path: Path) -> None:
    path = tmp_path / "demo.env"
    path.write_text("TOLLWAY_EMAIL=kept@example.com\n")
    path.chmod(0o644)
    assert keep_demo_access(path, public_url="http://x")["TOLLWAY_EMAIL"] == "kept@example.com"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_secret_key_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "secret_key"
    key = keep_secret_key(path)
    assert len(key) >= 50
    assert keep_secret_key(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
