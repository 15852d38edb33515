"""Lots: which grant a charge, an expiry or a correction of promo credit is taken from. What expires first goes first.

Whoever calls these holds the lock of the promo account concerned, so that an organization's lots change one posting at a time.
"""

import uuid
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from django.db import connection
from django.utils import timezone

from billing.books.chart import AccountCode, TransferCode
from billing.books.difference import Difference
from billing.models import CreditLot, Transfer


class OpenLot(NamedTuple):
    """What is left of a grant, nanos."""

    id: uuid.UUID
    left_nanos: int


class Draw(NamedTuple):
    """A part of an amount and the lot that it comes from; None is promo credit that no lot accounts for, which verify_ledger reports."""

    lot_id: uuid.UUID | None
    amount_nanos: int


_OPEN = """
SELECT organization_id, id, amount_nanos - spent_nanos - expired_nanos - taken_back_nanos FROM billing_creditlot
WHERE organization_id = ANY(%s) AND amount_nanos > spent_nanos + expired_nanos + taken_back_nanos
ORDER BY organization_id, expires_at NULLS LAST, created_at, id
"""
_SPEND = """
UPDATE billing_creditlot lot SET spent_nanos = lot.spent_nanos + moved.nanos
FROM unnest(%s::uuid[], %s::bigint[]) AS moved (id, nanos) WHERE lot.id = moved.id
"""
# A grant's own transfer opens the lot; every other one that names it lowers it by a debit of promo credit.
_AGAINST_TRANSFERS = """
WITH moved AS (
    SELECT transfer.lot_id AS id,
        sum(transfer.amount_nanos) FILTER (WHERE debit.code = %(promo)s AND transfer.code <> ALL(%(other)s)) AS spent,
        sum(transfer.amount_nanos) FILTER (WHERE debit.code = %(promo)s AND transfer.code = %(expiry)s) AS expired,
        sum(transfer.amount_nanos) FILTER (WHERE debit.code = %(promo)s AND transfer.code = %(correction)s) AS taken_back
    FROM billing_transfer transfer JOIN billing_account debit ON debit.id = transfer.debit_account_id
    WHERE transfer.lot_id IS NOT NULL GROUP BY transfer.lot_id
)
SELECT lot.id, lot.organization_id, coalesce(moved.spent, 0)::bigint, lot.spent_nanos,
    coalesce(moved.expired, 0)::bigint, lot.expired_nanos, coalesce(moved.taken_back, 0)::bigint, lot.taken_back_nanos
FROM billing_creditlot lot LEFT JOIN moved USING (id)
WHERE (lot.spent_nanos, lot.expired_nanos, lot.taken_back_nanos)
    IS DISTINCT FROM (coalesce(moved.spent, 0), coalesce(moved.expired, 0), coalesce(moved.taken_back, 0))
ORDER BY lot.id
"""
_AGAINST_ACCOUNTS = """
WITH promo AS (
    SELECT org_id, credits_nanos - debits_nanos AS nanos FROM billing_account WHERE code = %(promo)s
), lots AS (
    SELECT organization_id AS org_id, sum(amount_nanos - spent_nanos - expired_nanos - taken_back_nanos) AS nanos
    FROM billing_creditlot WHERE amount_nanos > spent_nanos + expired_nanos + taken_back_nanos GROUP BY 1
)
SELECT org_id, coalesce(promo.nanos, 0)::bigint, coalesce(lots.nanos, 0)::bigint FROM promo FULL JOIN lots USING (org_id)
WHERE coalesce(promo.nanos, 0) <> coalesce(lots.nanos, 0) ORDER BY org_id
"""


def open_lots(org_ids: Collection[int]) -> dict[int, list[OpenLot]]:
    """Return the lots of each organization that are not used up, in the order in which they are spent."""
    lots: dict[int, list[OpenLot]] = {org_id: [] for org_id in org_ids}
    if lots:
        with connection.cursor() as cursor:
            cursor.execute(_OPEN, [list(lots)])
            for org_id, lot_id, left_nanos in cursor.fetchall():
                lots[org_id].append(OpenLot(lot_id, left_nanos))
    return lots


