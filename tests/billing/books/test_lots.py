import datetime as dt
import threading

import pytest
import time_machine
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.utils import timezone

from billing import live
from billing.books import expiry, invariants, lots, outbox, rebuild, settlement, transfers
from billing.books.chart import TransferCode
from billing.models import CreditLot, Transfer
from tests.billing import plane
from tests.billing.conftest import USD

NOW = dt.datetime(2027, 3, 1, 12, tzinfo=dt.UTC)
SHARD = 7


def grant(organization, amount_nanos, key, *, days=None, **fields):
    expires_at = None if days is None else NOW + dt.timedelta(days=days)
    group = transfers.grant(
        organization=organization,
        amount_nanos=amount_nanos,
        reason=key,
        idempotency_key=key,
        by=None,
        expires_at=expires_at,
        **fields,
    )
    if live.read_balance(org_id=organization.pk, shard=SHARD) is None:
        live.resync_balance(shard=SHARD, seed=rebuild.read_balance_seed(org_id=organization.pk))
    return group


def spend(organization, amount_nanos):
    event = plane.spend(organization, amount_nanos)
    settlement.settle_shard(shard=SHARD)
    return event


def left():
    return {lot.reason: lot.left_nanos for lot in CreditLot.objects.order_by("created_at")}


def no_difference():
    return [d for d in invariants.verify(shards=[SHARD]) if d.invariant != "I7"] == []


def test_what_expires_first_is_spent_first_and_every_transfer_names_its_lot(make_organization, books):
    organization = make_organization(100)
    grant(organization, 40, "for ever")
    grant(organization, 30, "late", days=30)
    grant(organization, 20, "soon", days=3)

    spend(organization, 35)
    assert left() == {"for ever": 40, "late": 15, "soon": 0}

    spend(organization, 60)
    assert left() == {"for ever": 0, "late": 0, "soon": 0}
    by_lot = {lot.reason: lot.pk for lot in CreditLot.objects.all()}
    used = Transfer.objects.filter(code=TransferCode.USAGE).order_by("batch_id", "-amount_nanos")
    assert [(t.amount_nanos, t.lot_id) for t in used] == [
        (20, by_lot["soon"]), (15, by_lot["late"]), (40, by_lot["for ever"]), (15, by_lot["late"]), (5, None),
    ]  # fmt: skip
    assert books()["customer_credit"] == 95
    assert no_difference()


def test_a_grant_with_an_earlier_expiry_is_spent_before_one_that_was_begun(make_organization):
    organization = make_organization()
    grant(organization, 10, "late", days=30)
    spend(organization, 4)
    grant(organization, 10, "soon", days=1)

    spend(organization, 8)

    assert left() == {"late": 6, "soon": 2}


def test_the_rest_expires_into_breakage_once_and_the_live_balance_follows(make_organization, books):
    organization = make_organization(100)
    grant(organization, 50, "spring", days=1)
    spend(organization, 20)

    assert expiry.expire_due(now=NOW + dt.timedelta(hours=23)) == 0
    assert expiry.expire_due(now=NOW + dt.timedelta(days=1)) == 30
    assert expiry.expire_due(now=NOW + dt.timedelta(days=1)) == 0

    assert books()["breakage"] == 30
    assert books()["customer_promo"] == 0
    assert live.read_balance(org_id=organization.pk, shard=SHARD)[:3] == (100, 0, 0)
    lot = CreditLot.objects.get(reason="spring")
    assert (lot.spent_nanos, lot.expired_nanos, lot.left_nanos) == (20, 30, 0)
    taken = Transfer.objects.get(code=TransferCode.EXPIRY)
    assert (taken.ref_kind, taken.ref_id, taken.amount_nanos, taken.lot_id) == ("expiry", f"{lot.pk}:0", 30, lot.pk)
    assert no_difference()


def test_a_charge_that_the_books_do_not_have_yet_is_paid_before_anything_expires(make_organization, books):
    organization = make_organization(100)
    grant(organization, 50, "spring", days=1)
    plane.spend(organization, 45)

    assert expiry.expire_due(now=NOW + dt.timedelta(days=2)) == 5

    assert books()["customer_credit"] == 100
    assert live.read_balance(org_id=organization.pk, shard=SHARD)[:3] == (100, 0, 0)


