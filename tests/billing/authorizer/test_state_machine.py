"""Random histories against the real money store: doubled and lost messages, dead gateways, crashed consumers, wiped stores.

After every step the shard's sums must hold to the nano; at the end every request must be charged exactly once.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from billing import live
from billing.live.store import store
from tests.billing.authorizer.books import Books
from tests.billing.authorizer.gathered import Ask, Charge, reserve_together, settle_together
from tests.billing.authorizer.shard import KEY, ORG, SHARD, Shard, new_id, scope
from tests.faults.scale import times

ORGS = {ORG: KEY, ORG + 1: KEY + 1}
LIMITS = st.one_of(st.none(), st.integers(0, 5_000), st.integers(0, 2**55))
AMOUNTS = st.one_of(st.integers(0, 1_000), st.integers(0, 2**54))


@dataclass
class Request:
    """A request as its gateway knows it."""

    event_id: uuid.UUID
    org: int
    held: int
    spent: int = 0
    charge: int | None = None  # settled with

    @property
    def key(self) -> int:
        return ORGS[self.org]


class Histories(RuleBasedStateMachine):
    """Gateways, consumers, the outbox and disasters. ``steps`` counts what was done in all histories together."""

    steps = 0

    @initialize()
    def begin(self) -> None:
        store().flushdb()
        self.shard, self.books = Shard(store()), Books()
        self.running: dict[uuid.UUID, Request] = {}
        self.settled: dict[uuid.UUID, Request] = {}  # their spools have these
        self.leases: dict[uuid.UUID, tuple[int, int]] = {}  # whose, and what is left
        self.dead: dict[uuid.UUID, Request] = {}  # the gateway died and its disk with it
        # One is rich with a small limit, the other has little and no limit: so both kinds of refusal happen often.
        self.credits: dict[int, list[int]] = {ORG: [2**55], ORG + 1: [5_000]}
        self.version = 1
        self.rules = {KEY: scope(KEY, limit=3_000, reset="daily"), KEY + 1: scope(KEY + 1)}
        self.rebuild()

    def rebuild(self) -> None:
        for org in ORGS:
            self.books.granted[org] = sum(self.credits[org])
        live.begin_epoch(
            shard=SHARD,
            balances=[live.BalanceSeed(org, self.books.balance(org), len(self.credits[org])) for org in ORGS],
            key_scopes=[live.KeySeed(self.rules[key], *[self.books.spent(key)] * 4) for key in ORGS.values()],
        )
        # What avail + held + unposted must come to: changed by credits and by what leaves the stream.
        self.expected = {org: self.books.balance(org) for org in ORGS}
        self.applied = {org: len(self.credits[org]) for org in ORGS}

    # --- credits ---

    @rule(org=st.sampled_from(sorted(ORGS)), amount=st.integers(1, 2**52), is_published=st.booleans())
    def credit(self, org: int, amount: int, *, is_published: bool) -> None:
        self.credits[org].append(amount)
        self.books.granted[org] = sum(self.credits[org])
        if is_published:
            self.publish()

    @rule()
    def publish(self) -> None:
        for org in ORGS:
            for seq, amount in [*enumerate(self.credits[org], 1)] * 2:  # at least once, on purpose
                if live.apply_credit(org_id=org, shard=SHARD, seq=seq, amount_nanos=amount) == "applied":
                    assert seq == self.applied[org] + 1
                    self.applied[org] = seq
                    self.expected[org] += amount

    @rule(org=st.sampled_from(sorted(ORGS)), limit=LIMITS, reset=st.sampled_from(["", "daily", "weekly", "monthly"]))
    def change_key(self, org: int, limit: int | None, reset: str) -> None:
        self.version += 1
        self.rules[ORGS[org]] = scope(ORGS[org], version=self.version, limit=limit, reset=reset)
        assert live.put_key_scope(shard=SHARD, scope=self.rules[ORGS[org]])

    # --- requests ---

    @rule(org=st.sampled_from(sorted(ORGS)), amount=AMOUNTS, is_doubled=st.booleans())
    def reserve(self, org: int, amount: int, *, is_doubled: bool) -> None:
        request = Request(new_id(), org, amount)
        avail, free = self.shard.balance(org)[0], self.shard.key(request.key).free_nanos
        status = self.shard.reserve(request.event_id, amount, org=org, keys=(request.key,))
        covered = avail >= amount, free is None or free >= amount
        assert status == {(True, True): "OK", (True, False): "SHORT_KEY"}.get(covered, "SHORT_BALANCE")
        if status == "OK":
            self.running[request.event_id] = request
            if is_doubled:
                assert self.shard.reserve(request.event_id, amount, org=org, keys=(request.key,)) == "HELD"

    @rule(amounts=st.dictionaries(st.sampled_from(sorted(ORGS)), st.lists(AMOUNTS, min_size=1, max_size=4), min_size=1))
    def reserve_in_one_turn(self, amounts: dict[int, list[int]]) -> None:
        requests = [Request(new_id(), org, amount) for org in amounts for amount in amounts[org]]
        left = {org: [self.shard.balance(org)[0], self.shard.key(ORGS[org]).free_nanos] for org in amounts}
        words = reserve_together([Ask(r.event_id, r.held, r.org, r.key) for r in requests])
        for request, (status, available) in zip(requests, words, strict=True):
            avail, free = left[request.org]
            if avail < request.held:
                assert (status, available) == ("SHORT_BALANCE", avail)
            elif free is not None and free < request.held:
                assert (status, available) == ("SHORT_KEY", free)
            else:
                assert status == "OK"
                self.running[request.event_id] = request
                left[request.org] = [avail - request.held, None if free is None else free - request.held]

    @precondition(lambda self: self.running)
    @rule(data=st.data(), by=AMOUNTS)
    def extend(self, data: st.DataObject, by: int) -> None:
        request = self.running[data.draw(st.sampled_from(sorted(self.running)))]
        for _ in range(2):
            if self.shard.extend(request.event_id, request.held, by, org=request.org, keys=(request.key,)) == "OK":
                request.held += by
                break

    @precondition(lambda self: self.running)
    @rule(data=st.data(), share=st.integers(0, 100))
    def heartbeat(self, data: st.DataObject, share: int) -> None:
        request = self.running[data.draw(st.sampled_from(sorted(self.running)))]
        request.spent = request.held * share // 100
        assert self.shard.heartbeat({request.event_id: request.spent}, org=request.org)[2:] == [1]

    @precondition(lambda self: self.running)
    @rule(data=st.data(), share=st.integers(0, 120), is_doubled=st.booleans())
    def settle(self, data: st.DataObject, share: int, *, is_doubled: bool) -> None:
        request = self.running.pop(data.draw(st.sampled_from(sorted(self.running))))
        request.charge = request.held * share // 100
        self.settled[request.event_id] = request
        assert self.send(request, late=False) == "OK"
        if is_doubled:
            assert self.send(request, late=False) == "GONE"
            assert self.send(request, late=True) == "LATE"

    @precondition(lambda self: self.running)
    @rule(data=st.data(), share=st.integers(0, 120), is_doubled=st.booleans())
    def settle_in_one_turn(self, data: st.DataObject, share: int, *, is_doubled: bool) -> None:
        chosen = data.draw(st.lists(st.sampled_from(sorted(self.running)), unique=True, min_size=1))
        requests = [self.running.pop(event_id) for event_id in chosen]
        for request in requests:
            request.charge = request.held * share // 100
            self.settled[request.event_id] = request
        charges = [Charge(r.event_id, r.charge or 0, r.held, r.org, r.key) for r in requests]
        assert settle_together(charges) == ["OK"] * len(charges)
        if is_doubled:
            assert settle_together(charges) == ["GONE"] * len(charges)

    def send(self, request: Request, *, late: bool) -> str:
        return self.shard.settle(request.event_id, request.charge, held=request.held, org=request.org, keys=(request.key,), late=late)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), comes_back=st.booleans(), share=st.integers(0, 120))
    def go_silent(self, data: st.DataObject, *, comes_back: bool, share: int) -> None:
        request = self.running.pop(data.draw(st.sampled_from(sorted(self.running))))
        store().zadd(self.shard.keys.deadlines, {f"{request.org}:{request.event_id.hex}": 1})
        assert live.reap_expired(shard=SHARD) == 1
        if comes_back:
            request.charge = request.held * share // 100
            self.settled[request.event_id] = request
            assert self.send(request, late=True) == "LATE"
        else:
            self.dead[request.event_id] = request

    # --- leases ---

    @rule(org=st.sampled_from(sorted(ORGS)), amount=AMOUNTS, times_free=st.integers(1, 50))
    def lease(self, org: int, amount: int, times_free: int) -> None:
        lease, margin, key = new_id(), amount * times_free, ORGS[org]
        avail, free = self.shard.balance(org)[0], self.shard.key(key).free_nanos
        status = self.shard.lease(lease, amount, margin=margin, org=org, key=key)
        is_plenty = avail >= margin and (free is None or free >= margin)
        assert status == ("OK" if is_plenty else "NO")
        if is_plenty:
            self.leases[lease] = (org, amount)

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), shares=st.lists(st.integers(0, 40), min_size=1, max_size=4), is_doubled=st.booleans())
    def draw(self, data: st.DataObject, shares: list[int], *, is_doubled: bool) -> None:
        lease = data.draw(st.sampled_from(sorted(self.leases)))
        org, left = self.leases[lease]
        asked: dict[uuid.UUID, int] = {}
        for share in shares:
            asked[new_id()] = min(left * share // 100, left - sum(asked.values()))
        assert self.shard.draw(lease, left, asked, org=org, key=ORGS[org]) == "OK"
        if is_doubled:
            assert self.shard.draw(lease, left, asked, org=org, key=ORGS[org]) == "DRY"
        self.leases[lease] = (org, left - sum(asked.values()))
        assert self.shard.draw(lease, left + 1, {new_id(): 0}, org=org, key=ORGS[org]) == "DRY"  # the gateway missed something
        for event_id, held in asked.items():
            self.running[event_id] = Request(event_id, org, held)

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), is_reaped=st.booleans())
    def give_back(self, data: st.DataObject, *, is_reaped: bool) -> None:
        lease = data.draw(st.sampled_from(sorted(self.leases)))
        org, left = self.leases.pop(lease)
        if is_reaped:
            store().zadd(self.shard.keys.deadlines, {f"{org}:{lease.hex}": 1})
            assert live.reap_expired(shard=SHARD) == 1
        else:
            assert self.shard.release(lease, org=org, keys=(ORGS[org],)) == "OK"
        assert self.shard.draw(lease, left, {new_id(): 0}, org=org, key=ORGS[org]) == "DRY"

    # --- the books ---

    @rule(count=st.integers(1, 20), crash=st.sampled_from(["none", "before commit", "after commit", "half acknowledged"]))
    def consume(self, count: int, crash: str) -> None:
        if crash == "before commit":
            live.read_batch(shard=SHARD, count=count)
            return
        acknowledged = {"none": None, "after commit": 0, "half acknowledged": count // 2}[crash]
        self.book(count, acknowledged)

    def book(self, count: int, acknowledged: int | None) -> int:
        entries = live.read_batch(shard=SHARD, count=count)
        acks = [self.books._book(entry) for entry in entries]
        for ack in acks[:acknowledged]:
            assert live.acknowledge(shard=SHARD, acks=[ack, ack]) == 1
            self.expected[ack.org_id] -= ack.amount_nanos - ack.refund_nanos
        return len(entries)

    # --- disasters ---

    @rule(is_drained=st.booleans())
    def lose_the_store(self, *, is_drained: bool) -> None:
        if is_drained:
            while self.book(50, None):
                pass
        store().flushdb()
        self.leases.clear()
        self.rebuild()
        for request in self.running.values():
            assert self.shard.reserve(request.event_id, request.held, org=request.org, keys=(request.key,), force=True) == "OK"
            assert self.shard.heartbeat({request.event_id: request.spent}, org=request.org)[2:] == [1]
        for request in self.settled.values():
            if not self.is_booked(request):
                assert self.send(request, late=True) == "LATE"

    def is_booked(self, request: Request) -> bool:
        rows = [row for (event, _), row in self.books.rows.items() if event == request.event_id]
        return any(row[4] != "expired" for row in rows)

    @rule(days=st.sampled_from([1, 7, 31]))
    def sleep(self, days: int) -> None:
        for key in ORGS.values():
            self.shard.move_periods_back(days, key)

    # --- what must always hold ---

    @invariant()
    def sums_hold(self) -> None:
        if not hasattr(self, "shard"):
            return
        Histories.steps += 1
        held = {org: sum(r.held for r in self.running.values() if r.org == org) for org in ORGS}
        for org, left in self.leases.values():
            held[org] += left
        for org, in_hold, holds in live.read_holds(shard=SHARD):
            assert in_hold == sum(hold.amount_nanos for hold in holds) == held[org]
            assert sum(self.shard.balance(org)) == self.expected[org]
            known = self.shard.key(ORGS[org])
            assert known.held_nanos == held[org]
            assert known.limit_nanos == self.rules[ORGS[org]].limit_nanos

    def teardown(self) -> None:
        if not hasattr(self, "shard"):
            return
        self.publish()
        while self.book(50, None):
            pass
        for org, key in ORGS.items():
            avail, held, unposted = self.shard.balance(org)
            assert unposted == 0
            assert avail + held == self.books.balance(org)
            known = self.shard.key(key)
            assert known.spent_nanos == self.books.spent(key)
            if known.limit_nanos is not None:
                assert self.shard.reserve(new_id(), 0, org=org, keys=(key,), force=True) == "OK"  # rolls the periods
                assert self.shard.stored_free(key) == self.shard.key(key).free_nanos
        charged = {event: self.books.charged(event) for event, _ in self.books.rows}
        for request in self.settled.values():
            assert charged.pop(request.event_id) == request.charge
        for event, amount in charged.items():
            assert amount == self.dead[event].spent


@pytest.mark.interpreted
@pytest.mark.usefixtures("money_store")
def test_no_history_loses_or_doubles_a_nano(record_property: Callable[[str, object], None]) -> None:
    Histories.steps = 0

    run_state_machine_as_test(
        Histories,
        settings=settings(
            max_examples=times(50, 700), stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck), database=None
        ),
    )

    assert Histories.steps >= times(1_000, 20_000)
    record_property("repeats", Histories.steps)
    record_property("figure", f"{Histories.steps:,} steps of random histories on the real money store, each followed by all assertions")