def draw(lots: Iterable[OpenLot], amount_nanos: int) -> list[Draw]:
    """Divide an amount among lots, in their order."""
    draws = []
    for lot in lots:
        if not amount_nanos:
            break
        part_nanos = min(lot.left_nanos, amount_nanos)
        draws.append(Draw(lot.id, part_nanos))
        amount_nanos -= part_nanos
    return [*draws, Draw(None, amount_nanos)] if amount_nanos else draws


def note_spent(draws: Iterable[Draw]) -> None:
    """Add what was drawn to the lots' counters."""
    spent: Counter[uuid.UUID] = Counter()
    for lot_id, amount_nanos in draws:
        if lot_id is not None:
            spent[lot_id] += amount_nanos
    if spent:
        with connection.cursor() as cursor:
            cursor.execute(_SPEND, [list(spent), list(spent.values())])


def note_taken(lot_id: uuid.UUID, *, expired_nanos: int = 0, taken_back_nanos: int = 0, spent_nanos: int = 0) -> None:
    """Add to the counters of one lot."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE billing_creditlot SET expired_nanos = expired_nanos + %s, taken_back_nanos = taken_back_nanos + %s, "
            "spent_nanos = spent_nanos + %s WHERE id = %s",
            [expired_nanos, taken_back_nanos, spent_nanos, lot_id],
        )


def left_nanos(lot_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, int]:
    """Return what is left of each lot."""
    return {lot.pk: lot.left_nanos for lot in CreditLot.objects.filter(pk__in=lot_ids)}


def id_of_return(charge: Transfer) -> uuid.UUID:
    """Return the id of the lot into which a charge to promo credit comes back."""
    return uuid.uuid5(charge.pk, "returned")


def open_again(charges: Iterable[Transfer], *, by: str) -> None:
    """Open a lot for each charge to promo credit that a correction has given back."""
    returned = [charge for charge in charges if charge.lot_id is not None and charge.debit_account.code == AccountCode.CUSTOMER_PROMO]
    olds = CreditLot.objects.in_bulk([charge.lot_id for charge in returned])
    for charge in returned:
        old = olds[charge.lot_id]
        CreditLot.objects.create(
            id=id_of_return(charge),
            organization_id=old.organization_id,
            amount_nanos=charge.amount_nanos,
            expires_at=old.expires_at if old.expires_at and old.expires_at > timezone.now() else None,
            campaign=old.campaign,
            reason=old.reason,
            granted_by=by,
        )


def sums() -> Iterator[Difference]:
    """I13: what is left of an organization's lots is its promo account. Reads the open lots only."""
    with connection.cursor() as cursor:
        cursor.execute(_AGAINST_ACCOUNTS, {"promo": AccountCode.CUSTOMER_PROMO.value})
        for org_id, expected, found in cursor.fetchall():
            yield Difference("I13", f"organization {org_id}, credit lots against promo credit", expected, found, org_ids=(org_id,))


def counters() -> Iterator[Difference]:
    """I13: the counters of every lot are the sums of the transfers that name it. Reads all of them."""
    names: dict[str, int | list[int]] = {
        "promo": AccountCode.CUSTOMER_PROMO.value,
        "expiry": TransferCode.EXPIRY.value,
        "correction": TransferCode.CORRECTION.value,
        "other": [TransferCode.EXPIRY.value, TransferCode.CORRECTION.value],
    }
    with connection.cursor() as cursor:
        cursor.execute(_AGAINST_TRANSFERS, names)
        for lot_id, org_id, *figures in cursor.fetchall():
            for name, expected, found in zip(("spent", "expired", "taken back"), figures[::2], figures[1::2], strict=True):
                if expected != found:
                    yield Difference("I13", f"credit lot {lot_id} {name} against its transfers", expected, found, org_ids=(org_id,))
