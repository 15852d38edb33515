"""Reads of money, all scoped to one organization.

Exact at the moment of asking: what the books have not booked yet is in the money store, and every figure is taken from one place at
one moment, never added up from two. When the money store is away or does not know the organization, the books answer; they are at
most a second behind.
"""

import datetime as dt
import uuid
from collections.abc import Sequence
from typing import NamedTuple

from django.db.models import Max, Q, Sum
from django.utils import timezone

from accounts.models import ApiKey, Organization
from billing import live
from billing.authorizer.connection import MoneyStoreDown
from billing.authorizer.periods import periods_at
from billing.books import arrivals, misses
from billing.books.chart import ORGANIZATION_CODES
from billing.models import Account, BalanceChange, CreditLot, UsageArchive, UsageEvent, UsageRollup
from billing.receipts.parts import combine
from billing.types import UsageEvent as Receipt
from billing.types import event_day

# How much of a receipt list is looked through for second parts; they follow their first part by the life of a hold.
_PARTS_MAX = 2


class Balance(NamedTuple):
    """What an organization has, nanos. ``seq`` is the number of the last balance change that is in it."""

    available_nanos: int  # free to spend
    held_nanos: int  # set aside for requests that are running
    seq: int

    @property
    def remaining_nanos(self) -> int:
        """Everything not spent yet; below zero after an overrun."""
        return self.available_nanos + self.held_nanos


class KeyUsage(NamedTuple):
    """What a key has spent: ever, and in the present UTC day, week (from Monday) and month. Nanos."""

    spent_nanos: int
    day_nanos: int
    week_nanos: int
    month_nanos: int
    last_used_at: dt.datetime | None  # start of the hour of its latest booked request


class ReceiptArchived(Exception):
    """The requests of that day are in the archive and no longer here; statements and the books still have their sums."""

    def __init__(self, day: dt.date) -> None:
        super().__init__(
            f"Requests of {day} are in the archive: their receipts are not kept online any more. The month's statement has their sums;"
            " for a single receipt ask the operator of this server."
        )
        self.day = day


class FullReceipt(NamedTuple):
    """One request as it was settled, and its rows in the books, the latest part first; none while it waits to be booked."""

    event: Receipt
    rows: tuple[UsageEvent, ...]


def balance(organization: Organization) -> Balance:
    """Return the balance to the nano."""
    try:
        known = live.read_balance(org_id=organization.pk, shard=organization.shard)
    except MoneyStoreDown:
        known = None
    if known is not None:
        return Balance(known.avail_nanos, known.held_nanos, known.seq)
    accounts = Account.objects.filter(org=organization, code__in=[code.value for code in ORGANIZATION_CODES])
    booked = accounts.aggregate(debits=Sum("debits_nanos", default=0), credits=Sum("credits_nanos", default=0), seq=Max("seq", default=0))
    return Balance(booked["credits"] - booked["debits"], 0, booked["seq"])


def total_credits_nanos(organization: Organization) -> int:
    """Return everything ever credited less what was taken back, nanos; usage is not in it."""
    return _credited_nanos(organization)


def total_usage_nanos(organization: Organization) -> int:
    """Return everything ever charged for usage, booked or not, nanos."""
    now = balance(organization)
    # Credits up to the very change that the balance has in it: a grant that lands in between changes neither side.
    return _credited_nanos(organization, up_to_seq=now.seq) - now.remaining_nanos


def key_usage(organization: Organization, keys: Sequence[ApiKey], *, now: dt.datetime | None = None) -> dict[int, KeyUsage]:
    """Return what each key has spent, by key id. Keys of other organizations are left out."""
    key_ids = [key.pk for key in keys if key.organization_id == organization.pk]
    if not key_ids:
        return {}
    usage = _booked_key_usage(organization, key_ids, now or timezone.now())
    try:
        known = live.read_key_usage(shard=organization.shard, key_ids=key_ids)
    except MoneyStoreDown:
        known = {}
    for key_id, spent in known.items():
        usage[key_id] = KeyUsage(spent.spent_nanos, spent.day_nanos, spent.week_nanos, spent.month_nanos, usage[key_id].last_used_at)
    return usage


