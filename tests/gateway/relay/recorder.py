"""Stands before the simulated provider and remembers what it was sent: headers are no part of any answer."""

from collections import deque
from typing import Any, NamedTuple
from urllib.parse import unquote

import msgspec

from tests.gateway.relay.google_accounts import give_token


class Recorded(NamedTuple):
    """One call: its path with the query as sent, headers by lower-case name, the body's bytes."""

    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class Recorder:
    """An ASGI application around another."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.calls: deque[Recorded] = deque(maxlen=20)

    def last(self, part: str) -> Recorded:
        """Return the newest call whose path has ``part`` in it."""
        return next(call for call in reversed(self.calls) if part in call.path)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"] == "/token":
            await give_token(receive, send)
            return
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        pieces: list[bytes] = []

        async def listen() -> Any:
            message = await receive()
            if message["type"] == "http.request":
                pieces.append(message.get("body", b""))
                if not message.get("more_body"):
                    query = scope["query_string"].decode()
                    path = unquote(scope["path"]) + (f"?{query}" if query else "")
                    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
                    self.calls.append(Recorded(path, headers, b"".join(pieces)))
            return message

        await self._app(scope, listen, send)
