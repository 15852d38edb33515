"""Stripe's movements of money beside ours: every one has transfers of the same cents on the clearing account, or an item in suspense.

Payouts and Stripe's own fees are booked here; nothing else tells of them.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable
from typing import Final
from uuid import UUID

from django.db import transaction
from django.db.models import Q, Sum
from django.utils import timezone

from accounts.audit import Actor, name_actor
from billing.books import transfers
from billing.books.chart import AccountCode, AccountKey, TransferCode
from billing.books.ledger import group_id_of
from billing.books.transfers import Leg
from billing.models import Account, Purchase, Reconciliation, Refund, SuspenseItem, Transfer
from billing.money import NANOS_PER_CENT
from billing.purchases import stripe_api
from billing.purchases.shapes import BalanceEntry
from billing.reconciliation import suspense

# Webhooks and sweeps book a movement within this time; sooner it is no difference.
GRACE: Final = dt.timedelta(hours=1)
DAYS: Final = 7
_CHARGES: Final = {"charge", "payment"}
_REFUNDS: Final = {"refund", "payment_refund"}
_REFUND_FAILURES: Final = {"refund_failure", "payment_failure_refund", "payment_reversal"}
_PAYOUTS: Final = {"payout", "payout_cancel", "payout_failure"}
_OWN_FEES: Final = {"stripe_fee", "network_cost"}
# What stands on the clearing account and no movement of Stripe's explains: not of interest, because they correct each other.
_NOT_STRIPES: Final = {"suspense", "correction"}


def reconcile(*, days: int = DAYS, by: Actor = None, now: dt.datetime | None = None) -> Reconciliation:
    """Compare the last ``days`` with Stripe; book payouts and fees, open and close items.

    Raises: StripeDown, StripeRefused, NotConfigured.
    """
    moment = now or timezone.now()
    until, since = moment - GRACE, moment - dt.timedelta(days=days)
    entries = stripe_api.list_balance_entries(since=since, until=until)
    for entry in entries:
        _book_own(entry)
    booked = _clearing_by_group()
    explained: set[UUID] = set()
    off = 0
    for entry in entries:
        groups = _groups_of(entry)
        explained |= set(groups)
        off += _compare(entry, sum(booked.get(group, 0) for group in groups))
    extra = _unexplained(explained, booked, since=since, until=until)
    for group, nanos in extra.items():
        first = Transfer.objects.filter(group_id=group).order_by("id").first()
        subject = f"{first.ref_kind} {first.ref_id} is booked and not known to Stripe" if first else str(group)
        suspense.open_item(source=suspense.STRIPE, key=str(group), subject=subject, booked_nanos=nanos, billed_nanos=0)
    for item in SuspenseItem.objects.filter(source=suspense.STRIPE, closed_at=None).exclude(key__startswith="txn_"):
        if UUID(item.key) in explained:
            suspense.close_agreed(source=suspense.STRIPE, key=item.key)
    return Reconciliation.objects.create(
        source=suspense.STRIPE,
        way="api",
        since=since.date(),
        until=until.date(),
        made_by=name_actor(by),
        booked_nanos=sum(booked.get(group, 0) for group in explained | set(extra)),
        billed_nanos=sum(entry.net_cents for entry in entries) * NANOS_PER_CENT,
        line_count=len(entries) + len(extra),
        off_count=off + len(extra),
    )


def clearing_nanos() -> int:
    """Return what Stripe owes us, as the books have it."""
    sums = Account.objects.filter(code=AccountCode.STRIPE_CLEARING).aggregate(
        debits=Sum("debits_nanos", default=0), credits=Sum("credits_nanos", default=0)
    )
    return int(sums["debits"] - sums["credits"])


def _compare(entry: BalanceEntry, booked_nanos: int) -> bool:
    billed_nanos = entry.net_cents * NANOS_PER_CENT
    if booked_nanos == billed_nanos:
        suspense.close_agreed(source=suspense.STRIPE, key=entry.id)
        return False
    word = "is not booked" if booked_nanos == 0 else "is booked with another amount"
    subject = f"{entry.kind} {entry.id} ({entry.source or 'no source'}) of {entry.created_at:%Y-%m-%d} {word}"
    suspense.open_item(source=suspense.STRIPE, key=entry.id, subject=subject, booked_nanos=booked_nanos, billed_nanos=billed_nanos)
    return True


def _book_own(entry: BalanceEntry) -> None:
    """Book what only Stripe's balance tells of: payouts and their return, and fees that belong to no payment."""
    clearing = AccountKey(AccountCode.STRIPE_CLEARING)
    if entry.kind in _PAYOUTS:
        other, code, kind = AccountKey(AccountCode.BANK), TransferCode.PAYOUT, "payout"
    elif entry.kind in _OWN_FEES:
        other, code, kind = AccountKey(AccountCode.STRIPE_FEES), TransferCode.STRIPE_FEE, "stripe_fee"
    else:
        return
    nanos = entry.net_cents * NANOS_PER_CENT
    if nanos:
        leg = Leg(other, clearing, -nanos) if nanos < 0 else Leg(clearing, other, nanos)
        transfers.post(kind=kind, key=entry.id, legs=[leg], code=code, by=None, memo=f"{entry.kind} {entry.source}".strip())


