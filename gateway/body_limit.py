"""Bounds the bodies of requests to Django, which would otherwise write whatever is sent to disk before anybody looks at it.

The data plane bounds its own bodies, which may be much larger.
"""

import asyncio
from typing import Any, Final

from gateway.relay.errors import ApiError, BodyTooLarge
from gateway.relay.exchange import Message, Receive, Send

_API_PREFIX: Final = "/api/"
_TIMEOUT_STATUS: Final = 408


class BodyLimit:
    """An ASGI application around Django. ``timeout_s`` is for the whole body, so that a trickle cannot keep a connection for ever."""

    def __init__(self, application: Any, *, max_bytes: int, timeout_s: float = 30.0) -> None:
        self._application = application
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 413 or 408."""
        length = dict(scope["headers"]).get(b"content-length", b"")
        try:
            if length.isdigit() and int(length[:20]) > self._max_bytes:
                raise self._too_large()
            await self._application(scope, self._bounded(receive), send)
        except ApiError as error:
            # Raised while Django reads the body, which it does before anything else: nothing was answered yet.
            await _refuse(scope["path"], error, send)

    def _bounded(self, receive: Receive) -> Receive:
        left = self._max_bytes
        deadline_s = asyncio.get_running_loop().time() + self._timeout_s
        is_complete = False

        async def receive_bounded() -> Message:
            nonlocal left, is_complete
            if is_complete:
                return await receive()
            try:
                async with asyncio.timeout_at(deadline_s):
                    message = await receive()
            except TimeoutError:
                raise ApiError("The request body did not arrive in time", status=_TIMEOUT_STATUS, error_type="timeout") from None
            left -= len(message.get("body", b""))
            if left < 0:
                raise self._too_large()
            is_complete = not message.get("more_body", False)
            return message

        return receive_bounded

    def _too_large(self) -> BodyTooLarge:
        return BodyTooLarge("Request payload too large", remedy=f"Send at most {self._max_bytes} bytes.")


async def _refuse(path: str, error: ApiError, send: Send) -> None:
    is_api = path.startswith(_API_PREFIX)
    body = error.body() if is_api else f"{error.message}.\n".encode()
    headers = [
        (b"content-type", b"application/json" if is_api else b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"private, no-store"),
        # What is still on its way would be taken for the next request.
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
