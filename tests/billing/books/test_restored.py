"""Books that are older than what the money store remembers: noticed before anything is booked or spent on them, recovered by a command."""

import threading
import uuid

import pytest
from django.core.management import call_command
from django.db import connection

from billing import live, recovery
from billing.authorizer.connection import MoneyStoreDown
from billing.books import invariants, live_invariants, rebuild, restored, settlement
from billing.books.shard_lock import ShardBusy, hold_shard
from billing.models import AdmissionFreeze
from billing.proof import watch
from billing.purchases import stripe_api
from tests.billing import plane
from tests.billing.conftest import USD
from tests.billing.proof.conftest import tamper

__all__ = ["tamper"]  # a fixture of a neighbour
SHARD = 7


@pytest.fixture
def used(make_organization, settings, monkeypatch):
    settings.LEDGER_SHARDS = 8
    monkeypatch.setattr(watch, "_CONFIRM_AFTER_S", 0)
    monkeypatch.setattr(recovery.inbox, "catch_up", lambda: 0)
    organization = make_organization(USD)
    plane.spend(organization, 500)
    settlement.settle_shard(shard=SHARD)
    return organization


@pytest.fixture
def lose_usage(tamper):
    """Return what takes the latest bookings out of the books, as a backup that is older would not have them."""

    def lose():
        tamper("DELETE FROM billing_usagebatch")
        tamper("DELETE FROM billing_usageevent")
        tamper("DELETE FROM billing_usagerollup")
        tamper("DELETE FROM billing_transfer WHERE batch_id IS NOT NULL")
        tamper("UPDATE billing_account SET debits_nanos = 0 WHERE org_id IS NOT NULL")
        tamper("UPDATE billing_account SET debits_nanos = 0, credits_nanos = 0 WHERE shard = 7 AND org_id IS NULL")

    return lose


def test_books_that_have_what_was_booked_are_not_behind(used):
    restored.check(SHARD)

    assert list(restored.differences([SHARD])) == []


def test_books_without_the_latest_batch_are_not_booked_on_and_nobody_spends(used, lose_usage):
    plane.spend(used, 7)
    lose_usage()

    with pytest.raises(restored.BooksBehind, match="batch"):
        settlement.settle_shard(shard=SHARD)

    assert live.stream_lag(shard=SHARD).entries == 1
    with pytest.raises(live.EpochClosed):
        plane.reserve(used, uuid.uuid4(), 1)
    with pytest.raises(restored.BooksBehind):
        rebuild.rebuild_shard(shard=SHARD)
    assert settlement.settle_due() == 0  # which leaves it closed
    assert not live.epoch_is_current(shard=SHARD)
    assert list(live_invariants.drained(SHARD)) == []
    assert [(one.invariant, one.shard) for one in watch.check("I14", is_whole=True)] == [("I14", SHARD)]


def test_another_batch_that_was_given_the_same_number_does_not_hide_the_loss(used, tamper):
    tamper("UPDATE billing_usagebatch SET created_at = '2026-01-01T00:00:00Z'")

    with pytest.raises(restored.BooksBehind):
        restored.check(SHARD)


def test_a_balance_change_that_only_the_money_store_knows_freezes_its_organization(used, tamper):
    tamper("UPDATE billing_account SET seq = 0")

    [found] = watch.check("I14", is_whole=True)

    assert (found.expected, found.found, found.org_ids) == (1, 0, (used.pk,))
    assert AdmissionFreeze.objects.get().organization_id == used.pk


def test_the_command_opens_the_shards_on_the_books_as_they_are_and_spools_bring_back_what_they_lost(used, lose_usage, capsys):
    event = plane.spend(used, 7)
    settlement.settle_shard(shard=SHARD)
    lose_usage()
    with pytest.raises(restored.BooksBehind):
        settlement.settle_shard(shard=SHARD)

    call_command("recover_books", "--accept")

    assert "shards whose books had lost batches: 7;" in capsys.readouterr().out
    plane.put_key(SHARD)
    assert live.read_balance(org_id=used.pk, shard=SHARD).avail_nanos == USD
    assert plane.settle(event, late=True) == "LATE"  # a gateway sends again what the books lack
    settlement.settle_shard(shard=SHARD)
    assert live.read_balance(org_id=used.pk, shard=SHARD).avail_nanos == USD - 7
    assert invariants.verify(shards=[SHARD]) == []
    assert list(restored.differences([SHARD])) == []


def test_what_the_books_lack_is_not_forgotten_while_another_process_has_the_shard(used, lose_usage, monkeypatch):
    lose_usage()
    monkeypatch.setattr(rebuild, "WAIT_S", 0.0)
    outcomes = []

    def recover():
        try:
            recovery.recover_books()
        except ShardBusy as error:
            outcomes.append(type(error))
        finally:
            connection.close()

    with hold_shard(SHARD):
        thread = threading.Thread(target=recover)
        thread.start()
        thread.join()

    assert outcomes == [ShardBusy]
    with pytest.raises(restored.BooksBehind):
        restored.check(SHARD)


def test_a_stripe_that_is_away_is_left_to_the_hourly_sweep(used, monkeypatch):
    def away():
        raise stripe_api.StripeDown("away")

    monkeypatch.setattr(recovery.inbox, "catch_up", away)

    assert recovery.recover_books() == recovery.Recovered(shards_behind=[], booked=0, events=None)


def test_a_money_store_that_cannot_be_asked_is_no_reason_to_doubt_the_books(used, monkeypatch):
    def away(**_):
        raise MoneyStoreDown("away")

    monkeypatch.setattr(live, "read_mark", away)

    with pytest.raises(MoneyStoreDown):
        settlement.settle_shard(shard=SHARD)
    monkeypatch.undo()
    assert live.epoch_is_current(shard=SHARD)
