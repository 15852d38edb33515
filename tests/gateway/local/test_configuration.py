import os
import re
from pathlib import Path

import pytest

from gateway.env import BadEnvironment
from gateway.local.configuration import ROOT, child_environment, read_configuration
from gateway.local.running import adopt_running, publish_running
from gateway.provider_variables import PROVIDER_VARIABLES

_READ = re.compile(r"""env_(?:str|int|bool|list)\(\s*["']([A-Z_]+)["']""")
READERS = ["gateway/settings.py", "gateway/local/configuration.py", "docker/gunicorn.conf.py"]


def documented() -> list[str]:
    lines = (ROOT / "docker/.env.example").read_text().splitlines()
    return [found[1] for line in lines if (found := re.match(r"#?([A-Z][A-Z0-9_]*)=", line))]


def read_by_code() -> set[str]:
    names = {name for path in READERS for name in _READ.findall((ROOT / path).read_text())}
    demo = {
        "TOLLWAY_EMAIL",
        "TOLLWAY_PASSWORD",
        "TOLLWAY_ADMIN_EMAIL",
        "TOLLWAY_ADMIN_PASSWORD",
        "TOLLWAY_API_KEY",
        "TOLLWAY_MANAGEMENT_KEY",
    }
    return names | demo | {name for names in PROVIDER_VARIABLES.values() for name in names}


def test_every_variable_is_documented_once_and_every_documented_one_is_read() -> None:
    assert sorted(documented()) == sorted(read_by_code())


def test_every_documented_variable_has_a_comment_above_it() -> None:
    explained = False
    for line in (ROOT / "docker/.env.example").read_text().splitlines():
        if line.startswith("# "):
            explained = True
        elif not line:
            explained = False
        else:
            assert explained, line


def test_a_file_named_by_the_variable_is_read_and_a_bad_value_is_explained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgresql://from-a-file\n")
    monkeypatch.setenv("DATABASE_URL_FILE", str(tmp_path / "url"))
    assert read_configuration().database_url == "postgresql://from-a-file"
    monkeypatch.setenv("PORT", "70000")
    with pytest.raises(BadEnvironment, match="PORT must be from 1 to 65535, not 70000"):
        read_configuration()


def test_a_changed_variable_loses_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY_FILE", "/nowhere")
    changed = child_environment({"SECRET_KEY": "new"})
    assert (changed["SECRET_KEY"], "SECRET_KEY_FILE" in changed) == ("new", False)


@pytest.mark.parametrize(("host", "url"), [("::", "http://[::1]:8000"), ("::1", "http://[::1]:8000"), ("10.0.0.1", "http://10.0.0.1:8000")])
def test_the_address_for_this_machine_follows_the_host(monkeypatch: pytest.MonkeyPatch, host: str, url: str) -> None:
    monkeypatch.setenv("HOST", host)
    monkeypatch.delenv("PORT", raising=False)
    assert read_configuration().local_url == url


def test_commands_find_the_running_copy_unless_a_database_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    publish_running(tmp_path, {"DATABASE_URL": "postgresql://running", "SECRET_KEY": "s", "HOME": "/not/ours"})
    assert "HOME" not in (tmp_path / "service.env").read_text()
    monkeypatch.setenv("TOLLWAY_DATA", str(tmp_path))
    adopt_running()
    assert os.environ["DATABASE_URL"] != "postgresql://running"
    monkeypatch.delenv("DATABASE_URL")
    adopt_running()
    assert os.environ["DATABASE_URL"] == "postgresql://running"
