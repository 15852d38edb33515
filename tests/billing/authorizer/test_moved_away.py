"""The data plane's side of an organization's move: what was begun on the old shard ends on the new one, once."""

import asyncio
import os

import pytest
from psycopg_pool import AsyncConnectionPool

from accounts.types import Caller
from billing import live
from billing.authorizer.connection import MoneyConnection
from billing.authorizer.holds import Holds
from billing.authorizer.loader import MovedAway, ScopeLoader
from billing.authorizer.spool import Spool
from billing.books import invariants, moving, rebuild, settlement
from billing.models import UsageEvent
from tests.billing import plane
from tests.billing.authorizer.test_connection import wait_for
from tests.billing.conftest import USD, make_organization

__all__ = ["make_organization"]  # a fixture of a neighbour
OLD, NEW = 7, 3


@pytest.fixture
def organization(make_organization, settings):
    settings.LEDGER_SHARDS = 8
    organization = make_organization(USD, shard=OLD)
    rebuild.rebuild_shard(shard=NEW)
    plane.put_key(NEW)
    return organization


async def test_a_settlement_that_comes_after_the_move_finds_the_new_shard_and_is_charged_once(organization, tmp_path):
    connection = MoneyConnection(os.environ["REDIS_URL"])
    await connection.start()
    async with AsyncConnectionPool(os.environ["DATABASE_URL"], min_size=1, max_size=2, open=False) as pool:
        holds = Holds(connection, spool=Spool(tmp_path / "spool"), loader=ScopeLoader(pool, connection), heartbeat_s=30)
        await holds.start()
        holds._janitor._late_after_s = 0.3
        caller = Caller(key_hash="0" * 64, key_id=1, org_id=organization.pk, shard=OLD)
        event = plane.make_event(organization, 70)
        hold = await holds.reserve(event_id=event.event_id, caller=caller, amount_nanos=event.hold_nanos, context=plane.CONTEXT)
        # Its gateway stood still for so long that the reaper took it for dead, and the organization was moved.
        await asyncio.to_thread(_let_go, organization)
        await asyncio.to_thread(moving.move, organization=organization, shard=NEW, wait_s=1.0)
        with pytest.raises(MovedAway):
            await holds.reserve(event_id=plane.new_id(), caller=caller, amount_nanos=1, context=plane.CONTEXT)

        holds.settle(hold, event)

        await wait_for(lambda: not holds._spool.unsettled)
        await holds.close()
    await connection.close()
    await asyncio.to_thread(_look, organization)


def _let_go(organization):
    """Have the hold expire and be closed at nothing, as the reaper does."""
    name = f"{{s{OLD:03d}}}:dl"
    for member, _ in plane.store().zscan_iter(name):
        plane.store().zadd(name, {member: 1})
    live.reap_expired(shard=OLD)


def _look(organization):
    settlement.settle_shard(shard=NEW)
    rows = [(row.part, row.amount_nanos, row.status) for row in UsageEvent.objects.order_by("part")]
    assert rows == [(0, 0, "expired"), (1, 70, "ok")]
    known = live.read_balance(org_id=organization.pk, shard=NEW)
    assert (known.avail_nanos, known.held_nanos, known.unposted_nanos) == (USD - 70, 0, 0)
    assert live.read_balance(org_id=organization.pk, shard=OLD) is None
    assert [one for one in invariants.verify(shards=[OLD, NEW]) if one.invariant != "I4"] == []
