"""From a bearer secret to its Caller, for the data plane. No Django.

Order: checksum, cache of this process, Redis, PostgreSQL. The cache is emptied key by key over pub/sub, so a revoked key stops
within the time of one message; while that channel is away nothing is kept for longer than a second, and when it comes back the whole
cache goes, because a message may have been missed.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import msgspec
import psycopg
import redis.asyncio
from psycopg_pool import AsyncConnectionPool, PoolTimeout
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from accounts import broker, key_format
from accounts.request_rules import MESSAGE_PREFIX
from accounts.types import Caller, InvalidKey, KeyExpired

if TYPE_CHECKING:
    from collections.abc import Mapping

logger = logging.getLogger(__name__)

_NEGATIVE_TTL_S: Final = 5.0
_NEGATIVE_SIZE: Final = 10_000
_UNWATCHED_TTL_S: Final = 1.0
_BROKER_TIMEOUT_S: Final = 0.25
_CONNECT_TIMEOUT_S: Final = 1.0
_DATABASE_TIMEOUT_S: Final = 2.0
_PING_EVERY_S: Final = 1.0
_SILENCE_MAX_S: Final = 3.0
_BACKOFF_S: Final[tuple[float, ...]] = (0.1, 0.2, 0.5, 1.0, 2.0)

_SELECT: Final = """
SELECT key.id, key.organization_id, organization.shard, key.is_management, extract(epoch FROM key.expires_at)::bigint
FROM accounts_apikey AS key JOIN accounts_organization AS organization ON organization.id = key.organization_id
WHERE key.hash = %s AND key.deleted_at IS NULL
"""

_Value = TypeVar("_Value")

_decode_caller = msgspec.json.Decoder(Caller).decode


class LookupDown(Exception):
    """Neither Redis nor PostgreSQL could say whether the key exists. Nothing is served; the client may retry."""


class KeyLookup:
    """Finds callers by secret. One per process and event loop.

    ``pool`` is a psycopg ``AsyncConnectionPool`` that the owner opens and closes. ``ttl_s`` bounds how long a caller is believed
    without asking again; ``cache_size`` how many are kept (the oldest go first).
    """

    def __init__(
        self, pool: AsyncConnectionPool[psycopg.AsyncConnection[Any]], broker_url: str, cache_size: int = 50_000, ttl_s: float = 30.0
    ) -> None:
        self._pool = pool
        self._broker_url = broker_url
        self._cache_size = cache_size
        self._ttl_s = ttl_s
        self._callers: dict[str, tuple[float, Caller]] = {}  # by key hash; the float is a monotonic deadline
        self._unknown: dict[str, float] = {}
        self._running: dict[str, asyncio.Task[Caller | None]] = {}
        self._redis: redis.asyncio.Redis | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._closing = False
        self._listeners: list[tuple[Callable[[str], None], Callable[[], None]]] = []
        self.watching = False  # True while revocations arrive

    def also_tell(self, forget: Callable[[str], None], forget_all: Callable[[], None]) -> None:
        """Pass on what the channel says that is no key's hash, and the moments at which something may have been missed."""
        self._listeners.append((forget, forget_all))

    async def start(self) -> None:
        """Open the Redis connections and begin to watch. Returns at once even when Redis is away."""
        # No retries inside the client: a reconnect must pass through here, where the cache is emptied.
        retry = Retry(NoBackoff(), 0)
        self._closing = False
        self._redis = redis.asyncio.Redis.from_url(
            self._broker_url, socket_timeout=_BROKER_TIMEOUT_S, socket_connect_timeout=_CONNECT_TIMEOUT_S, retry=retry
        )
        self._watcher = asyncio.create_task(self._watch_for_ever(), name="key-watcher")

    async def close(self) -> None:
        """Stop watching and close the Redis connections."""
        self._closing = True
        tasks = [task for task in (self._watcher, *self._running.values()) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._watcher = None
        if self._redis is not None:
            await self._redis.aclose()
            self._redis = None

    def find(self, secret: str) -> Caller | None:
        """Return the caller if this process knows it and it has not expired; else None, and ``resolve`` says more. Never waits."""
        entry = self._callers.get(key_format.hash_secret(secret))
        if entry is None or entry[0] < time.monotonic():
            return None
        caller = entry[1]
        if caller.expires_at_s is not None and caller.expires_at_s <= time.time():
            return None
        return caller

    async def resolve(self, secret: str) -> Caller:
        """Return the caller of a secret. Raises: InvalidKey, KeyExpired, LookupDown.

        Whether the key is disabled or out of money is the money store's to say, together with the hold.
        """
        if not key_format.is_well_formed(secret):
            raise InvalidKey
        key_hash = key_format.hash_secret(secret)
        caller = self._cached(key_hash) or await self._load_once(key_hash)
        if caller is None:
            raise InvalidKey
        if caller.expires_at_s is not None and caller.expires_at_s <= time.time():
            raise KeyExpired
        return caller

    def forget(self, key_hash: str) -> None:
        """Drop what is known of a key, also what a look-up under way is about to learn."""
        self._callers.pop(key_hash, None)
        self._unknown.pop(key_hash, None)
        self._running.pop(key_hash, None)

    def forget_all(self) -> None:
        """Drop everything."""
        for _, forget_all in self._listeners:
            forget_all()
        self._callers.clear()
        self._unknown.clear()
        self._running.clear()

    def _cached(self, key_hash: str) -> Caller | None:
        now = time.monotonic()
        entry = self._callers.get(key_hash)
        if entry is not None and entry[0] >= now:
            return entry[1]
        if self._unknown.get(key_hash, 0.0) >= now:
            raise InvalidKey
        return None

    async def _load_once(self, key_hash: str) -> Caller | None:
        # However many requests carry a key at once, one of them asks. forget() drops the task from the table, so that
        # an answer from before a revocation is not kept.
        task = self._running.get(key_hash)
        if task is None:
            task = asyncio.create_task(self._load(key_hash))
            self._running[key_hash] = task
            task.add_done_callback(lambda done: self._keep(key_hash, done))
        return await asyncio.shield(task)

    def _keep(self, key_hash: str, task: asyncio.Task[Caller | None]) -> None:
        if self._running.get(key_hash) is not task:
            if not task.cancelled():
                task.exception()  # seen, so that the loop does not report it
            return
        del self._running[key_hash]
        if task.cancelled() or task.exception() is not None:
            return
        caller = task.result()
        ttl_s = self._ttl_s if self.watching else _UNWATCHED_TTL_S
        if caller is None:
            _put_bounded(self._unknown, key_hash, time.monotonic() + min(ttl_s, _NEGATIVE_TTL_S), _NEGATIVE_SIZE)
        else:
            _put_bounded(self._callers, key_hash, (time.monotonic() + ttl_s, caller), self._cache_size)

    async def _load(self, key_hash: str) -> Caller | None:
        try:
            entry = await self._read_entry(key_hash)
        except (RedisError, OSError, TimeoutError) as error:
            logger.warning("the broker did not answer a key look-up (%s); asking PostgreSQL", type(error).__name__)
            return await self._read_row(key_hash)
        if entry == broker.TOMBSTONE:
            return None
        if entry is not None:
            with contextlib.suppress(msgspec.DecodeError):  # of another version: PostgreSQL knows
                return _decode_caller(entry)
        caller = await self._read_row(key_hash)
        if caller is not None:
            await self._fill_entry(caller)
        return caller

    async def _read_entry(self, key_hash: str) -> bytes | None:
        if self._redis is None:
            msg = "start() has not been called"
            raise RedisError(msg)
        return cast("bytes | None", await self._redis.get(broker.entry_name(key_hash)))

    async def _fill_entry(self, caller: Caller) -> None:
        # Only where nothing stands: a newer entry or a tombstone is never overwritten.
        if self._redis is not None:
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                await self._redis.set(broker.entry_name(caller.key_hash), msgspec.json.encode(caller), ex=broker.ENTRY_TTL_S, nx=True)

    async def _read_row(self, key_hash: str) -> Caller | None:
        try:
            async with asyncio.timeout(_DATABASE_TIMEOUT_S), self._pool.connection(timeout=_DATABASE_TIMEOUT_S) as connection:
                row = await (await connection.execute(_SELECT, (key_hash,))).fetchone()
        except (psycopg.Error, PoolTimeout, TimeoutError, OSError) as error:
            msg = "neither Redis nor PostgreSQL answered"
            raise LookupDown(msg) from error
        if row is None:
            return None
        key_id, org_id, shard, is_management, expires_at_s = row
        return Caller(key_hash=key_hash, key_id=key_id, org_id=org_id, shard=shard, is_management=is_management, expires_at_s=expires_at_s)

    async def _watch_for_ever(self) -> None:
        failures = 0
        while not self._closing:
            try:
                await self._watch()
            except (RedisError, OSError, TimeoutError) as error:
                if self.watching or failures == 0:
                    logger.warning("the key channel broke off (%s); reconnecting", type(error).__name__)
                failures = 0 if self.watching else failures + 1
            finally:
                # Deaf from here on: what is kept must not outlive a revocation that cannot be heard.
                self.watching = False
                self.forget_all()
            await asyncio.sleep(_BACKOFF_S[min(failures, len(_BACKOFF_S) - 1)])

    async def _watch(self) -> None:
        if self._redis is None:
            msg = "start() has not been called"
            raise RedisError(msg)
        async with self._redis.pubsub() as subscription:
            await subscription.subscribe(broker.CHANNEL)
            heard_at = time.monotonic()
            while not self._closing:
                message: Mapping[str, Any] | None = await subscription.get_message(timeout=_PING_EVERY_S)
                if message is None:
                    # A half-dead connection shows no error by itself, so its silence is measured.
                    if time.monotonic() - heard_at > _SILENCE_MAX_S:
                        msg = "the key channel is silent"
                        raise TimeoutError(msg)
                    await subscription.ping()
                    continue
                heard_at = time.monotonic()
                if message["type"] == "subscribe":
                    self.forget_all()
                    self.watching = True
                elif message["type"] == "message":
                    self._hear(message["data"].decode("ascii", "replace"))

    def _hear(self, name: str) -> None:
        if name.startswith(MESSAGE_PREFIX):
            for forget, _ in self._listeners:
                forget(name)
        else:
            self.forget(name)


def _put_bounded(table: dict[str, _Value], name: str, value: _Value, size: int) -> None:
    # A dictionary keeps the order of insertion, so its first entry is the oldest.
    table.pop(name, None)
    while len(table) >= size:
        del table[next(iter(table))]
    table[name] = value
