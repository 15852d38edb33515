"""Receipts that are sought before they are booked, and ids that nobody made."""

import threading
from collections.abc import Callable

import pytest
from django.db import connection

from billing import live, queries
from billing.books import misses, settlement
from billing.models import UsageEvent
from tests.billing import plane
from tests.billing.conftest import USD


@pytest.fixture
def pause_for_ever(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Make every pause endless. Return what ends them all."""
    monkeypatch.setattr(misses, "PAUSE_S", float("inf"))
    return lambda: monkeypatch.setattr(misses, "PAUSE_S", 0.0)


def test_after_an_id_in_vain_the_shard_is_not_settled_for_another_until_the_pause_is_over(make_organization, pause_for_ever):
    organization = make_organization(USD)
    assert queries.generation(organization, plane.new_id()) is None
    event = plane.spend(organization, 5)

    assert queries.generation(organization, plane.new_id()) is None
    # It is read where it waits.
    assert queries.full_receipt(organization, event.event_id) == (event, ())
    assert (UsageEvent.objects.count(), live.stream_lag(shard=7).entries) == (0, 1)

    pause_for_ever()
    assert queries.generation(organization, event.event_id) == event


def test_during_the_pause_the_books_answer(make_organization, pause_for_ever):
    organization = make_organization(USD)
    assert queries.generation(organization, plane.new_id()) is None
    event = plane.spend(organization, 5)
    settlement.settle_shard(shard=7)

    assert queries.generation(organization, event.event_id) == event


def test_a_settlement_that_brought_what_was_sought_begins_no_pause(make_organization, pause_for_ever):
    organization = make_organization(USD)

    for amount_nanos in (1, 2, 3):
        event = plane.spend(organization, amount_nanos)
        assert queries.generation(organization, event.event_id) == event


def test_a_pause_holds_for_its_own_shard_only(make_organization, pause_for_ever):
    prober, organization = make_organization(USD, shard=6), make_organization(USD)
    assert queries.generation(prober, plane.new_id()) is None

    event = plane.spend(organization, 5)
    assert queries.generation(organization, event.event_id) == event


def test_a_settlement_that_fails_begins_a_pause_too(make_organization, pause_for_ever, settings):
    organization = make_organization(USD)
    event = plane.spend(organization, 5)
    reachable = settings.REDIS_URL
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    assert queries.generation(organization, event.event_id) is None

    settings.REDIS_URL = reachable
    assert queries.full_receipt(organization, event.event_id) == (event, ())
    assert UsageEvent.objects.count() == 0

    pause_for_ever()
    assert queries.generation(organization, event.event_id) == event


def test_many_ids_in_vain_at_once_settle_the_shard_once(make_organization, pause_for_ever, monkeypatch):
    organization = make_organization(USD)
    settled: list[int] = []
    settle_shard = settlement.settle_shard

    def count_and_settle(*, shard: int, wait_s: float) -> settlement.Settled:
        settled.append(shard)
        return settle_shard(shard=shard, wait_s=wait_s)

    monkeypatch.setattr(settlement, "settle_shard", count_and_settle)
    start = threading.Barrier(4)

    def ask() -> None:
        start.wait()
        queries.generation(organization, plane.new_id())
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert settled == [7]
