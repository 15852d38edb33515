import json
import time

import msgspec
import pytest
import redis

from billing import live
from billing.live import Ack, EpochClosed
from billing.live import holds as reaper
from billing.types import UsageEvent
from tests.billing.authorizer.shard import CONTEXT, KEY, ORG, SHARD, Shard, new_id, scope


def ack(entry: live.StreamEntry, refund: int = 0) -> Ack:
    return Ack(entry.stream_id, entry.org_id, entry.key_id, entry.amount_nanos, refund)


def test_settling_returns_the_hold_and_charges_the_amount(shard: Shard) -> None:
    shard.open(1_000)
    event_id = new_id()
    shard.reserve(event_id, 300)
    assert shard.settle(event_id, 120, held=300) == "OK"
    assert shard.balance() == (880, 0, 120)
    assert shard.key()[:5] == (120, 120, 120, 120, 0)
    assert shard.store.zcard(shard.keys.deadlines) == 0


def test_a_settlement_above_its_hold_is_charged_in_full(shard: Shard) -> None:
    shard.open(100)
    event_id = new_id()
    shard.reserve(event_id, 100)
    assert shard.settle(event_id, 130, held=100) == "OK"
    assert shard.balance() == (-30, 0, 130)


def test_a_caller_that_does_not_know_the_hold_settles_it_all_the_same(shard: Shard) -> None:
    shard.open(1_000, key=scope(limit=1_000))
    event_id = new_id()
    shard.reserve(event_id, 300)
    assert shard.settle(event_id, 120, held=299) == "OK"
    assert shard.balance() == (880, 0, 120)
    assert shard.stored_free() == 880


def test_a_second_settlement_charges_only_when_it_says_so(shard: Shard) -> None:
    shard.open(1_000)
    event_id = new_id()
    shard.reserve(event_id, 300)
    shard.settle(event_id, 120, held=300)
    before = shard.everything()
    assert shard.settle(event_id, 120, held=300) == "GONE"
    assert shard.everything() == before
    assert shard.settle(event_id, 120, held=300, late=True) == "LATE"
    assert shard.balance() == (760, 0, 240)


def test_a_settlement_of_unknown_scopes_does_nothing(shard: Shard) -> None:
    shard.open(1_000)
    before = shard.everything()
    assert shard.settle(new_id(), 1, org=99, late=True) == "NO_ORG"
    assert shard.settle(new_id(), 1, keys=(99,), late=True) == "NO_KEY"
    assert shard.everything() == before


def test_a_closed_epoch_settles_nothing(shard: Shard) -> None:
    shard.open(1_000)
    event_id = new_id()
    shard.reserve(event_id, 300)
    live.close_epoch(shard=SHARD)
    before = shard.everything()
    with pytest.raises(EpochClosed):
        shard.settle(event_id, 120, held=300)
    assert shard.everything() == before


def test_the_stream_carries_the_event_and_where_it_came_from(shard: Shard) -> None:
    epoch = shard.open(1_000)
    event_id = new_id()
    shard.reserve(event_id, 300)
    shard.settle(event_id, 120, held=300)
    [entry] = shard.entries()
    assert entry.src == f"{epoch}:{entry.stream_id}"
    assert (entry.event_id, entry.org_id, entry.key_id, entry.amount_nanos) == (event_id, ORG, KEY, 120)
    assert json.loads(entry.event)["amount_nanos"] == 120


def test_a_batch_is_given_again_until_it_is_acknowledged(shard: Shard) -> None:
    shard.open(1_000)
    for amount in (1, 2, 3):
        shard.settle(new_id(), amount, late=True)
    first = shard.entries()
    assert live.read_batch(shard=SHARD) == first
    shard.settle(new_id(), 4, late=True)
    assert live.acknowledge(shard=SHARD, acks=[ack(entry) for entry in first[:2]]) == 2
    assert [entry.amount_nanos for entry in shard.entries()] == [3, 4]
    assert live.acknowledge(shard=SHARD, acks=[ack(first[2])]) == 1
    assert [entry.amount_nanos for entry in shard.entries()] == [4]


def test_an_acknowledgement_counts_once(shard: Shard) -> None:
    shard.open(1_000)
    shard.settle(new_id(), 70, late=True)
    acks = [ack(entry) for entry in shard.entries()]
    assert live.acknowledge(shard=SHARD, acks=acks * 2) == 1
    assert live.acknowledge(shard=SHARD, acks=acks) == 0
    assert shard.balance() == (930, 0, 0)
    assert live.shards_with_entries() == []


def test_a_refund_goes_back_to_every_scope(shard: Shard) -> None:
    shard.open(1_000, key=scope(limit=500))
    event_id = new_id()
    shard.settle(event_id, 70, late=True)
    shard.settle(event_id, 70, late=True)
    first, second = shard.entries()
    live.acknowledge(shard=SHARD, acks=[ack(first), ack(second, refund=70)])
    assert shard.balance() == (930, 0, 0)
    assert shard.key()[:4] == (70, 70, 70, 70)
    assert shard.stored_free() == shard.key().free_nanos == 430


def test_a_refund_may_be_negative(shard: Shard) -> None:
    shard.open(1_000, key=scope(limit=500))
    shard.settle(new_id(), 70, late=True)
    live.acknowledge(shard=SHARD, acks=[ack(entry, refund=-5) for entry in shard.entries()])
    assert shard.balance() == (925, 0, 0)
    assert shard.key()[0] == 75
    assert shard.stored_free() == 425


def test_a_thousand_acknowledgements_go_in_parts(shard: Shard) -> None:
    shard.open(1_000_000)
    for _ in range(1_050):
        shard.settle(new_id(), 3, late=True)
    entries = live.read_batch(shard=SHARD, count=2_000)
    assert live.acknowledge(shard=SHARD, acks=[ack(entry) for entry in entries]) == 1_050
    assert shard.balance() == (1_000_000 - 3_150, 0, 0)


