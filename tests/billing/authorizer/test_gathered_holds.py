"""Holds that are asked for in one turn in one script: the same replies and the same store as one by one, whatever is among them."""

import asyncio
import hashlib
import time
from collections.abc import Sequence

import msgspec
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.types import KeyDisabled
from billing import live
from billing.authorizer import gathering, scripts
from billing.authorizer.connection import MoneyConnection, MoneyStoreDown
from billing.authorizer.holds import InsufficientCredit
from billing.authorizer.types import Hold
from billing.live.store import store
from tests.billing.authorizer.conftest import Server
from tests.billing.authorizer.gathered import (
    OTHER,
    POOR,
    Ask,
    AtOnce,
    Charge,
    contents,
    held,
    open_shard,
    places_by_group,
    put_back,
    reserve_alone,
    reserve_together,
    save,
    settle_alone,
    settle_together,
)
from tests.billing.authorizer.shard import CALLER, KEY, ORG, SHARD, Shard, new_id, scope
from tests.billing.authorizer.test_holds import Make, take

RULES = st.tuples(st.one_of(st.none(), st.integers(0, 5_000), st.just(2**55)), st.sampled_from(["", "daily", "weekly", "monthly"]))


def assert_same_holds_as_one_by_one(shard: Shard, asks: Sequence[Ask]) -> list[tuple[str, int | None]]:
    """As ``assert_same_as_one_by_one``; the deadlines are the clock's, so they are compared to the minute."""
    before = save(shard)
    together = reserve_together(asks)
    gathered, deadlines = contents(shard.store), dict(shard.store.zrange(shard.keys.deadlines, 0, -1, withscores=True))
    put_back(shard, before)
    alone = {place: reserve_alone(shard, asks[place]) for place in places_by_group(asks)}
    assert together == [alone[place] for place in range(len(asks))]
    expected, later = contents(shard.store), dict(shard.store.zrange(shard.keys.deadlines, 0, -1, withscores=True))
    for one in (gathered, expected):
        one.pop(shard.keys.deadlines, None)
    assert gathered == expected
    assert deadlines.keys() == later.keys()
    assert all(abs(deadlines[member] - later[member]) < 60_000 for member in later)
    return together


@pytest.mark.interpreted
def test_holds_of_one_turn_are_one_script_with_one_sum_per_field(shard: Shard) -> None:
    open_shard(shard)
    asks = [Ask(new_id(), 100 + number) for number in range(20)]
    shard.store.config_resetstat()
    connection = AtOnce()
    assert reserve_together(asks, connection=connection) == [("OK", None)] * 20
    assert connection.sent == ["reserve_many"]
    assert shard.store.info("commandstats")["cmdstat_hincrby"]["calls"] == 4
    total = sum(ask.amount for ask in asks)
    assert shard.balance() == (10_000 - total, total, 0)
    assert (shard.key().held_nanos, shard.stored_free()) == (total, 5_000 - total)
    [(_, _, holds)] = [org for org in live.read_holds(shard=SHARD) if org.holds]
    assert {hold.event_id: hold.amount_nanos for hold in holds} == {ask.event_id: ask.amount for ask in asks}
    assert all(-30_000 <= hold.overdue_ms < -20_000 for hold in holds)


@pytest.mark.interpreted
def test_a_hold_of_one_turn_is_what_the_reaper_needs(shard: Shard) -> None:
    open_shard(shard)
    asks = [Ask(new_id(), 100), Ask(new_id(), 100)]
    reserve_together(asks)
    shard.heartbeat({asks[0].event_id: 40, asks[1].event_id: 2}, ttl_ms=-1)
    assert live.reap_expired(shard=SHARD) == 2
    assert shard.balance() == (10_000 - 42, 0, 42)


@pytest.mark.interpreted
def test_of_a_turn_that_is_not_covered_as_many_are_held_as_fit(shard: Shard) -> None:
    open_shard(shard, balance=100)
    words = assert_same_holds_as_one_by_one(shard, [Ask(new_id(), amount) for amount in (60, 41, 40, 1, 0)])
    assert words == [("OK", None), ("SHORT_BALANCE", 40), ("OK", None), ("SHORT_BALANCE", 0), ("OK", None)]
    assert shard.balance() == (0, 100, 0)


