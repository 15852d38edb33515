import pytest

from billing import live
from billing.authorizer.scripts import PUT_BALANCE
from billing.live import BalanceSeed, EpochClosed, LiveBalance
from billing.live.store import run
from tests.billing.authorizer.shard import ORG, SHARD, Shard, new_id


def credit(seq: int, amount: int) -> str:
    return live.apply_credit(org_id=ORG, shard=SHARD, seq=seq, amount_nanos=amount)


def load(shard: Shard, epoch: int | str, balance: int, seq: int) -> bytes:
    keys = [shard.keys.epoch, f"{shard.keys.balance}{ORG}", shard.keys.known]
    return run(PUT_BALANCE, keys, ["", epoch, "absent", balance, seq, f"b:{ORG}"])


def test_credits_apply_once_and_in_order(shard: Shard) -> None:
    shard.open(100, seq=4)
    assert credit(5, 50) == "applied"
    assert credit(5, 50) == "duplicate"
    assert credit(2, 50) == "duplicate"
    assert credit(7, 1) == "gap"
    assert credit(6, -30) == "applied"
    assert live.read_balance(org_id=ORG, shard=SHARD) == LiveBalance(120, 0, 0, 6)


def test_a_balance_nobody_loaded_is_none(shard: Shard) -> None:
    shard.open(orgs={})
    assert live.read_balance(org_id=ORG, shard=SHARD) is None
    assert credit(1, 50) == "absent"
    assert live.read_balance(org_id=ORG, shard=SHARD) is None
    assert shard.reserve(new_id(), 1) == "NO_ORG"


def test_a_balance_read_before_a_credit_is_not_loaded_after_it(shard: Shard) -> None:
    epoch = shard.open(orgs={})
    assert credit(3, 50) == "absent"
    assert credit(2, 50) == "absent"
    assert load(shard, epoch, 100, 2) == b"STALE"
    assert load(shard, epoch, 150, 3) == b"OK"
    assert load(shard, epoch, 999, 9) == b"PRESENT"
    assert live.read_balance(org_id=ORG, shard=SHARD) == LiveBalance(150, 0, 0, 3)


def test_a_balance_read_in_an_older_epoch_is_not_loaded(shard: Shard) -> None:
    epoch = shard.open(orgs={})
    shard.open(orgs={})
    with pytest.raises(EpochClosed):
        load(shard, epoch, 100, 2)


def test_a_closed_shard_takes_no_credit(shard: Shard) -> None:
    shard.open(100)
    live.close_epoch(shard=SHARD)
    with pytest.raises(EpochClosed):
        credit(1, 50)


def test_a_gap_is_closed_from_the_books_without_losing_holds_and_charges(shard: Shard) -> None:
    shard.open(1_000, seq=1)
    shard.reserve(new_id(), 300)
    shard.settle(new_id(), 70, late=True)
    assert credit(3, 9) == "gap"
    assert live.resync_balance(shard=SHARD, seed=BalanceSeed(ORG, 1_509, 3))
    assert live.read_balance(org_id=ORG, shard=SHARD) == LiveBalance(1_139, 300, 70, 3)
    assert not live.resync_balance(shard=SHARD, seed=BalanceSeed(ORG, 1, 2))


def test_credits_are_exact_to_the_nano(shard: Shard) -> None:
    shard.open(2**53)
    assert credit(1, 2**53 + 1) == "applied"
    assert shard.balance() == (2**54 + 1, 0, 0)
