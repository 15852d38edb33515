import datetime as dt

import pytest
from django.utils import timezone

from accounts import api_keys
from billing import live, queries
from billing.books import settlement, transfers
from tests.billing import plane
from tests.billing.conftest import USD


@pytest.fixture
def key_of():
    def make(organization, **fields):
        key = api_keys.create(organization=organization, name="k", by=organization.memberships.get().user, **fields)[0]
        plane.put_key(organization.shard, key.pk)
        return key

    return make


def test_the_balance_is_exact_right_after_a_request_before_anything_is_booked(make_organization):
    organization = make_organization(USD)
    plane.spend(organization, 123)
    plane.reserve(organization, plane.new_id(), 1_000)

    balance = queries.balance(organization)

    assert (balance.available_nanos, balance.held_nanos, balance.remaining_nanos) == (USD - 1_123, 1_000, USD - 123)
    assert queries.total_usage_nanos(organization) == 123
    assert queries.total_credits_nanos(organization) == USD


def test_booking_changes_none_of_the_figures(make_organization, key_of):
    organization = make_organization(USD)
    key = key_of(organization)
    plane.spend(organization, 123, key_id=key.pk)
    before = (queries.balance(organization), queries.total_usage_nanos(organization), queries.key_usage(organization, [key])[key.pk][:4])

    settlement.settle_shard(shard=7)

    after = (queries.balance(organization), queries.total_usage_nanos(organization), queries.key_usage(organization, [key])[key.pk][:4])
    assert before == after
    assert after[2] == (123, 123, 123, 123)


def test_a_credit_on_its_way_to_the_money_store_is_not_taken_for_usage(make_organization, monkeypatch):
    organization = make_organization(USD)
    plane.spend(organization, 5)
    with monkeypatch.context() as patch:
        patch.setattr("billing.books.outbox.publish", lambda _: 0)
        transfers.grant(organization=organization, amount_nanos=700, reason="", idempotency_key="x", by=None)

    assert queries.total_usage_nanos(organization) == 5
    assert queries.total_credits_nanos(organization) == USD + 700


def test_without_the_money_store_the_books_answer(make_organization, key_of, settings):
    organization = make_organization(USD)
    key = key_of(organization)
    plane.spend(organization, 9, key_id=key.pk)
    settlement.settle_shard(shard=7)

    settings.REDIS_URL = "redis://127.0.0.1:1/0"

    assert queries.balance(organization).remaining_nanos == USD - 9
    assert queries.total_usage_nanos(organization) == 9
    assert queries.key_usage(organization, [key])[key.pk].spent_nanos == 9


def test_an_organization_that_never_had_credit_has_nothing(make_organization, money_store):
    organization = make_organization()
    money_store.flushdb()

    assert queries.balance(organization) == (0, 0, 0)
    assert (queries.total_credits_nanos(organization), queries.total_usage_nanos(organization)) == (0, 0)


def test_usage_of_a_key_is_split_by_utc_day_monday_week_and_month(make_organization, key_of, money_store):
    organization = make_organization(USD)
    key = key_of(organization)
    now = timezone.now()
    for days, amount_nanos in ((0, 1), (1, 10), (7, 100), (32, 1_000)):
        plane.settle(
            plane.make_event(organization, amount_nanos, key_id=key.pk, event_id=plane.id_at(now - dt.timedelta(days=days))), late=True
        )
    settlement.settle_shard(shard=7)
    money_store.flushdb()

    usage = queries.key_usage(organization, [key], now=now)[key.pk]

    monday, first = now - dt.timedelta(days=now.weekday()), now.replace(day=1)
    moments = {1: now, 10: now - dt.timedelta(days=1), 100: now - dt.timedelta(days=7), 1_000: now - dt.timedelta(days=32)}
    assert usage.spent_nanos == 1_111
    assert usage.day_nanos == 1
    assert usage.week_nanos == sum(nanos for nanos, at in moments.items() if at.date() >= monday.date())
    assert usage.month_nanos == sum(nanos for nanos, at in moments.items() if at.date() >= first.date())
    assert usage.last_used_at == now.astimezone(dt.UTC).replace(minute=0, second=0, microsecond=0)


def test_a_receipt_is_there_the_moment_the_request_is_settled(make_organization):
    organization = make_organization(USD)
    event = plane.spend(organization, 42, attempts=(plane.ATTEMPT,), app_title="Écrits", meters={"input_tokens": 3})

    assert queries.generation(organization, event.event_id) == event
    assert live.stream_lag(shard=7).entries == 0


def test_a_receipt_sums_its_parts_and_tells_what_happened_last(make_organization):
    organization = make_organization(USD)
    event = plane.make_event(organization, 600)
    plane.reserve(organization, event.event_id, 600, ttl_ms=1)
    while live.reap_expired(shard=7) == 0:
        pass
    settlement.settle_shard(shard=7)
    assert queries.generation(organization, event.event_id).status == "expired"
    plane.settle(event, late=True)
    settlement.settle_shard(shard=7)

    assert queries.generation(organization, event.event_id) == event
    assert queries.latest_requests(organization, 10) == [event]


def test_the_latest_requests_come_newest_first_and_no_more_than_asked(make_organization):
    organization = make_organization(USD)
    events = [plane.spend(organization, number) for number in range(5)]
    settlement.settle_shard(shard=7)

    assert queries.latest_requests(organization, 3) == [events[4], events[3], events[2]]
    assert queries.latest_requests(organization, 50) == events[::-1]


def test_a_stranger_organization_sees_nothing(make_organization, key_of):
    acme, stranger = make_organization(USD), make_organization(2 * USD)
    key = key_of(acme)
    event = plane.spend(acme, 42, key_id=key.pk)
    settlement.settle_shard(shard=7)

    assert queries.generation(stranger, event.event_id) is None
    assert queries.latest_requests(stranger) == []
    assert queries.key_usage(stranger, [key]) == {}
    assert queries.balance(stranger).remaining_nanos == 2 * USD
    assert queries.total_usage_nanos(stranger) == 0


def test_an_id_that_nobody_minted_has_no_receipt(make_organization):
    organization = make_organization(USD)

    assert queries.generation(organization, plane.new_id()) is None
    assert queries.generation(organization, plane.uuid.UUID("ffffffff-ffff-7fff-bfff-ffffffffffff")) is None
    assert queries.generation(organization, plane.uuid.uuid4()) is None
