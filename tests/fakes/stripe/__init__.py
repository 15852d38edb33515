"""The simulated Stripe on loopback, reached by the unchanged client over HTTP; its other end is at hand to make things happen."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn

from gateway.stripe_simulator.app import StripeSimulator
from gateway.stripe_simulator.webhooks import body_of, sign

SECRET = "whsec_test"


class FakeStripe:
    """A running simulator. ``simulator.account`` moves money, ``faults`` lets calls go wrong, ``calls`` counts them."""

    def __init__(self, simulator: StripeSimulator, url: str) -> None:
        self.simulator, self.url = simulator, url

    @property
    def account(self) -> Any:
        return self.simulator.account

    @property
    def calls(self) -> list[str]:
        return self.simulator.calls

    def fail(self, call: str, *faults: Any) -> None:
        self.simulator.faults.add(call, *faults)

    def pay(self, session_id: str, **form: str) -> httpx.Response:
        """Press the button of a Checkout page, with card 4242… unless told otherwise."""
        fields = {"card": "4242 4242 4242 4242", "email": "payer@example.com", "name": "Ada Payer"} | form
        # Plain HTTP on loopback: loading the web's certificates would take longer than the rest.
        return httpx.post(f"{self.url}/c/pay/{session_id}", data=fields, follow_redirects=False, trust_env=False, verify=False)  # noqa: S501

    def events(self, *types: str) -> list[dict[str, Any]]:
        """Return the events so far, oldest first."""
        found = self.account.store.newest("event")[::-1]
        return [event for event in found if not types or event["type"] in types]

    def newest(self, kind: str) -> Any:
        return self.account.store.newest(kind)[0]


def signed(event: dict[str, Any], *secrets: str, at_s: int | None = None) -> tuple[str, str]:
    """Return an event's body and its signature."""
    body = body_of(event)
    return body, sign(body, *(secrets or (SECRET,)), at_s=at_s)


@contextmanager
def serve(simulator: StripeSimulator) -> Iterator[FakeStripe]:
    """Serve a simulator in a thread."""
    server = uvicorn.Server(uvicorn.Config(simulator, host="127.0.0.1", port=0, log_level="critical", lifespan="on"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    simulator.page_url = url
    yield FakeStripe(simulator, url)
    server.should_exit = True
    thread.join(timeout=10)
