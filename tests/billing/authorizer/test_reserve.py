import random
import time

import pytest
import redis

from billing.live import EpochClosed
from tests.billing.authorizer.shard import KEY, ORG, Shard, new_id, scope


def test_a_hold_moves_money_from_available_to_held(shard: Shard) -> None:
    shard.open(1_000)
    assert shard.reserve(new_id(), 300) == "OK"
    assert shard.balance() == (700, 300, 0)
    assert shard.key().held_nanos == 300


def test_the_last_nano_can_be_held_and_not_one_more(shard: Shard) -> None:
    shard.open(1_000)
    assert shard.reserve(new_id(), 1_000) == "OK"
    assert shard.reserve_reply(new_id(), 1)[::2] == [b"SHORT_BALANCE", b"0"]
    assert shard.balance() == (0, 1_000, 0)


def test_the_same_request_is_held_once(shard: Shard) -> None:
    shard.open(1_000)
    event_id = new_id()
    assert shard.reserve(event_id, 300) == "OK"
    before = shard.everything()
    assert shard.reserve(event_id, 300) == "HELD"
    assert shard.everything() == before


def test_a_refused_hold_changes_nothing_in_any_scope(shard: Shard) -> None:
    shard.open(1_000, key=scope(limit=100))
    before = shard.everything()
    assert shard.reserve_reply(new_id(), 101)[::2] == [b"SHORT_KEY", b"100"]
    assert shard.reserve(new_id(), 1_001) == "SHORT_BALANCE"
    assert shard.everything() == before


def test_the_limit_of_the_key_counts_holds_and_charges(shard: Shard) -> None:
    shard.open(10_000, key=scope(limit=100))
    first = new_id()
    assert shard.reserve(first, 60) == "OK"
    assert shard.reserve(new_id(), 41) == "SHORT_KEY"
    assert shard.settle(first, 10, held=60) == "OK"
    assert shard.reserve(new_id(), 90) == "OK"
    assert shard.reserve(new_id(), 1) == "SHORT_KEY"


def test_further_scopes_are_taken_together_or_not_at_all(shard: Shard) -> None:
    shard.open(10_000, key=scope(limit=1_000))
    shard.store.hset(f"{shard.keys.scope}900", mapping={**shard.store.hgetall(f"{shard.keys.scope}{KEY}"), b"limit": 50, b"free": 50})
    before = shard.everything()
    assert shard.reserve(new_id(), 51, keys=(KEY, 900)) == "SHORT_KEY"
    assert shard.everything() == before
    event_id = new_id()
    assert shard.reserve(event_id, 50, keys=(KEY, 900)) == "OK"
    assert shard.settle(event_id, 20, held=50, keys=(KEY, 900)) == "OK"
    assert (shard.stored_free(KEY), shard.stored_free(900)) == (980, 30)


def test_a_free_request_needs_no_money(shard: Shard) -> None:
    shard.open(0, key=scope(limit=0))
    event_id = new_id()
    assert shard.reserve(event_id, 0) == "OK"
    assert shard.settle(event_id, 0) == "OK"
    assert shard.balance() == (0, 0, 0)
    assert [entry.amount_nanos for entry in shard.entries()] == [0]


def test_a_negative_balance_refuses_even_free_requests(shard: Shard) -> None:
    shard.open(-1)
    assert shard.reserve(new_id(), 0) == "SHORT_BALANCE"


def test_a_disabled_key_holds_nothing(shard: Shard) -> None:
    shard.open(1_000, key=scope(disabled=True))
    assert shard.reserve(new_id(), 1) == "KEY_DISABLED"


def test_a_key_expires_by_the_servers_clock(shard: Shard) -> None:
    shard.open(1_000, key=scope(expires_at_s=int(time.time()) - 1))
    assert shard.reserve(new_id(), 1) == "KEY_EXPIRED"
    shard.open(1_000, key=scope(expires_at_s=int(time.time()) + 60))
    assert shard.reserve(new_id(), 1) == "OK"


def test_unknown_organizations_and_keys_are_told_apart(shard: Shard) -> None:
    shard.open(1_000)
    assert shard.reserve(new_id(), 1, org=99) == "NO_ORG"
    assert shard.reserve(new_id(), 1, keys=(99,)) == "NO_KEY"


