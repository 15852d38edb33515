"""What the operator has switched off, for the data plane: at once, ahead of the publication that says it too. No Django."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

import psycopg
import redis.asyncio
from psycopg_pool import AsyncConnectionPool, PoolTimeout
from redis.exceptions import RedisError

_log = logging.getLogger(__name__)

CHANNEL: Final = "tollway:switches"
_BACKOFF_S: Final = 1.0
_OFF: Final = """
SELECT 'provider', slug FROM catalog_provider WHERE NOT enabled UNION ALL
SELECT 'model', slug FROM catalog_model WHERE NOT enabled UNION ALL
SELECT 'endpoint', slug FROM catalog_endpoint WHERE NOT enabled
"""


class SwitchedOff(NamedTuple):
    """Slugs of what may not be used. A model's slug stands for its ``:free`` variant too."""

    providers: frozenset[str] = frozenset()
    models: frozenset[str] = frozenset()
    endpoints: frozenset[str] = frozenset()


class SwitchReader:
    """Reads the switches for one process and event loop. The caller opens and closes ``pool``."""

    def __init__(self, pool: AsyncConnectionPool[psycopg.AsyncConnection[Any]], broker_url: str) -> None:
        self._pool = pool
        self._broker_url = broker_url

    async def read(self) -> SwitchedOff:
        """Return what is off now. Raises: psycopg.Error, PoolTimeout."""
        async with self._pool.connection() as connection:
            rows = await (await connection.execute(_OFF)).fetchall()
        return SwitchedOff(*(frozenset(slug for kind, slug in rows if kind == name) for name in ("provider", "model", "endpoint")))

    async def watch(self, on_change: Callable[[SwitchedOff], Awaitable[None]]) -> None:
        """Call ``on_change`` with what is off, at first and after each announcement, for ever. Ends by cancellation alone.

        While Redis is away nothing is heard; what was missed is read on the way back, and a publication says it too.
        """
        while True:
            client = redis.asyncio.Redis.from_url(self._broker_url, socket_connect_timeout=1)
            try:
                async with client.pubsub(ignore_subscribe_messages=True) as channel:
                    await channel.subscribe(CHANNEL)
                    await on_change(await self.read())
                    async for _message in channel.listen():
                        await on_change(await self.read())
            except (RedisError, OSError, psycopg.Error, PoolTimeout) as error:
                _log.warning("switches cannot be followed, trying again in %s s: %s", _BACKOFF_S, error)
            finally:
                with contextlib.suppress(RedisError, OSError):
                    await client.aclose()
            await asyncio.sleep(_BACKOFF_S)