def credit_lots(organization: Organization, *, limit: int = 100) -> list[CreditLot]:
    """Return what was granted to the organization: what is left in the order in which it is spent, then what has ended, newest first.

    ``left_nanos`` is what the books say; charges of the last second may not be in it.
    """
    granted = list(CreditLot.objects.filter(organization=organization).order_by("-created_at")[:limit])
    far = dt.datetime.max.replace(tzinfo=dt.UTC)
    is_open = sorted((lot for lot in granted if lot.left_nanos), key=lambda lot: (lot.expires_at or far, lot.created_at, lot.pk))
    return [*is_open, *(lot for lot in granted if not lot.left_nanos)]


def latest_requests(organization: Organization, limit: int = 50) -> list[Receipt]:
    """Return the receipts of the latest requests, newest first; those of the last second may still be on their way."""
    rows = UsageEvent.objects.filter(org_id=organization.pk).order_by("-event_id", "-part")[: limit * _PARTS_MAX]
    return combine(rows)[:limit]


def generation(organization: Organization, event_id: uuid.UUID) -> Receipt | None:
    """Return one request's receipt, or None when the organization has no such request.

    If the books do not have it yet, everything pending on the organization's shard is booked first, unless that was in vain for
    somebody within the last second. What cannot be booked now is read where it waits.
    """
    found = full_receipt(organization, event_id)
    return None if found is None else found.event


def full_receipt(organization: Organization, event_id: uuid.UUID) -> FullReceipt | None:
    """Return what ``generation`` returns, with its rows in the books: none while it waits to be booked. Raises: ReceiptArchived."""
    _require_not_archived(event_id)
    booked = misses.find_or_settle(lambda: _booked(organization, event_id), shard=organization.shard)
    return booked or _waiting(organization, event_id)


def _require_not_archived(event_id: uuid.UUID) -> None:
    try:
        day = event_day(event_id)
    except (OverflowError, ValueError):
        return
    is_old = timezone.now().date() - day > dt.timedelta(days=arrivals.KEPT_AT_LEAST_DAYS)
    if is_old and UsageArchive.objects.filter(day=day).exists():
        raise ReceiptArchived(day)


def _booked(organization: Organization, event_id: uuid.UUID) -> FullReceipt | None:
    try:
        day = event_day(event_id)
    except (OverflowError, ValueError):
        return None
    rows = list(UsageEvent.objects.filter(org_id=organization.pk, event_id=event_id, day=day).order_by("-part"))
    return FullReceipt(combine(rows)[0], tuple(rows)) if rows else None


def _waiting(organization: Organization, event_id: uuid.UUID) -> FullReceipt | None:
    try:
        entry = live.find_entry(shard=organization.shard, org_id=organization.pk, event_id=event_id)
        return None if entry is None else FullReceipt(arrivals.read(entry, today=timezone.now().date()).event, ())
    except (MoneyStoreDown, arrivals.BadEvent):
        return None


def _credited_nanos(organization: Organization, *, up_to_seq: int | None = None) -> int:
    changes = BalanceChange.objects.filter(org=organization)
    if up_to_seq is not None:
        changes = changes.filter(seq__lte=up_to_seq)
    return int(changes.aggregate(total=Sum("amount_nanos", default=0))["total"])


def _booked_key_usage(organization: Organization, key_ids: list[int], now: dt.datetime) -> dict[int, KeyUsage]:
    periods = periods_at(int(now.timestamp()))
    found = (
        UsageRollup.objects.filter(org_id=organization.pk, key_id__in=key_ids)
        .values("key_id")
        .annotate(
            spent=Sum("amount_nanos", default=0),
            spent_day=Sum("amount_nanos", filter=Q(hour__gte=periods.day_start), default=0),
            spent_week=Sum("amount_nanos", filter=Q(hour__gte=periods.week_start), default=0),
            spent_month=Sum("amount_nanos", filter=Q(hour__gte=periods.month_start), default=0),
            latest=Max("hour"),
        )
    )
    usage = {key_id: KeyUsage(0, 0, 0, 0, None) for key_id in key_ids}
    for row in found:
        usage[row["key_id"]] = KeyUsage(
            int(row["spent"]), int(row["spent_day"]), int(row["spent_week"]), int(row["spent_month"]), row["latest"]
        )
    return usage
