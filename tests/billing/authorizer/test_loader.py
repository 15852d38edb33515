"""The loader against the real books."""

import asyncio
import contextlib
import datetime as dt
import functools
import os
from collections.abc import AsyncIterator, Callable
from typing import Any

import psycopg
import pytest
import redis
from asgiref.sync import sync_to_async
from psycopg_pool import AsyncConnectionPool

from accounts import api_keys
from accounts.types import Caller, InvalidKey, KeyDisabled
from billing import live
from billing.authorizer.connection import MoneyConnection
from billing.authorizer.holds import Holds, InsufficientCredit
from billing.authorizer.loader import BooksDown, MovedAway, ScopeLoader
from billing.authorizer.spool import Spool
from billing.books import settlement, transfers
from tests.billing.authorizer.shard import Shard, event_of
from tests.billing.authorizer.test_holds import take

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
async def pool(organization: Any) -> AsyncIterator[AsyncConnectionPool[Any]]:
    async with AsyncConnectionPool(os.environ["DATABASE_URL"], min_size=1, max_size=4, open=False) as pool:
        yield pool


@pytest.fixture
async def holds(pool: AsyncConnectionPool[Any], connection: MoneyConnection, tmp_path) -> AsyncIterator[Holds]:
    holds = Holds(connection, spool=Spool(tmp_path / "spool"), loader=ScopeLoader(pool, connection))
    await holds.start()
    yield holds
    await holds.close()


def caller_of(key: Any) -> Caller:
    return Caller(key_hash=key.hash, key_id=key.pk, org_id=key.organization_id, shard=key.organization.shard)


@sync_to_async
def prepare(organization: Any, make_key: Callable[..., Any], *, granted: int = 0, **rules: Any) -> Caller:
    key, _ = make_key(**rules)
    if granted:
        for number, promo in enumerate((True, False)):
            transfers.grant(
                organization=organization,
                amount_nanos=granted // 2,
                reason="test",
                idempotency_key=str(number),
                by=None,
                promo=promo,
            )
    live.begin_epoch(shard=organization.shard, balances=[])
    return caller_of(key)


async def test_the_first_request_brings_balance_and_key_from_the_books(
    organization: Any, make_key: Callable[..., Any], holds: Holds, money_store: redis.Redis
) -> None:
    caller = await prepare(organization, make_key, granted=1_000, limit_nanos=600, limit_reset="weekly")
    with pytest.raises(InsufficientCredit) as caught:
        await take(holds, 601, caller=caller)
    assert (caught.value.scope, caught.value.available_nanos) == ("key", 600)
    await take(holds, 500, caller=caller)
    known = live.read_balance(org_id=organization.pk, shard=organization.shard)
    assert known == (500, 500, 0, 2)  # both accounts, both changes
    assert Shard(money_store, organization.shard).key(caller.key_id).free_nanos == 100


async def test_counters_of_booked_requests_come_back_after_a_loss(
    organization: Any, make_key: Callable[..., Any], holds: Holds, money_store: redis.Redis, connection: MoneyConnection
) -> None:
    caller = await prepare(organization, make_key, granted=1_000, limit_nanos=600, limit_reset="daily")
    hold = await take(holds, 100, caller=caller)
    holds.settle(hold, event_of(hold, 70))
    await connection.execute("PING")
    await sync_to_async(settlement.settle_shard)(shard=organization.shard)
    money_store.flushdb()
    await sync_to_async(live.begin_epoch)(shard=organization.shard, balances=[])
    await take(holds, 1, caller=caller)
    usage = live.read_key_usage(shard=organization.shard, key_ids=[caller.key_id])[caller.key_id]
    assert usage == (70, 70, 70, 70, 1, 600, 529)
    assert live.read_balance(org_id=organization.pk, shard=organization.shard) == (929, 1, 0, 2)


async def test_an_organization_without_credit_has_nothing(organization: Any, make_key: Callable[..., Any], holds: Holds) -> None:
    caller = await prepare(organization, make_key)
    with pytest.raises(InsufficientCredit) as caught:
        await take(holds, 1, caller=caller)
    assert caught.value.available_nanos == 0
    assert await take(holds, 0, caller=caller)


async def test_deleted_and_unknown_keys_hold_nothing(organization: Any, make_key: Callable[..., Any], holds: Holds, owner: Any) -> None:
    caller = await prepare(organization, make_key, granted=1_000)
    stranger = Caller(key_hash="", key_id=caller.key_id + 1_000, org_id=caller.org_id, shard=caller.shard)
    with pytest.raises(InvalidKey):
        await take(holds, 1, caller=stranger)
    key = await sync_to_async(organization.api_keys.get)()
    await sync_to_async(api_keys.delete)(api_key=key, by=owner)
    with pytest.raises(KeyDisabled):
        await take(holds, 1, caller=caller)


