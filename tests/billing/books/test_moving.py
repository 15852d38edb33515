"""An organization moves to another shard: its money, counters and names of requests with it, and nothing is in two places."""

import datetime as dt

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts import api_keys, organizations
from accounts.models import AuditEvent
from billing import live, queries
from billing.authorizer.keys import claim_keys, shard_keys
from billing.books import invariants, moving, outbox, rebuild, settlement, transfers
from billing.live.store import store
from billing.models import Account, AdmissionFreeze
from billing.proof import freezes
from tests.billing import plane
from tests.billing.conftest import USD
from tests.factories.people import UserFactory

OLD, NEW = 7, 3


@pytest.fixture
def used(make_organization, settings):
    settings.LEDGER_SHARDS = 8
    organization = make_organization(USD, shard=OLD)
    rebuild.rebuild_shard(shard=NEW)
    key, _ = api_keys.create(organization=organization, name="k", by=organization.memberships.get().user)
    plane.put_key(OLD, key.pk)
    plane.spend(organization, 500, key_id=key.pk)
    organization.key_id = key.pk
    return organization


@pytest.fixture
def operator():
    return UserFactory(is_staff=True, is_superuser=True)


def _move(organization, shard=NEW, wait_s=1.0):
    moved = moving.move(organization=organization, shard=shard, wait_s=wait_s)
    organization.refresh_from_db()
    return moved


def test_what_waited_is_booked_and_the_new_shard_loads_what_the_books_say(used):
    moved = _move(used)

    assert (moved.source, moved.target, moved.booked) == (OLD, NEW, 1)
    assert used.shard == NEW
    assert set(Account.objects.filter(org=used).values_list("shard", flat=True)) == {NEW}
    assert live.read_balance(org_id=used.pk, shard=OLD) is None
    assert not store().exists(f"{shard_keys(OLD).scope}{used.key_id}")
    assert queries.balance(used).available_nanos == USD - 500
    rebuild.rebuild_shard(shard=NEW)
    plane.spend(used, 40, key_id=used.key_id)
    settlement.settle_shard(shard=NEW)
    assert live.read_balance(org_id=used.pk, shard=NEW).avail_nanos == USD - 540
    assert invariants.verify(shards=[OLD, NEW]) == []
    assert AuditEvent.objects.filter(action="organization.moved").count() == 1


def test_while_a_request_runs_the_organization_stays_and_then_goes_on(used):
    running = plane.make_event(used, 90)
    plane.reserve(used, running.event_id, 90)

    with pytest.raises(moving.CannotMove, match=r"90 n\$ held"):
        _move(used, wait_s=0.2)

    used.refresh_from_db()
    assert used.shard == OLD
    assert plane.reserve(used, plane.new_id(), 1) == "OK"


def test_a_request_that_runs_longer_than_a_pause_may_last_is_waited_for_between_pauses(used, monkeypatch):
    running = plane.make_event(used, 90)
    plane.reserve(used, running.event_id, 90)
    between = []

    def rest(seconds):
        if seconds == moving._REST_S:
            short = plane.make_event(used, 1)
            between.append(plane.reserve(used, short.event_id, 1))
            plane.settle(short)
            plane.settle(running)

    monkeypatch.setattr(moving.time, "sleep", rest)
    moved = moving.move(organization=used, shard=NEW, wait_s=0.05, tries=3)

    assert (moved.tries, between) == (2, ["OK"])
    used.refresh_from_db()
    assert used.shard == NEW


def test_hundreds_of_names_come_along(used):
    names = [claim_keys(OLD, used.pk, used.key_id, f"{number:04d}")[-1] for number in range(1_100)]
    for name in names:
        store().hset(name, mapping={"event": name, "digest": "d", "done": 1})
        store().expire(name, 5_000)

    _move(used)

    there = [claim_keys(NEW, used.pk, used.key_id, f"{number:04d}")[-1] for number in range(1_100)]
    assert [store().hget(name, "event").decode() for name in there] == names
    assert not any(store().exists(name) for name in names)


def test_new_requests_wait_and_running_ones_settle_during_the_move(used):
    running = plane.make_event(used, 90)
    plane.reserve(used, running.event_id, 90)
    live.pause_for_move(org_id=used.pk, shard=OLD, for_ms=60_000)

    assert plane.reserve(used, plane.new_id(), 1) == "MOVING"
    assert plane.settle(running) == "OK"
    assert plane.reserve(used, plane.new_id(), 1, is_running=True) == "OK"


def test_a_pause_that_nobody_ends_ends_by_itself(used):
    live.pause_for_move(org_id=used.pk, shard=OLD, for_ms=1)
    store().hset(f"{shard_keys(OLD).balance}{used.pk}", "frozen", int(timezone.now().timestamp() * 1000) - 1)

    assert plane.reserve(used, plane.new_id(), 1) == "OK"


def test_an_old_shard_that_was_left_loads_nobody_and_an_arrival_opens_it_again(used):
    _move(used)
    assert plane.reserve_word(used.pk, OLD) == "NO_ORG"
    assert not live.resync_balance(shard=OLD, seed=live.BalanceSeed(used.pk, USD, 9))
    assert live.read_balance(org_id=used.pk, shard=OLD) is None

    _move(used, OLD)

    assert live.resync_balance(shard=OLD, seed=rebuild.read_balance_seed(org_id=used.pk))
    assert live.read_balance(org_id=used.pk, shard=OLD).avail_nanos == USD - 500


