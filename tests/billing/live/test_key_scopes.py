import pytest

from billing import live
from billing.live import EpochClosed, KeySeed
from tests.billing.authorizer.shard import KEY, SHARD, Shard, new_id, scope


def put(**rules) -> bool:
    return live.put_key_scope(shard=SHARD, scope=scope(**rules))


def spend(shard: Shard, amount: int) -> None:
    event_id = new_id()
    assert shard.reserve(event_id, amount) == "OK"
    assert shard.settle(event_id, amount, held=amount) == "OK"


def test_what_the_limit_leaves_follows_a_new_limit(shard: Shard) -> None:
    shard.open(10_000, key=scope(limit=100))
    spend(shard, 60)
    shard.reserve(new_id(), 30)
    assert put(version=2, limit=200)
    assert shard.stored_free() == shard.key().free_nanos == 110
    assert put(version=3, limit=50)
    assert shard.stored_free() == shard.key().free_nanos == -40
    assert shard.reserve(new_id(), 1) == "SHORT_KEY"
    assert put(version=4, limit=None)
    assert shard.key().free_nanos is None
    assert shard.reserve(new_id(), 5_000) == "OK"
    assert put(version=5, limit=7_000)
    assert shard.stored_free() == 7_000 - 60 - 5_030


@pytest.mark.parametrize("reset", ["daily", "weekly", "monthly"])
def test_a_limit_that_gets_a_period_counts_that_period_only(shard: Shard, reset: str) -> None:
    shard.open(10_000, key=scope(limit=100))
    spend(shard, 60)
    shard.move_periods_back(40)
    spend(shard, 25)
    assert put(version=2, limit=100, reset=reset)
    assert shard.stored_free() == shard.key().free_nanos == 75
    assert put(version=3, limit=100)
    assert shard.stored_free() == 15


def test_only_a_newer_version_changes_the_rules(shard: Shard) -> None:
    shard.open(10_000, key=scope(version=5, limit=100))
    assert put(version=5, limit=1)
    assert not put(version=4, limit=1)
    assert shard.key().limit_nanos == 100


def test_switching_a_key_off_and_on_reaches_the_next_request(shard: Shard) -> None:
    shard.open(10_000)
    put(version=2, disabled=True)
    assert shard.reserve(new_id(), 1) == "KEY_DISABLED"
    put(version=3, expires_at_s=1)
    assert shard.reserve(new_id(), 1) == "KEY_EXPIRED"
    put(version=4)
    assert shard.reserve(new_id(), 1) == "OK"


def test_a_key_that_nobody_loaded_has_no_counters(shard: Shard) -> None:
    shard.open(10_000)
    assert live.put_key_scope(shard=SHARD, scope=scope(99, version=3))
    assert set(live.read_key_usage(shard=SHARD, key_ids=[99, KEY])) == {KEY}
    assert shard.reserve(new_id(), 1, keys=(99,)) == "NO_KEY"


def test_a_closed_shard_takes_no_rules(shard: Shard) -> None:
    shard.open(100)
    live.close_epoch(shard=SHARD)
    with pytest.raises(EpochClosed):
        put(version=2)


def test_seeds_bring_the_counters_of_the_books(shard: Shard) -> None:
    seeds = [
        KeySeed(scope(20, limit=1_000, reset="daily"), 500, 10, 20, 30),
        KeySeed(scope(21, limit=1_000, reset="weekly"), 500, 10, 20, 30),
        KeySeed(scope(22, limit=1_000, reset="monthly"), 500, 10, 20, 30),
        KeySeed(scope(23, limit=1_000), 500, 10, 20, 30),
        KeySeed(scope(24), 500, 10, 20, 30),
    ]
    live.begin_epoch(shard=SHARD, balances=[], key_scopes=seeds)
    usage = live.read_key_usage(shard=SHARD, key_ids=[20, 21, 22, 23, 24])
    assert [known[:4] for known in usage.values()] == [(500, 10, 20, 30)] * 5
    assert [known.free_nanos for known in usage.values()] == [990, 980, 970, 500, None]
    assert [shard.stored_free(key) for key in (20, 21, 22, 23)] == [990, 980, 970, 500]
