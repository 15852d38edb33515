import threading

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from billing import live
from billing.books import settlement, transfers
from billing.books.chart import AccountCode, AccountKey, TransferCode
from billing.books.transfers import Leg
from billing.models import Account, BalanceChange, Transfer, UsageBatch, UsageEvent
from tests.billing import plane
from tests.billing.conftest import USD

PROMO = AccountKey(AccountCode.PROMO_EXPENSE)
GOODWILL = AccountKey(AccountCode.GOODWILL)


def _grant(organization, amount_nanos=5 * USD, key="welcome", **fields):
    return transfers.grant(organization=organization, amount_nanos=amount_nanos, reason="Welcome", idempotency_key=key, by=None, **fields)


def test_a_grant_moves_promo_expense_to_promo_credit_and_reaches_the_money_store(make_organization, books):
    organization = make_organization()

    group = _grant(organization)

    assert books() == {"promo_expense": 5 * USD, "customer_promo": 5 * USD}
    assert not group.is_repeat
    assert [(t.amount_nanos, t.code, t.org_id, t.memo, t.actor) for t in group.transfers] == [
        (5 * USD, TransferCode.GRANT, organization.pk, "Welcome", "system")
    ]
    change = BalanceChange.objects.get()
    assert (change.org_id, change.seq, change.amount_nanos, change.group_id) == (organization.pk, 1, 5 * USD, group.id)
    assert change.published_at is not None


def test_the_same_grant_again_returns_the_first_and_moves_nothing(make_organization, books):
    organization = make_organization()
    first = _grant(organization)

    again = _grant(organization)

    assert again.is_repeat
    assert [t.id for t in again.transfers] == [t.id for t in first.transfers]
    assert books()["customer_promo"] == 5 * USD
    assert BalanceChange.objects.count() == 1


def test_the_same_key_for_another_amount_or_account_is_refused_and_moves_nothing(make_organization, books):
    organization = make_organization()
    _grant(organization)

    with pytest.raises(transfers.KeyReused):
        _grant(organization, 5 * USD + 1)
    with pytest.raises(transfers.KeyReused):
        _grant(organization, promo=False)

    assert books() == {"promo_expense": 5 * USD, "customer_promo": 5 * USD}


def test_one_key_serves_each_organization_once(make_organization, books):
    one, other = make_organization(), make_organization()

    assert not _grant(one).is_repeat
    assert not _grant(other).is_repeat

    assert books()["customer_promo"] == 10 * USD


@pytest.mark.parametrize("amount_nanos", [0, -1, transfers.AMOUNT_MAX_NANOS + 1, 1.0, True])
def test_an_amount_that_is_not_a_whole_number_of_nanos_above_zero_is_refused(make_organization, amount_nanos):
    organization = make_organization()

    with pytest.raises(transfers.InvalidAmount):
        _grant(organization, amount_nanos)


def test_a_group_of_several_legs_is_posted_whole_or_not_at_all(make_organization, books):
    organization = make_organization()
    legs = [
        Leg(GOODWILL, AccountKey(AccountCode.CUSTOMER_CREDIT, organization.pk), 700),
        Leg(PROMO, AccountKey(AccountCode.CUSTOMER_PROMO, organization.pk), 300),
    ]
    fields = {"kind": "test", "code": TransferCode.GRANT, "by": None, "organization": organization}

    group = transfers.post(key="1", legs=legs, **fields)
    with pytest.raises(transfers.InvalidAmount):
        transfers.post(key="2", legs=[*legs, Leg(GOODWILL, PROMO, 0)], **fields)

    assert len(group.transfers) == 2
    assert {t.group_id for t in group.transfers} == {group.id}
    assert books() == {"goodwill": 700, "customer_credit": 700, "promo_expense": 300, "customer_promo": 300}
    assert BalanceChange.objects.get().amount_nanos == 1_000


def test_a_move_between_the_accounts_of_one_organization_changes_no_balance_and_gets_no_number(make_organization):
    organization = make_organization(1_000)
    leg = Leg(AccountKey(AccountCode.CUSTOMER_CREDIT, organization.pk), AccountKey(AccountCode.CUSTOMER_PROMO, organization.pk), 400)

    transfers.post(kind="test", key="1", legs=[leg], code=TransferCode.GRANT, by=None, organization=organization)

    assert BalanceChange.objects.count() == 1
    assert Account.objects.get(code=AccountCode.CUSTOMER_CREDIT).seq == 1


def test_a_leg_that_touches_another_organization_is_refused(make_organization):
    one, other = make_organization(), make_organization()
    leg = Leg(GOODWILL, AccountKey(AccountCode.CUSTOMER_CREDIT, other.pk), 1)

    with pytest.raises(transfers.InvalidPosting):
        transfers.post(kind="test", key="1", legs=[leg], code=TransferCode.GRANT, by=None, organization=one)
    with pytest.raises(transfers.InvalidPosting):
        transfers.post(kind="test", key="1", legs=[], code=TransferCode.GRANT, by=None, organization=one)


