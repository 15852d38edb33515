import asyncio
import random
from collections.abc import Callable

import pytest
import redis

from accounts.types import Caller, KeyDisabled, KeyExpired
from billing import live
from billing.authorizer.connection import MoneyConnection, MoneyStoreDown
from billing.authorizer.holds import AmountOutOfRange, Holds, InsufficientCredit
from billing.authorizer.loader import BooksDown
from billing.authorizer.types import Hold
from tests.billing.authorizer.books import Books
from tests.billing.authorizer.shard import CALLER, CONTEXT, KEY, ORG, SHARD, Shard, event_of, new_id, scope
from tests.billing.authorizer.test_connection import wait_for

Make = Callable[..., Holds]


async def take(holds: Holds, amount: int, *, caller: Caller = CALLER) -> Hold:
    return await holds.reserve(event_id=new_id(), caller=caller, amount_nanos=amount, context=CONTEXT)


async def test_a_request_is_held_extended_and_settled(shard: Shard, connection: MoneyConnection, make_holds: Make) -> None:
    shard.open(1_000)
    holds = await make_holds(connection)
    hold = await take(holds, 300)
    assert await holds.extend(hold, by_nanos=100)
    assert (hold.amount_nanos, shard.balance(), holds.in_flight) == (400, (600, 400, 0), 1)
    holds.settle(hold, event_of(hold, 120))
    holds.settle(hold, event_of(hold, 120))
    await connection.execute("PING")
    assert (shard.balance(), holds.in_flight) == ((880, 0, 120), 0)
    assert [entry.event_id for entry in shard.entries()] == [hold.event_id]


async def test_the_refusal_names_the_scope_and_what_is_left(shard: Shard, connection: MoneyConnection, make_holds: Make) -> None:
    shard.open(1_000, key=scope(limit=200))
    holds = await make_holds(connection)
    with pytest.raises(InsufficientCredit) as caught:
        await take(holds, 201)
    assert (caught.value.scope, caught.value.available_nanos) == ("key", 200)
    with pytest.raises(InsufficientCredit) as caught:
        await take(holds, 1_001)
    assert (caught.value.scope, caught.value.available_nanos) == ("balance", 1_000)
    shard.open(-5)
    with pytest.raises(InsufficientCredit) as caught:
        await take(holds, 1)
    assert caught.value.available_nanos == 0


async def test_disabled_and_expired_keys_are_told_apart(shard: Shard, connection: MoneyConnection, make_holds: Make) -> None:
    holds = await make_holds(connection)
    shard.open(1_000, key=scope(disabled=True))
    with pytest.raises(KeyDisabled):
        await take(holds, 1)
    shard.open(1_000, key=scope(expires_at_s=1))
    with pytest.raises(KeyExpired):
        await take(holds, 1)


@pytest.mark.parametrize("amount", [-1, 2**62 + 1])
async def test_amounts_out_of_range_never_reach_the_store(shard: Shard, connection: MoneyConnection, make_holds: Make, amount: int) -> None:
    shard.open(1_000)
    with pytest.raises(AmountOutOfRange):
        await take(await make_holds(connection), amount)


async def test_two_hundred_at_once_never_overspend_the_balance(shard: Shard, connection: MoneyConnection, make_holds: Make) -> None:
    shard.open(1_000)
    holds = await make_holds(connection)
    results = await asyncio.gather(*(take(holds, 7) for _ in range(200)), return_exceptions=True)
    assert sum(isinstance(result, Hold) for result in results) == 1_000 // 7
    assert sum(isinstance(result, InsufficientCredit) for result in results) == 200 - 1_000 // 7
    assert shard.balance() == (1_000 % 7, 1_000 - 1_000 % 7, 0)


async def test_two_hundred_at_once_never_overspend_a_key_however_they_settle(
    shard: Shard, connection: MoneyConnection, make_holds: Make
) -> None:
    shard.open(10**9, key=scope(limit=5_000, reset="daily"))
    gateways = [await make_holds(connection, folder=f"spool{number}") for number in range(2)]
    spent, rng = [], random.Random(3)

    async def spend(holds: Holds) -> None:
        for _ in range(10):
            try:
                hold = await take(holds, 50)
            except InsufficientCredit:
                continue
            await asyncio.sleep(0)
            amount = rng.randint(0, 50)
            spent.append(amount)
            holds.settle(hold, event_of(hold, amount))

    await asyncio.gather(*(spend(gateways[number % 2]) for number in range(200)))
    await connection.execute("PING")
    assert sum(spent) <= 5_000
    assert shard.key()[:6] == (sum(spent), sum(spent), sum(spent), sum(spent), 0, 5_000)
    assert shard.stored_free() == 5_000 - sum(spent)
    with pytest.raises(InsufficientCredit):
        await take(gateways[0], 5_001 - sum(spent))


