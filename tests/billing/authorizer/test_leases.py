"""Busy keys draw on money that their gateway has set aside; the store's sums are right at every moment."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop

from accounts.types import Caller, KeyDisabled, KeyExpired
from billing import live
from billing.authorizer import leases
from billing.authorizer.connection import MoneyConnection
from billing.authorizer.holds import AdmissionFrozen, Holds, InsufficientCredit
from billing.authorizer.spool import Spool
from billing.authorizer.types import Hold
from tests.billing.authorizer.books import Books
from tests.billing.authorizer.conftest import Server
from tests.billing.authorizer.shard import CALLER, CONTEXT, KEY, ORG, SHARD, Shard, event_of, new_id, scope
from tests.billing.authorizer.test_connection import wait_for
from tests.billing.authorizer.test_holds import take

Make = Callable[..., Holds]
PLENTY = 10**9


@pytest.fixture(autouse=True)
def no_sweeps_but_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let tests say when a quarter of a second is over."""
    monkeypatch.setattr(leases, "SWEEP_S", 3600.0)


def take_at_once(holds: Holds, amount: int) -> Hold:
    """Take a hold that waits for nothing; fails for one that does."""
    taking = holds.reserve(event_id=new_id(), caller=CALLER, amount_nanos=amount, context=CONTEXT)
    try:
        taking.send(None)
    except StopIteration as done:
        return done.value
    taking.close()
    raise AssertionError("the request waited for the store")


def is_waiting_needed(holds: Holds, amount: int) -> bool:
    return not holds._leases.draw(Hold(event_id=new_id(), event=new_id().hex, caller=CALLER, amount_nanos=amount, context=CONTEXT))


async def make_busy(holds: Holds, connection: MoneyConnection, *, requests: int = 5, amount: int = 1_000) -> list[Hold]:
    """Let the key ask so often, and a sweep see it; returns when the store has answered."""
    held = [await take(holds, amount) for _ in range(requests)]
    holds._leases.sweep()
    await connection.execute("PING")
    return held


async def with_lease(shard: Shard, connection: MoneyConnection, make_holds: Make) -> Holds:
    """Return a gateway's side with a lease of 10,000 for the key, whose organization has PLENTY and has settled all else."""
    shard.open(PLENTY)
    holds = await make_holds(connection, leases=True)
    settle_all(holds, await make_busy(holds, connection))
    await connection.execute("PING")
    return holds


def settle_all(holds: Holds, held: list[Hold], amount: int = 0) -> None:
    for hold in held:
        holds.settle(hold, event_of(hold, amount))


async def test_requests_of_a_busy_key_begin_without_waiting_and_are_held_in_the_same_turn(
    shard: Shard, connection: MoneyConnection, make_holds: Make
) -> None:
    holds = await with_lease(shard, connection, make_holds)
    assert shard.balance() == (PLENTY - 10_000, 10_000, 0)  # twice what was asked for

    hold = take_at_once(holds, 1_000)
    await connection.execute("PING")

    assert shard.heartbeat({hold.event_id: 0})[2:] == [1]
    assert (shard.balance(), shard.key().held_nanos) == ((PLENTY - 10_000, 10_000, 0), 10_000)  # of which the lease has 9,000
    holds.settle(hold, event_of(hold, 120))
    await connection.execute("PING")
    assert (shard.balance(), shard.key().held_nanos) == ((PLENTY - 9_120, 9_000, 120), 9_000)
    assert hold.event_id in [entry.event_id for entry in shard.entries()]


async def test_a_request_that_ends_in_the_turn_in_which_it_began_is_held_before_it_is_settled(
    shard: Shard, connection: MoneyConnection, make_holds: Make
) -> None:
    holds = await with_lease(shard, connection, make_holds)

    hold = take_at_once(holds, 1_000)
    holds.settle(hold, event_of(hold, 1_000))
    await connection.execute("PING")

    assert not holds._spool.unsettled
    assert shard.balance() == (PLENTY - 10_000, 9_000, 1_000)


async def test_a_quiet_key_has_no_lease(shard: Shard, connection: MoneyConnection, make_holds: Make) -> None:
    shard.open(PLENTY)
    holds = await make_holds(connection, leases=True)
    await make_busy(holds, connection, requests=4)
    assert shard.balance() == (PLENTY - 4_000, 4_000, 0)
    assert is_waiting_needed(holds, 1)


