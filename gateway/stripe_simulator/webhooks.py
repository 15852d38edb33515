"""Signed webhooks: delivered when an address is known, tried again with growing pauses, as Stripe does."""

import asyncio
import hashlib
import hmac
import time

import httpx
import msgspec

from gateway.stripe_simulator.api import public
from gateway.stripe_simulator.wire import Object

_TRIES = 12
_PAUSE_S_MAX = 30.0
_TIMEOUT_S = 10.0
_REDIRECTS_FROM = 300


def sign(body: str, *secrets: str, at_s: int | None = None) -> str:
    """Return the Stripe-Signature header of a body; with several secrets one signature each, as while a secret is changed."""
    moment = int(time.time()) if at_s is None else at_s
    signatures = (hmac.new(secret.encode(), f"{moment}.{body}".encode(), hashlib.sha256).hexdigest() for secret in secrets)
    return ",".join([f"t={moment}", *(f"v1={signature}" for signature in signatures)])


def body_of(event: Object) -> str:
    """Return an event as it is sent."""
    return msgspec.json.encode(public(event)).decode()


class Webhooks:
    """Sends events to ``url``. ``copies`` 0 sends none, 2 sends each twice."""

    def __init__(self, *, url: str = "", secret: str = "", copies: int = 1) -> None:
        self.url, self.secret, self.copies = url, secret, copies
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Send from the running event loop."""
        self._loop = asyncio.get_running_loop()

    def stop(self) -> None:
        """Give up what is still on its way."""
        for task in self._running:
            task.cancel()

    def announce(self, event: Object) -> None:
        """Send an event in the background. May be called from any thread."""
        if self.url and self._loop is not None:
            body = body_of(event)
            for _ in range(self.copies):
                self._loop.call_soon_threadsafe(self._begin, body)

    def _begin(self, body: str) -> None:
        task = asyncio.get_running_loop().create_task(self._deliver(body))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _deliver(self, body: str) -> None:
        async with httpx.AsyncClient(timeout=_TIMEOUT_S, trust_env=False) as client:
            for number in range(_TRIES):
                headers = {"Stripe-Signature": sign(body, self.secret), "Content-Type": "application/json; charset=utf-8"}
                try:
                    answer = await client.post(self.url, content=body, headers=headers)
                    if answer.status_code < _REDIRECTS_FROM:
                        return
                except httpx.HTTPError:
                    pass
                await asyncio.sleep(min(2.0**number, _PAUSE_S_MAX))
