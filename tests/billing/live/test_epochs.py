import time

import pytest

from billing import live
from billing.authorizer.connection import MoneyStoreDown
from billing.live import EpochClosed, ServerRestarted, epochs
from tests.billing.authorizer.shard import ORG, SHARD, Shard, new_id, usage_event


@pytest.mark.usefixtures("shard")
def test_a_new_store_has_no_epoch_anywhere() -> None:
    assert live.shards_with_stale_epochs() == list(range(256))
    assert not live.epoch_is_current(shard=SHARD)


def test_beginning_opens_one_shard(shard: Shard) -> None:
    shard.open(1)
    assert live.epoch_is_current(shard=SHARD)
    assert live.shards_with_stale_epochs([SHARD - 1, SHARD]) == [SHARD - 1]


def test_closing_stops_and_beginning_goes_on_with_a_higher_number(shard: Shard) -> None:
    first = shard.open(1_000)
    live.close_epoch(shard=SHARD)
    assert not live.epoch_is_current(shard=SHARD)
    second = shard.open(1_000)
    assert second > first
    assert shard.reserve(new_id(), 1) == "OK"


def test_an_epoch_number_does_not_begin_anew_when_the_store_lost_everything(shard: Shard) -> None:
    before_ms = time.time_ns() // 1_000_000
    first = shard.open(1_000)
    shard.store.flushdb()
    time.sleep(0.002)
    assert before_ms <= first < shard.open(1_000)


def test_beginning_forgets_holds_charges_and_keys_but_not_the_stream(shard: Shard) -> None:
    shard.open(1_000)
    shard.reserve(new_id(), 100)
    shard.settle(new_id(), 50, late=True)
    shard.open(700, orgs={ORG + 1: 700})
    assert live.read_balance(org_id=ORG, shard=SHARD) is None
    assert live.read_balance(org_id=ORG + 1, shard=SHARD) == (700, 0, 0, 0)
    assert live.shards_with_holds() == []
    assert live.read_holds(shard=SHARD) == [(ORG + 1, 0, ())]
    assert len(shard.entries()) == 1


def test_a_restart_during_a_rebuild_is_noticed(shard: Shard, monkeypatch: pytest.MonkeyPatch) -> None:
    real = epochs.run
    monkeypatch.setattr(epochs, "run", lambda script, keys, args: b"0" * 40 if script.name == "close_epoch" else real(script, keys, args))
    with pytest.raises(ServerRestarted):
        shard.open(1_000)
    monkeypatch.undo()
    assert not live.epoch_is_current(shard=SHARD)


def test_entries_of_a_closed_epoch_can_be_drained(shard: Shard) -> None:
    epoch = shard.open(1_000)
    event = usage_event(new_id(), 50)
    shard.settle(event.event_id, 50, late=True)
    live.close_epoch(shard=SHARD)
    [entry] = shard.entries()
    assert entry.src.startswith(f"{epoch}:")
    assert live.acknowledge(shard=SHARD, acks=[live.Ack(entry.stream_id, ORG, entry.key_id, 50)]) == 1
    assert shard.balance() == (950, 0, 0)


def test_acknowledging_on_an_emptied_store_makes_no_balances(shard: Shard) -> None:
    shard.open(1_000)
    shard.settle(new_id(), 50, late=True)
    [entry] = shard.entries()
    shard.store.delete(f"{shard.keys.balance}{ORG}", f"{shard.keys.scope}{entry.key_id}")
    assert live.acknowledge(shard=SHARD, acks=[live.Ack(entry.stream_id, ORG, entry.key_id, 50, 50)]) == 1
    assert live.read_balance(org_id=ORG, shard=SHARD) is None
    assert not shard.store.exists(f"{shard.keys.scope}{entry.key_id}")


def test_a_store_that_is_away_says_so(settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    with pytest.raises(MoneyStoreDown):
        live.read_balance(org_id=ORG, shard=SHARD)
    with pytest.raises(MoneyStoreDown):
        live.apply_credit(org_id=ORG, shard=SHARD, seq=1, amount_nanos=1)


def test_scripts_are_loaded_again_after_a_flush(shard: Shard) -> None:
    shard.open(1_000)
    shard.store.script_flush()
    assert shard.reserve(new_id(), 1) == "OK"
    shard.store.script_flush()
    live.close_epoch(shard=SHARD)
    with pytest.raises(EpochClosed):
        shard.reserve(new_id(), 1)
