"""Random sequences of everything that can happen to money, on the real scripts and the real books, with crashes in between."""

import itertools
from unittest import mock

import pytest
from django.db.models import Sum
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from accounts import api_keys, organizations
from billing import live, queries
from billing.books import invariants, outbox, rebuild, settlement, transfers
from billing.live.store import store
from billing.models import Account, BalanceChange, UsageEvent
from tests.billing import plane
from tests.factories.people import UserFactory
from tests.faults.scale import times as scaled

# Balances pass 2**53, beyond which doubles are not exact; a request's picos must fit into 64 bits, which is $9.2 million.
AMOUNTS = st.one_of(st.integers(0, 3), st.integers(1, 10**9), st.integers(2**52, 2**52 + 2**50))
_shards = itertools.count()


class Crash(Exception):
    pass


def _crash(*_, **__):
    raise Crash


def _acknowledge_half(*, shard, acks, is_gapless=False):
    live.stream.acknowledge(shard=shard, acks=acks[: len(acks) // 2])
    raise Crash


CRASHES = {
    "before commit": (settlement.charges, "assert_balanced", _crash),
    "after commit": (settlement.live, "acknowledge", _crash),
    "half acknowledged": (settlement.live, "acknowledge", _acknowledge_half),
}


class Ledger(RuleBasedStateMachine):
    """``charges`` is what each request is to cost in the end, by event; ``running`` are holds, ``lost`` requests of dead gateways."""

    steps = 0  # in all sequences together

    @initialize()
    def begin(self):
        self.shard = next(_shards) % 256
        self.numbers = itertools.count()
        self.organizations, self.keys = [], {}
        for _ in range(2):
            owner = UserFactory()
            organization = organizations.create(name="Acme", owner=owner, shard=self.shard)
            self.organizations.append(organization)
            self.keys[organization.pk] = api_keys.create(organization=organization, name="k", by=owner)[0].pk
            self._grant(organization, 10**9, promo=False)
        rebuild.rebuild_shard(shard=self.shard)
        outbox.publish_pending()
        self.groups, self.running, self.spool, self.lost, self.charges = [], {}, {}, {}, {}
        self.is_acknowledged = True

    def _grant(self, organization, amount, *, promo):
        key = str(next(self.numbers))
        fields = {"organization": organization, "amount_nanos": amount, "reason": "", "idempotency_key": key, "by": None, "promo": promo}
        first, again = transfers.grant(**fields), transfers.grant(**fields)
        assert not first.is_repeat
        assert again.is_repeat
        return first.id

    @rule(which=st.integers(0, 1), amount=AMOUNTS.filter(bool), promo=st.booleans(), is_published=st.booleans())
    def grant(self, which, amount, promo, is_published):
        with mock.patch.object(outbox, "publish") if not is_published else mock.MagicMock():
            self.groups.append(self._grant(self.organizations[which], amount, promo=promo))

    @precondition(lambda self: self.groups)
    @rule(data=st.data())
    def reverse(self, data):
        transfers.reverse(group_id=data.draw(st.sampled_from(self.groups)), reason="", by=None)

    @rule()
    def sweep(self):
        outbox.publish_pending()

    @rule(which=st.integers(0, 1), amount=AMOUNTS)
    def reserve(self, which, amount):
        organization = self.organizations[which]
        event = plane.make_event(organization, amount, key_id=self.keys[organization.pk], hold_nanos=amount)
        available = live.read_balance(org_id=organization.pk, shard=self.shard).avail_nanos
        word = plane.reserve(organization, event.event_id, amount, key_id=event.key_id)
        assert word == ("OK" if amount <= available else "SHORT_BALANCE")
        if word == "OK":
            self.running[event.event_id] = event

    def _draw(self, data, events):
        return events.pop(data.draw(st.sampled_from(sorted(events))))

    def _priced(self, event, percent):
        amount = event.hold_nanos * percent // 100
        return plane.msgspec.structs.replace(event, amount_nanos=amount, amount_picos=amount * 1000, cost_nanos=amount // 3)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), percent=st.integers(0, 120), times=st.integers(1, 3))
    def settle(self, data, percent, times):
        event = self._priced(self._draw(data, self.running), percent)
        assert plane.settle(event) == "OK"
        for _ in range(times - 1):
            assert plane.settle(event, late=True) == "LATE"
        self.spool[event.event_id] = event
        self.charges[event.event_id] = event.amount_nanos

    @precondition(lambda self: self.running)
    @rule(data=st.data(), percent=st.integers(0, 100))
    def gateway_dies(self, data, percent):
        event = self._draw(data, self.running)
        keys, spent = plane.shard_keys(self.shard), event.hold_nanos * percent // 100
        hold = store().hget(f"{keys.holds}{event.org_id}", event.event_id.hex).decode().split(" ", 2)
        store().hset(f"{keys.holds}{event.org_id}", event.event_id.hex, f"{hold[0]} {spent} {hold[2]}")
        store().zadd(keys.deadlines, {f"{event.org_id}:{event.event_id.hex}": 1})
        assert live.reap_expired(shard=self.shard) == 1
        self.lost[event.event_id] = event
        self.charges[event.event_id] = spent

    @precondition(lambda self: self.lost)
    @rule(data=st.data(), percent=st.integers(0, 120))
    def dead_gateways_spool_is_adopted(self, data, percent):
        event = self._priced(self._draw(data, self.lost), percent)
        assert plane.settle(event, late=True) == "LATE"
        self.spool[event.event_id] = event
        self.charges[event.event_id] = event.amount_nanos

    @rule(crash=st.sampled_from([None, *CRASHES]), batch=st.integers(1, 20))
    def consume(self, crash, batch):
        with mock.patch.object(settlement, "BATCH_EVENTS", batch), mock.patch.object(*CRASHES[crash]) if crash else mock.MagicMock():
            try:
                settlement.settle_shard(shard=self.shard)
                self.is_acknowledged = True
            except Crash:
                self.is_acknowledged = False

    @rule(is_wiped=st.booleans())
    def rebuild(self, is_wiped):
        if is_wiped:
            store().flushdb()
        rebuild.rebuild_shard(shard=self.shard)
        self.is_acknowledged = True
        for event in self.running.values():
            organization = next(o for o in self.organizations if o.pk == event.org_id)
            assert plane.reserve(organization, event.event_id, event.hold_nanos, key_id=event.key_id, is_running=True) == "OK"
        for event in self.spool.values():
            assert plane.settle(event, late=True) == "LATE"
        # A reaped request that was only in the store is gone with it; its gateway is dead, so nobody sends it again.
        for event_id in self.lost:
            self.charges[event_id] = self._booked(event_id)

    def _booked(self, event_id):
        return UsageEvent.objects.filter(event_id=event_id).aggregate(total=Sum("amount_nanos", default=0))["total"]

    @invariant()
    def what_is_live_is_never_too_high_and_what_is_held_is_the_sum_of_holds(self):
        if not hasattr(self, "running"):
            return
        Ledger.steps += 1
        org_of = {e.event_id: e.org_id for e in [*self.running.values(), *self.spool.values(), *self.lost.values()]}
        for organization in self.organizations:
            known = live.read_balance(org_id=organization.pk, shard=self.shard)
            held = sum(event.hold_nanos for event in self.running.values() if event.org_id == organization.pk)
            charged = sum(amount for event_id, amount in self.charges.items() if org_of[event_id] == organization.pk)
            credited = BalanceChange.objects.filter(org=organization, seq__lte=known.seq).aggregate(total=Sum("amount_nanos", default=0))[
                "total"
            ]
            assert known.held_nanos == held
            assert known.avail_nanos + known.held_nanos <= credited - charged
            accounts = Account.objects.filter(org=organization)
            if self.is_acknowledged and known.seq == max(account.seq for account in accounts):
                booked = sum(account.credits_nanos - account.debits_nanos for account in accounts)
                assert known.avail_nanos + known.held_nanos + known.unposted_nanos == booked

    def teardown(self):
        if not hasattr(self, "running"):
            return
        outbox.publish_pending()
        assert settlement.settle_shard(shard=self.shard).dead_lettered == 0
        for event_id, amount in self.charges.items():
            assert self._booked(event_id) == amount
        for organization in self.organizations:
            events = [e for e in [*self.spool.values(), *self.lost.values()] if e.org_id == organization.pk]
            charged = sum(self.charges[event.event_id] for event in events)
            credited = BalanceChange.objects.filter(org=organization).aggregate(total=Sum("amount_nanos", default=0))["total"]
            assert queries.balance(organization).remaining_nanos == credited - charged
            assert queries.total_usage_nanos(organization) == charged
            key_id = self.keys[organization.pk]
            assert live.read_key_usage(shard=self.shard, key_ids=[key_id])[key_id].spent_nanos == charged
        # Reversals of spent grants may overdraw by more than the overrun that I7 allows.
        assert [d for d in invariants.verify(shards=[self.shard]) if d.invariant != "I7"] == []


@pytest.mark.django_db(transaction=True)
def test_no_sequence_of_events_and_crashes_loses_or_doubles_a_nano(money_store, record_property):
    Ledger.steps = 0

    run_state_machine_as_test(
        Ledger,
        settings=settings(
            max_examples=scaled(12, 60),
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
            phases=[Phase.generate],
        ),
    )

    assert Ledger.steps >= scaled(200, 1_000)
    record_property("repeats", Ledger.steps)
    record_property("figure", f"{Ledger.steps:,} steps of random sequences on the real books, with crashes in between")
