"""From an organization to its presets and policies, for the data plane. No Django.

Order: cache of this process, Redis, PostgreSQL, as with keys (lookup.py), whose channel also says which organization to forget.
"""

import asyncio
import contextlib
import logging
import time
from typing import Any, Final, cast

import msgspec
import psycopg
import redis.asyncio
from psycopg_pool import AsyncConnectionPool, PoolTimeout
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from accounts.lookup import LookupDown
from accounts.request_rules import ENTRY_TTL_S, MESSAGE_PREFIX, NO_RULES, Policy, Preset, RequestRules, entry_name

logger = logging.getLogger(__name__)

_BROKER_TIMEOUT_S: Final = 0.25
_CONNECT_TIMEOUT_S: Final = 1.0
_DATABASE_TIMEOUT_S: Final = 2.0

_SELECT: Final = """
SELECT preset.kind, preset.slug, preset.is_default, version.number, version.system_prompt, version.config
FROM accounts_requestpreset AS preset
JOIN accounts_requestpresetversion AS version ON version.preset_id = preset.id AND version.number = preset.designated_number
WHERE preset.organization_id = %s AND preset.status = 'active' ORDER BY preset.id
"""

_decode = msgspec.json.Decoder(RequestRules).decode


class RuleLookup:
    """Finds rules by organization id. One per process and event loop; ``pool`` is the owner's.

    ``ttl_s`` bounds how long rules are believed without asking again; after it they are asked for again, and the old ones serve while
    neither store answers.
    """

    def __init__(
        self, pool: AsyncConnectionPool[psycopg.AsyncConnection[Any]], broker_url: str, cache_size: int = 50_000, ttl_s: float = 30.0
    ) -> None:
        self._pool = pool
        self._broker_url = broker_url
        self._cache_size = cache_size
        self._ttl_s = ttl_s
        self._rules: dict[int, tuple[float, RequestRules]] = {}  # the float is a monotonic deadline
        self._running: dict[int, asyncio.Task[RequestRules]] = {}
        self._redis: redis.asyncio.Redis | None = None

    async def start(self) -> None:
        """Open the Redis connection. Returns at once even when Redis is away."""
        self._redis = redis.asyncio.Redis.from_url(
            self._broker_url,
            socket_timeout=_BROKER_TIMEOUT_S,
            socket_connect_timeout=_CONNECT_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
        )

    async def close(self) -> None:
        """Close the Redis connection."""
        for task in self._running.values():
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)
        if self._redis is not None:
            await self._redis.aclose()
            self._redis = None

    def find(self, org_id: int) -> RequestRules | None:
        """Return the rules if this process knows them, else None, and ``resolve`` says more. Never waits."""
        entry = self._rules.get(org_id)
        return None if entry is None or entry[0] < time.monotonic() else entry[1]

    async def resolve(self, org_id: int) -> RequestRules:
        """Return the rules of an organization. Raises: LookupDown when nobody can say and nothing is remembered."""
        task = self._running.get(org_id)
        if task is None:
            task = self._running[org_id] = asyncio.create_task(self._load(org_id))
            task.add_done_callback(lambda done: self._keep(org_id, done))
        try:
            return await asyncio.shield(task)
        except LookupDown:
            remembered = self._rules.get(org_id)
            if remembered is None:
                raise
            return remembered[1]

    def forget(self, org_id: int) -> None:
        """Drop what is known of an organization, also what a look-up under way is about to learn."""
        self._rules.pop(org_id, None)
        self._running.pop(org_id, None)

    def hear(self, message: str) -> None:
        """Forget the organization that a message of the keys' channel names."""
        number = message.removeprefix(MESSAGE_PREFIX)
        if number.isascii() and number.isdigit():
            self.forget(int(number))

    def expire_all(self) -> None:
        """Ask again for everything: changes may have been missed. What is known still serves while neither store answers."""
        self._rules = {org_id: (0.0, rules) for org_id, (_, rules) in self._rules.items()}
        self._running.clear()

    def _keep(self, org_id: int, task: asyncio.Task[RequestRules]) -> None:
        if self._running.get(org_id) is not task:
            if not task.cancelled():
                task.exception()  # seen, so that the loop does not report it
            return
        del self._running[org_id]
        if task.cancelled() or task.exception() is not None:
            return
        self._rules.pop(org_id, None)
        while len(self._rules) >= self._cache_size:
            del self._rules[next(iter(self._rules))]  # the oldest: a dictionary keeps the order of insertion
        self._rules[org_id] = time.monotonic() + self._ttl_s, task.result()

    async def _load(self, org_id: int) -> RequestRules:
        try:
            entry = await self._read_entry(org_id)
        except (RedisError, OSError, TimeoutError) as error:
            logger.warning("the broker did not answer a look-up of rules (%s); asking PostgreSQL", type(error).__name__)
            return await self._read_rows(org_id)
        if entry is not None:
            with contextlib.suppress(msgspec.MsgspecError):  # of another version: PostgreSQL knows
                return _decode(entry) if entry != b"{}" else NO_RULES
        rules = await self._read_rows(org_id)
        if self._redis is not None:
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                # Only where nothing stands: a newer entry is never overwritten.
                await self._redis.set(entry_name(org_id), encode_rules(rules), ex=ENTRY_TTL_S, nx=True)
        return rules

    async def _read_entry(self, org_id: int) -> bytes | None:
        if self._redis is None:
            msg = "start() has not been called"
            raise RedisError(msg)
        return cast("bytes | None", await self._redis.get(entry_name(org_id)))

    async def _read_rows(self, org_id: int) -> RequestRules:
        try:
            async with asyncio.timeout(_DATABASE_TIMEOUT_S), self._pool.connection(timeout=_DATABASE_TIMEOUT_S) as connection:
                rows = await (await connection.execute(_SELECT, (org_id,))).fetchall()
        except (psycopg.Error, PoolTimeout, TimeoutError, OSError) as error:
            msg = "neither Redis nor PostgreSQL answered"
            raise LookupDown(msg) from error
        return rules_from(rows)


def rules_from(rows: list[tuple[Any, ...]]) -> RequestRules:
    """Build rules of rows (kind, slug, is_default, number, system_prompt, config)."""
    if not rows:
        return NO_RULES
    presets = {row[1]: Preset(slug=row[1], version=row[3], system_prompt=row[4], config=row[5]) for row in rows if row[0] == "preset"}
    policies = {row[1]: Policy(slug=row[1], version=row[3], provider=row[5]) for row in rows if row[0] == "policy"}
    default = next((row[1] for row in rows if row[0] == "policy" and row[2]), "")
    return RequestRules(presets=presets, policies=policies, default_policy=default)


def encode_rules(rules: RequestRules) -> bytes:
    """Return the entry on the broker; ``{}`` for none."""
    return b"{}" if rules.is_empty else msgspec.json.encode(rules)
