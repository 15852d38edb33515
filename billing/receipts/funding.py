"""Which credit paid for a request.

The books charge a batch as a whole: promo credit as far as it goes, then ordinary credit. Within a batch the requests stand in the order of
their ids, so the share of each is certain: promo credit pays from the front. The shares of a batch add up to its transfers.
"""

import datetime as dt
from collections import Counter
from collections.abc import Iterable
from typing import Literal, NamedTuple

from django.db.models import Q, Sum

from billing.books.chart import AccountCode, TransferCode
from billing.models import Transfer, UsageEvent

Credit = Literal["promo_credit", "credit"]
_DAY = dt.timedelta(days=1)


class Share(NamedTuple):
    """What one kind of credit paid, nanos; below zero for what came back."""

    credit: Credit
    amount_nanos: int


def shares_of(parts: Iterable[UsageEvent]) -> list[Share]:
    """Return what each credit paid for the parts of one request: promo credit first, none that paid nothing."""
    paid: Counter[Credit] = Counter()
    for part in parts:
        promo_nanos = _promo_nanos(part)
        paid["promo_credit"] += promo_nanos
        paid["credit"] += part.amount_nanos - promo_nanos
    kinds: tuple[Credit, ...] = ("promo_credit", "credit")
    return [Share(kind, paid[kind]) for kind in kinds if paid[kind]]


def _promo_nanos(part: UsageEvent) -> int:
    if part.amount_nanos <= 0:
        return 0  # what comes back goes to ordinary credit
    legs = Transfer.objects.filter(org_id=part.org_id, batch_id=part.batch_id, code=TransferCode.USAGE)
    from_promo = legs.filter(debit_account__code=AccountCode.CUSTOMER_PROMO).aggregate(total=Sum("amount_nanos", default=0))["total"]
    if not from_promo or from_promo == legs.aggregate(total=Sum("amount_nanos", default=0))["total"]:
        return part.amount_nanos if from_promo else 0
    booked_day = part.booked_at.date()
    before = UsageEvent.objects.filter(
        Q(event_id__lt=part.event_id) | Q(event_id=part.event_id, part__lt=part.part),
        org_id=part.org_id,
        batch_id=part.batch_id,
        amount_nanos__gt=0,
        day__range=(booked_day - 40 * _DAY, booked_day + 2 * _DAY),  # arrivals.DAYS_BACK and more: lets the database skip the other days
    ).aggregate(total=Sum("amount_nanos", default=0))["total"]
    return int(min(max(from_promo - before, 0), part.amount_nanos))
