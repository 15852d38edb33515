"""The network between gateway and money store loses replies and is slow; the books run out of connections."""

import asyncio
import os
import random

import pytest
from psycopg_pool import AsyncConnectionPool

from billing import live
from billing.authorizer.connection import MoneyConnection, MoneyStoreDown
from billing.authorizer.loader import BooksDown, ScopeLoader
from tests.billing.authorizer.shard import ORG, SHARD, event_of
from tests.billing.authorizer.test_connection import wait_for
from tests.billing.authorizer.test_holds import take
from tests.billing.authorizer.test_recovery import bring_everything_back
from tests.faults.proxy import Proxy
from tests.faults.scale import times

pytestmark = pytest.mark.xdist_group("faults")

GRANTED = 10**9


@pytest.fixture
async def proxy(money_store):
    proxy = Proxy(os.environ["REDIS_URL"], seed=7)
    yield proxy
    await proxy.stop()


async def _spend(holds, charged, *, seed, requests):
    """Send requests until so many were settled; what could not be held is tried anew under another id."""
    numbers = random.Random(seed)
    while requests:
        try:
            hold = await take(holds, 1_000)
        except MoneyStoreDown:
            await asyncio.sleep(0.02)
            continue
        requests -= 1
        await asyncio.sleep(numbers.random() * 0.01)
        charged[hold.event] = numbers.randint(0, 1_000)
        holds.settle(hold, event_of(hold, charged[hold.event]))


@pytest.mark.parametrize("leases", [False, True], ids=["each waits", "leases"])
async def test_replies_that_are_cut_off_after_the_server_acted_have_one_effect(proxy, make_holds, books, shard, record_property, *, leases):
    books.granted[ORG] = GRANTED
    books.rebuild()
    connection = MoneyConnection(await proxy.start(), timeout_s=2.0)
    await connection.start()
    holds = await make_holds(connection, ttl_s=1.0, heartbeat_s=0.2, leases=leases)
    holds._janitor._late_after_s = 0.3
    charged: dict[str, int] = {}
    proxy.cut_share = 0.1

    await asyncio.gather(*(_spend(holds, charged, seed=number, requests=times(6, 100)) for number in range(10)))

    proxy.cut_share = 0.0
    await wait_for(lambda: connection.connected)
    await bring_everything_back(holds, books, events=len(charged))
    await asyncio.sleep(1.1)  # holds whose grant nobody heard of
    live.reap_expired(shard=SHARD)
    books.drain()
    rows = {event.hex: row[2] for (event, _), row in books.rows.items() if row[4] != "expired"}
    assert proxy.cuts > 0
    assert rows == charged
    assert {row[2] for row in books.rows.values() if row[4] == "expired"} <= {0}
    assert shard.balance() == (GRANTED - sum(charged.values()), 0, 0)
    record_property("repeats", proxy.cuts)
    record_property("figure", f"{len(charged):,} requests, {proxy.cuts:,} connections cut after the server had acted, one effect each")
    await connection.close()


async def test_a_slow_network_with_resets_delays_and_changes_nothing(proxy, make_holds, books, shard):
    books.granted[ORG] = GRANTED
    books.rebuild()
    connection = MoneyConnection(await proxy.start(), timeout_s=5.0)
    await connection.start()
    holds = await make_holds(connection)
    holds._janitor._late_after_s = 0.3
    charged: dict[str, int] = {}
    proxy.delay_s, proxy.cut_share = 0.5, 0.01

    await asyncio.gather(*(_spend(holds, charged, seed=number, requests=times(3, 60)) for number in range(10)))

    proxy.delay_s, proxy.cut_share = 0.0, 0.0
    await wait_for(lambda: connection.connected)
    await bring_everything_back(holds, books, events=len(charged))
    assert {event.hex: row[2] for (event, _), row in books.rows.items()} == charged
    assert shard.key().spent_nanos == sum(charged.values())
    await connection.close()


@pytest.mark.django_db(transaction=True)
async def test_when_the_books_have_no_connection_left_unknown_callers_are_refused_and_nothing_is_half_loaded(connection, shard):
    shard.open(orgs={})
    async with AsyncConnectionPool(os.environ["DATABASE_URL"], min_size=2, max_size=2, timeout=0.3, open=False) as pool:
        loader = ScopeLoader(pool, connection)
        [epoch] = {int(shard.store.hget(shard.keys.epoch, "n"))}
        async with pool.connection(), pool.connection():  # somebody else has both
            results = await asyncio.gather(
                *(loader.load_balance(shard=SHARD, org_id=1_000 + number, epoch=epoch) for number in range(50)), return_exceptions=True
            )
        assert [type(result) for result in results] == [BooksDown] * 50
        assert all(live.read_balance(org_id=1_000 + number, shard=SHARD) is None for number in range(50))

        for number in range(0, 50, 2):  # as many at once as there are connections: how long the last of fifty waits is the machine's
            await asyncio.gather(*(loader.load_balance(shard=SHARD, org_id=1_000 + number + one, epoch=epoch) for one in range(2)))
        assert all(live.read_balance(org_id=1_000 + number, shard=SHARD) == (0, 0, 0, 0) for number in range(50))