@pytest.mark.parametrize(("missing", "is_given"), [(0, True), (1, False)])
async def test_a_lease_is_given_only_where_fifty_times_as_much_is_free(
    shard: Shard, connection: MoneyConnection, make_holds: Make, missing: int, *, is_given: bool
) -> None:
    enough = 5_000 + 50 * 10_000 - missing
    for balance, limit in ((enough, None), (PLENTY, enough)):
        shard.open(balance, key=scope(limit=limit))
        holds = await make_holds(connection, leases=True, folder=f"spool {limit}")
        await make_busy(holds, connection)
        assert shard.balance()[1] == (15_000 if is_given else 5_000)
        assert shard.key().held_nanos == shard.balance()[1]
        await holds.close()
        await connection.execute("PING")
        assert shard.balance() == (balance - 5_000, 5_000, 0)


async def test_leases_follow_each_other_while_the_key_is_busy_and_everything_comes_back_in_the_end(
    shard: Shard, connection: MoneyConnection, make_holds: Make
) -> None:
    shard.open(PLENTY)
    holds = await make_holds(connection, leases=True)
    held = await make_busy(holds, connection)
    for _ in range(40):
        held.append(take_at_once(holds, 1_000))
        await connection.execute("PING")
    account = holds._leases._accounts[KEY]
    left = sum(lease.left_nanos for lease in (account.lease, account.following) if lease is not None)
    assert shard.balance()[1] == 45_000 + left  # no third lease, nothing forgotten
    settle_all(holds, held, 7)
    await holds.close()
    await connection.execute("PING")
    assert shard.balance() == (PLENTY - 45 * 7, 0, 45 * 7)
    assert shard.key().held_nanos == 0


async def test_a_larger_request_waits_for_the_store_and_leaves_the_lease_to_the_others(
    shard: Shard, connection: MoneyConnection, make_holds: Make
) -> None:
    shard.open(PLENTY)
    holds = await make_holds(connection, leases=True)
    await make_busy(holds, connection)
    assert is_waiting_needed(holds, 10_001)
    assert take_at_once(holds, 10_000).amount_nanos == 10_000


async def test_a_key_that_falls_silent_gives_its_lease_back(shard: Shard, connection: MoneyConnection, make_holds: Make) -> None:
    holds = await with_lease(shard, connection, make_holds)
    holds._leases.sweep()
    await connection.execute("PING")
    assert (shard.balance(), shard.key().held_nanos) == ((PLENTY, 0, 0), 0)
    assert holds._leases._accounts == {}


