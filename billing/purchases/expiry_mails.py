"""A mail a week before granted credit ends, once per grant, while there is something left worth using."""

import datetime as dt
from typing import Final

from django.db.models import F
from django.utils import timezone

from billing.models import CreditLot
from billing.money import NANOS_PER_CENT
from billing.purchases import fees, notices

AHEAD: Final = dt.timedelta(days=7)
_LEAST_NANOS: Final = 10 * NANOS_PER_CENT


def remind(*, now: dt.datetime | None = None, limit: int = 1_000) -> int:
    """Write the mails that are due and return how many lots they are about; those written before are not sent again.

    Grants that live no longer than two weeks need no reminder: they were news a moment ago.
    """
    moment = now or timezone.now()
    left = F("amount_nanos") - F("spent_nanos") - F("expired_nanos") - F("taken_back_nanos")
    ending = (
        CreditLot.objects.annotate(left=left)
        .filter(left__gte=_LEAST_NANOS, expires_at__gt=moment, expires_at__lte=moment + AHEAD)
        .filter(expires_at__gt=F("created_at") + 2 * AHEAD)
    )
    reminded = 0
    for lot in ending.select_related("organization").order_by("expires_at", "pk")[:limit]:
        context = {
            "left": fees.dollars(lot.left_nanos // NANOS_PER_CENT),
            "reason": lot.reason,
            "on": f"{lot.expires_at:%-d %B %Y, %H:%M} UTC",
        }
        notices.write(organization=lot.organization, kind="credit_expires", key=str(lot.pk), context=context)
        reminded += 1
    return reminded