@pytest.mark.interpreted
def test_holds_whose_sum_leaves_64_bits_are_decided_one_by_one(shard: Shard) -> None:
    open_shard(shard, scope(KEY), balance=1_000)
    words = assert_same_holds_as_one_by_one(shard, [Ask(new_id(), 2**62), Ask(new_id(), 2**62), Ask(new_id(), 7)])
    assert words == [("SHORT_BALANCE", 1_000)] * 2 + [("OK", None)]
    assert shard.balance() == (993, 7, 0)


@pytest.mark.interpreted
def test_what_is_wrong_with_some_holds_of_a_turn_concerns_only_them(shard: Shard) -> None:
    open_shard(shard, scope(KEY, limit=150), scope(KEY + 1), scope(KEY + 2, disabled=True), scope(KEY + 3, expires_at_s=1))
    live.put_frozen(shard=SHARD, org_id=OTHER, is_frozen=True)
    shard.store.hset(f"{shard.keys.balance}{POOR}", mapping={"held": 2**63 - 100})
    known = held(shard, 10, 0, key=KEY + 1)
    asks = [
        Ask(new_id(), 100),
        Ask(new_id(), 51),
        Ask(new_id(), 50),
        Ask(new_id(), 7, key=KEY + 1),
        Ask(known.event_id, 10, key=KEY + 1),
        Ask(new_id(), 1, org=OTHER),
        Ask(new_id(), 60, org=POOR, key=KEY + 1),
        Ask(new_id(), 40, org=POOR, key=KEY + 1),
        Ask(new_id(), 1, key=KEY + 2),
        Ask(new_id(), 1, key=KEY + 3),
        Ask(new_id(), 1, org=99),
        Ask(new_id(), 1, key=99),
    ]
    words = assert_same_holds_as_one_by_one(shard, asks)
    names = [word for word, _ in words]
    assert names[:6] == ["OK", "SHORT_KEY", "OK", "OK", "HELD", "FROZEN"]
    assert names[6:] == ["OK", "OVERFLOW", "KEY_DISABLED", "KEY_EXPIRED", "NO_ORG", "NO_KEY"]
    assert words[1] == ("SHORT_KEY", 50)
    assert shard.balance() == (10_000 - 167, 167, 0)


@pytest.mark.interpreted
def test_a_closed_epoch_holds_nothing_of_a_turn(shard: Shard) -> None:
    open_shard(shard)
    live.close_epoch(shard=SHARD)
    before = contents(shard.store)
    assert reserve_together([Ask(new_id(), 1), Ask(new_id(), 1)]) == [("EPOCH", None)] * 2
    assert contents(shard.store) == before


ASKS = st.tuples(
    st.sampled_from([ORG, ORG, OTHER, POOR, 99]),
    st.sampled_from([KEY, KEY, KEY, KEY + 1, KEY + 2, 99]),
    st.one_of(st.integers(0, 400), st.integers(0, 400), st.sampled_from([0, 2**53 - 1, 2**53 + 1, 2**62])),
    st.sampled_from(["new", "new", "new", "new", "held", "doubled"]),
)


@pytest.mark.interpreted
@pytest.mark.usefixtures("money_store")
@settings(max_examples=100, suppress_health_check=list(HealthCheck))
@given(
    rule=RULES,
    balance=st.one_of(st.integers(-1, 2_000), st.just(2**54)),
    freeze=st.sampled_from(["0", "0", "1", "+1", "+60000"]),
    drawn=st.lists(ASKS, min_size=2, max_size=12),
    days_back=st.sampled_from([0, 0, 1, 40]),
)
def test_holds_together_are_what_they_are_one_by_one(
    rule: tuple[int | None, str], balance: int, freeze: str, drawn: list[tuple[int, int, int, str]], days_back: int
) -> None:
    store().flushdb()
    shard = Shard(store())
    open_shard(shard, scope(KEY, limit=rule[0], reset=rule[1]), scope(KEY + 1), scope(KEY + 2, disabled=True), balance=balance)
    shard.store.hset(f"{shard.keys.balance}{POOR}", mapping={"held": 2**63 - 200, "avail": 1_000})
    if freeze != "0":
        shard.store.hset(f"{shard.keys.balance}{OTHER}", "frozen", "1" if freeze == "1" else int(time.time() * 1_000) + int(freeze) - 10)
    asks = []
    for org, key, amount, kind in drawn:
        ask = Ask(new_id(), amount, org, key)
        if kind == "held" and org != 99 and key != 99:
            reserve_alone(shard, ask)
        asks += [ask] * (2 if kind == "doubled" else 1)
    shard.move_periods_back(days_back)
    assert_same_holds_as_one_by_one(shard, asks)


