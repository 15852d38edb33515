import datetime as dt
import random
import threading

import pytest
from django.db import connection
from django.utils import timezone

from billing import live
from billing.books import charges, invariants, settlement, transfers, usage
from billing.books.shard_lock import ShardBusy, hold_shard
from billing.models import SettlementDeadLetter, Transfer, UsageBatch, UsageEvent, UsageRollup
from tests.billing import plane
from tests.billing.conftest import USD


def test_a_settled_request_becomes_a_row_a_transfer_and_a_rollup_and_leaves_nothing_unposted(make_organization, books):
    organization = make_organization(10 * USD)
    event = plane.spend(organization, 214_000)

    settled = settlement.settle_shard(shard=7)

    assert settled == (1, 1, 0, 0, 214_000)
    row = UsageEvent.objects.get()
    assert (row.event_id, row.org_id, row.amount_nanos, row.part, row.shard) == (event.event_id, organization.pk, 214_000, 0, 7)
    assert books() == {
        "goodwill": 10 * USD,
        "customer_credit": 10 * USD - 214_000,
        "revenue_usage": 214_000,
        "provider_cost": 107_000,
        "provider_payable": 107_000,
    }
    rollup = UsageRollup.objects.get()
    assert (rollup.requests, rollup.amount_nanos, rollup.cost_nanos, rollup.input_tokens, rollup.output_tokens) == (
        1,
        214_000,
        107_000,
        10,
        5,
    )
    assert live.read_balance(org_id=organization.pk, shard=7) == (10 * USD - 214_000, 0, 0, 1)
    assert live.stream_lag(shard=7).entries == 0
    assert invariants.verify(shards=[7]) == []


def test_promo_credit_is_used_before_credit_and_the_overrun_is_charged_in_full(make_organization, books):
    organization = make_organization(100, promo=True)
    transfers.grant(organization=organization, amount_nanos=50, reason="sorry", idempotency_key="plain", by=None, promo=False)
    plane.settle(plane.make_event(organization, 170, hold_nanos=0), late=True)

    settlement.settle_shard(shard=7)

    assert books() == {
        "promo_expense": 100,
        "customer_promo": 0,
        "goodwill": 50,
        "customer_credit": -20,
        "revenue_usage": 170,
        "provider_cost": 85,
        "provider_payable": 85,
    }
    assert list(Transfer.objects.filter(code=10).order_by("id").values_list("amount_nanos", flat=True).order_by("amount_nanos")) == [
        70,
        100,
    ]
    assert live.read_balance(org_id=organization.pk, shard=7) == (-20, 0, 0, 2)
    assert invariants.verify(shards=[7]) == []


def test_a_free_request_and_a_simulated_one_cost_nothing_but_leave_their_receipts(make_organization, books):
    organization = make_organization(10)
    plane.spend(organization, 0)
    plane.spend(organization, 6, cost_nanos=5, simulated=True)

    settlement.settle_shard(shard=7)

    assert books() == {"goodwill": 10, "customer_credit": 4, "revenue_usage": 6}
    assert UsageEvent.objects.count() == 2
    assert UsageRollup.objects.get().cost_nanos == 0
    assert invariants.verify(shards=[7]) == []


def test_ten_thousand_events_delivered_one_to_five_times_shuffled_over_four_shards_become_ten_thousand_rows(make_organization):
    dice = random.Random(4)
    organizations = [make_organization(1_000 * USD, shard=shard) for shard in (3, 4, 5, 6)]
    events = [plane.make_event(organizations[number % 4], number % 97) for number in range(10_000)]
    deliveries = [event for event in events for _ in range(dice.randint(1, 5))]
    dice.shuffle(deliveries)
    pipe = live.store.store().pipeline(transaction=False)
    for number, event in enumerate(deliveries):
        fields = {
            "id": event.event_id.hex,
            "org": event.org_id,
            "key": 1,
            "amt": event.amount_nanos,
            "ep": 1,
            "d": plane.msgspec.json.encode(event),
        }
        keys = plane.shard_keys(event.shard)
        pipe.xadd(keys.stream, fields)
        pipe.hincrby(f"{keys.balance}{event.org_id}", "avail", -event.amount_nanos)
        pipe.hincrby(f"{keys.balance}{event.org_id}", "unposted", event.amount_nanos)
        if number % 5_000 == 0:
            pipe.execute()
    pipe.execute()

    settled = [settlement.settle_shard(shard=shard) for shard in (3, 4, 5, 6)]

    assert sum(s.entries for s in settled) == len(deliveries)
    assert sum(s.booked for s in settled) == 10_000
    assert UsageEvent.objects.count() == 10_000
    assert sum(s.duplicates for s in settled) == len(deliveries) - 10_000
    for organization in organizations:
        spent = sum(event.amount_nanos for event in events if event.org_id == organization.pk)
        assert live.read_balance(org_id=organization.pk, shard=organization.shard) == (1_000 * USD - spent, 0, 0, 1)
    assert invariants.verify(shards=[3, 4, 5, 6]) == []


