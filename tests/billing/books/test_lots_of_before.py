"""Books that had granted credit before there were lots."""

from pathlib import Path

import pytest
from django.db import connection

from billing import migrations
from billing.books import invariants, rebuild, transfers
from billing.books.chart import AccountCode, AccountKey, TransferCode
from billing.books.transfers import Leg
from billing.models import CreditLot
from tests.billing import plane
from tests.billing.books.test_lots import SHARD, spend


@pytest.fixture
def old(make_organization):
    """Return an organization that was granted 50 and had spent 20 of it when the migration came, and the grant's group."""
    organization = make_organization()
    leg = Leg(AccountKey(AccountCode.PROMO_EXPENSE), AccountKey(AccountCode.CUSTOMER_PROMO, organization.pk), 50)
    group = transfers.post(kind="grant", key="old", legs=[leg], code=TransferCode.GRANT, by=None, organization=organization)
    rebuild.rebuild_shard(shard=SHARD)
    plane.put_key(SHARD)
    spend(organization, 20)
    assert [d.invariant for d in invariants.verify(shards=[SHARD])] == ["I13"]
    statements = (Path(migrations.__file__).parent / "0006_credit_lots.sql").read_text()
    with connection.cursor() as cursor:
        cursor.execute(statements[statements.index("INSERT") :])
    return organization, group.id


def test_what_was_left_becomes_one_lot_that_never_expires_and_is_spent(old, books):
    organization, _ = old
    lot = CreditLot.objects.get()
    assert (lot.organization, lot.amount_nanos, lot.expires_at) == (organization, 30, None)

    spend(organization, 25)

    lot.refresh_from_db()
    assert (lot.spent_nanos, books()["customer_promo"]) == (25, 5)
    assert invariants.verify(shards=[SHARD]) == []


def test_taking_the_old_grant_back_takes_what_the_lot_has_and_the_rest_of_own_credit(old, books):
    _, group_id = old

    transfers.reverse(group_id=group_id, reason="mistake", by=None)

    assert (books()["customer_promo"], books()["customer_credit"], books()["promo_expense"]) == (0, -20, 0)
    assert CreditLot.objects.get().taken_back_nanos == 30
    assert invariants.verify(shards=[SHARD]) == []