def _groups_of(entry: BalanceEntry) -> list[UUID]:
    """Return the groups of transfers that book a movement, if they exist."""
    if entry.kind in _CHARGES:
        purchase = Purchase.objects.filter(Q(charge=entry.source) | Q(payment_intent=entry.source)).exclude(charge="").first()
        own = [group_id_of("purchase", purchase.payment_intent)] if purchase and purchase.payment_intent else []
        return [*own, group_id_of("stripe_fee", entry.id)]
    if entry.kind in _REFUNDS:
        refund = Refund.objects.filter(stripe_refund=entry.source).first()
        return [refund.group_id if refund else group_id_of("refund", entry.source), group_id_of("stripe_fee", entry.id)]
    if entry.kind in _REFUND_FAILURES:
        refund = Refund.objects.filter(stripe_refund=entry.source).first()
        return [group_id_of("correction", str(refund.group_id))] if refund else []
    if entry.kind in _PAYOUTS:
        return [group_id_of("payout", entry.id)]
    if entry.kind in _OWN_FEES:
        return [group_id_of("stripe_fee", entry.id)]
    return [group_id_of("dispute", entry.id)]


def _clearing_by_group() -> dict[UUID, int]:
    """Return what each group moved on the clearing account, nanos, towards us above zero."""
    accounts = list(Account.objects.filter(code=AccountCode.STRIPE_CLEARING).values_list("pk", flat=True))
    moved: defaultdict[UUID, int] = defaultdict(int)
    with transaction.atomic():
        for sign, side in ((1, "debit_account"), (-1, "credit_account")):
            rows = Transfer.objects.filter(**{f"{side}__in": accounts}).values("group_id").annotate(nanos=Sum("amount_nanos"))
            for row in rows:
                moved[row["group_id"]] += sign * int(row["nanos"])
    return moved


def _unexplained(explained: Iterable[UUID], booked: dict[UUID, int], *, since: dt.datetime, until: dt.datetime) -> dict[UUID, int]:
    """Return the groups of the time that moved clearing without a movement at Stripe.

    A movement may have been made before the window and booked in it, so a day at the edge is left to the comparison before.
    """
    recent = Transfer.objects.filter(created_at__gte=since + dt.timedelta(days=1), created_at__lt=until, group_id__in=booked)
    groups = set(recent.exclude(ref_kind__in=_NOT_STRIPES).values_list("group_id", flat=True)) - set(explained)
    # What was taken back since, such as a refund that Stripe refused, is no difference.
    left = {group: booked[group] + booked.get(group_id_of("correction", str(group)), 0) for group in groups}
    return {group: nanos for group, nanos in left.items() if nanos}
