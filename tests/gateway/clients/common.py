"""What every client is asked, and how it is seen that the provider stopped when a client left. No imports of the project: older clients
run in a process of their own."""

import json
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx

HELLO = "Say hello to the road."
LOOK = "[[simulate: calls=2]] Look at the hills."
REFUSED = "[[simulate: status=429]]"
LONG = "[[simulate: big=4000 rate=300]] Go on and on."
PICTURE = "iVBORw0KGgo="
SCHEMA = {"type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"], "additionalProperties": False}
BASE, KEY = os.environ.get("BASE_URL", ""), os.environ.get("API_KEY", "")
MODEL, EMBEDDER, SIMULATOR = "test/single", "test/embed", os.environ.get("SIMULATOR", "")


def said(content: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": content}]


def stopped_ms(pieces: Iterator[Any], close: Callable[[], object]) -> float:
    """Read five pieces, leave; returns the milliseconds until the provider was stopped, at most 5,000."""

    def abandoned() -> int:
        return int(httpx.get(f"{SIMULATOR}/stats").json()["abandoned"])

    before = abandoned()
    for _ in range(5):
        next(pieces)
    close()
    left_s = time.monotonic()
    while abandoned() == before and time.monotonic() - left_s < 5:
        time.sleep(0.02)
    return (time.monotonic() - left_s) * 1000


def caught(ask: Callable[[], object]) -> tuple[str, int]:
    """Return the name and the status of the error that ``ask`` raises."""
    try:
        ask()
    except Exception as error:  # noqa: BLE001 -- which it is, is what the test looks at
        return type(error).__name__, getattr(error, "status_code", 0)
    return "", 0


def gather(deltas: Iterator[Any]) -> list[Any]:
    """Put the arguments of streamed calls together, by index."""
    gathered: dict[int, str] = {}
    for one in deltas:
        gathered[one.index] = gathered.get(one.index, "") + ((one.function and one.function.arguments) or "")
    return [json.loads(text) for _, text in sorted(gathered.items())]