async def test_unknown_organizations_and_keys_load_once_for_all_who_wait(
    money_store: redis.Redis, connection: MoneyConnection, make_holds: Make, books: Books
) -> None:
    books.granted[ORG] = 10_000
    books.rebuild()
    holds = await make_holds(connection)
    await asyncio.gather(*(take(holds, 10) for _ in range(50)))
    assert Shard(money_store).balance() == (9_500, 500, 0)


async def test_books_that_are_away_refuse_only_whom_the_store_does_not_know(
    shard: Shard, connection: MoneyConnection, make_holds: Make, books: Books
) -> None:
    shard.open(1_000)
    books.is_down = True
    holds = await make_holds(connection)
    assert await take(holds, 1)
    with pytest.raises(BooksDown):
        await take(holds, 1, caller=Caller(key_hash="", key_id=KEY, org_id=99, shard=SHARD))


async def test_a_closed_epoch_refuses_with_a_time_to_retry(shard: Shard, connection: MoneyConnection, make_holds: Make) -> None:
    holds = await make_holds(connection)
    with pytest.raises(MoneyStoreDown) as caught:
        await take(holds, 1)
    assert caught.value.retry_after_s == 1.0
    shard.open(100)
    hold = await take(holds, 1)
    live.close_epoch(shard=SHARD)
    with pytest.raises(MoneyStoreDown):
        await holds.extend(hold, by_nanos=1)


async def test_a_client_that_leaves_while_its_hold_is_on_the_way_holds_nothing(
    shard: Shard, connection: MoneyConnection, make_holds: Make
) -> None:
    shard.open(1_000)
    holds = await make_holds(connection)
    task = asyncio.create_task(take(holds, 300))
    await asyncio.sleep(0)  # sent, not answered
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await connection.execute("PING")
    assert (shard.balance(), holds.in_flight) == ((1_000, 0, 0), 0)


async def test_an_extension_is_refused_when_a_scope_does_not_cover_it(shard: Shard, connection: MoneyConnection, make_holds: Make) -> None:
    shard.open(1_000, key=scope(limit=350))
    holds = await make_holds(connection)
    hold = await take(holds, 300)
    assert not await holds.extend(hold, by_nanos=51)
    assert await holds.extend(hold, by_nanos=50)
    assert hold.amount_nanos == 350


async def test_an_extension_whose_reply_was_lost_is_not_taken_twice(shard: Shard, connection: MoneyConnection, make_holds: Make) -> None:
    shard.open(1_000)
    holds = await make_holds(connection)
    hold = await take(holds, 300)
    assert shard.extend(hold.event_id, 300, 100) == "OK"  # the store has it, the gateway does not know
    assert await holds.extend(hold, by_nanos=50)
    assert hold.amount_nanos == 450
    assert shard.balance() == (550, 450, 0)


async def test_heartbeats_keep_a_long_request_from_the_reaper(shard: Shard, connection: MoneyConnection, make_holds: Make) -> None:
    shard.open(1_000)
    holds = await make_holds(connection, heartbeat_s=0.05, ttl_s=0.2)
    hold = await take(holds, 300)
    for step in range(6):
        hold.spent_nanos = step * 10
        await asyncio.sleep(0.1)
        assert live.reap_expired(shard=SHARD) == 0
    await wait_for(lambda: live.read_holds(shard=SHARD)[0].holds[0].spent_nanos == 50)


async def test_a_gateway_that_dies_is_charged_up_to_its_last_heartbeat(shard: Shard, connection: MoneyConnection, make_holds: Make) -> None:
    shard.open(1_000)
    holds = await make_holds(connection, heartbeat_s=0.02, ttl_s=0.2)
    hold = await take(holds, 300)
    hold.spent_nanos = 44
    await asyncio.sleep(0.1)
    await holds.close()
    await asyncio.sleep(0.25)
    assert live.reap_expired(shard=SHARD) == 1
    assert shard.balance() == (956, 0, 44)


