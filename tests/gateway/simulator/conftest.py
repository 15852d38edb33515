"""One simulator on loopback for all tests of a process."""

import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn

from gateway.simulator.app import Simulator


@pytest.fixture(scope="session")
def simulator_url() -> Iterator[str]:
    """Serve a simulator in a thread; the value is its address without a slash at the end."""
    server = uvicorn.Server(uvicorn.Config(Simulator(), host="127.0.0.1", port=0, log_level="critical", lifespan="on"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(timeout=10)
