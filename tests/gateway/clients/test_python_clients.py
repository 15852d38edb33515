"""The official clients for Python against a running data plane, each in a process of its own, run once."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.gateway.clients.conftest import OLDER
from tests.gateway.clients.expectations import FEATURES

HERE = Path(__file__).parent
VERSIONS = {"openrouter": "1.3.84", "openrouter-august": "1.1.60"}
CLIENTS = ["openai", "anthropic", "openrouter", *(["openrouter-august"] if (OLDER / ".installed").is_file() else [])]
_heard: dict[str, dict] = {}


def run(name: str, customer) -> dict:
    environment = {"BASE_URL": customer.stack.url, "API_KEY": customer.secret, "SIMULATOR": customer.stack.simulator_url}
    done = subprocess.run(
        [sys.executable, str(HERE / "tries.py"), name.removesuffix("-august")],
        env={"PATH": os.environ["PATH"], **environment, **({"PYTHONPATH": str(OLDER)} if name.endswith("-august") else {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return json.loads(done.stdout) if done.returncode == 0 else {"failed": done.stderr}


@pytest.mark.parametrize("feature", FEATURES)
@pytest.mark.parametrize("name", CLIENTS)
def test_the_client_works_unchanged(customer, name, feature):
    said = _heard[name] if name in _heard else _heard.setdefault(name, run(name, customer))
    assert "failed" not in said, said["failed"]
    assert said.get("version") == VERSIONS.get(name)
    FEATURES[feature](name, said)
