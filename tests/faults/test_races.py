"""Two who want the same thing at once, clocks that disagree, two versions at work, and a replica that knew less."""

import datetime as dt
import threading
import time
import uuid

import pytest
import redis
from django.utils import timezone

from billing import live
from billing.authorizer import scripts
from billing.books import invariants, outbox, rebuild, settlement
from billing.books.arrivals import DAYS_BACK
from billing.live.store import store
from billing.models import SettlementDeadLetter, UsageEvent
from gateway.local.valkey import MONEY, Valkey
from tests.billing import plane
from tests.billing.conftest import USD
from tests.faults.scale import is_full, times

pytestmark = pytest.mark.xdist_group("faults")


def test_reaper_and_gateway_at_once_charge_every_request_once_and_at_the_gateways_figure(make_organization, record_property):
    organization = make_organization(USD)
    count = times(60, 1_000)
    events = [plane.make_event(organization, 1_000 + number, hold_nanos=5_000) for number in range(count)]
    for event in events:
        plane.reserve(organization, event.event_id, 5_000, ttl_ms=1)
    stopping = threading.Event()

    def reap():
        while not stopping.is_set():
            live.reap_expired(shard=7)

    reaper = threading.Thread(target=reap)
    reaper.start()
    words = [plane.settle(event) for event in events]
    stopping.set()
    reaper.join()
    for event, word in zip(events, words, strict=True):
        if word == "GONE":  # the gateway's janitor sends it again
            assert plane.settle(event, late=True) == "LATE"
    settlement.settle_shard(shard=7)

    booked = {}
    for row in UsageEvent.objects.all():
        booked[row.event_id] = booked.get(row.event_id, 0) + row.amount_nanos
    assert booked == {event.event_id: event.amount_nanos for event in events}
    assert live.read_balance(org_id=organization.pk, shard=7) == (USD - sum(booked.values()), 0, 0, 1)
    assert invariants.verify(shards=[7]) == []
    record_property("repeats", count)
    record_property("figure", f"{words.count('GONE'):,} of {count:,} races won by the reaper")


_MINUTE, _HOUR, _DAY = dt.timedelta(minutes=1), dt.timedelta(hours=1), dt.timedelta(days=1)


@pytest.mark.parametrize("ahead", [10 * _MINUTE, -10 * _MINUTE, _DAY, -_DAY, -_HOUR, -DAYS_BACK * _DAY])
def test_a_gateway_whose_clock_is_wrong_books_into_the_day_of_its_ids(make_organization, ahead):
    organization = make_organization(USD)
    moment = timezone.now() + ahead
    for _ in range(times(2, 10)):
        plane.spend(organization, 5, event_id=plane.id_at(moment))

    settlement.settle_shard(shard=7)

    assert set(UsageEvent.objects.values_list("day", flat=True)) == {moment.astimezone(dt.UTC).date()}
    assert invariants.verify(shards=[7]) == []


@pytest.mark.parametrize("ahead", [2 * _DAY, -(DAYS_BACK + 1) * _DAY])
def test_an_id_too_far_from_now_is_refused_and_its_neighbours_are_booked(make_organization, ahead):
    organization = make_organization(USD)
    plane.spend(organization, 5)
    plane.spend(organization, 5, event_id=plane.id_at(timezone.now() + ahead))

    settled = settlement.settle_shard(shard=7)

    assert (settled.booked, settled.dead_lettered) == (1, 1)
    assert "too far from" in SettlementDeadLetter.objects.get().reason


def test_gateways_of_two_versions_whose_scripts_differ_work_side_by_side(make_organization, monkeypatch):
    organization = make_organization(USD)
    newer = {}
    for name in ("RESERVE", "SETTLE"):
        text = getattr(scripts, name).text + "\n-- the next version\n"
        newer[name] = scripts.Script(name.lower(), text, scripts.hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
    for number in range(times(20, 200)):
        with monkeypatch.context() as patch:
            if number % 2:
                patch.setattr(plane, "RESERVE", newer["RESERVE"])
            if number % 3:
                patch.setattr(plane, "SETTLE", newer["SETTLE"])
            plane.spend(organization, 7)
        if number % 7 == 0:
            store().script_flush()
        if number % 5 == 0:
            settlement.settle_shard(shard=7)
    settlement.settle_shard(shard=7)

    assert UsageEvent.objects.count() == times(20, 200)
    assert invariants.verify(shards=[7]) == []


@pytest.fixture
def pair(tmp_path, settings, money_store):
    """A money store and its replica."""
    primary = Valkey(tmp_path / "primary", options=MONEY)
    first = primary.start()
    replica = Valkey(tmp_path / "replica", options=MONEY)
    second = replica.start()
    settings.REDIS_URL = first.url
    password, port = first.url.partition("//:")[2].partition("@")[0], first.url.rpartition(":")[2].partition("/")[0]
    follower = redis.Redis.from_url(second.url)
    follower.config_set("masterauth", password)
    redis.Redis.from_url(first.url).config_set("repl-diskless-sync-delay", 0)
    follower.replicaof("127.0.0.1", port)
    yield first.url, second.url, follower
    follower.close()
    for server in (primary, replica):
        server.stop()


def _await_sync(leader_url, follower):
    leader = redis.Redis.from_url(leader_url)
    deadline = time.monotonic() + 30
    while follower.info("replication")["master_link_status"] != "up":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert leader.wait(1, 10_000) == 1


@pytest.mark.parametrize("behind", [1, 50, *([5_000] if is_full() else [])])
def test_a_promoted_replica_that_was_behind_spends_nothing_before_its_rebuild_and_loses_nothing(make_organization, pair, settings, behind):
    leader_url, follower_url, follower = pair
    organization = make_organization(USD)
    kept = [plane.spend(organization, 3) for _ in range(5)]
    settlement.settle_shard(shard=7)
    _await_sync(leader_url, follower)

    follower.replicaof("NO", "ONE")  # cut off, and promoted below: it knows nothing of what follows
    lost = [plane.spend(organization, 11) for _ in range(behind)]
    running = plane.make_event(organization, 40)
    plane.reserve(organization, running.event_id, 40)

    settings.REDIS_URL = follower_url
    with pytest.raises(live.EpochClosed):
        plane.reserve(organization, uuid.uuid4(), 1)  # another server's epoch, so nobody spends
    rebuild.rebuild_shard(shard=7)
    outbox.publish_pending()
    plane.put_key(7)
    # Gateways hold what runs again and send what is not booked; the old server's replies are of an older epoch.
    assert plane.reserve(organization, running.event_id, 40, is_running=True) == "OK"
    for event in [*kept, *lost]:
        assert plane.settle(event, late=True) == "LATE"
    plane.settle(running)
    settlement.settle_shard(shard=7)

    assert live.read_balance(org_id=organization.pk, shard=7) == (USD - 15 - 11 * behind - 40, 0, 0, 1)
    assert UsageEvent.objects.count() == 6 + behind
    assert invariants.verify(shards=[7]) == []
