import pytest

from accounts import api_keys
from billing import live, queries
from billing.books import invariants, outbox, rebuild, settlement, transfers
from billing.models import BalanceChange, UsageEvent
from tests.billing import plane
from tests.billing.conftest import USD


def _grant(organization, amount_nanos, key):
    transfers.grant(organization=organization, amount_nanos=amount_nanos, reason="", idempotency_key=key, by=None)


def test_a_wiped_money_store_is_rebuilt_to_the_nano_with_keys_and_running_requests(make_organization, money_store):
    organization = make_organization(10 * USD)
    key, _ = api_keys.create(
        organization=organization, name="k", by=organization.memberships.get().user, limit_nanos=5 * USD, limit_reset="monthly"
    )
    plane.put_key(7, key.pk)
    booked = plane.spend(organization, 300, key_id=key.pk)
    settlement.settle_shard(shard=7)
    spooled = plane.spend(organization, 50, key_id=key.pk)
    running = plane.make_event(organization, 900, key_id=key.pk)
    plane.reserve(organization, running.event_id, 900, key_id=key.pk)

    money_store.flushdb()
    assert live.shards_with_stale_epochs() == list(range(256))
    with pytest.raises(live.EpochClosed):
        plane.reserve(organization, plane.new_id(), 1, key_id=key.pk)
    rebuild.rebuild_shard(shard=7)

    assert live.read_balance(org_id=organization.pk, shard=7) == (10 * USD - 300, 0, 0, 1)
    usage = live.read_key_usage(shard=7, key_ids=[key.pk])[key.pk]
    assert usage == (300, 300, 300, 300, 0, 5 * USD, 5 * USD - 300)
    # What the gateways do then: holds are asserted again, unbooked events sent again, and a booked one too.
    assert plane.reserve(organization, running.event_id, 900, key_id=key.pk, is_running=True) == "OK"
    assert plane.settle(spooled, late=True) == "LATE"
    assert plane.settle(booked, late=True) == "LATE"
    assert plane.settle(running) == "OK"
    settlement.settle_shard(shard=7)
    assert live.read_balance(org_id=organization.pk, shard=7) == (10 * USD - 1_250, 0, 0, 1)
    assert live.read_key_usage(shard=7, key_ids=[key.pk])[key.pk].free_nanos == 5 * USD - 1_250
    assert UsageEvent.objects.count() == 3
    assert invariants.verify(shards=[7]) == []


def test_the_settle_job_rebuilds_a_wiped_store_by_itself(make_organization, money_store, settings):
    settings.LEDGER_SHARDS = 12
    organization = make_organization(USD)
    money_store.flushdb()

    settlement.settle_due()

    assert live.read_balance(org_id=organization.pk, shard=7) == (USD, 0, 0, 1)
    assert live.shards_with_stale_epochs() == []


def test_a_rebuild_of_a_healthy_shard_books_its_stream_first(make_organization):
    organization = make_organization(USD)
    plane.spend(organization, 7)

    rebuilt = rebuild.rebuild_shard(shard=7)

    assert rebuilt.settled.booked == 1
    assert live.read_balance(org_id=organization.pk, shard=7) == (USD - 7, 0, 0, 1)


def test_every_rebuild_begins_a_later_epoch(make_organization):
    make_organization(USD)

    first, second = rebuild.rebuild_shard(shard=7).epoch, rebuild.rebuild_shard(shard=7).epoch

    assert second > first


def test_a_shard_whose_stream_cannot_be_drained_stays_closed(make_organization, monkeypatch):
    organization = make_organization(USD)
    plane.spend(organization, 7)
    with monkeypatch.context() as patch:
        patch.setattr(live, "acknowledge", lambda **_: 0)
        with pytest.raises(rebuild.NotDrained):
            rebuild.rebuild_shard(shard=7)

    assert not live.epoch_is_current(shard=7)
    rebuild.rebuild_shard(shard=7)
    assert live.read_balance(org_id=organization.pk, shard=7) == (USD - 7, 0, 0, 1)


def test_a_grant_while_the_store_is_empty_waits_and_is_in_the_rebuilt_balance_once(make_organization, money_store):
    organization = make_organization(USD)
    money_store.flushdb()

    _grant(organization, 5, "while away")
    assert BalanceChange.objects.filter(published_at=None).count() == 1
    assert outbox.publish_pending() == 0
    rebuild.rebuild_shard(shard=7)
    assert outbox.publish_pending() == 1

    assert BalanceChange.objects.filter(published_at=None).count() == 0
    assert live.read_balance(org_id=organization.pk, shard=7) == (USD + 5, 0, 0, 2)


def test_a_change_published_twice_or_sent_again_counts_once(make_organization):
    organization = make_organization(USD)
    _grant(organization, 5, "more")
    BalanceChange.objects.update(published_at=None)

    assert outbox.publish_pending() == 2

    assert live.read_balance(org_id=organization.pk, shard=7) == (USD + 5, 0, 0, 2)


def test_a_change_that_the_store_missed_is_made_good_from_the_books(make_organization, money_store):
    organization = make_organization(USD)
    plane.spend(organization, 11)
    event = plane.make_event(organization, 100)
    plane.reserve(organization, event.event_id, 100)
    name = f"{plane.shard_keys(7).balance}{organization.pk}"
    money_store.hset(name, mapping={"seq": 0, "avail": money_store.hget(name, "avail")})

    _grant(organization, 5, "more")

    assert live.read_balance(org_id=organization.pk, shard=7) == (USD + 5 - 11 - 100, 100, 0, 2)
    assert queries.balance(organization).remaining_nanos == USD + 5 - 11
    assert invariants.verify(shards=[7]) == []


def test_a_store_that_is_away_does_not_undo_a_grant(make_organization, settings, caplog):
    organization = make_organization(USD)
    url, settings.REDIS_URL = settings.REDIS_URL, "redis://127.0.0.1:1/0"

    _grant(organization, 5, "store is away")

    settings.REDIS_URL = url
    assert queries.total_credits_nanos(organization) == USD + 5
    assert outbox.publish_pending() == 1
    assert live.read_balance(org_id=organization.pk, shard=7).avail_nanos == USD + 5
