"""Settlements of one turn in one script: the same replies and the same store as one by one, whatever is among them."""

import asyncio
from collections.abc import Sequence

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing import live
from billing.authorizer import gathering
from billing.authorizer.connection import MoneyConnection
from billing.authorizer.holds import Holds
from billing.authorizer.types import Hold
from billing.live.store import store
from tests.billing.authorizer.books import Books
from tests.billing.authorizer.conftest import Server
from tests.billing.authorizer.gathered import (
    OTHER,
    POOR,
    AtOnce,
    Charge,
    contents,
    held,
    open_shard,
    places_by_group,
    put_back,
    save,
    settle_alone,
    settle_together,
)
from tests.billing.authorizer.shard import KEY, MS_PER_DAY, ORG, SHARD, Shard, event_of, new_id, scope, today_ms
from tests.billing.authorizer.test_connection import wait_for
from tests.billing.authorizer.test_holds import Make, take


def assert_same_as_one_by_one(shard: Shard, charges: Sequence[Charge]) -> list[str]:
    """Settle together, put everything back, settle one by one, and compare. Returns the words."""
    before = save(shard)
    together = settle_together(charges)
    gathered = contents(shard.store)
    put_back(shard, before)
    alone = {place: settle_alone(shard, charges[place]) for place in places_by_group(charges)}
    assert together == [alone[place] for place in range(len(charges))]
    assert gathered == contents(shard.store)
    return together


@pytest.mark.interpreted
def test_settlements_of_one_turn_are_one_script_with_one_sum_per_field(shard: Shard) -> None:
    open_shard(shard)
    charges = [held(shard, 100, 30 + number) for number in range(20)]
    shard.store.config_resetstat()
    connection = AtOnce()
    assert settle_together(charges, connection=connection) == ["OK"] * 20
    assert connection.sent == ["settle_many"]
    assert shard.store.info("commandstats")["cmdstat_hincrby"]["calls"] == 6
    total = sum(charge.amount for charge in charges)
    assert shard.balance() == (10_000 - total, 0, total)
    assert shard.key()[:5] == (total, total, total, total, 0)
    assert shard.stored_free() == 5_000 - total
    assert [entry.event_id for entry in shard.entries()] == [charge.event_id for charge in charges]
    assert shard.store.zcard(shard.keys.deadlines) == shard.store.hlen(f"{shard.keys.holds}{ORG}") == 0


@pytest.mark.interpreted
def test_a_settlement_that_is_alone_in_its_turn_takes_the_script_for_one(shard: Shard) -> None:
    open_shard(shard)
    connection = AtOnce()
    assert settle_together([held(shard, 100, 30)], connection=connection) == ["OK"]
    assert connection.sent == ["settle"]


@pytest.mark.interpreted
def test_many_settlements_go_in_parts(shard: Shard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "GATHERED_MAX", 10)
    open_shard(shard)
    connection = AtOnce()
    assert settle_together([held(shard, 10, 3) for _ in range(21)], connection=connection) == ["OK"] * 21
    assert connection.sent == ["settle_many", "settle_many", "settle"]
    assert shard.balance() == (10_000 - 63, 0, 63)


@pytest.mark.interpreted
def test_what_is_wrong_with_some_of_a_turn_concerns_only_them(shard: Shard) -> None:
    open_shard(shard, orgs=(ORG, OTHER, POOR, 98))
    unloaded = held(shard, 100, 1, org=98)
    shard.store.delete(f"{shard.keys.balance}98")
    live.put_frozen(shard=SHARD, org_id=OTHER, is_frozen=True)
    gone, twice = Charge(new_id(), 5, 100), held(shard, 100, 7, org=OTHER)
    yesterday = held(shard, 100, 9, at_ms=today_ms() - MS_PER_DAY)
    shard.store.hset(f"{shard.keys.balance}{POOR}", "unposted", 2**63 - 100)
    charges = [
        held(shard, 100, 30),
        held(shard, 100, 130, key=KEY + 1),
        twice,
        gone,
        held(shard, 100, 60, org=POOR, key=KEY + 1),
        held(shard, 100, 41, org=POOR, key=KEY + 1),
        unloaded,
        held(shard, 100, 1)._replace(key=99),
        yesterday,
        twice,
        held(shard, 300, 2, key=KEY + 1)._replace(held=299),
    ]
    words = assert_same_as_one_by_one(shard, charges)
    assert words == ["OK", "OK", "OK", "GONE", "OK", "OVERFLOW", "NO_ORG", "NO_KEY", "OK", "GONE", "OK"]
    spent = 30 + 130 + 9 + 2
    assert shard.balance() == (10_000 - spent - 100, 100, spent)  # one was sent with a key that nobody knows
    assert shard.balance(OTHER) == (10_000 - 7, 0, 7)
    assert shard.key()[:2] == (30 + 9 + 7, 30 + 7)


@pytest.mark.interpreted
def test_a_closed_epoch_settles_nothing_of_a_turn(shard: Shard) -> None:
    open_shard(shard)
    charges = [held(shard, 100, 30) for _ in range(3)]
    live.close_epoch(shard=SHARD)
    before = contents(shard.store)
    assert settle_together(charges) == ["EPOCH"] * 3
    assert contents(shard.store) == before