async def test_a_rebuild_gets_every_running_request_held_again(
    shard: Shard, connection: MoneyConnection, make_holds: Make, books: Books
) -> None:
    books.granted[ORG] = 1_000
    books.rebuild()
    holds = await make_holds(connection, heartbeat_s=0.05)
    running = [await take(holds, 100) for _ in range(5)]
    live.close_epoch(shard=SHARD)
    await asyncio.sleep(0.1)
    books.rebuild()
    await wait_for(lambda: live.shards_with_holds() == [SHARD] and shard.balance() == (500, 500, 0))
    holds.settle(running[0], event_of(running[0], 30))
    await connection.execute("PING")
    assert shard.balance() == (570, 400, 30)


async def test_a_rebuilt_store_is_told_at_once_what_a_running_request_has_spent(
    shard: Shard, connection: MoneyConnection, make_holds: Make, books: Books
) -> None:
    books.granted[ORG] = 1_000
    books.rebuild()
    holds = await make_holds(connection, heartbeat_s=60)
    hold = await take(holds, 300)
    hold.spent_nanos = 44
    live.close_epoch(shard=SHARD)
    books.rebuild()

    assert await holds._reassert(hold)

    [organization] = live.read_holds(shard=SHARD)
    assert [(one.amount_nanos, one.spent_nanos) for one in organization.holds] == [(300, 44)]


async def test_what_a_lost_stream_had_is_sent_again(
    money_store: redis.Redis, connection: MoneyConnection, make_holds: Make, books: Books
) -> None:
    books.granted[ORG] = 1_000
    books.rebuild()
    holds = await make_holds(connection, heartbeat_s=0.05)
    hold = await take(holds, 100)
    holds.settle(hold, event_of(hold, 70))
    await connection.execute("PING")
    money_store.flushdb()
    books.rebuild()
    assert books.balance(ORG) == 1_000
    with pytest.raises(InsufficientCredit):  # tells the gateway of the new epoch
        await take(holds, 1_001)
    await take(holds, 1)
    await wait_for(lambda: books.settle() or books.charged(hold.event_id) == 70, within_s=10)
    books.drain()
    assert books.charged(hold.event_id) == 70
    assert Shard(money_store).balance() == (929, 1, 0)


async def test_a_settlement_that_failed_is_repeated_and_charged_once(
    shard: Shard, connection: MoneyConnection, make_holds: Make, books: Books
) -> None:
    shard.open(1_000)
    books.granted[ORG] = 1_000
    holds = await make_holds(connection)
    hold = await take(holds, 100)
    connection.connected = False  # the network is away
    holds.settle(hold, event_of(hold, 70))
    await asyncio.sleep(0.05)
    assert shard.balance() == (900, 100, 0)
    connection.connected = True
    await wait_for(lambda: shard.balance() == (930, 0, 70))
    books.drain()
    assert books.charged(hold.event_id) == 70


async def test_a_settlement_whose_reply_was_lost_is_charged_once(
    shard: Shard, connection: MoneyConnection, make_holds: Make, books: Books
) -> None:
    shard.open(1_000)
    books.granted[ORG] = 1_000
    holds = await make_holds(connection)
    hold = await take(holds, 100)
    event = event_of(hold, 70)
    assert shard.settle(hold.event_id, 70, held=100) == "OK"  # the store acted; the gateway will not know
    holds.settle(hold, event)
    await asyncio.sleep(0.05)
    books.drain()
    await wait_for(lambda: not holds._spool.unsettled)
    books.drain()
    assert shard.balance() == (930, 0, 0)
    assert books.charged(hold.event_id) == 70


async def test_a_late_settlement_after_the_reaper_pays_the_difference(
    shard: Shard, connection: MoneyConnection, make_holds: Make, books: Books
) -> None:
    shard.open(1_000)
    books.granted[ORG] = 1_000
    holds = await make_holds(connection, ttl_s=0.05)
    holds._janitor._late_after_s = 0.1
    hold = await take(holds, 100)
    shard.heartbeat({hold.event_id: 20}, ttl_ms=1)
    await asyncio.sleep(0.02)
    assert live.reap_expired(shard=SHARD) == 1
    books.drain()
    assert books.charged(hold.event_id) == 20
    holds.settle(hold, event_of(hold, 70))
    await wait_for(lambda: books.settle() or books.charged(hold.event_id) == 70)
    books.drain()
    assert shard.balance() == (930, 0, 0)
    assert shard.key().spent_nanos == 70


async def test_a_refused_overflow_is_a_clean_error(shard: Shard, connection: MoneyConnection, make_holds: Make) -> None:
    shard.open(2**62)
    holds = await make_holds(connection)
    assert await take(holds, 2**62)
    with pytest.raises(InsufficientCredit):
        await take(holds, 2**62)