def test_a_second_entry_of_an_event_is_not_booked_and_its_charge_is_given_back(make_organization, books):
    organization = make_organization(1_000)
    event = plane.spend(organization, 300)
    settlement.settle_shard(shard=7)
    assert plane.settle(event, late=True) == "LATE"
    assert live.read_balance(org_id=organization.pk, shard=7).avail_nanos == 400

    settled = settlement.settle_shard(shard=7)

    assert settled == (1, 0, 1, 0, 0)
    assert live.read_balance(org_id=organization.pk, shard=7) == (700, 0, 0, 1)
    assert live.read_key_usage(shard=7, key_ids=[1])[1].spent_nanos == 300
    assert books()["customer_credit"] == 700
    assert UsageBatch.objects.count() == 1


@pytest.mark.parametrize(("spent", "true"), [(200, 900), (500, 300), (400, 400), (0, 250)])
@pytest.mark.parametrize("together", [True, False])
def test_a_late_settlement_after_the_reaper_books_the_difference_to_the_true_figure(make_organization, spent, true, together):
    organization = make_organization(1_000)
    event = plane.make_event(organization, true, hold_nanos=1_000)
    assert plane.reserve(organization, event.event_id, 1_000, ttl_ms=1) == "OK"
    keys = plane.shard_keys(7)
    name = f"{keys.holds}{organization.pk}"
    hold = live.store.store().hget(name, event.event_id.hex).decode()
    live.store.store().hset(name, event.event_id.hex, hold.replace("1000 0 ", f"1000 {spent} ", 1))
    while live.reap_expired(shard=7) == 0:
        pass
    if not together:
        settlement.settle_shard(shard=7)
        assert UsageEvent.objects.get().status == "expired"
    assert plane.settle(event, late=True) == "LATE"

    settlement.settle_shard(shard=7)

    assert list(UsageEvent.objects.order_by("part").values_list("part", "amount_nanos", "status")) == [
        (0, spent, "expired"),
        (1, true - spent, "ok"),
    ]
    assert live.read_balance(org_id=organization.pk, shard=7) == (1_000 - true, 0, 0, 1)
    assert live.read_key_usage(shard=7, key_ids=[1])[1].spent_nanos == true
    assert UsageRollup.objects.get().requests == 1
    assert UsageRollup.objects.get().input_tokens == 10
    assert invariants.verify(shards=[7]) == []


def test_the_true_figure_twice_after_the_reaper_is_charged_once(make_organization):
    organization = make_organization(1_000)
    event = plane.make_event(organization, 600)
    plane.reserve(organization, event.event_id, 600, ttl_ms=1)
    while live.reap_expired(shard=7) == 0:
        pass
    plane.settle(event, late=True)
    plane.settle(event, late=True)

    settlement.settle_shard(shard=7)

    assert live.read_balance(org_id=organization.pk, shard=7) == (400, 0, 0, 1)
    assert invariants.verify(shards=[7]) == []


def test_the_reaper_after_a_booked_settlement_charges_nothing(make_organization):
    organization = make_organization(1_000)
    event = plane.spend(organization, 600)
    settlement.settle_shard(shard=7)
    plane.reserve(organization, event.event_id, 300, ttl_ms=1, is_running=True)
    while live.reap_expired(shard=7) == 0:
        pass

    settlement.settle_shard(shard=7)

    assert UsageEvent.objects.get().status == "ok"
    assert live.read_balance(org_id=organization.pk, shard=7) == (400, 0, 0, 1)


