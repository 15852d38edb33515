"""Which credit paid for a request, and which grant of it.

The books charge a batch as a whole: promo credit first, grant by grant in the order in which they expire, then ordinary credit. Within a
batch the requests stand in the order of their ids, so each has its place along that line, and what lies there paid for it. The shares of
a batch's requests add up to its transfers.
"""

import datetime as dt
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final, Literal, NamedTuple

from django.db.models import Q, Sum

from billing.books.chart import AccountCode, TransferCode
from billing.models import CreditLot, Transfer, UsageEvent

Credit = Literal["promo_credit", "credit"]
# Between posting and id, and more: lets the database skip the other days (books/arrivals.DAYS_BACK).
_DAYS_BACK: Final = dt.timedelta(days=40)
_DAYS_AHEAD: Final = dt.timedelta(days=2)


class Share(NamedTuple):
    """What one credit paid, nanos; below zero for what came back. ``grant`` is the lot of promo credit, ``reason`` its words."""

    credit: Credit
    amount_nanos: int
    grant: uuid.UUID | None = None
    reason: str = ""


class _Leg(NamedTuple):
    credit: Credit
    grant: uuid.UUID | None
    amount_nanos: int


def shares_of(parts: Iterable[UsageEvent]) -> list[Share]:
    """Return what paid for the parts of one request: promo credit first, none that paid nothing."""
    paid: Counter[tuple[Credit, uuid.UUID | None]] = Counter()
    for part in sorted(parts, key=lambda part: part.part):
        for leg in _legs_of(part):
            paid[leg.credit, leg.grant] += leg.amount_nanos
    shares = [Share(credit, nanos, grant) for (credit, grant), nanos in paid.items() if nanos]
    grants = [share.grant for share in shares if share.grant]
    reasons = dict(CreditLot.objects.filter(pk__in=grants).values_list("pk", "reason")) if grants else {}
    named = [share._replace(reason=reasons.get(share.grant, "")) if share.grant else share for share in shares]
    return sorted(named, key=lambda share: share.credit, reverse=True)  # stable: grants stay in their order


def _legs_of(part: UsageEvent) -> Iterator[_Leg]:
    if part.amount_nanos <= 0:
        yield _Leg("credit", None, part.amount_nanos)  # what comes back goes to ordinary credit
        return
    line = _line(part)
    # The places of most requests need no look at their neighbours: one credit paid for the whole batch.
    end = sum(leg.amount_nanos for leg in line) - _after(part) if len(line) > 1 else part.amount_nanos
    start, place = end - part.amount_nanos, 0
    for leg in line:
        nanos = min(end, place + leg.amount_nanos) - max(start, place)
        place += leg.amount_nanos
        if nanos > 0:
            yield leg._replace(amount_nanos=nanos)


def _line(part: UsageEvent) -> list[_Leg]:
    """Return what the part's batch was paid with, in the order in which it was spent (books/lots.py)."""
    rows = Transfer.objects.filter(org_id=part.org_id, batch_id=part.batch_id, code=TransferCode.USAGE)
    legs = [
        _Leg("promo_credit" if code == AccountCode.CUSTOMER_PROMO else "credit", lot_id, nanos)
        for code, lot_id, nanos in rows.values_list("debit_account__code", "lot_id", "amount_nanos")
    ]
    lots = CreditLot.objects.in_bulk([leg.grant for leg in legs if leg.grant]) if len(legs) > 1 else {}
    never = dt.datetime.max.replace(tzinfo=dt.UTC)

    def order(leg: _Leg) -> tuple[bool, bool, dt.datetime, dt.datetime, int]:
        lot = lots.get(leg.grant) if leg.grant else None
        if lot is None:
            return leg.credit == "credit", True, never, never, 0
        return False, False, lot.expires_at or never, lot.created_at, lot.pk.int

    return sorted(legs, key=order)


def _after(part: UsageEvent) -> int:
    """Return what the later requests of the batch cost. Not the earlier ones: of a batch over midnight they leave for the archive first."""
    day = part.booked_at.date()
    later = UsageEvent.objects.filter(
        Q(event_id__gt=part.event_id) | Q(event_id=part.event_id, part__gt=part.part),
        org_id=part.org_id,
        batch_id=part.batch_id,
        amount_nanos__gt=0,
        day__range=(day - _DAYS_BACK, day + _DAYS_AHEAD),
    )
    return int(later.aggregate(total=Sum("amount_nanos", default=0))["total"])
