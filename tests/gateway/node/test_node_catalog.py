"""OpenRouter's clients for Node, of today and of August, read the whole shipped catalog: installed by `make test`."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx

from tests.gateway.clients.test_catalog_clients import EVERY, expected
from tests.gateway.node.conftest import INSTALLED
from tests.gateway.relay.conftest import Stack

SCRIPT = Path(__file__).with_name("catalog.mjs")


def test_both_clients_read_the_whole_catalog(stack: Stack, shop: httpx.Client, django_db_blocker: Any) -> None:
    with django_db_blocker.unblock():
        secret = stack.new_customer().secret
    shutil.copy(SCRIPT, INSTALLED / SCRIPT.name)
    done = subprocess.run(
        ["node", SCRIPT.name],  # noqa: S607
        cwd=INSTALLED,
        env={"PATH": os.environ["PATH"], "BASE_URL": stack.url, "API_KEY": secret, "EVERY": str(EVERY)},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    read = {line.pop("name"): line for line in map(json.loads, done.stdout.splitlines())}
    assert read == dict.fromkeys(("openrouter", "openrouter-august"), expected(shop))
