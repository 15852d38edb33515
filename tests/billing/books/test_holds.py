"""The reaper over all shards, one of which may be in trouble."""

import time

import pytest

from billing import live
from billing.books import holds
from tests.billing import plane
from tests.billing.conftest import USD


def _reserve_overdue(organization) -> None:
    plane.reserve(organization, plane.new_id(), 40, ttl_ms=1)
    time.sleep(0.005)


def test_a_shard_that_cannot_be_reaped_keeps_no_other_waiting_and_is_reported(make_organization, money_store_client, settings, caplog):
    settings.LEDGER_SHARDS = 8
    before, broken, after = (make_organization(USD, shard=shard) for shard in (2, 5, 7))
    for organization in (before, broken, after):
        _reserve_overdue(organization)
    holds_of_broken = f"{plane.shard_keys(5).holds}{broken.pk}"
    [event] = money_store_client.hkeys(holds_of_broken)
    kept = money_store_client.hget(holds_of_broken, event)
    money_store_client.hset(holds_of_broken, event, b"unreadable")

    with pytest.raises(ValueError, match="not enough values"):
        holds.reap_due()

    assert "reaping of shard 5 failed" in caplog.text
    for organization in (before, after):
        assert live.read_balance(org_id=organization.pk, shard=organization.shard) == (USD, 0, 0, 1)
    assert live.read_balance(org_id=broken.pk, shard=5) == (USD - 40, 40, 0, 1)

    money_store_client.hset(holds_of_broken, event, kept)
    assert holds.reap_due() == 1
    assert live.read_balance(org_id=broken.pk, shard=5) == (USD, 0, 0, 1)