def test_a_credit_that_looked_for_the_old_shard_finds_the_new_one(used):
    stale = type(used).objects.get(pk=used.pk)
    _move(used)
    live.resync_balance(shard=NEW, seed=rebuild.read_balance_seed(org_id=used.pk))
    transfers.grant(organization=used, amount_nanos=7, reason="late", idempotency_key="late", by=None)
    live.resync_balance(shard=NEW, seed=live.BalanceSeed(used.pk, USD - 500, 1))

    outbox.publish(stale)
    outbox.publish(used)

    assert live.read_balance(org_id=used.pk, shard=NEW).avail_nanos == USD - 493


def test_names_that_stand_for_requests_come_along(used):
    name = claim_keys(OLD, used.pk, used.key_id, "abc")[-1]
    store().hset(name, mapping={"event": "e", "digest": "d", "done": 1})
    store().expire(name, 5_000)

    _move(used)

    there = claim_keys(NEW, used.pk, used.key_id, "abc")[-1]
    assert store().hgetall(there) == {b"event": b"e", b"digest": b"d", b"done": b"1"}
    assert 4_900 < store().ttl(there) <= 5_000
    assert not store().exists(name)


def test_a_move_that_fails_leaves_the_names_where_they_stand_for_requests(used, monkeypatch):
    name = claim_keys(OLD, used.pk, used.key_id, "abc")[-1]
    store().hset(name, mapping={"event": "e", "digest": "d", "done": 1})
    store().expire(name, 5_000)
    monkeypatch.setattr(live, "leave_shard", lambda **_: False)

    with pytest.raises(moving.CannotMove):
        _move(used)

    assert store().hget(name, "done") == b"1"


def test_a_move_that_fails_leaves_a_freeze_that_was_set_meanwhile(used, monkeypatch):
    def freeze_and_refuse(**_):
        live.put_frozen(org_id=used.pk, shard=OLD, is_frozen=True)  # another process finds its books in doubt
        return False

    monkeypatch.setattr(live, "leave_shard", freeze_and_refuse)
    with pytest.raises(moving.CannotMove):
        _move(used)
    assert plane.reserve(used, plane.new_id(), 1) == "FROZEN"

    running = plane.make_event(used, 90)
    plane.reserve(used, running.event_id, 90, is_running=True)
    with pytest.raises(moving.CannotMove, match="did not end"):
        _move(used, wait_s=0.1)
    assert plane.reserve(used, plane.new_id(), 1) == "FROZEN"


def test_a_freeze_that_is_lifted_during_the_move_is_lifted_on_the_new_shard(used, operator, monkeypatch):
    freezes.freeze(org_ids=[used.pk], reason="I3")
    put = live.put_frozen

    def put_and_move(**arguments):
        monkeypatch.setattr(live, "put_frozen", put)
        told = put(**arguments)
        rebuild.rebuild_shard(shard=NEW)
        type(used).objects.filter(pk=used.pk).update(shard=NEW)
        live.resync_balance(shard=NEW, seed=rebuild.read_balance_seed(org_id=used.pk))
        plane.put_key(NEW)
        put(org_id=used.pk, shard=NEW, is_frozen=True)  # as the books said when it was loaded there
        return told

    monkeypatch.setattr(live, "put_frozen", put_and_move)
    freezes.lift(organization=used, by=operator)

    used.refresh_from_db()
    assert plane.reserve(used, plane.new_id(), 1) == "OK"


def test_a_name_that_is_freed_during_the_move_is_free(used, monkeypatch):
    name = claim_keys(OLD, used.pk, used.key_id, "abc")[-1]
    store().hset(name, mapping={"event": "e", "digest": "d"})
    store().expire(name, 5_000)
    leave = live.leave_shard

    def free_and_leave(**arguments):
        store().delete(name)
        return leave(**arguments)

    monkeypatch.setattr(live, "leave_shard", free_and_leave)
    _move(used)

    assert not store().exists(claim_keys(NEW, used.pk, used.key_id, "abc")[-1])


def test_a_move_from_where_it_is_no_longer_is_refused(used):
    stale = type(used).objects.get(pk=used.pk)
    _move(used)

    with pytest.raises(moving.CannotMove, match="was moved to shard"):
        _move(stale, shard=NEW + 1)


@pytest.mark.parametrize("shard", [-1, 8, OLD])
def test_a_shard_that_is_none_or_the_same_is_refused(used, shard):
    with pytest.raises(moving.CannotMove):
        _move(used, shard)


def test_an_organization_in_doubt_stays(used):
    AdmissionFreeze.objects.create(organization=used, reason="books", frozen_at=timezone.now() - dt.timedelta(hours=1))

    with pytest.raises(moving.CannotMove, match="in doubt"):
        _move(used)


def test_the_command_says_what_it_did_and_why_it_did_not(used, capsys):
    other = organizations.create(name="Other", owner=used.memberships.get().user, shard=OLD)

    call_command("move_organization", used.public_id, "--shard", str(NEW))
    with pytest.raises(CommandError, match=f"stays on shard {NEW}"):
        call_command("move_organization", used.public_id, "--shard", str(NEW))
    with pytest.raises(CommandError, match="--tries"):
        call_command("move_organization", used.public_id, "--shard", "1", "--tries", "0")
    with pytest.raises(CommandError, match="no organization"):
        call_command("move_organization", "org_nobody", "--shard", "1")

    assert f"{used.public_id} moved from shard {OLD} to {NEW}, paused for" in capsys.readouterr().out
    other.refresh_from_db()
    assert other.shard == OLD