@pytest.mark.interpreted
async def test_an_old_lease_is_followed_by_a_new_one(
    shard: Shard, connection: MoneyConnection, make_holds: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    holds = await with_lease(shard, connection, make_holds)
    before = holds._leases._accounts[KEY].lease
    monkeypatch.setattr(leases, "_AGE_MAX_S", 0.0)
    for _ in range(2):  # one asks for the next, one goes over to it
        take_at_once(holds, 1_000)
        holds._leases.sweep()
        await connection.execute("PING")
    second = holds._leases._accounts[KEY].lease
    assert second is not None
    assert second is not before
    assert shard.balance()[1] == 2_000 + second.left_nanos


async def test_a_key_that_is_switched_off_starts_nothing_after_the_store_has_said_so(
    shard: Shard, connection: MoneyConnection, make_holds: Make
) -> None:
    holds = await with_lease(shard, connection, make_holds)
    live.put_key_scope(shard=SHARD, scope=scope(version=2, disabled=True))
    hold = take_at_once(holds, 1_000)  # nobody has told us yet
    await connection.execute("PING")
    assert is_waiting_needed(holds, 1)
    await connection.execute("PING")
    assert shard.balance() == (PLENTY - 1_000, 1_000, 0)  # the lease is back
    settle_all(holds, [hold], 10)
    await connection.execute("PING")
    assert shard.balance() == (PLENTY - 10, 0, 10)


async def test_an_organization_that_is_frozen_starts_nothing_after_the_store_has_said_so_and_can_move_away(
    shard: Shard, connection: MoneyConnection, make_holds: Make
) -> None:
    holds = await with_lease(shard, connection, make_holds)
    live.put_frozen(org_id=ORG, shard=SHARD, is_frozen=True)
    settle_all(holds, [take_at_once(holds, 1_000)])
    await connection.execute("PING")
    with pytest.raises(AdmissionFrozen):
        await take(holds, 1_000)
    assert shard.balance() == (PLENTY, 0, 0)


async def test_what_was_set_aside_is_there_for_a_request_that_would_be_refused_without(
    shard: Shard, connection: MoneyConnection, make_holds: Make
) -> None:
    holds = await with_lease(shard, connection, make_holds)
    hold = await take(holds, PLENTY)
    assert (hold.amount_nanos, shard.balance()) == (PLENTY, (0, PLENTY, 0))
    with pytest.raises(InsufficientCredit) as refused:
        await take(holds, 1)
    assert refused.value.available_nanos == 0


async def test_every_one_of_several_refused_at_once_finds_what_was_set_aside(
    shard: Shard, connection: MoneyConnection, make_holds: Make
) -> None:
    holds = await with_lease(shard, connection, make_holds)
    await take(holds, PLENTY - 10_000)  # all but the lease
    assert shard.balance()[0] == 0

    held = await asyncio.gather(*(take(holds, 600) for _ in range(16)))
    with pytest.raises(InsufficientCredit):
        await take(holds, 401)

    assert len({hold.event for hold in held}) == 16
    assert shard.balance()[0] == 400


async def test_an_answer_that_grows_finds_what_was_set_aside(shard: Shard, connection: MoneyConnection, make_holds: Make) -> None:
    holds = await with_lease(shard, connection, make_holds)
    hold = await take(holds, PLENTY - 10_000)
    assert await holds.extend(hold, by_nanos=10_000)
    assert not await holds.extend(hold, by_nanos=1)
    assert shard.balance() == (0, PLENTY, 0)


@pytest.mark.parametrize("is_limit", [True, False], ids=["limit", "balance"])
async def test_what_is_lowered_below_what_is_held_stops_draws(
    shard: Shard, connection: MoneyConnection, make_holds: Make, *, is_limit: bool
) -> None:
    shard.open(PLENTY, key=scope(limit=PLENTY))
    holds = await make_holds(connection, leases=True)
    settle_all(holds, await make_busy(holds, connection))
    if is_limit:
        live.put_key_scope(shard=SHARD, scope=scope(version=2, limit=0))
    else:
        assert live.apply_credit(org_id=ORG, shard=SHARD, seq=1, amount_nanos=-PLENTY) == "applied"
    hold = take_at_once(holds, 1_000)
    await connection.execute("PING")
    with pytest.raises(InsufficientCredit):
        await take(holds, 1)
    assert shard.balance()[1] == hold.amount_nanos


async def test_a_refusal_that_is_not_for_want_of_money_gives_leases_back_too(
    shard: Shard, connection: MoneyConnection, make_holds: Make
) -> None:
    holds = await with_lease(shard, connection, make_holds)
    live.put_frozen(org_id=ORG, shard=SHARD, is_frozen=True)
    with pytest.raises(AdmissionFrozen):
        await take(holds, 10_001)  # more than the lease has, so that it does not draw
    await connection.execute("PING")
    assert shard.balance() == (PLENTY, 0, 0)


@pytest.mark.parametrize("rules", [{"disabled": True}, {"limit": 0}, {"expires_at_s": 1}], ids=lambda rules: next(iter(rules)))
async def test_a_key_that_is_refused_takes_no_lease_from_the_organizations_others(
    shard: Shard, connection: MoneyConnection, make_holds: Make, rules: dict[str, int]
) -> None:
    holds = await with_lease(shard, connection, make_holds)
    shard.store.copy(f"{shard.keys.scope}{KEY}", f"{shard.keys.scope}{KEY + 1}")
    assert live.put_key_scope(shard=SHARD, scope=scope(KEY + 1, version=2, **rules))
    other = Caller(key_hash="1" * 64, key_id=KEY + 1, org_id=ORG, shard=SHARD)
    with pytest.raises((KeyDisabled, KeyExpired, InsufficientCredit)):
        await take(holds, 1, caller=other)
    take_at_once(holds, 1_000)


async def test_a_pause_that_has_run_out_hinders_no_lease(shard: Shard, connection: MoneyConnection, make_holds: Make) -> None:
    shard.open(PLENTY)
    shard.store.hset(f"{shard.keys.balance}{ORG}", "frozen", "1000")
    holds = await make_holds(connection, leases=True)
    settle_all(holds, await make_busy(holds, connection))
    for _ in range(2):
        take_at_once(holds, 1_000)
        await connection.execute("PING")
    assert shard.balance() == (PLENTY - 10_000, 10_000, 0)  # it was given, and drawn from, and kept


async def test_a_process_that_stood_still_for_long_draws_no_more(shard: Shard, connection: MoneyConnection, make_holds: Make) -> None:
    holds = await with_lease(shard, connection, make_holds)
    lease = holds._leases._accounts[KEY].lease
    assert lease is not None
    lease.told_s -= 15.1  # half of a hold's time
    assert is_waiting_needed(holds, 1)


@pytest.mark.interpreted
async def test_a_key_that_has_just_been_refused_a_lease_is_not_asked_for_again_at_each_request(
    shard: Shard, connection: MoneyConnection, make_holds: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    holds = await with_lease(shard, connection, make_holds)
    monkeypatch.setattr(leases, "_MARGIN", 10**6)
    asked = 0
    ask = holds._leases._ask

    def counted(account: leases._Account) -> None:
        nonlocal asked
        asked += 1
        ask(account)

    monkeypatch.setattr(holds._leases, "_ask", counted)
    for _ in range(9):
        settle_all(holds, [take_at_once(holds, 1_000)])
        await connection.execute("PING")
    assert asked == 1


async def test_requests_that_the_store_does_not_know_of_are_held_anew(shard: Shard, connection: MoneyConnection, make_holds: Make) -> None:
    shard.open(PLENTY)
    holds = await make_holds(connection, leases=True, heartbeat_s=0.05)
    settle_all(holds, await make_busy(holds, connection))
    shard.open(PLENTY)  # a rebuild: all holds are forgotten, and the lease with them
    hold = take_at_once(holds, 1_000)
    await wait_for(lambda: shard.heartbeat({hold.event_id: 0})[2:] == [1])
    assert shard.balance() == (PLENTY - 1_000, 1_000, 0)
    holds.settle(hold, event_of(hold, 30))
    await connection.execute("PING")
    assert shard.balance() == (PLENTY - 30, 0, 30)
    assert is_waiting_needed(holds, 1)


async def test_the_lease_of_a_gateway_that_died_is_given_back_by_the_reaper_and_nothing_is_booked(
    shard: Shard, connection: MoneyConnection, make_holds: Make
) -> None:
    shard.open(PLENTY, key=scope(limit=PLENTY))
    holds = await make_holds(connection, leases=True, ttl_s=0.001)
    settle_all(holds, await make_busy(holds, connection))
    await connection.execute("PING")
    before = len(shard.entries())
    holds._leases._accounts.clear()  # it died
    await asyncio.sleep(0.01)
    assert live.reap_expired(shard=SHARD) == 1
    assert (shard.balance(), shard.key().held_nanos, shard.stored_free()) == ((PLENTY, 0, 0), 0, PLENTY)
    assert len(shard.entries()) == before


async def test_a_lease_whose_answer_was_lost_is_not_kept(server: Server, make_holds: Make, books: Books) -> None:
    books.granted[ORG] = PLENTY
    books.rebuild()
    connection = MoneyConnection(server.url, timeout_s=0.2)
    await connection.start()
    holds = await make_holds(connection, leases=True, heartbeat_s=0.05)
    holds._janitor._late_after_s = 0.3
    settle_all(holds, [await take(holds, 1_000) for _ in range(5)])
    await connection.execute("PING")
    server.freeze()
    holds._leases.sweep()
    await wait_for(lambda: not connection.connected)
    server.thaw()
    await wait_for(lambda: connection.connected)
    hold = await take(holds, 1_000)
    assert holds._leases._accounts[KEY].lease is None
    holds.settle(hold, event_of(hold, 5))
    holds._leases.sweep()  # the store is told as soon as it can be
    await wait_for(lambda: not holds._spool.unsettled)
    assert live.read_balance(org_id=ORG, shard=SHARD)[1] == 0
    await holds.close()
    await connection.close()


def test_a_gateway_that_stops_gives_its_leases_back_and_leaves_nothing_unsaid(shard: Shard, books: Books, tmp_path: Path) -> None:
    shard.open(PLENTY)

    async def serve_and_stop() -> None:
        connection = MoneyConnection(os.environ["REDIS_URL"], timeout_s=2.0)
        await connection.start()
        holds = Holds(connection, spool=Spool(tmp_path / "spool"), loader=books.loader(connection))
        await holds.start()
        settle_all(holds, await make_busy(holds, connection))
        settle_all(holds, [take_at_once(holds, 1_000) for _ in range(3)], 10)
        await holds.close()
        await connection.close()

    uvloop.run(serve_and_stop())  # whose transports, unlike asyncio's, write in a later turn
    assert shard.balance() == (PLENTY - 30, 0, 30)


async def test_leases_can_be_switched_off(shard: Shard, connection: MoneyConnection, make_holds: Make) -> None:
    shard.open(PLENTY)
    holds = await make_holds(connection, leases=False)
    await make_busy(holds, connection)
    assert is_waiting_needed(holds, 1)
    assert shard.balance() == (PLENTY - 5_000, 5_000, 0)
