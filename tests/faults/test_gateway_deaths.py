"""A gateway dies at each named instruction of a request: it is charged nothing, what its last heartbeat told, or all of it."""

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time

import httpx
import pytest

from tests.faults.stack import MODEL, ROOT

pytestmark = [pytest.mark.faults, pytest.mark.xdist_group("faults")]

WITHIN_S = 120

# What becomes of a request whose gateway died there: no trace, a receipt of what its last heartbeat told, or its whole charge.
NOTHING, EXPIRED, CHARGED = None, "expired", "ok"
POINTS = {
    "before reserve": NOTHING,
    "reply lost": EXPIRED,
    "after reserve": EXPIRED,
    "before the first byte": EXPIRED,
    "mid-stream": EXPIRED,
    "after the last byte": EXPIRED,
    "before the spool's sync": CHARGED,
    "after the spool": CHARGED,
    "after settle": CHARGED,
}


class _Victims:
    """Gateways beside those of the running copy, on its stores and its spool."""

    def __init__(self, stack):
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        self._stack = stack
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.victim"],
            cwd=ROOT,
            env={**kept, **stack.settings, "TOLLWAY_DATA": str(stack.folder), "LOG_LEVEL": "ERROR"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            start_new_session=True,
        )
        self._told = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        for line in self._process.stdout:
            if line.startswith(("port ", "died ", "ended ")):
                self._told.put(line.split())

    def _read(self, word):
        told = self._told.get(timeout=WITHIN_S)
        assert told[0] == word, told
        return told[1:]

    def die(self, point, text):
        """Have a gateway die at the point, and return what it knew: (event, nanos)."""
        self._process.stdin.write(f"{point}\n")
        url = f"http://127.0.0.1:{self._read('port')[0]}"
        body = {"model": MODEL, "max_tokens": 4000, "messages": [{"role": "user", "content": text}]}
        headers = {"Authorization": f"Bearer {self._stack.demo['TOLLWAY_API_KEY']}"}
        if point == "mid-stream":
            body |= {"stream": True}
        with httpx.Client(timeout=WITHIN_S, headers=headers) as client:
            _await_ready(client, url)
            seen = []
            with contextlib.suppress(httpx.HTTPError), client.stream("POST", f"{url}/api/v1/chat/completions", json=body) as answer:
                assert answer.status_code == 200, answer.read()
                seen.extend(line for line in answer.iter_lines() if line)
        assert "data: [DONE]" not in seen
        # Between the store's answer and the kill nobody holds the client's answer back.
        assert (point == "mid-stream") <= bool(seen) <= (point in {"mid-stream", "after settle"}), seen
        event, nanos = self._read("died")
        assert self._read("ended") == ["-9"]
        return event, int(nanos)

    def close(self):
        os.killpg(self._process.pid, signal.SIGKILL)  # with a victim that did not die
        self._process.wait()


def _await_ready(client, url):
    deadline = time.monotonic() + WITHIN_S
    while True:
        with contextlib.suppress(httpx.HTTPError):
            if client.get(f"{url}/readyz").status_code == 200:
                return
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(scope="module")
def victims(stack):
    made = _Victims(stack)
    yield made
    made.close()


@pytest.mark.long
def test_a_gateway_killed_at_any_of_nine_points_charges_nothing_its_last_heartbeat_or_all(stack, victims, record_property):
    before = stack.earlier()
    stack.is_settled = False
    expected, died_s = {}, 0.0
    for point, status in POINTS.items():
        event, nanos = victims.die(point, f"[[simulate: big=2000 rate=400]] {point}" if point == "mid-stream" else point)
        died_s = time.monotonic()
        assert (nanos > 0) == (point == "mid-stream" or status == CHARGED), point
        if status is not NOTHING:
            expected[f"gen-{event}"] = (nanos, status)

    while stack.held_nanos():
        assert time.monotonic() < died_s + WITHIN_S, "a hold stays"
        time.sleep(0.1)
    free_s = time.monotonic() - died_s
    stack.await_receipts(expected)
    stack.settle()
    # Where the reaper was there before whoever adopted the spool, the receipt has two parts, whose sum is charged.
    told = {name: rows for name, rows in stack.receipts().items() if name not in before}
    assert {name: (sum(amount for amount, _ in rows), rows[-1][1]) for name, rows in told.items()} == expected
    assert stack.freezes() == []
    record_property("repeats", len(POINTS))
    record_property("figure", f"a kill at each of {len(POINTS)} points; nothing was held {free_s:.1f} s after the last one")