def test_the_lag_is_the_age_of_the_oldest_entry(shard: Shard) -> None:
    shard.open(1_000)
    assert live.stream_lag(shard=SHARD) == (0, 0)
    shard.settle(new_id(), 1, late=True)
    time.sleep(0.05)
    shard.settle(new_id(), 1, late=True)
    lag = live.stream_lag(shard=SHARD)
    assert lag.entries == 2
    assert 50 <= lag.oldest_ms < 5_000
    assert live.shards_with_entries() == [SHARD]


# --- heartbeat and reaper ---


def test_a_heartbeat_renews_the_deadline_and_notes_the_cost(shard: Shard) -> None:
    shard.open(1_000)
    event_id = new_id()
    shard.reserve_reply(event_id, 300, ttl_ms=1)
    time.sleep(0.01)
    assert shard.heartbeat({event_id: 40, new_id(): 1})[2:] == [1, 0]
    assert live.reap_expired(shard=SHARD) == 0
    [(_, held, [hold])] = live.read_holds(shard=SHARD)
    assert (held, hold.amount_nanos, hold.spent_nanos) == (300, 300, 40)
    assert -30_000 <= hold.overdue_ms < -20_000


def test_the_reaper_charges_what_the_last_heartbeat_said(shard: Shard) -> None:
    shard.open(1_000, key=scope(limit=600))
    event_id = new_id()
    shard.reserve(event_id, 300)
    shard.heartbeat({event_id: 40}, ttl_ms=1)
    time.sleep(0.01)
    assert live.shards_with_holds() == [SHARD]
    assert live.reap_expired(shard=SHARD) == 1
    assert live.reap_expired(shard=SHARD) == 0
    assert shard.balance() == (960, 0, 40)
    assert shard.stored_free() == 560
    [entry] = shard.entries()
    event = json.loads(entry.event)
    assert (event["status"], event["amount_nanos"], event["amount_picos"], event["hold_nanos"]) == ("expired", 40, 40_000, 300)
    assert (event["org_id"], event["key_id"], event["shard"]) == (ORG, KEY, SHARD)
    assert (event["model"], event["external_user"]) == (CONTEXT.model, CONTEXT.external_user)
    assert live.shards_with_holds() == []


def test_an_expired_hold_without_heartbeat_is_free(shard: Shard) -> None:
    shard.open(1_000)
    shard.reserve_reply(new_id(), 300, ttl_ms=1)
    time.sleep(0.01)
    assert live.reap_expired(shard=SHARD) == 1
    assert shard.balance() == (1_000, 0, 0)


def test_a_hold_whose_context_cannot_be_read_is_closed_too_and_stops_nobody(shard: Shard) -> None:
    shard.open(1_000)
    strange, ordinary = new_id(), new_id()
    for event_id in (strange, ordinary):
        shard.reserve_reply(event_id, 300, ttl_ms=1)
    shard.store.hset(f"{shard.keys.holds}{ORG}", strange.hex, b'300 40 7 {"of": "another version"}')
    time.sleep(0.01)
    assert live.reap_expired(shard=SHARD) == 2
    assert shard.balance() == (960, 0, 40)
    event = msgspec.json.decode({entry.event_id: entry.event for entry in shard.entries()}[strange], type=UsageEvent)
    assert (event.amount_nanos, event.model, event.started_at_ms) == (40, "unknown", strange.int >> 80)


def test_either_the_gateway_or_the_reaper_closes_a_hold(shard: Shard) -> None:
    shard.open(1_000)
    for _ in range(20):
        event_id = new_id()
        shard.reserve_reply(event_id, 30, ttl_ms=1)
        time.sleep(0.002)
        assert live.reap_expired(shard=SHARD) == 1
        assert shard.settle(event_id, 10, held=30) == "GONE"
        event_id = new_id()
        shard.reserve_reply(event_id, 30, ttl_ms=1)
        assert shard.settle(event_id, 10, held=30) == "OK"
        assert live.reap_expired(shard=SHARD) == 0
    assert shard.balance() == (800, 0, 200)


def test_the_reaper_leaves_a_hold_that_changed_under_its_hands(shard: Shard, monkeypatch: pytest.MonkeyPatch) -> None:
    shard.open(1_000)
    event_id = new_id()
    shard.reserve_reply(event_id, 300, ttl_ms=1)
    time.sleep(0.01)
    real = reaper._expired_event

    def renew_meanwhile(*args: object) -> object:
        shard.heartbeat({event_id: 55}, ttl_ms=1)
        time.sleep(0.01)
        return real(*args)

    monkeypatch.setattr(reaper, "_expired_event", renew_meanwhile)
    assert live.reap_expired(shard=SHARD) == 0
    monkeypatch.undo()
    assert live.reap_expired(shard=SHARD) == 1
    assert shard.balance() == (945, 0, 55)


def test_the_reaper_waits_for_a_rebuild(shard: Shard) -> None:
    shard.open(1_000)
    shard.reserve_reply(new_id(), 300, ttl_ms=1)
    time.sleep(0.01)
    live.close_epoch(shard=SHARD)
    assert live.reap_expired(shard=SHARD) == 0
    assert shard.balance() == (700, 300, 0)


def test_an_overflowing_settlement_changes_nothing(shard: Shard) -> None:
    shard.open(0)
    shard.settle(new_id(), 2**62, late=True)
    event_id = new_id()
    shard.reserve(event_id, 100, force=True)
    before = shard.everything()
    with pytest.raises(redis.ResponseError, match="OVERFLOW"):
        shard.settle(event_id, 2**62, held=100)
    assert shard.everything() == before
