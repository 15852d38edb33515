"""Bring an organization's balance and a key's rules and counters from the books into the money store, when it has none.

Nothing is in the stream for a balance or key that the present epoch has never known, so the books tell its whole story.
"""

import asyncio
import datetime as dt
from collections.abc import Callable, Collection, Coroutine, Sequence
from functools import lru_cache
from typing import Any, Literal, LiteralString, NamedTuple

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from accounts.types import InvalidKey
from billing.authorizer.connection import Arg, MoneyConnection, MoneyStoreDown
from billing.authorizer.keys import shard_keys
from billing.authorizer.periods import periods_at
from billing.authorizer.scripts import PUT_BALANCE, PUT_KEY_SCOPE

_BOOKS_TIMEOUT_S = 2.0
_READS_MAX = 3

# What is loaded and the shard on which the organization lives come out of one statement: two would see two moments, and between them it
# may have moved. All accounts of the organization: bought (2010), granted (2020), owed (2050, below zero); its last change's number is on
# the first.
_BALANCE = """
select coalesce(sum(credits_nanos - debits_nanos), 0)::bigint, coalesce(max(seq), 0),
       exists (select 1 from billing_admissionfreeze where organization_id = %(org_id)s and lifted_at is null),
       (select shard from accounts_organization where id = %(org_id)s)
from billing_account where org_id = %(org_id)s
"""
_KEY = """
select spent.*, key.*, (select shard from accounts_organization where id = %(org_id)s) from (
    select coalesce(sum(amount_nanos), 0)::bigint,
           coalesce(sum(amount_nanos) filter (where hour >= %(day)s), 0)::bigint,
           coalesce(sum(amount_nanos) filter (where hour >= %(week)s), 0)::bigint,
           coalesce(sum(amount_nanos) filter (where hour >= %(month)s), 0)::bigint
    from billing_usagerollup where org_id = %(org_id)s and key_id = %(key_id)s
) as spent left join (
    select version, limit_nanos, limit_reset, disabled or deleted_at is not null, floor(extract(epoch from expires_at))::bigint
    from accounts_apikey where id = %(key_id)s and organization_id = %(org_id)s
) as key on true
"""
# An event that only the reaper has booked still waits for its true amount (part 1). Beside what is missing: of each shard's batches that
# have booked the others, the latest.
_COMPARE = """
with want as (
  select * from unnest(%(org_ids)s::bigint[], %(event_ids)s::uuid[], %(days)s::date[]) as want (org_id, event_id, day)
), found as materialized (
  select event_id, batch_id from want join billing_usageevent e using (org_id, event_id, day) where e.part = 1 or e.status <> 'expired'
)
select replace(event_id::text, '-', ''), null::smallint, null::bigint, null::timestamptz
from (select event_id from want except select event_id from found) as missing
union all
select * from (
  select distinct on (shard) null, shard, id, created_at from billing_usagebatch
  where id in (select distinct batch_id from found) order by shard, id desc
) as latest
"""
# A late settlement (part 1) carries the difference to what the reaper had booked, and the true end.
_ENDED = """
select bool_or(part = 1 or status <> 'expired'), coalesce(sum(amount_nanos), 0) > 0
    or bool_or(status = 'ok' and finish_reason <> 'error')
from billing_usageevent where org_id = %(org_id)s and event_id = %(event_id)s::uuid and day = %(day)s::date
"""
_HAS_BATCHES = """
select count(*) from unnest(%(ids)s::bigint[], %(times)s::timestamptz[]) as want (id, created_at)
join billing_usagebatch using (id, created_at)
"""
_DAY_MS = 86_400_000


class Batch(NamedTuple):
    """A batch of a shard, by its number and the time it was written at: restored books may give the number to another."""

    id: int
    created_at: dt.datetime


class Compared(NamedTuple):
    """What the books say of events. ``missing`` they do not have for good; ``batches`` are the latest, by shard, that booked the others."""

    missing: set[str]
    batches: dict[int, Batch]


class BooksDown(MoneyStoreDown):
    """PostgreSQL cannot be asked."""


class MovedAway(MoneyStoreDown):
    """The organization lives on another ``shard`` now; whoever asks again hears of it."""

    def __init__(self, shard: int) -> None:
        super().__init__(f"the organization has moved to shard {shard}", retry_after_s=1.0)
        self.shard = shard


@lru_cache(maxsize=16)
def _day_text(days: int) -> str:
    """Return the UTC day so many days after the epoch as PostgreSQL reads it."""
    return (dt.date(1970, 1, 1) + dt.timedelta(days=days)).isoformat()


