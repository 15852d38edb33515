"""How an answer leaves: paced, cut, dripped, broken, or not at all. The only part of the simulator that waits."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from gateway.simulator.directives import Directives
from gateway.simulator.profiles import Profile
from gateway.simulator.wire import Frame

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

_HANG_MAX_S = 3600.0
_BORDERS = (1, 7, 2, 13, 3, 5)  # sizes of dripped pieces, in turn
_SLEEP_MIN_S = 0.002  # shorter pauses are gathered: timers are no finer


class ClientGone(Exception):
    """The client left before the answer was complete."""


class Stats:
    """What this process did: for tests that ask whether a provider was stopped."""

    def __init__(self) -> None:
        self.requests = 0
        self.streaming = 0
        self.abandoned = 0
        self.chunks = 0

    def as_dict(self) -> dict[str, int]:
        """Return the counts by name."""
        return {"requests": self.requests, "streaming": self.streaming, "abandoned": self.abandoned, "chunks": self.chunks}


class Delivery:
    """Sends one answer over ASGI. Leaving without the last piece makes the server drop the connection."""

    def __init__(self, receive: Receive, send: Send, *, directives: Directives, profile: Profile, stats: Stats) -> None:
        self._receive, self._send = receive, send
        self._directives, self._profile, self._stats = directives, profile, stats
        self._gone: asyncio.Task[None] | None = None
        self._owed_s = 0.0
        self._pack: Callable[[Frame], bytes] = self._as_text

    async def wait(self, seconds: float) -> None:
        """Sleep. Raises: ClientGone as soon as the client leaves."""
        if seconds <= 0:
            return
        if self._gone is None:
            self._gone = asyncio.create_task(self._watch())
        done, _ = await asyncio.wait({self._gone}, timeout=seconds)
        if done:
            raise ClientGone

    async def hang(self) -> None:
        """Say nothing until the client leaves. Raises: ClientGone."""
        await self.wait(_HANG_MAX_S)

    def close(self) -> None:
        """Stop watching the client."""
        if self._gone is not None:
            self._gone.cancel()

    async def whole(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """Send a whole answer, or half of it under ``cut_after``."""
        sent = body[: len(body) // 2] if "cut_after" in self._directives else body
        await self._send({"type": "http.response.start", "status": status, "headers": [*headers, (b"content-length", b"%d" % len(body))]})
        pieces = self._pieces(sent)
        for piece in pieces:
            await self._send({"type": "http.response.body", "body": piece, "more_body": True})
            await self._pause_drip()
        if len(sent) == len(body):
            await self._send({"type": "http.response.body", "body": b""})

    async def stream(
        self,
        headers: list[tuple[bytes, bytes]],
        frames: Iterator[Frame],
        error_frame: Frame,
        *,
        pack: Callable[[Frame], bytes] | None = None,
    ) -> None:
        """Send events at the provider's pace, with what the directives break; ``pack`` writes them where they are not events of text."""
        self._pack = pack or self._as_text
        directives = self._directives
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        first = directives.get("first_token_ms", self._profile.first_token_ms)
        await self.wait(int(first) / 1000)
        rate = int(directives.get("rate", self._profile.tokens_per_s))
        for number, frame in enumerate(frames):
            if number == directives.get("cut_after"):
                return
            if number == directives.get("hang"):
                await self.hang()
            if number == directives.get("error_in_stream"):
                await self._event(error_frame)
                break
            if number == directives.get("malformed"):
                await self._event(Frame(frame.event, frame.data[: len(frame.data) // 2] or b"{"))
                continue
            await self._pace(frame.tokens / rate)
            await self._event(frame)
        await self._send({"type": "http.response.body", "body": b""})

    async def _pace(self, seconds: float) -> None:
        self._owed_s += seconds
        if self._owed_s >= _SLEEP_MIN_S:
            owed, self._owed_s = self._owed_s, 0.0
            await self.wait(owed)

    async def _event(self, frame: Frame) -> None:
        self._stats.chunks += 1
        for piece in self._pieces(self._pack(frame)):
            await self._send({"type": "http.response.body", "body": piece, "more_body": True})
            await self._pause_drip()

    def _as_text(self, frame: Frame) -> bytes:
        end = b"\r\n" if "crlf" in self._directives else b"\n"
        name = b"event: " + frame.event.encode() + end if frame.event else b""
        return name + b"data: " + frame.data + end + end

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        if "drip" not in self._directives:
            yield data
            return
        start = turn = 0
        while start < len(data):
            size = _BORDERS[turn % len(_BORDERS)]
            yield data[start : start + size]
            start, turn = start + size, turn + 1

    async def _pause_drip(self) -> None:
        if pause_ms := int(self._directives.get("drip", 0)):
            await self.wait(pause_ms / 1000)

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
