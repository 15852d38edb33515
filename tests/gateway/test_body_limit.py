"""Django is sent no body that it does not need: neither a large one nor one that never ends."""

import asyncio
from collections.abc import Iterator

import msgspec
import pytest
from django.conf import settings
from django.core.asgi import get_asgi_application

from gateway.body_limit import BodyLimit
from gateway.relay.exchange import Message

MAX_BYTES = 1_000


class Caller:
    """One request in ASGI messages. ``taken`` counts the bytes that the application took before it answered."""

    def __init__(self, pieces: Iterator[bytes], *, path: str = "/accounts/login/", length: int | None = None) -> None:
        headers = [(b"host", b"localhost")]
        if length is not None:
            headers.append((b"content-length", b"%d" % length))
        self.scope: Message = {"type": "http", "method": "POST", "path": path, "headers": headers, "query_string": b"", "scheme": "http"}
        self.taken = 0
        self.status = 0
        self.body = b""
        self._pieces = pieces

    async def receive(self) -> Message:
        piece = next(self._pieces, None)
        if piece is None:
            await asyncio.sleep(3600)
        assert piece is not None
        self.taken += len(piece)
        return {"type": "http.request", "body": piece, "more_body": piece != b""}

    async def send(self, message: Message) -> None:
        self.status = message.get("status", self.status)
        self.body += message.get("body", b"")

    async def call(self, *, max_bytes: int = MAX_BYTES, timeout_s: float = 5.0) -> None:
        await BodyLimit(get_asgi_application(), max_bytes=max_bytes, timeout_s=timeout_s)(self.scope, self.receive, self.send)


def endless() -> Iterator[bytes]:
    while True:
        yield b"x" * 400


async def test_a_body_that_is_announced_as_too_large_is_refused_unread() -> None:
    caller = Caller(endless(), length=MAX_BYTES + 1)
    await caller.call()
    assert (caller.status, caller.taken) == (413, 0)


async def test_a_body_without_end_is_cut_off_at_the_limit() -> None:
    caller = Caller(endless())
    await caller.call()
    assert (caller.status, caller.taken) == (413, 1_200)


async def test_the_api_says_so_in_its_own_shape() -> None:
    caller = Caller(endless(), path="/api/v1/keys")
    await caller.call()
    assert msgspec.json.decode(caller.body)["error"]["code"] == 413


async def test_a_body_that_never_comes_to_an_end_is_given_up() -> None:
    caller = Caller(iter([b"x"]))
    await asyncio.wait_for(caller.call(timeout_s=0.05), 2)
    assert caller.status == 408


@pytest.mark.django_db(transaction=True)
async def test_a_whole_body_reaches_django() -> None:
    caller = Caller(iter([b"{", b"}", b""]), path="/api/v1/nothing")
    await caller.call()
    assert (caller.status, caller.taken) == (404, 2)


def test_the_service_is_served_with_the_limit() -> None:
    from gateway import asgi  # noqa: PLC0415 -- builds a data plane

    assert isinstance(asgi.django_application, BodyLimit)
    assert settings.DATA_UPLOAD_MAX_MEMORY_SIZE < 10_000_000
