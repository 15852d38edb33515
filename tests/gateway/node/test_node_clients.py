"""The official clients for Node against a running data plane: installed by `make test`, run once, each looked at by itself."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.gateway.clients.expectations import FEATURES
from tests.gateway.node.conftest import INSTALLED

HERE = Path(__file__).parent
CLIENTS = ["openai", "anthropic", "openrouter", "openrouter-august", "vercel-openrouter", "vercel-openai", "vercel-responses"]
_heard: dict[str, dict] = {}


@pytest.fixture
def heard(customer):
    if not _heard:
        for script in HERE.glob("*.mjs"):
            shutil.copy(script, INSTALLED / script.name)
        environment = {
            "PATH": os.environ["PATH"],
            "BASE_URL": customer.stack.url,
            "API_KEY": customer.secret,
            "MODEL": "test/single",
            "EMBEDDER": "test/embed",
            "SIMULATOR": customer.stack.simulator_url,
        }
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


@pytest.mark.parametrize("feature", FEATURES)
@pytest.mark.parametrize("name", CLIENTS)
def test_the_client_works_unchanged(heard, name, feature):
    said = heard[name]
    assert "failed" not in said, said["failed"]
    FEATURES[feature](name, said)
