"""The official clients for Node against a running data plane: installed from their lock, run once, each looked at by itself."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
INSTALLED = Path(sys.prefix) / "node-clients"
CLIENTS = ["openai", "anthropic", "openrouter", "openrouter-august", "vercel-openrouter", "vercel-openai"]
_heard: dict[str, dict] = {}


def install():
    """Install what the lock names, unless it is there; the scripts of packages are not run."""
    lock = HERE / "package-lock.json"
    if not (INSTALLED / "done").is_file() or (INSTALLED / "done").read_text() != lock.read_text():
        INSTALLED.mkdir(exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, INSTALLED / name)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=5"]
        subprocess.run(command, cwd=INSTALLED, check=True, timeout=400)
        (INSTALLED / "done").write_text(lock.read_text())
    shutil.copy(HERE / "clients.mjs", INSTALLED / "clients.mjs")


@pytest.fixture
def heard(customer):
    if not _heard:
        install()
        environment = {"PATH": os.environ["PATH"], "BASE_URL": customer.stack.url, "API_KEY": customer.secret, "MODEL": "test/single"}
        done = subprocess.run(
            ["node", "clients.mjs"],  # noqa: S607
            cwd=INSTALLED,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        assert done.stdout, done.stderr
        _heard.update({line["name"]: line for line in map(json.loads, done.stdout.splitlines())})
    return _heard


@pytest.mark.parametrize("name", CLIENTS)
def test_the_client_gets_words_streams_tools_and_errors(heard, name):
    said = heard[name]
    assert "failed" not in said, said["failed"]
    assert said["whole"].startswith("This is a simulated answer")
    assert said["streamed"] == said["whole"]
    assert said["calls"] == [{"at": "simulated"}] * 2
    assert said["error"] == 429
    assert said.get("responses", said["whole"]) == said["whole"]
