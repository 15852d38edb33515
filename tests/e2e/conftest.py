"""A real browser against a real server: Django and the websockets on a free port, over the test's own engines."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

import pytest
from playwright.sync_api import Browser, Error, sync_playwright

_ARGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
_START_TIMEOUT_S = 60

# Playwright's synchronous interface keeps an event loop running in this thread, in which Django would refuse its database.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"


@pytest.fixture(scope="module")  # not longer: while it is open, no test of the process can run an event loop of its own
def browser() -> Iterator[Browser]:
    """Return Chromium: Debian's, else Playwright's own; without one the tests are skipped, and say so."""
    with sync_playwright() as playwright:
        try:
            started = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=_ARGS)
        except Error as error:
            if os.environ.get("CI"):
                raise
            pytest.skip(f"NO CHROMIUM: install Debian's chromium or run 'playwright install chromium' ({str(error).splitlines()[0]})")
        yield started
        started.close()


@pytest.fixture
def server(transactional_db: None, tmp_path: Path) -> Iterator[str]:
    """Return the address of a server that answers pages and websockets from the test database."""
    with serve_pages(tmp_path) as url:
        yield url


@contextmanager
def serve_pages(folder: Path, variables: Mapping[str, str] = MappingProxyType({})) -> Iterator[str]:
    """Serve in a process of its own, with further ``variables``; its log lies in ``folder``."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    environment = {**os.environ, "DEBUG": "1", "DEMO_MODE": "1", "PORT": str(port), "PUBLIC_URL": url, "LOG_LEVEL": "WARNING", **variables}
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "tests.e2e.asgi:application", "--port", str(port), "--log-level", "warning"],
            env=environment, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            _wait_until_alive(url, process)
            yield url
        finally:
            process.terminate()
            process.wait(timeout=20)


def _wait_until_alive(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/healthz", timeout=2):  # noqa: S310 -- our own address
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail("the server did not start; see server.log in the test's folder")