def test_without_an_epoch_nothing_is_held(shard: Shard) -> None:
    with pytest.raises(EpochClosed):
        shard.reserve(new_id(), 1)


def test_the_epoch_of_another_run_of_the_server_holds_nothing(shard: Shard) -> None:
    shard.open(1_000)
    shard.store.hset(shard.keys.epoch, "run", "f" * 40)
    before = shard.everything()
    with pytest.raises(EpochClosed):
        shard.reserve(new_id(), 1)
    assert shard.everything() == before


def test_a_running_request_is_held_again_even_into_the_red(shard: Shard) -> None:
    shard.open(100, key=scope(limit=10, disabled=True))
    assert shard.reserve(new_id(), 150, force=True) == "OK"
    assert shard.balance() == (-50, 150, 0)
    assert shard.stored_free() == -140


@pytest.mark.parametrize("amount", [1, 2**53 - 1, 2**53, 2**53 + 1, 2**62 - 1, 2**62])
def test_amounts_are_exact_to_the_nano(shard: Shard, amount: int) -> None:
    shard.open(amount, key=scope(limit=amount))
    event_id = new_id()
    assert shard.reserve(event_id, amount) == "OK"
    assert shard.reserve(new_id(), 1) == "SHORT_BALANCE"
    assert shard.settle(event_id, amount - 1, held=amount) == "OK"
    assert shard.balance() == (1, 0, amount - 1)
    assert shard.key() == (amount - 1, amount - 1, amount - 1, amount - 1, 0, amount, 1)
    assert shard.stored_free() == 1
    assert shard.reserve(new_id(), 1) == "OK"


def test_a_sum_beyond_64_bits_is_refused_and_changes_nothing(shard: Shard) -> None:
    shard.open(2**62)
    assert shard.reserve(new_id(), 2**62, force=True) == "OK"
    before = shard.everything()
    with pytest.raises(redis.ResponseError, match="OVERFLOW"):
        shard.reserve(new_id(), 2**62, force=True)
    assert shard.everything() == before


def test_a_released_hold_leaves_no_trace(shard: Shard) -> None:
    shard.open(1_000, key=scope(limit=500))
    before = shard.everything()
    event_id = new_id()
    shard.reserve(event_id, 400)
    assert shard.release(event_id) == "OK"
    assert shard.release(event_id) == "GONE"
    assert shard.everything() == before


def test_an_extension_counts_once_however_often_it_is_sent(shard: Shard) -> None:
    shard.open(1_000, key=scope(limit=800))
    event_id = new_id()
    shard.reserve(event_id, 100)
    assert shard.extend(event_id, 100, 50) == "OK"
    assert shard.extend(event_id, 100, 50) == "OK"
    assert shard.balance() == (850, 150, 0)
    assert shard.stored_free() == 650
    assert shard.extend(event_id, 120, 50) == "CHANGED"
    assert shard.extend(new_id(), 1, 1) == "GONE"


def test_a_refused_extension_changes_nothing(shard: Shard) -> None:
    shard.open(1_000, key=scope(limit=120))
    event_id = new_id()
    shard.reserve(event_id, 100)
    before = shard.everything()
    assert shard.extend(event_id, 100, 21) == "SHORT_KEY"
    assert shard.extend(event_id, 100, 901) == "SHORT_BALANCE"
    assert shard.everything() == before


def test_held_is_the_sum_of_the_holds_after_any_mixture(shard: Shard) -> None:
    shard.open(100_000, key=scope(limit=50_000))
    rng, held = random.Random(7), {}
    for _ in range(300):
        if held and rng.random() < 0.5:
            event_id = rng.choice(sorted(held))
            shard.settle(event_id, rng.randint(0, 2 * held[event_id]), held=held.pop(event_id))
        else:
            event_id, amount = new_id(), rng.randint(0, 5_000)
            if shard.reserve(event_id, amount) == "OK":
                held[event_id] = amount
    avail, in_hold, unposted = shard.balance()
    assert in_hold == sum(held.values()) == shard.key().held_nanos
    assert avail + in_hold + unposted == 100_000
    assert shard.stored_free() == shard.key().free_nanos == 50_000 - shard.key().spent_nanos - in_hold
    assert shard.key().spent_nanos == unposted
    assert shard.store.hlen(f"{shard.keys.holds}{ORG}") == shard.store.zcard(shard.keys.deadlines) == len(held)
