"""Receipts as customers hold them, and the script that they check them with."""

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.test import Client

from catalog.models import PriceVersion
from tests.factories import snapshots
from tests.gateway.api.conftest import api, funded, management_key, spend, stranger_api

__all__ = ["api", "funded", "management_key", "spend", "stranger_api"]  # fixtures of the neighbours

SCRIPT = Path(__file__).resolve().parents[3] / "docs/verify_receipt.py"
# Every kind of price at once: a threshold of prompt length, an hour, a service tier, a meter that falls back to another one's price.
CARD = {
    "rates": {"input_tokens": 250_000, "cache_read_tokens": 25_001, "output_tokens": 600_007, "requests": 333, "searches": 10_000_000_000},
    "tiers": [{"min_prompt_tokens": 1_000, "rates": {"input_tokens": 500_003}}],
    "service_tiers": {"flex": {"rates": {"input_tokens": 125_000, "output_tokens": 300_001}}},
    "time_prices": [{"start_minute": 0, "end_minute": 1440, "rates": {"searches": 9_000_000_001}}],
}


def load_script() -> ModuleType:
    """Return the script as a module, for what would start too many processes."""
    spec = importlib.util.spec_from_file_location("verify_receipt", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def body_of(response: Any) -> bytes:
    """Return what a streaming answer sends, read as the server reads it."""

    async def collect() -> bytes:
        return b"".join([piece async for piece in response])

    return async_to_sync(collect)()


@pytest.fixture
def price(db: None) -> PriceVersion:
    """Return a price version with a markup of 5 %."""
    return snapshots.make_price_version(CARD["rates"], price=CARD, markup_basis_points=500)


@pytest.fixture
def keys_file(db: None, tmp_path: Path) -> Path:
    """Return the published keys, saved."""
    path = tmp_path / "keys.json"
    path.write_bytes(Client().get("/.well-known/jwks.json").content)
    return path


@pytest.fixture
def verify(keys_file: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a runner of docs/verify_receipt.py on bytes as a customer has them in a file."""

    def run(*papers: bytes, keys: Path = keys_file) -> subprocess.CompletedProcess[str]:
        paths = [tmp_path / f"paper-{number}" for number, _ in enumerate(papers)]
        for path, paper in zip(paths, papers, strict=True):
            path.write_bytes(paper)
        return subprocess.run([sys.executable, SCRIPT, "--keys", keys, *paths], capture_output=True, text=True, timeout=60, check=False)

    return run
