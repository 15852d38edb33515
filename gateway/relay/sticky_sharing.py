"""Homes of conversations on their way between processes: a stream on the broker's Redis, written once a second and followed.

Nothing here is on a request's path. A turn that reaches another process within a second of the one before may go elsewhere once; a process
that begins reads the last hours of the stream. Without Redis each process goes on with what it knows.
"""

import asyncio
import logging
import time
from typing import Any, Final

import msgspec
import redis.asyncio
from redis.exceptions import RedisError

from gateway.relay.stickiness import Stickiness
from gateway.relay.types import Home

_log = logging.getLogger(__name__)

STREAM: Final = "tollway:homes"
_EVERY_S: Final = 1.0
_KEPT_S: Final = 7_260  # the longest life of a home, and a little
_BATCH: Final = 500
_FORGET_EVERY: Final = 60

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(dict[bytes, Home]).decode


class StickySharing:
    """Of one process."""

    def __init__(self, broker_url: str, stickiness: Stickiness) -> None:
        self._redis = redis.asyncio.Redis.from_url(broker_url, socket_connect_timeout=1, socket_timeout=5)
        self._stickiness = stickiness
        self._last_id = b"%d" % int((time.time() - _KEPT_S) * 1000)

    async def close(self) -> None:
        """Close the connection."""
        await self._redis.aclose()

    async def run_forever(self) -> None:
        """Exchange news once a second until cancelled. Survives the loss of Redis."""
        rounds = 0
        while True:
            try:
                await self.exchange_news()
            except (RedisError, OSError, TimeoutError) as error:
                _log.warning("homes of conversations stay in this process: %s", type(error).__name__)
            rounds += 1
            if rounds % _FORGET_EVERY == 0:
                self._stickiness.forget_old()
            await asyncio.sleep(_EVERY_S)

    async def exchange_news(self) -> None:
        """Tell the others what was noted, and hear what they did. Raises: RedisError; what was to be told is lost then."""
        news = self._stickiness.take_news()
        if news:
            oldest_ms = int((time.time() - _KEPT_S) * 1000)
            await self._redis.xadd(STREAM, {b"all": _encode(news)}, minid=oldest_ms, approximate=True)
        while await self._read():
            pass

    async def _read(self) -> bool:
        """Take over a batch of what is new; tells whether there may be more."""
        replies: Any = await self._redis.xread({STREAM: self._last_id}, count=_BATCH)
        entries = replies[0][1] if replies else []
        for entry_id, fields in entries:
            self._last_id = entry_id
            try:
                self._stickiness.hear(_decode(fields[b"all"]))
            except msgspec.MsgspecError:
                _log.warning("homes told by another release cannot be read; skipped")
        return len(entries) == _BATCH
