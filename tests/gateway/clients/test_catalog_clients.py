"""OpenRouter's clients for Python, of today and of August, read the whole shipped catalog."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.gateway.clients.conftest import OLDER
from tests.gateway.clients.test_python_clients import VERSIONS
from tests.gateway.relay.conftest import Stack

EVERY = 5  # of so many models one is asked for its endpoints
SCRIPT = Path(__file__).with_name("catalog_tries.py")
PATHS = {"openrouter": "", **({"openrouter-august": str(OLDER)} if (OLDER / ".installed").is_file() else {})}


def expected(shop: httpx.Client) -> dict[str, Any]:
    """Return what a client must have read, by what the API says without one."""

    def data(path: str) -> list[Any]:
        return list(shop.get(f"/api/v1{path}").json()["data"])

    first = shop.get("/api/v1/models?output_modalities=all&limit=1000").json()["data"]
    return {
        "models": len(first),
        "count": len(first),
        "mine": len(data("/models")),
        "one": "openai/gpt-4o-mini",
        "endpoints": sum(len(shop.get(f"/api/v1/models/{one['id']}/endpoints").json()["data"]["endpoints"]) for one in first[::EVERY]),
        "zero_retention": len(data("/endpoints/zdr")),
        "providers": len(data("/providers")),
        "embeddings": len(data("/embeddings/models")),
        "images": len(data("/images/models")),
        "image_endpoints": True,
    }


@pytest.mark.parametrize("name", PATHS)
def test_the_client_reads_the_whole_catalog(stack: Stack, shop: httpx.Client, django_db_blocker: Any, name: str) -> None:
    with django_db_blocker.unblock():
        secret = stack.new_customer().secret
    done = subprocess.run(
        [sys.executable, str(SCRIPT)],
        env={"PATH": os.environ["PATH"], "BASE_URL": stack.url, "API_KEY": secret, "EVERY": str(EVERY), "PYTHONPATH": PATHS[name]},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    read = json.loads(done.stdout)
    assert read.pop("version") == VERSIONS[name]
    assert read == expected(shop)
    assert read["models"] >= 500
    assert read["endpoints"] >= 200
