"""The simulated Stripe as an ASGI application. Started by ``gateway.local.payments``, and by tests in a thread."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from gateway.stripe_simulator import api, pages, setup, taxes  # noqa: F401 -- the last two register their paths
from gateway.stripe_simulator.account import API_VERSION, Account
from gateway.stripe_simulator.faults import Fault, Faults
from gateway.stripe_simulator.idempotency import Idempotency
from gateway.stripe_simulator.store import Store
from gateway.stripe_simulator.webhooks import Webhooks
from gateway.stripe_simulator.wire import ApiError, Object, new_id, read_form

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

_JSON = (b"content-type", b"application/json")
_MARK = (b"x-tollway-simulated", b"1")
_BODY_MAX_BYTES = 1024 * 1024
_HANG_S = 30.0


class StripeSimulator:
    """One account with its API, its pages and its webhooks. ``page_url`` is how a browser reaches it; without ``api_key`` any test key
    will do.
    """

    def __init__(
        self, *, file: Path | None = None, page_url: str = "", webhook_url: str = "", webhook_secret: str = "", api_key: str = ""
    ) -> None:
        self.page_url = page_url
        self.api_key = api_key
        self.webhooks = Webhooks(url=webhook_url, secret=webhook_secret)
        self.account = Account(Store(file), self.webhooks.announce)
        self.account.setup["webhook_url"] = webhook_url
        self.faults = Faults()
        self.idempotency = Idempotency()
        self.calls: list[str] = []  # every API call, in order: for tests that count them
        pages.ensure_sample_code(self.account)

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "lifespan":
            await self._serve_lifespan(receive, send)
            return
        body = await _read_body(receive)
        method, path, query = scope["method"], scope["path"], scope["query_string"].decode()
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if path.startswith("/v1/"):
            await self._serve_api(method, path, query if method == "GET" else body, headers, send)
            return
        status, extra, answer = pages.serve(self.account, method, path, dict(parse_qsl(body)), base_url=self.page_url)
        await _send(send, status, [*extra, _MARK], answer)

    async def _serve_api(self, method: str, path: str, body: str, headers: dict[str, str], send: Send) -> None:
        call = f"{method} {path}"
        self.calls.append(call)
        fault = self.faults.take(call)
        if not self._is_known(headers.get("authorization", "").removeprefix("Bearer ")):
            await _answer(send, 401, ApiError(401, "You did not provide a test API key.").body)
            return
        if (asked := headers.get("stripe-version", API_VERSION)) != API_VERSION:
            await _answer(send, 400, ApiError(400, f"Invalid Stripe API version: {asked}").body)
            return
        key = headers.get("idempotency-key", "") if method != "GET" else ""
        try:
            kept = self.idempotency.begin(key, method=method, path=path, body=body) if key else None
        except ApiError as error:
            await _answer(send, error.status, error.body)
            return
        if kept is not None:
            await _answer(send, *kept, (b"idempotent-replayed", b"true"))
            return
        if fault is not None and await self._fail_before(fault, key, send):
            return
        status, answer = self._carry_out(method, path, body, key)
        if fault == "500_after":
            status, answer = 500, _trouble()
        if key:
            self.idempotency.finish(key, status, answer)
        if fault in {"lost_after", "hang_after"}:
            await _lose(send, hang=fault == "hang_after")
            return
        await _answer(send, status, answer)

    def _is_known(self, key: str) -> bool:
        return secrets.compare_digest(key.encode(), self.api_key.encode()) if self.api_key else key.startswith(("sk_test_", "rk_test_"))

    async def _fail_before(self, fault: Fault, key: str, send: Send) -> bool:
        """Answer with a fault that leaves nothing done. False when the fault comes after the work."""
        if fault.endswith("_after"):
            return False
        if fault == "500_before":
            if key:
                self.idempotency.finish(key, 500, _trouble())
            await _answer(send, 500, _trouble())
            return True
        if key:
            self.idempotency.finish(key, 400, {})  # nothing was begun, so nothing is kept
        if fault in {"lost_before", "hang_before"}:
            await _lose(send, hang=fault == "hang_before")
        elif fault == "429":
            await _answer(send, 429, ApiError(429, "Too many requests hit the API too quickly.", code="rate_limit").body)
        else:
            await _answer(send, 409, ApiError(409, "This object cannot be accessed right now.", code="lock_timeout").body)
        return True

    def _carry_out(self, method: str, path: str, body: str, key: str) -> tuple[int, Object]:
        self.account.request_key = key or None
        try:
            handler, ids = api.find(method, path.rstrip("/"))
            fields = read_form(body) | {"simulated_page_url": self.page_url}
            item = handler(self.account, fields, *ids)
            return 200, api.public(api.expanded(self.account, item, fields))
        except ApiError as error:
            return error.status, error.body
        finally:
            self.account.request_key = None

    async def _serve_lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self.webhooks.start()
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                self.webhooks.stop()
                await send({"type": "lifespan.shutdown.complete"})
                return


def _trouble() -> Object:
    return ApiError(500, "An unknown error occurred", type_="api_error").body


async def _read_body(receive: Receive) -> str:
    pieces, more = [], True
    while more:
        message = await receive()
        pieces.append(message.get("body", b""))
        more = message.get("more_body", False) and sum(map(len, pieces)) < _BODY_MAX_BYTES
    return b"".join(pieces).decode(errors="replace")


async def _answer(send: Send, status: int, body: Object, *extra: tuple[bytes, bytes]) -> None:
    headers = [_JSON, _MARK, (b"request-id", new_id("req").encode()), (b"stripe-version", API_VERSION.encode()), *extra]
    await _send(send, status, headers, msgspec.json.encode(body))


async def _send(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    await send(
        {"type": "http.response.start", "status": HTTPStatus(status).value, "headers": [*headers, (b"content-length", b"%d" % len(body))]}
    )
    await send({"type": "http.response.body", "body": body})


async def _lose(send: Send, *, hang: bool) -> None:
    """Let the caller wait, or cut the line: an answer that was promised and never comes makes the server drop the connection."""
    if hang:
        await asyncio.sleep(_HANG_S)
    await send({"type": "http.response.start", "status": 200, "headers": [_JSON, (b"content-length", b"9999")]})