def test_two_consumers_at_once_book_everything_once(make_organization):
    organization = make_organization(1_000 * USD)
    for _ in range(300):
        plane.spend(organization, 1_000)
    outcomes: list[object] = []

    def consume() -> None:
        try:
            outcomes.append(settlement.settle_shard(shard=7, wait_s=10).booked)
        finally:
            connection.close()

    threads = [threading.Thread(target=consume) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == [0, 0, 0, 300]
    assert live.read_balance(org_id=organization.pk, shard=7) == (1_000 * USD - 300_000, 0, 0, 1)
    assert invariants.verify(shards=[7]) == []


def test_what_arrives_while_a_call_books_is_left_to_the_next_one_so_that_steady_traffic_cannot_keep_it_for_ever(
    make_organization, monkeypatch
):
    organization = make_organization(10 * USD)
    plane.spend(organization, 1_000)
    book = settlement._book

    def book_while_more_arrives(shard, batch, **how):
        booked = book(shard, batch, **how)
        plane.spend(organization, 1_000)
        return booked

    monkeypatch.setattr(settlement, "_book", book_while_more_arrives)

    assert [settlement.settle_shard(shard=7).booked for _ in range(3)] == [1, 1, 1]
    assert live.stream_lag(shard=7).entries == 1


def test_a_shard_that_is_held_elsewhere_is_refused_and_left_to_its_holder(make_organization):
    make_organization(USD)
    outcomes: list[object] = []

    def consume() -> None:
        try:
            settlement.settle_shard(shard=7)
        except ShardBusy as error:
            outcomes.append(str(error))
        finally:
            connection.close()

    with hold_shard(7):
        thread = threading.Thread(target=consume)
        thread.start()
        thread.join()

    assert outcomes == ["shard 7 is being settled elsewhere"]


def test_events_around_midnight_land_in_their_own_days_and_hours(make_organization):
    organization = make_organization(USD)
    midnight = timezone.now().astimezone(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    for offset_ms in (-1, 0):
        moment = midnight + dt.timedelta(milliseconds=offset_ms)
        plane.spend(organization, 10, event_id=plane.id_at(moment))

    settlement.settle_shard(shard=7)

    assert list(UsageEvent.objects.order_by("day").values_list("day", flat=True)) == [
        midnight.date() - dt.timedelta(days=1),
        midnight.date(),
    ]
    hours = list(UsageRollup.objects.order_by("hour").values_list("hour", flat=True))
    assert hours == [midnight - dt.timedelta(hours=1), midnight]
    assert invariants.verify(shards=[7]) == []


def test_a_zero_character_in_text_is_replaced_and_the_request_is_charged(make_organization):
    organization = make_organization(USD)
    plane.spend(organization, 10, session_id="a\0b", app_title="\\u0000", meters={"input_tokens": 1, "x\0": 2})

    settlement.settle_shard(shard=7)

    row = UsageEvent.objects.get()
    assert (row.session_id, row.app_title, row.amount_nanos) == ("a\N{REPLACEMENT CHARACTER}b", "\\u0000", 10)
    assert row.meters == {"input_tokens": 1, "x\N{REPLACEMENT CHARACTER}": 2}
    assert SettlementDeadLetter.objects.count() == 0


def test_what_is_due_is_booked_on_every_shard_and_shards_without_an_epoch_are_opened(make_organization, settings):
    settings.LEDGER_SHARDS = 12
    organizations = [make_organization(USD, shard=shard) for shard in (0, 11)]
    for organization in organizations:
        plane.spend(organization, 5)

    assert settlement.settle_due() == 2

    assert UsageEvent.objects.count() == 2
    assert live.shards_with_stale_epochs() == []
    assert settlement.settle_due() == 0


def test_texts_that_mean_something_to_copy_arrive_as_they_are(make_organization):
    organization = make_organization(10 * USD)
    odd = "tab\there, line\nand\r\nreturn, back\\slash, \\N, \\., 文字 🦊"
    plane.spend(organization, 5, user_agent=odd, app_title="\\N", finish_reason="")

    settlement.settle_shard(shard=7)

    row = UsageEvent.objects.get()
    assert (row.user_agent, row.app_title, row.finish_reason) == (odd, "\\N", "")


def test_acknowledging_again_what_was_half_acknowledged_counts_the_rest_once(make_organization):
    organization, other = make_organization(100), make_organization(100)
    for amount_nanos in (1, 2, 4):
        plane.spend(organization, amount_nanos)
        plane.spend(other, 8 * amount_nanos)
    entries = live.read_batch(shard=7)
    acks = [live.Ack(one.stream_id, one.org_id, one.key_id, one.amount_nanos) for one in entries]

    assert live.acknowledge(shard=7, acks=acks[:3]) == 3
    assert live.acknowledge(shard=7, acks=acks) == 3
    assert live.acknowledge(shard=7, acks=acks) == 0

    assert live.read_balance(org_id=organization.pk, shard=7) == (93, 0, 0, 1)
    assert live.read_balance(org_id=other.pk, shard=7) == (44, 0, 0, 1)
    assert live.stream_lag(shard=7).entries == 0


@pytest.mark.parametrize("blocks", [0, 2**20])  # none, and all: what earlier tests deleted leaves room in front, where rows may be written
def test_rows_are_read_back_from_wherever_they_stand(make_organization, monkeypatch, blocks):
    monkeypatch.setattr(usage, "_BLOCKS_BEFORE", blocks)
    monkeypatch.setattr(usage, "_COPIED_BYTES_A_BLOCK", 2**31)
    organization, other = make_organization(USD), make_organization(USD)
    looked_up = []
    look_up = usage._look_up
    monkeypatch.setattr(usage, "_look_up", lambda sought, **batch: looked_up.extend(sought) or look_up(sought, **batch))
    used = []
    assert_balanced = charges.assert_balanced
    monkeypatch.setattr(charges, "assert_balanced", lambda nanos, **batch: used.append(dict(nanos)) or assert_balanced(nanos, **batch))
    for amount_nanos in range(1, 6):
        plane.spend(organization, amount_nanos)
    plane.spend(other, 70)

    assert settlement.settle_shard(shard=7).booked == 6

    assert used == [{organization.pk: 15, other.pk: 70}]
    assert len(looked_up) == (0 if blocks else 6)
