"""The official clients for Node against a running data plane: installed by `make test`, run once, each looked at by itself."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.gateway.node.conftest import INSTALLED

HERE = Path(__file__).parent
CLIENTS = ["openai", "anthropic", "openrouter", "openrouter-august", "vercel-openrouter", "vercel-openai"]
_heard: dict[str, dict] = {}


@pytest.fixture
def heard(customer):
    if not _heard:
        shutil.copy(HERE / "clients.mjs", INSTALLED / "clients.mjs")
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