# --- on the real connection ---


async def test_one_that_left_before_the_turn_ended_is_not_held_and_one_that_left_after_it_is_released(
    shard: Shard, connection: MoneyConnection, make_holds: Make
) -> None:
    open_shard(shard)
    holds = await make_holds(connection)
    tasks = [asyncio.create_task(take(holds, 100)) for _ in range(10)]
    await asyncio.sleep(0)  # all have asked; the first ones are sent, the others wait for the end of the turn
    assert len(holds._reservations._waiting) == 8
    tasks[4].cancel()
    await asyncio.sleep(0)
    assert not holds._reservations._waiting
    tasks[7].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    await connection.execute("PING")
    assert [number for number, result in enumerate(results) if isinstance(result, asyncio.CancelledError)] == [4, 7]
    assert (shard.balance(), holds.in_flight) == ((10_000 - 800, 800, 0), 8)
    assert shard.store.zcard(shard.keys.deadlines) == 8


async def test_holds_of_a_turn_survive_forgotten_scripts(
    shard: Shard, connection: MoneyConnection, make_holds: Make, money_store: redis.Redis
) -> None:
    open_shard(shard)
    holds = await make_holds(connection)
    money_store.script_flush()
    await asyncio.gather(*(take(holds, 100) for _ in range(20)))
    assert (shard.balance(), holds.in_flight) == ((10_000 - 2_000, 2_000, 0), 20)


async def test_holds_of_a_turn_whose_connection_breaks_are_refused_every_one(server: Server, make_holds: Make) -> None:
    open_shard(Shard(redis.Redis.from_url(server.url)))
    connection = MoneyConnection(server.url)
    await connection.start()
    holds = await make_holds(connection)
    server.freeze()
    results = await asyncio.gather(*(take(holds, 100) for _ in range(20)), return_exceptions=True)
    assert [type(result) for result in results] == [MoneyStoreDown] * 20
    assert holds.in_flight == 0
    server.thaw()
    await connection.close()


async def test_holds_of_a_turn_are_refused_by_name(shard: Shard, connection: MoneyConnection, make_holds: Make) -> None:
    open_shard(shard, scope(KEY, limit=150), scope(KEY + 1, disabled=True))
    holds = await make_holds(connection)
    callers = [CALLER] * 5 + [msgspec.structs.replace(CALLER, key_id=KEY + 1)] * 5
    results = await asyncio.gather(*(take(holds, 60, caller=caller) for caller in callers), return_exceptions=True)
    assert [type(result) for result in results] == [Hold] * 2 + [InsufficientCredit] * 3 + [KeyDisabled] * 5
    assert [result.available_nanos for result in results if isinstance(result, InsufficientCredit)] == [30] * 3


@pytest.mark.interpreted
def test_gateways_of_two_versions_work_side_by_side(shard: Shard, monkeypatch: pytest.MonkeyPatch) -> None:
    open_shard(shard)
    newer = {}
    for name in ("SETTLE_MANY", "RESERVE_MANY"):
        text = getattr(scripts, name).text + "\n-- the next version\n"
        newer[name] = scripts.Script(name.lower(), text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
    for number in range(20):
        asks = [Ask(new_id(), 10) for _ in range(4)]
        charges = [Charge(ask.event_id, 3, 10) for ask in asks]
        with monkeypatch.context() as patch:
            for name in [name for place, name in enumerate(newer, 2) if number % place]:
                patch.setattr(gathering, name, newer[name])
            assert reserve_together(asks) == [("OK", None)] * 4
            assert settle_together(charges[:3]) == ["OK"] * 3
        assert settle_alone(shard, charges[3]) == "OK"
        if number % 7 == 0:
            shard.store.script_flush()
    assert shard.balance() == (10_000 - 240, 0, 240)
    assert len({entry.event_id for entry in live.read_batch(shard=SHARD, count=200)}) == 80
