"""The published catalog for the data plane: loads the newest snapshot and watches for newer ones. No Django.

A publication announces itself over pub/sub; a process that missed it (Redis was away, the message was lost) sees it at the next poll.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
import psycopg
import redis.asyncio
from psycopg_pool import AsyncConnectionPool, PoolTimeout
from redis.exceptions import RedisError

from catalog.types import Snapshot

_log = logging.getLogger(__name__)

CHANNEL: Final = "tollway:catalog"
_BACKOFF_S: Final = 1.0
_RETRY_REFUSED_S: Final = 5.0  # before a snapshot that could not be taken into use is tried again

_NEWEST: Final = "SELECT max(version) FROM catalog_catalogsnapshot"
_BODY: Final = "SELECT body FROM catalog_catalogsnapshot ORDER BY version DESC LIMIT 1"

_decode = msgspec.msgpack.Decoder(Snapshot).decode

Pool = AsyncConnectionPool[psycopg.AsyncConnection[Any]]


class NotPublished(Exception):
    """No catalog has been published yet; ``manage.py load_catalog`` does it."""


class SnapshotReader:
    """Reads snapshots for one process and event loop. The caller opens and closes ``pool``.

    ``poll_s`` bounds how long a publication can go unnoticed while pub/sub is away.
    """

    def __init__(self, pool: Pool, broker_url: str, *, poll_s: float = 2.0) -> None:
        self._pool = pool
        self._broker_url = broker_url
        self._poll_s = poll_s
        self._announced = asyncio.Event()

    async def load(self) -> Snapshot:
        """Return the snapshot in force. Raises: NotPublished, psycopg.Error, PoolTimeout."""
        async with self._pool.connection() as connection:
            row = await (await connection.execute(_BODY)).fetchone()
        if row is None:
            msg = "no catalog has been published"
            raise NotPublished(msg)
        # 16 ms for the shipped catalog. A thread would not help: the decoder keeps the interpreter to itself.
        return _decode(row[0])

    async def watch(self, on_change: Callable[[Snapshot], Awaitable[None]]) -> None:
        """Call ``on_change`` with the snapshot in force and with each newer one, for ever. Ends by cancellation alone.

        Survives the loss of PostgreSQL and of Redis. A snapshot that ``on_change`` raises on is logged and tried again; the one before
        stays in use.
        """
        listener = asyncio.create_task(self._listen(), name="catalog-listener")
        try:
            version = 0
            while True:
                version, pause_s = await self._advance(version, on_change)
                self._announced.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._announced.wait(), pause_s)
        finally:
            listener.cancel()
            await asyncio.gather(listener, return_exceptions=True)

    async def _advance(self, version: int, on_change: Callable[[Snapshot], Awaitable[None]]) -> tuple[int, float]:
        """Take a newer snapshot into use if there is one. Returns the version now in use and how long to wait, in seconds."""
        try:
            if await self._newest_version() <= version:
                return version, self._poll_s
            snapshot = await self.load()
        except (psycopg.Error, PoolTimeout) as error:
            _log.warning("catalog cannot be read, keeping version %s: %s", version, error)
            return version, self._poll_s
        except msgspec.MsgspecError:
            _log.exception("the published catalog cannot be decoded by this release, keeping version %s", version)
            return version, _RETRY_REFUSED_S
        try:
            await on_change(snapshot)
        except Exception:  # noqa: BLE001 -- whatever a consumer raises, the watch goes on
            _log.exception("catalog version %s could not be taken into use, keeping version %s", snapshot.version, version)
            return version, _RETRY_REFUSED_S
        return snapshot.version, self._poll_s

    async def _newest_version(self) -> int:
        async with self._pool.connection() as connection:
            row = await (await connection.execute(_NEWEST)).fetchone()
        return (row[0] or 0) if row else 0

    async def _listen(self) -> None:
        while True:
            client = redis.asyncio.Redis.from_url(self._broker_url, socket_connect_timeout=1)
            try:
                async with client.pubsub(ignore_subscribe_messages=True) as channel:
                    await channel.subscribe(CHANNEL)
                    async for _message in channel.listen():
                        self._announced.set()
            except (RedisError, OSError) as error:
                _log.warning("catalog announcements are away, polling every %s s: %s", self._poll_s, error)
            finally:
                with contextlib.suppress(RedisError, OSError):
                    await client.aclose()
            await asyncio.sleep(_BACKOFF_S)