async def test_a_key_of_another_organization_is_unknown(organization: Any, make_key: Callable[..., Any], holds: Holds) -> None:
    caller = await prepare(organization, make_key, granted=1_000)
    with pytest.raises(InvalidKey):
        await take(holds, 0, caller=Caller(key_hash="", key_id=caller.key_id, org_id=caller.org_id + 1, shard=caller.shard))


async def test_comparing_tells_which_events_the_books_lack_and_which_batches_have_booked_the_others(
    organization: Any, make_key: Callable[..., Any], holds: Holds, pool: AsyncConnectionPool[Any], connection: MoneyConnection
) -> None:
    caller = await prepare(organization, make_key, granted=1_000)
    booked, expired, waiting = [await take(holds, 100, caller=caller) for _ in range(3)]
    holds.settle(booked, event_of(booked, 70))
    await connection.execute("ZADD", f"{{s{caller.shard:03d}}}:dl", 1, f"{caller.org_id}:{expired.event}")
    await asyncio.to_thread(live.reap_expired, shard=caller.shard)
    await sync_to_async(settlement.settle_shard)(shard=organization.shard)
    loader = ScopeLoader(pool, connection)
    asked = [(caller.org_id, hold.event) for hold in (booked, expired, waiting)]
    first = await loader.compare(asked)
    assert first.missing == {expired.event, waiting.event}
    assert await loader.compare([(caller.org_id + 1, booked.event)]) == ({booked.event}, {})
    assert await loader.compare([]) == (set(), {})
    holds._janitor._late_after_s = 0.0
    holds.settle(expired, event_of(expired, 20))
    for _ in range(50):
        await asyncio.sleep(0.1)
        await sync_to_async(settlement.settle_shard)(shard=organization.shard)
        if expired.event not in (await loader.compare(asked)).missing:
            break
    second = await loader.compare(asked)
    assert second.missing == {waiting.event}
    assert first.batches.keys() == second.batches.keys() == {organization.shard}
    assert first.batches[organization.shard].id < second.batches[organization.shard].id
    assert await loader.has_batches([*first.batches.values(), *second.batches.values()])
    assert await loader.has_batches([])
    given_again = second.batches[organization.shard]._replace(created_at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
    assert not await loader.has_batches([*first.batches.values(), given_again])
    assert live.read_balance(org_id=organization.pk, shard=organization.shard)[:3] == (810, 100, 0)


async def test_books_that_are_away_say_so(connection: MoneyConnection) -> None:
    url = psycopg.conninfo.make_conninfo(host="127.0.0.1", port=1, dbname="x", connect_timeout=1)
    async with AsyncConnectionPool(url, min_size=0, max_size=1, open=False, timeout=0.2) as pool:
        with pytest.raises(BooksDown):
            await ScopeLoader(pool, connection).load_balance(shard=1, org_id=1, epoch=1)


class _Moving:
    """A pool through whose connections the organization comes back to its shard after the first statement."""

    def __init__(self, pool: AsyncConnectionPool[Any], org_id: int, shard: int) -> None:
        self._pool, self._place = pool, ("update accounts_organization set shard = %s where id = %s", [shard, org_id])

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        async with self._pool.connection() as self._books:
            yield self

    async def execute(self, *statement: Any) -> Any:
        found = await self._books.execute(*statement)
        await self._books.execute(*self._place)
        return found


@pytest.mark.parametrize("what", ["balance", "key"])
async def test_what_is_loaded_is_of_the_moment_in_which_the_organization_lives_on_the_shard(
    organization: Any, make_key: Callable[..., Any], pool: AsyncConnectionPool[Any], connection: MoneyConnection, what: str
) -> None:
    caller = await prepare(organization, make_key, granted=1_000)
    async with pool.connection() as books:
        await books.execute("update accounts_organization set shard = %s where id = %s", [(caller.shard + 1) % 256, caller.org_id])
    loader = ScopeLoader(_Moving(pool, caller.org_id, caller.shard), connection)  # type: ignore[arg-type]

    load = loader.load_balance if what == "balance" else functools.partial(loader.load_key, key_id=caller.key_id)

    with pytest.raises(MovedAway):
        await load(shard=caller.shard, org_id=caller.org_id, epoch=1)
