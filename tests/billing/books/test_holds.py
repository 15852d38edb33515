"""The reaper over all shards, one of which may be in trouble."""

import time

import pytest

from billing import live
from billing.books import holds, invariants
from tests.billing import plane
from tests.billing.conftest import USD


def _reserve_overdue(organization) -> None:
    plane.reserve(organization, plane.new_id(), 40, ttl_ms=1)
    time.sleep(0.005)


def test_an_unreadable_hold_keeps_nobody_behind_it_waiting_and_its_money_is_reported(
    make_organization, money_store_client, settings, caplog
):
    settings.LEDGER_SHARDS = 8
    organization, other = make_organization(USD, shard=5), make_organization(USD, shard=7)
    _reserve_overdue(organization)
    holds_of_both = f"{plane.shard_keys(5).holds}{organization.pk}"
    [event] = money_store_client.hkeys(holds_of_both)
    kept = money_store_client.hget(holds_of_both, event)
    money_store_client.hset(holds_of_both, event, b"unreadable")
    _reserve_overdue(organization)
    _reserve_overdue(other)

    assert holds.reap_due() == 2

    assert f"hold_unreadable shard=5 org={organization.pk} event={event.decode()}" in caplog.text
    assert live.read_balance(org_id=other.pk, shard=7) == (USD, 0, 0, 1)
    assert live.read_balance(org_id=organization.pk, shard=5) == (USD - 40, 40, 0, 1)
    assert [(one.invariant, one.expected, one.found) for one in invariants.verify(shards=[5])] == [("I6", 0, 40)]

    money_store_client.hset(holds_of_both, event, kept)
    assert holds.reap_due() == 1
    assert live.read_balance(org_id=organization.pk, shard=5) == (USD, 0, 0, 1)


def test_a_shard_that_cannot_be_reaped_keeps_no_other_waiting_and_is_reported(make_organization, monkeypatch, settings, caplog):
    settings.LEDGER_SHARDS = 8
    before, broken, after = (make_organization(USD, shard=shard) for shard in (2, 5, 7))
    for organization in (before, broken, after):
        _reserve_overdue(organization)
    reap = live.reap_expired

    def stumble(*, shard: int) -> int:
        if shard == 5:
            raise RuntimeError("out of luck")
        return reap(shard=shard)

    with monkeypatch.context() as patched:
        patched.setattr(live, "reap_expired", stumble)
        with pytest.raises(RuntimeError, match="out of luck"):
            holds.reap_due()

    assert "reaping of shard 5 failed" in caplog.text
    for organization in (before, after):
        assert live.read_balance(org_id=organization.pk, shard=organization.shard) == (USD, 0, 0, 1)
    assert live.read_balance(org_id=broken.pk, shard=5) == (USD - 40, 40, 0, 1)
    assert holds.reap_due() == 1
