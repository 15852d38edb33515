"""Differences that wait for an explanation. Those of Stripe's money stand on the suspense account meanwhile, so that clearing is right."""

from collections import Counter
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from accounts.models import User
from accounts.permissions import NotPermitted
from billing.books import transfers
from billing.books.chart import AccountCode, AccountKey, TransferCode
from billing.books.transfers import Leg
from billing.models import SuspenseItem

STRIPE = "stripe"


class NothingOpen(Exception):
    """The item is closed already, or there is none."""


def open_item(*, source: str, key: str, subject: str, booked_nanos: int, billed_nanos: int) -> SuspenseItem:
    """Open an item, or renew it if its figures changed. Stripe's difference moves to the suspense account."""
    now = timezone.now()
    with transaction.atomic():
        known = SuspenseItem.objects.select_for_update().filter(source=source, key=key, closed_at=None).first()
        if known is not None and (known.booked_nanos, known.billed_nanos) == (booked_nanos, billed_nanos):
            SuspenseItem.objects.filter(pk=known.pk).update(seen_at=now)
            return known
        if known is not None:
            _close(known, by="system")
        return SuspenseItem.objects.create(
            source=source,
            key=key,
            subject=subject,
            booked_nanos=booked_nanos,
            billed_nanos=billed_nanos,
            group_id=_hold(key, billed_nanos - booked_nanos, subject) if source == STRIPE else None,
            opened_at=now,
            seen_at=now,
        )


def close_agreed(*, source: str, key: str) -> bool:
    """Close an item whose figures agree now, and take it off the suspense account. False when there was none."""
    with transaction.atomic():
        item = SuspenseItem.objects.select_for_update().filter(source=source, key=key, closed_at=None).first()
        if item is None:
            return False
        _close(item, by="system")
    return True


def accept(*, item_id: int, by: User) -> SuspenseItem:
    """Take what a provider bills into the books: its cost and what we owe it follow the bill.

    Raises: NotPermitted for anyone but an operator, NothingOpen (also for Stripe's items, which end when their cause is booked).
    """
    if not (by.is_staff and by.is_active):
        raise NotPermitted("not permitted: accepting a bill")
    with transaction.atomic():
        item = SuspenseItem.objects.select_for_update().exclude(source=STRIPE).filter(pk=item_id, closed_at=None).first()
        if item is None:
            raise NothingOpen
        cost, payable = (AccountKey(code, None, 0, item.source) for code in (AccountCode.PROVIDER_COST, AccountCode.PROVIDER_PAYABLE))
        debit, credit = (cost, payable) if item.off_nanos > 0 else (payable, cost)
        group = transfers.post(
            kind="bill",
            key=str(item.pk),
            legs=[Leg(debit, credit, abs(item.off_nanos))],
            code=TransferCode.PROVIDER_COST if item.off_nanos > 0 else TransferCode.PROVIDER_COST_RETURN,
            by=by,
            memo=item.subject,
        )
        item.group_id, item.closed_at, item.closed_by = group.id, timezone.now(), by.email
        item.save(update_fields=["group_id", "closed_at", "closed_by"])
    return item


def accepted_by_key(source: str) -> Counter[str]:
    """Return what operators took into the books beyond a provider's usage, by day and model. Nanos."""
    accepted: Counter[str] = Counter()
    for item in SuspenseItem.objects.filter(source=source, closed_at__isnull=False, group_id__isnull=False):
        accepted[item.key] += item.off_nanos
    return accepted


def _hold(key: str, off_nanos: int, subject: str) -> UUID:
    clearing, suspense = AccountKey(AccountCode.STRIPE_CLEARING), AccountKey(AccountCode.SUSPENSE)
    debit, credit = (clearing, suspense) if off_nanos > 0 else (suspense, clearing)
    attempt = SuspenseItem.objects.filter(source=STRIPE, key=key).count()
    leg = Leg(debit, credit, abs(off_nanos))
    return transfers.post(kind="suspense", key=f"{key}:{attempt}", legs=[leg], code=TransferCode.SUSPENSE, by=None, memo=subject).id


def _close(item: SuspenseItem, *, by: str) -> None:
    if item.group_id is not None:
        transfers.reverse(group_id=item.group_id, reason="explained", by=None)
    SuspenseItem.objects.filter(pk=item.pk).update(closed_at=timezone.now(), closed_by=by)
