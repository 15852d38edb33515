"""Each invariant is broken on purpose, behind the books' back, and must be named with its amounts."""

import datetime as dt
import io

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from billing.books import invariants, restored, settlement
from billing.models import UsageBatch
from tests.billing import plane
from tests.billing.conftest import USD


@pytest.fixture
def used(make_organization):
    organization = make_organization(USD)
    plane.spend(organization, 500)
    plane.spend(organization, 7)
    settlement.settle_shard(shard=7)
    assert invariants.verify(shards=[7]) == []
    return organization


def _tamper(statement: str, *values: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(statement, values)
        cursor.execute("SET session_replication_role = DEFAULT")


def _found(*invariant_names: str) -> list[str]:
    differences = invariants.verify(shards=[7])
    assert {difference.invariant for difference in differences} == set(invariant_names)
    return [str(difference) for difference in differences]


def test_one_nano_too_much_on_a_counter_breaks_i1_and_i2(used):
    _tamper("UPDATE billing_account SET debits_nanos = debits_nanos + 1 WHERE code = 2010")

    texts = _found("I1", "I2", "I5")

    assert texts[0] == "I1 all accounts, debits against credits: expected 1,000,000,760 n$, found 1,000,000,761 n$ (difference +1)"
    assert texts[1].endswith("debits against its transfers: expected 507 n$, found 508 n$ (difference +1)")


def test_a_changed_transfer_breaks_i2_and_i3(used):
    _tamper("UPDATE billing_transfer SET amount_nanos = amount_nanos - 3 WHERE code = 10")

    assert any("transfers against usage: expected 507 n$, found 504 n$ (difference -3)" in text for text in _found("I2", "I3"))


def test_a_missing_usage_row_breaks_i3(used):
    _tamper("DELETE FROM billing_usageevent WHERE amount_nanos = 7")

    texts = _found("I3")

    assert any("usage rows: expected 2 rows, found 1 rows (difference -1)" in text for text in texts)
    assert any("rollup against usage, amount: expected 500 n$, found 507 n$ (difference +7)" in text for text in texts)


def test_a_changed_rollup_breaks_i3(used):
    _tamper("UPDATE billing_usagerollup SET requests = requests + 1")

    assert [text.rsplit(", ", 2)[-2:] for text in _found("I3")] == [["requests: expected 2 requests", "found 3 requests (difference +1)"]]


def test_a_missing_balance_change_breaks_i2(used):
    _tamper("DELETE FROM billing_balancechange")

    assert _found("I2") == [
        f"I2 organization {used.pk} balance changes against their sequence: expected 1 changes, found 0 changes (difference -1)"
    ]


def test_a_live_balance_that_is_off_by_a_nano_breaks_i5(used, money_store_client):
    money_store_client.hincrby(f"{plane.shard_keys(7).balance}{used.pk}", "avail", 1)

    assert _found("I5") == [
        f"I5 organization {used.pk} on shard 7, money store against books: expected 999,999,493 n$, found 999,999,494 n$ (difference +1)"
    ]


def test_a_forgotten_hold_and_a_wrong_held_sum_break_i6(used, money_store_client):
    event_id = plane.new_id()
    plane.reserve(used, event_id, 40)
    keys = plane.shard_keys(7)
    money_store_client.hincrby(f"{keys.balance}{used.pk}", "held", 2)
    money_store_client.hincrby(f"{keys.balance}{used.pk}", "avail", -2)
    money_store_client.zadd(keys.deadlines, {f"{used.pk}:{event_id.hex}": 1})

    texts = _found("I6")

    assert texts[0] == f"I6 organization {used.pk} on shard 7, held against its holds: expected 40 n$, found 42 n$ (difference +2)"
    assert f"hold {event_id} of organization {used.pk} is past its deadline" in texts[1]


def test_a_balance_far_below_zero_breaks_i7_unless_an_overdraft_is_agreed(used):
    plane.settle(plane.make_event(used, 3 * USD, hold_nanos=0), late=True)
    settlement.settle_shard(shard=7)

    assert "is below its floor" in _found("I7")[0]

    _tamper("UPDATE billing_account SET limit_nanos = %s WHERE code = 2010", 2 * USD)
    assert _found() == []


@pytest.fixture
def used_long_ago(make_organization):
    """Return an organization with one batch of 20 days ago and one of now."""
    organization = make_organization(USD)
    moment = timezone.now() - dt.timedelta(days=20)
    plane.settle(plane.make_event(organization, 500, event_id=plane.id_at(moment)), late=True)
    settlement.settle_shard(shard=7)
    _tamper("UPDATE billing_usagebatch SET created_at = %s", moment)
    restored.remember(7, restored.Mark(UsageBatch.objects.get().pk, moment))  # as the money store was told when it was booked
    plane.spend(organization, 7)
    settlement.settle_shard(shard=7)
    assert invariants.verify(shards=[7]) == []
    return organization


def _found_in_window(days: int) -> list[tuple[str, int, int]]:
    return [(one.invariant, one.expected, one.found) for one in invariants.verify(shards=[7], days=days)]


@pytest.mark.usefixtures("used_long_ago")
def test_a_window_sees_the_usage_of_its_own_days_only():
    _tamper("DELETE FROM billing_usageevent WHERE amount_nanos = 500")

    assert _found_in_window(2) == []
    everything = {(one.invariant, one.expected, one.found) for one in invariants.verify(shards=[7])}
    assert set(_found_in_window(21)) == everything == {("I3", 0, 500), ("I3", 1, 0), ("I3", 0, 1), ("I3", 0, 250)}

    _tamper("UPDATE billing_usagerollup SET requests = requests + 1 WHERE amount_nanos = 7")
    _tamper("UPDATE billing_usagebatch SET events = 3 WHERE amount_nanos = 7")

    assert _found_in_window(1) == _found_in_window(2) == [("I3", 3, 1), ("I3", 1, 2)]


def test_a_window_leaves_the_sums_of_all_transfers_out_and_nothing_else(used_long_ago, money_store_client):
    _tamper("UPDATE billing_transfer SET amount_nanos = amount_nanos - 3 WHERE code = 10 AND amount_nanos = 500")
    _tamper("DELETE FROM billing_balancechange")
    assert _found_in_window(2) == []
    _found("I2", "I3")

    _tamper("UPDATE billing_account SET debits_nanos = debits_nanos + 1 WHERE code = 5010")
    money_store_client.hincrby(f"{plane.shard_keys(7).balance}{used_long_ago.pk}", "avail", 1)

    assert [name for name, _, _ in _found_in_window(2)] == ["I1", "I5"]


def test_a_window_without_any_usage_is_checked_too(make_organization):
    make_organization(USD)

    assert _found_in_window(2) == []


def test_the_command_says_so_when_the_books_balance(used, settings):
    settings.LEDGER_SHARDS = 8
    out = io.StringIO()

    call_command("verify_ledger", stdout=out)

    assert out.getvalue() == "The books balance.\n"


def test_the_command_fails_with_the_first_difference_and_lists_all_on_request(used, settings):
    settings.LEDGER_SHARDS = 8
    _tamper("UPDATE billing_account SET debits_nanos = debits_nanos + 1 WHERE code = 2010")
    first, every = io.StringIO(), io.StringIO()

    with pytest.raises(CommandError, match=r"the books do not balance$"):
        call_command("verify_ledger", stdout=first)
    with pytest.raises(CommandError, match="the books do not balance: 3 differences"):
        call_command("verify_ledger", "--all", stdout=every)

    assert [line[:2] for line in first.getvalue().splitlines()] == ["I1"]
    assert [line[:2] for line in every.getvalue().splitlines()] == ["I1", "I2", "I5"]