def test_what_a_running_request_holds_is_left_until_it_has_settled(make_organization, books):
    organization = make_organization()
    grant(organization, 50, "spring", days=1)
    event = plane.make_event(organization, 30, hold_nanos=40)
    assert plane.reserve(organization, event.event_id, 40) == "OK"

    assert expiry.expire_due(now=NOW + dt.timedelta(days=2)) == 10
    assert live.read_balance(org_id=organization.pk, shard=SHARD)[:3] == (0, 40, 0)
    assert expiry.expire_due(now=NOW + dt.timedelta(days=2)) == 0
    assert plane.settle(event) == "OK"
    assert expiry.expire_due(now=NOW + dt.timedelta(days=2)) == 10

    assert books() == {
        "promo_expense": 50, "customer_promo": 0, "breakage": 20, "revenue_usage": 30, "provider_cost": 15, "provider_payable": 15,
    }  # fmt: skip
    assert sorted(Transfer.objects.filter(code=TransferCode.EXPIRY).values_list("ref_id", flat=True)) == [
        f"{CreditLot.objects.get().pk}:{step}" for step in (0, 1)
    ]
    assert no_difference()


def test_a_running_request_keeps_the_granted_credit_it_was_admitted_on_although_there_is_other_credit(make_organization, books):
    organization = make_organization(100)
    grant(organization, 50, "spring", days=1)
    event = plane.make_event(organization, 40, hold_nanos=40)
    assert plane.reserve(organization, event.event_id, 40) == "OK"

    assert expiry.expire_due(now=NOW + dt.timedelta(days=2)) == 10
    assert plane.settle(event) == "OK"
    assert expiry.expire_due(now=NOW + dt.timedelta(days=2)) == 0

    assert books()["customer_credit"] == 100
    assert CreditLot.objects.get().spent_nanos == 40
    assert live.read_balance(org_id=organization.pk, shard=SHARD)[:3] == (100, 0, 0)


def test_no_request_is_admitted_on_credit_that_is_being_taken(make_organization, monkeypatch):
    organization = make_organization()
    grant(organization, 50, "spring", days=1)
    words = []

    def meanwhile(*args, **fields):
        words.append(plane.reserve(organization, plane.new_id(), 1))
        return take(*args, **fields)

    take = expiry._take
    monkeypatch.setattr(expiry, "_take", meanwhile)

    assert expiry.expire_due(now=NOW + dt.timedelta(days=2)) == 50
    assert words == ["SHORT_BALANCE"]
    assert live.read_balance(org_id=organization.pk, shard=SHARD)[:3] == (0, 0, 0)


def test_a_crash_while_credit_is_taken_gives_it_back_and_the_next_run_takes_it(make_organization, monkeypatch, money_store_client):
    organization = make_organization()
    grant(organization, 50, "spring", days=1)

    class Crash(BaseException):
        pass

    def crash(*_args, **_fields):
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(expiry, "_take", crash)
        patch.setattr(expiry, "_release", lambda *_: None)  # as kill -9 would
        with pytest.raises(Crash):
            expiry.expire_due(now=NOW + dt.timedelta(days=2))
    assert live.read_balance(org_id=organization.pk, shard=SHARD)[:3] == (0, 50, 0)
    assert expiry.expire_due(now=NOW + dt.timedelta(days=2)) == 0

    deadlines = plane.shard_keys(SHARD).deadlines
    [member] = money_store_client.zrange(deadlines, 0, -1)
    money_store_client.zadd(deadlines, {member: 1})
    assert live.reap_expired(shard=SHARD) == 1
    assert live.read_balance(org_id=organization.pk, shard=SHARD)[:3] == (50, 0, 0)
    assert expiry.expire_due(now=NOW + dt.timedelta(days=2)) == 50
    assert no_difference()


def test_while_the_money_store_has_not_heard_of_an_expiry_the_credit_stays_set_aside(make_organization, monkeypatch):
    organization = make_organization()
    grant(organization, 50, "spring", days=1)
    with monkeypatch.context() as patch:
        patch.setattr(outbox, "publish", lambda _organization: 0)
        assert expiry.expire_due(now=NOW + dt.timedelta(days=2)) == 50

    assert plane.reserve(organization, plane.new_id(), 1) == "SHORT_BALANCE"
    outbox.publish_pending()
    assert live.read_balance(org_id=organization.pk, shard=SHARD)[:3] == (-50, 50, 0)