class ScopeLoader:
    """Reads the books for the data plane. Callers that need the same thing at once share one read."""

    def __init__(self, pool: AsyncConnectionPool[Any], connection: MoneyConnection) -> None:
        self._pool = pool
        self._connection = connection
        self._loading: dict[tuple[str, int], asyncio.Task[None]] = {}

    async def load_balance(self, *, shard: int, org_id: int, epoch: int) -> None:
        """Put the balance into the store if it has none and its epoch is still ``epoch``. Raises: BooksDown, MovedAway, MoneyStoreDown."""
        await self._share(("org", org_id), lambda: self._load_balance(shard, org_id, epoch))

    async def load_key(self, *, shard: int, org_id: int, key_id: int, epoch: int) -> None:
        """Put the key's scope into the store if it has none and its epoch is still ``epoch``. A deleted key counts as disabled.

        Raises: BooksDown, MoneyStoreDown, InvalidKey (the books have no such key).
        """
        await self._share(("key", key_id), lambda: self._load_key(shard, org_id, key_id, epoch))

    async def compare(self, events: Sequence[tuple[int, str]]) -> Compared:
        """Ask the books about events, each (org_id, event id in 32 hex digits). Raises: BooksDown.

        The arrays go as text and only what is missing comes back: every event of the process passes here once, between requests, and
        turning lists of ids and days into parameters one by one took longer than all the rest.
        """
        arrays = {
            "org_ids": [str(org_id) for org_id, _ in events],
            "event_ids": [event for _, event in events],
            "days": [_day_text(int(event[:12], 16) // _DAY_MS) for _, event in events],
        }
        rows = await self._read(_COMPARE, {name: f"{{{','.join(values)}}}" for name, values in arrays.items()})
        missing = {event for event, *_ in rows if event is not None}
        return Compared(missing, {shard: Batch(batch_id, at) for event, shard, batch_id, at in rows if event is None})

    async def ended(self, *, org_id: int, event: str) -> Literal["unknown", "free", "over"]:
        """Tell how a request ended (its event id in 32 hex digits): 'over' when it was charged or answered. Raises: BooksDown.

        'unknown': the books do not have it, or only what the reaper took for it.
        """
        params = {"org_id": org_id, "event_id": event, "day": _day_text(int(event[:12], 16) // _DAY_MS)}
        [(is_final, is_over)] = await self._read(_ENDED, params)
        return "unknown" if not is_final else "over" if is_over else "free"

    async def has_batches(self, batches: Collection[Batch]) -> bool:
        """Tell whether the books have all these batches still: one of a shard stands for all that were booked there before it.

        Books that were restored to an earlier moment lack them. Raises: BooksDown.
        """
        ids, times = [one.id for one in batches], [one.created_at for one in batches]
        [(count,)] = await self._read(_HAS_BATCHES, {"ids": ids, "times": times})
        return bool(count == len(batches))

    async def _load_balance(self, shard: int, org_id: int, epoch: int) -> None:
        keys = shard_keys(shard)
        for _ in range(_READS_MAX):
            [(balance_nanos, seq, is_frozen, home)] = await self._read(_BALANCE, {"org_id": org_id})
            _check_home(home, shard)
            reply = await self._connection.run_script(
                PUT_BALANCE,
                [keys.epoch, f"{keys.balance}{org_id}", keys.known],
                (self._connection.run_id, epoch, "absent", balance_nanos, seq, f"b:{org_id}", int(is_frozen)),
            )
            if reply != b"STALE":
                return
        msg = f"the books are behind the credits of organization {org_id}"
        raise BooksDown(msg)

    async def _load_key(self, shard: int, org_id: int, key_id: int, epoch: int) -> None:
        keys = shard_keys(shard)
        for _ in range(_READS_MAX):
            # The server's clock decides the periods, so it is asked for them.
            now_s = int((await self._connection.execute("TIME"))[0])
            at, who = periods_at(now_s), {"org_id": org_id, "key_id": key_id}
            starts = {"day": at.day_start, "week": at.week_start, "month": at.month_start}
            [(spent, spent_day, spent_week, spent_month, *rules, home)] = await self._read(_KEY, {**who, **starts})
            _check_home(home, shard)
            version, limit_nanos, reset, disabled, expires_s = rules
            if version is None:
                msg = f"the books have no key {key_id} of organization {org_id}"
                raise InvalidKey(msg)
            args: list[Arg] = [self._connection.run_id, epoch, "absent", f"k:{key_id}"]
            args += [version, "" if limit_nanos is None else limit_nanos, reset, int(disabled), "" if expires_s is None else expires_s]
            args += [spent, at.day, spent - spent_day, at.week, spent - spent_week, at.month, spent - spent_month]
            reply = await self._connection.run_script(PUT_KEY_SCOPE, [keys.epoch, f"{keys.scope}{key_id}", keys.known], args)
            if reply != b"STALE":
                return
        msg = f"the books are behind the changes of key {key_id}"
        raise BooksDown(msg)

    async def _read(self, sql: LiteralString, params: dict[str, Any]) -> list[tuple[Any, ...]]:
        try:
            async with asyncio.timeout(_BOOKS_TIMEOUT_S), self._pool.connection() as books:
                rows: list[tuple[Any, ...]] = await (await books.execute(sql, params)).fetchall()
                return rows
        except (psycopg.Error, PoolTimeout, TimeoutError, OSError) as error:
            msg = "the books are unreachable"
            raise BooksDown(msg) from error

    async def _share(self, name: tuple[str, int], load: Callable[[], Coroutine[Any, Any, None]]) -> None:
        task = self._loading.get(name)
        if task is None:
            task = self._loading[name] = asyncio.create_task(load())
            task.add_done_callback(lambda _: self._loading.pop(name, None))
        # A caller that leaves must not take the read from the others.
        await asyncio.shield(task)


def _check_home(home: int | None, shard: int) -> None:
    """A move writes down the new place in the transaction in which the old shard forgets the organization. Raises: MovedAway."""
    if home is not None and home != shard:
        raise MovedAway(home)