def test_a_reversal_mirrors_the_group_once_and_may_overdraw(make_organization, books):
    organization = make_organization(1_000, promo=True)
    group_id = Transfer.objects.get().group_id
    plane.spend(organization, 400)

    reversal = transfers.reverse(group_id=group_id, reason="by mistake", by=None)
    again = transfers.reverse(group_id=group_id, reason="by mistake", by=None)

    assert again.is_repeat
    assert Transfer.objects.count() == 2
    assert [(t.code, t.ref_id) for t in reversal.transfers] == [(TransferCode.CORRECTION, str(group_id))]
    assert books() == {"promo_expense": 0, "customer_promo": 0}
    assert live.read_balance(org_id=organization.pk, shard=7) == (-400, 0, 400, 2)


def test_a_correction_and_an_unknown_group_are_not_reversed(make_organization):
    organization = make_organization()
    reversal = transfers.reverse(group_id=_grant(organization).id, reason="", by=None)

    with pytest.raises(transfers.NotReversible):
        transfers.reverse(group_id=reversal.id, reason="", by=None)
    with pytest.raises(transfers.UnknownGroup):
        transfers.reverse(group_id=plane.new_id(), reason="", by=None)


def test_eight_callers_of_one_grant_at_once_grant_once(make_organization, books):
    organization = make_organization()
    repeats: list[bool] = []

    def ask() -> None:
        try:
            repeats.append(_grant(organization).is_repeat)
        finally:
            connection.close()

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(repeats) == [False] + [True] * 7
    assert books()["customer_promo"] == 5 * USD
    assert (
        live.read_balance(org_id=organization.pk, shard=7) is None
        or live.read_balance(org_id=organization.pk, shard=7).avail_nanos == 5 * USD
    )


def test_grants_and_reversals_of_many_callers_at_once_do_not_deadlock_and_number_without_gaps(make_organization):
    organizations = [make_organization(), make_organization()]
    errors: list[Exception] = []

    def ask(number: int) -> None:
        try:
            for step in range(5):
                group = _grant(organizations[(number + step) % 2], 1_000 + number, f"{number}-{step}", promo=bool(step % 2))
                if step % 2:
                    transfers.reverse(group_id=group.id, reason="", by=None)
        except Exception as error:  # noqa: BLE001 -- the test asserts that there was none
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    for organization in organizations:
        seqs = list(BalanceChange.objects.filter(org=organization).order_by("seq").values_list("seq", flat=True))
        assert seqs == list(range(1, len(seqs) + 1))


def _refused(statement: str) -> None:
    with pytest.raises((IntegrityError, DatabaseError), match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


def test_the_database_refuses_to_change_or_delete_what_was_booked(make_organization):
    organization = make_organization(USD)
    plane.spend(organization, 5)
    settlement.settle_shard(shard=7)
    partition = f"billing_usageevent_{UsageEvent.objects.get().day:%Y%m%d}"

    for table in ("billing_transfer", "billing_usageevent", partition, "billing_usagebatch"):
        _refused(f"DELETE FROM {table}")  # noqa: S608 -- names of ours
    _refused("UPDATE billing_transfer SET amount_nanos = amount_nanos + 1")
    _refused("UPDATE billing_usageevent SET amount_nanos = 0")
    _refused(f"UPDATE {partition} SET status = 'ok'")  # noqa: S608
    _refused("UPDATE billing_usagebatch SET events = 0")
    _refused("DELETE FROM billing_account")
    _refused("UPDATE billing_account SET debits_nanos = debits_nanos - 1 WHERE debits_nanos > 0")
    _refused("UPDATE billing_account SET credits_nanos = credits_nanos - 1 WHERE credits_nanos > 0")
    _refused("UPDATE billing_account SET seq = seq - 1 WHERE seq > 0")
    _refused("DELETE FROM billing_balancechange")
    _refused("UPDATE billing_balancechange SET amount_nanos = 1")

    assert (UsageEvent.objects.count(), UsageBatch.objects.count(), Transfer.objects.count()) == (1, 1, 3)


@pytest.mark.parametrize(
    "change",
    [{"amount_nanos": 0}, {"amount_nanos": -5}, {"credit_account_id": "debit_account_id"}],
    ids=["zero", "negative", "to itself"],
)
def test_the_database_refuses_a_transfer_that_is_none(make_organization, change):
    make_organization(USD)
    transfer = Transfer.objects.get()
    for name, value in change.items():
        setattr(transfer, name, getattr(transfer, value) if isinstance(value, str) else value)
    transfer.pk = plane.new_id()

    with pytest.raises(IntegrityError), transaction.atomic():
        transfer.save(force_insert=True)


def test_the_words_of_a_transfer_are_kept_as_they_were_written(make_organization):
    words = "a\ttab, a\nline, a \\ and \\N, é and 😀"
    organization = make_organization()

    transfers.grant(organization=organization, amount_nanos=5, reason=words, idempotency_key="odd\\key", by=None, promo=False)

    assert Transfer.objects.get(amount_nanos=5).memo == words