def test_two_workers_take_what_expires_once(make_organization, books):
    organization = make_organization(10)
    grant(organization, 50, "spring", days=1)
    taken, errors = [], []

    def work():
        try:
            taken.append(expiry.expire_due(now=NOW + dt.timedelta(days=2)))
        except Exception as error:  # noqa: BLE001 -- the test asserts that there was none
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert sum(taken) == 50
    assert books()["breakage"] == 50
    assert live.read_balance(org_id=organization.pk, shard=SHARD)[:3] == (10, 0, 0)


def test_an_organization_that_the_money_store_has_not_loaded_expires_in_the_books(make_organization, books, money_store_client):
    organization = make_organization()
    grant(organization, 50, "spring", days=1)
    money_store_client.flushdb()
    rebuild.rebuild_shard(shard=SHARD)
    money_store_client.delete(f"{plane.shard_keys(SHARD).balance}{organization.pk}")

    assert expiry.expire_due(now=NOW + dt.timedelta(days=2)) == 50
    assert books()["breakage"] == 50


def test_granted_credit_that_ends_pays_for_an_overrun_before_it_is_taken(make_organization, books):
    organization = make_organization(10)
    event = plane.make_event(organization, 14, hold_nanos=10)
    assert plane.reserve(organization, event.event_id, 10) == "OK"
    assert plane.settle(event) == "OK"
    settlement.settle_shard(shard=SHARD)
    grant(organization, 50, "sorry", days=1)

    assert expiry.expire_due(now=NOW + dt.timedelta(days=2)) == 46

    lot = CreditLot.objects.get()
    assert (lot.spent_nanos, lot.expired_nanos) == (4, 46)
    assert {name: books()[name] for name in ("customer_credit", "customer_promo", "breakage")} == {
        "customer_credit": 0, "customer_promo": 0, "breakage": 46,
    }  # fmt: skip
    assert live.read_balance(org_id=organization.pk, shard=SHARD)[:3] == (0, 0, 0)
    assert no_difference()


def test_the_expiry_of_one_organization_leaves_a_strangers_credit_alone(make_organization):
    one, other = make_organization(), make_organization()
    grant(one, 50, "soon", days=1)
    grant(other, 70, "later", days=90)

    assert expiry.expire_due(now=NOW + dt.timedelta(days=2)) == 50

    assert live.read_balance(org_id=other.pk, shard=SHARD)[:3] == (70, 0, 0)
    assert left() == {"soon": 0, "later": 70}


def test_taking_back_a_grant_that_was_half_spent_takes_the_spent_half_from_own_credit(make_organization, books):
    organization = make_organization(100)
    group = grant(organization, 50, "by mistake", days=9)
    spend(organization, 30)

    first = transfers.reverse(group_id=group.id, reason="mistake", by=None)
    again = transfers.reverse(group_id=group.id, reason="mistake", by=None)

    assert again.is_repeat
    assert {t.pk for t in again.transfers} == {t.pk for t in first.transfers}
    lot = CreditLot.objects.get()
    assert (lot.spent_nanos, lot.taken_back_nanos, lot.left_nanos) == (30, 20, 0)
    assert (books()["customer_promo"], books()["customer_credit"], books()["promo_expense"]) == (0, 70, 0)
    assert no_difference()


@pytest.mark.parametrize(("days", "expires_at"), [(1, NOW + dt.timedelta(days=1)), (-90, None)], ids=["in time", "too late"])
def test_a_charge_that_is_taken_back_returns_as_a_lot_with_the_old_expiry_unless_that_is_over(make_organization, books, days, expires_at):
    organization = make_organization()
    grant(organization, 50, "spring", days=days)
    spend(organization, 30)
    charge = Transfer.objects.get(code=TransferCode.USAGE)

    with time_machine.travel(NOW, tick=False):
        transfers.reverse(group_id=charge.group_id, reason="sorry", by=None)

    assert books()["customer_promo"] == 50
    assert sorted(CreditLot.objects.values_list("amount_nanos", "spent_nanos", "expires_at")) == [
        (30, 0, expires_at), (50, 30, NOW + dt.timedelta(days=days)),
    ]  # fmt: skip
    assert no_difference()