@pytest.mark.interpreted
def test_a_group_whose_deadlines_cannot_be_read_does_not_lose_the_others(shard: Shard) -> None:
    open_shard(shard)
    charges = [held(shard, 100, 30), held(shard, 100, 30, org=OTHER), held(shard, 100, 30, org=POOR)]
    shard.store.delete(f"{shard.keys.holds}{OTHER}")
    shard.store.set(f"{shard.keys.holds}{OTHER}", "not a hash")
    assert settle_together(charges) == ["OK", "WRONGTYPE", "OK"]
    assert [shard.balance(org) for org in (ORG, POOR)] == [(9_970, 0, 30)] * 2


AMOUNTS = st.one_of(st.integers(0, 1_000), st.sampled_from([0, 2**53 - 1, 2**53 + 1, 2**61]))
CHARGES = st.tuples(
    st.sampled_from([ORG, ORG, OTHER, POOR, 99]),
    st.sampled_from([KEY, KEY, KEY + 1, 99]),
    st.one_of(st.integers(0, 1_000), st.just(2**53 + 1)),  # the hold
    AMOUNTS,
    st.sampled_from(["held", "held", "held", "held", "unknown hold", "gone", "doubled"]),
    st.sampled_from([0, 0, 0, 0, -1, -7, -31, 1]),  # days from today
)
RULES = st.tuples(st.one_of(st.none(), st.integers(0, 5_000), st.just(2**55)), st.sampled_from(["", "daily", "weekly", "monthly"]))


@pytest.mark.interpreted
@pytest.mark.usefixtures("money_store")
@settings(max_examples=100, suppress_health_check=list(HealthCheck))
@given(rule=RULES, drawn=st.lists(CHARGES, min_size=2, max_size=12), days_back=st.sampled_from([0, 0, 1, 8, 40]))
def test_settlements_together_are_what_they_are_one_by_one(
    rule: tuple[int | None, str], drawn: list[tuple[int, int, int, int, str, int]], days_back: int
) -> None:
    store().flushdb()
    shard = Shard(store())
    open_shard(shard, scope(KEY, limit=rule[0], reset=rule[1]), scope(KEY + 1), balance=2**61)
    shard.store.hset(f"{shard.keys.balance}{POOR}", "unposted", 2**63 - 2**61)
    charges = []
    for org, key, hold, amount, kind, days in drawn:
        event_id = new_id(at_ms=today_ms() + days * MS_PER_DAY)
        if kind != "gone" and org != 99:
            shard.reserve(event_id, hold + (kind == "unknown hold"), org=org, keys=(KEY if key == 99 else key,), force=True)
        charges += [Charge(event_id, amount, hold, org, key)] * (2 if kind == "doubled" else 1)
    for key in (KEY, KEY + 1):
        shard.move_periods_back(days_back, key)
    assert_same_as_one_by_one(shard, charges)


# --- on the real connection ---


async def hold_all(holds: Holds, count: int) -> list[Hold]:
    return list(await asyncio.gather(*(take(holds, 100) for _ in range(count))))


async def test_a_turn_of_settlements_leaves_in_one_call(shard: Shard, connection: MoneyConnection, make_holds: Make) -> None:
    open_shard(shard)
    holds = await make_holds(connection)
    running = await hold_all(holds, 20)
    for hold in running:
        holds.settle(hold, event_of(hold, 30))
    await asyncio.sleep(0)
    assert len(connection._pending) <= 1
    await wait_for(lambda: not holds._spool.unsettled)
    assert shard.balance() == (10_000 - 600, 0, 600)
    assert [entry.event_id for entry in shard.entries()] == [hold.event_id for hold in running]


async def test_a_turn_survives_forgotten_scripts(
    shard: Shard, connection: MoneyConnection, make_holds: Make, money_store: redis.Redis
) -> None:
    open_shard(shard)
    holds = await make_holds(connection)
    running = await hold_all(holds, 20)
    money_store.script_flush()
    for hold in running:
        holds.settle(hold, event_of(hold, 30))
    await wait_for(lambda: not holds._spool.unsettled)
    assert shard.balance() == (10_000 - 600, 0, 600)


async def test_a_turn_whose_connection_breaks_is_settled_after_it(server: Server, make_holds: Make) -> None:
    shard = Shard(redis.Redis.from_url(server.url))
    open_shard(shard)
    connection = MoneyConnection(server.url)
    await connection.start()
    holds = await make_holds(connection)
    running = await hold_all(holds, 20)
    told: list[Exception | None] = []
    note = holds._settlements._told
    holds._settlements._told = lambda record, reply, error: (told.append(error), note(record, reply, error))  # type: ignore[assignment]
    server.freeze()
    for hold in running:
        holds.settle(hold, event_of(hold, 30))
    await wait_for(lambda: len(told) == 20)
    assert all(told)
    assert len(holds._spool.unsettled) == 20
    server.thaw()
    await wait_for(lambda: not holds._spool.unsettled or all(r.gone_s for r in holds._spool.unsettled.values()), within_s=20)
    assert shard.balance() == (10_000 - 600, 0, 600)
    await connection.close()


async def test_a_turn_without_connection_is_told_at_once_and_settled_later(
    shard: Shard, connection: MoneyConnection, make_holds: Make, books: Books
) -> None:
    open_shard(shard)
    books.granted[ORG] = 10_000
    holds = await make_holds(connection)
    running = await hold_all(holds, 5)
    connection.connected = False
    for hold in running:
        holds.settle(hold, event_of(hold, 30))
    await asyncio.sleep(0.05)
    assert shard.balance() == (9_500, 500, 0)
    connection.connected = True
    await wait_for(lambda: shard.balance() == (10_000 - 150, 0, 150))
    books.drain()
    assert [books.charged(hold.event_id) for hold in running] == [30] * 5
