"""Each invariant is broken by hand, alone, and exactly that one is reported; the organizations concerned start nothing new."""

import pytest

from billing import live
from billing.authorizer.keys import shard_keys
from billing.books import transfers
from billing.books.chart import AccountCode, AccountKey, TransferCode
from billing.books.transfers import Leg
from billing.models import AdmissionFreeze, Incident, InvariantRun
from billing.proof import checks, queries, watch
from tests.billing import plane
from tests.billing.conftest import USD
from tests.billing.proof.conftest import SHARD

_LEDGER = [f"I{number}" for number in range(1, 9)]


def _broken(*, is_whole=True):
    watch.check_all(is_whole=is_whole)
    return {row.name: row.open_count for row in queries.statuses() if row.open_count and row.name in _LEDGER}


def _frozen():
    return list(AdmissionFreeze.objects.filter(lifted_at=None).values_list("organization_id", flat=True))


@pytest.mark.parametrize("is_whole", [True, False])
def test_books_that_balance_show_nothing_but_zeros_and_freeze_nobody(used, mailoutbox, is_whole):
    assert _broken(is_whole=is_whole) == {}
    assert set(InvariantRun.objects.values_list("name", "differences", "off_nanos")) >= {(name, 0, 0) for name in _LEDGER}
    assert _frozen() == []
    assert mailoutbox == []


def test_a_system_account_that_gained_a_nano_breaks_i1_at_the_next_minute(used, tamper):
    tamper("UPDATE billing_account SET debits_nanos = debits_nanos + 1 WHERE code = 5010")

    assert _broken(is_whole=False) == {"I1": 1}
    assert queries.statuses()[0].off_nanos == 1
    assert _frozen() == []  # nobody's money in particular


def test_a_changed_grant_breaks_i2_alone_and_freezes_its_organization(used, tamper):
    tamper("UPDATE billing_transfer SET amount_nanos = amount_nanos - 1 WHERE code = 1")

    assert _broken() == {"I2": 2}  # both accounts of the transfer
    assert _frozen() == [used.pk]


def test_a_balance_change_that_is_gone_breaks_i2_at_the_next_five_minutes(used, tamper):
    tamper("DELETE FROM billing_balancechange")

    assert _broken(is_whole=False) == {"I2": 1}


def test_a_changed_rollup_breaks_i3_alone(used, tamper):
    tamper("UPDATE billing_usagerollup SET requests = requests + 1")

    assert _broken(is_whole=False) == {"I3": 1}
    assert _frozen() == [used.pk]


def test_a_charge_that_never_became_a_row_breaks_i4_alone(used, money_store_client):
    money_store_client.hincrby(f"{shard_keys(SHARD).scope}{used.key_id}", "spent", 3)

    assert _broken(is_whole=False) == {"I4": 1}
    assert [(one.expected, one.found) for one in Incident.objects.all()] == [(507, 510)]
    assert _frozen() == [used.pk]


def test_a_live_balance_off_by_a_nano_breaks_i5_alone(used, money_store_client):
    money_store_client.hincrby(f"{shard_keys(SHARD).balance}{used.pk}", "avail", 1)

    assert _broken(is_whole=False) == {"I5": 1}
    assert _frozen() == [used.pk]


def test_a_held_sum_without_its_hold_breaks_i6_alone(used, money_store_client):
    keys = shard_keys(SHARD)
    money_store_client.hincrby(f"{keys.balance}{used.pk}", "held", 2)
    money_store_client.hincrby(f"{keys.balance}{used.pk}", "avail", -2)

    assert _broken(is_whole=False) == {"I6": 1}
    assert _frozen() == [used.pk]


def test_a_balance_two_dollars_below_zero_breaks_i7_alone_and_needs_no_freeze(used):
    plane.settle(plane.make_event(used, 3 * USD, hold_nanos=0, key_id=used.key_id), late=True)

    assert _broken(is_whole=False) == {"I7": 1}
    assert _frozen() == []


def test_what_is_owed_after_a_dispute_does_not_break_i7(used, tamper):
    legs = [Leg(AccountKey(AccountCode.CUSTOMER_DEBT, used.pk), AccountKey(AccountCode.STRIPE_DISPUTED), 5 * USD)]
    transfers.post(kind="dispute", key="txn_1", legs=legs, code=TransferCode.DISPUTE, by=None, organization=used)

    assert _broken() == {}
    assert live.read_balance(org_id=used.pk, shard=SHARD).avail_nanos < 0  # and nothing can be spent


def test_an_entry_that_the_books_refuse_breaks_i8_alone(used):
    plane.deliver(SHARD, b"{", org_id=used.pk)

    assert _broken(is_whole=False) == {"I8": 1}
    assert _frozen() == []


def test_every_invariant_has_a_name_a_sentence_and_its_place_in_the_list():
    names = [one.name for one in checks.in_order()]

    assert names[:8] == [f"I{number}" for number in range(1, 9)]
    assert len(set(names)) == len(names)
    assert all(one.title for one in checks.in_order())
    assert [one.name for one in checks.in_order() if one.freezes] == ["I1", "I2", "I3", "I4", "I5", "I6", "I14"]