def test_an_expiry_is_not_reversed(make_organization):
    organization = make_organization()
    grant(organization, 50, "spring", days=1)
    expiry.expire_due(now=NOW + dt.timedelta(days=2))

    with pytest.raises(transfers.NotReversible):
        transfers.reverse(group_id=Transfer.objects.get(code=TransferCode.EXPIRY).group_id, reason="", by=None)


def test_a_repeated_grant_keeps_its_first_expiry(make_organization):
    organization = make_organization()
    grant(organization, 50, "spring", days=1)

    assert grant(organization, 50, "spring", days=9).is_repeat

    assert CreditLot.objects.get().expires_at == NOW + dt.timedelta(days=1)


def test_credit_that_would_expire_at_once_or_is_plain_is_refused_and_moves_nothing(make_organization, books):
    organization = make_organization()
    fields = {"organization": organization, "amount_nanos": 5 * USD, "reason": "", "by": None}

    with pytest.raises(transfers.InvalidExpiry):
        transfers.grant(**fields, idempotency_key="a", expires_at=timezone.now() - dt.timedelta(seconds=1))
    with pytest.raises(transfers.InvalidExpiry):
        transfers.grant(**fields, idempotency_key="b", expires_at=timezone.now() + dt.timedelta(days=1), promo=False)

    assert books() == {}
    assert CreditLot.objects.count() == 0


def test_verify_names_a_lot_that_differs_from_its_transfers_and_from_the_account(make_organization):
    organization = make_organization()
    grant(organization, 50, "spring", days=1)
    CreditLot.objects.update(spent_nanos=7)

    found = [d for d in invariants.verify(shards=[SHARD]) if d.invariant == "I13"]

    assert [(d.expected, d.found) for d in found] == [(50, 43), (0, 7)]
    assert f"organization {organization.pk}" in found[0].subject
    assert str(CreditLot.objects.get().pk) in found[1].subject
    assert [d.invariant for d in invariants.verify(shards=[SHARD], days=2)] == ["I13"]


def test_promo_credit_that_no_lot_accounts_for_is_charged_all_the_same(make_organization, books):
    organization = make_organization()
    grant(organization, 50, "spring", days=1)
    CreditLot.objects.update(expired_nanos=45)

    spend(organization, 20)

    assert books()["customer_promo"] == 30
    assert sorted(Transfer.objects.filter(code=TransferCode.USAGE).values_list("amount_nanos", flat=True)) == [5, 15]


def test_the_database_refuses_to_forget_or_shrink_a_lot(make_organization):
    organization = make_organization()
    grant(organization, 50, "spring", days=1)
    spend(organization, 10)

    for statement in (
        "DELETE FROM billing_creditlot",
        "UPDATE billing_creditlot SET spent_nanos = 9",
        "UPDATE billing_creditlot SET amount_nanos = 60",
        "UPDATE billing_creditlot SET expires_at = now()",
    ):
        with pytest.raises((IntegrityError, DatabaseError), match="append-only"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
    with pytest.raises(IntegrityError, match="never_overdrawn"), transaction.atomic():
        CreditLot.objects.update(expired_nanos=41)


def test_a_rebuild_keeps_granted_credit_to_the_nano(make_organization, money_store_client):
    organization = make_organization(3)
    grant(organization, 50, "spring", days=1)
    spend(organization, 20)
    money_store_client.flushdb()
    rebuild.rebuild_shard(shard=SHARD)

    assert live.read_balance(org_id=organization.pk, shard=SHARD)[:3] == (33, 0, 0)
    assert expiry.expire_due(now=NOW + dt.timedelta(days=2)) == 30
    assert live.read_balance(org_id=organization.pk, shard=SHARD)[:3] == (3, 0, 0)


def test_an_amount_is_drawn_lot_by_lot_in_order():
    one, two = plane.new_id(), plane.new_id()
    open_lots = [lots.OpenLot(one, 5), lots.OpenLot(two, 7)]

    assert lots.draw(open_lots, 0) == []
    assert lots.draw(open_lots, 5) == [(one, 5)]
    assert lots.draw(open_lots, 6) == [(one, 5), (two, 1)]
    assert lots.draw(open_lots, 13) == [(one, 5), (two, 7), (None, 1)]
