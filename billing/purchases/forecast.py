"""What an organization has left and how long it lasts."""

import datetime as dt
from typing import Final, NamedTuple

from django.db.models import Min, Sum
from django.utils import timezone

from accounts.models import Organization
from billing import queries
from billing.models import BalanceChange, UsageRollup

_WINDOW: Final = dt.timedelta(days=7)
_HOURS_SPOKEN: Final = 48  # up to here people count in hours
_DAYS_SPOKEN: Final = 365
_HOUR_S: Final = 3600


class Pace(NamedTuple):
    """What was spent in the last ``hours`` (a week, or since the first request if that is shorter), nanos."""

    spent_nanos: int
    hours: int

    @property
    def per_day_nanos(self) -> int:
        """The same per day."""
        return self.spent_nanos * 24 // self.hours


def left_nanos(organization: Organization) -> int:
    """Return what is not spent, with what running requests hold, and with credit that the money store has yet to hear of.

    Holds are left in, because they are worst cases: a burst of requests is no reason to charge a card. Below zero after an overrun.
    """
    balance = queries.balance(organization)
    coming = BalanceChange.objects.filter(org=organization, seq__gt=balance.seq).aggregate(total=Sum("amount_nanos", default=0))["total"]
    return balance.remaining_nanos + int(coming)


def pace(organization: Organization, *, now: dt.datetime | None = None) -> Pace:
    """Return how fast the organization spends, by what is booked."""
    moment = now or timezone.now()
    found = UsageRollup.objects.filter(org_id=organization.pk, hour__gte=moment - _WINDOW, hour__lte=moment).aggregate(
        total=Sum("amount_nanos", default=0), first=Min("hour")
    )
    elapsed_s = (moment - found["first"]).total_seconds() if found["first"] else 0.0
    return Pace(int(found["total"]), max(1, -int(-elapsed_s // _HOUR_S)))


def lasts(left: int, spent: Pace) -> str:
    """Return how long ``left`` nanos last at this pace, in words: 'about 9 days'; '' when nothing is spent or nothing left."""
    if left <= 0 or spent.spent_nanos <= 0:
        return ""
    hours = left * spent.hours // spent.spent_nanos
    if hours < 1:
        return "less than an hour"
    if hours < _HOURS_SPOKEN:
        return f"about {hours} hour{'s' if hours > 1 else ''}"
    days = (hours + 12) // 24
    return f"about {days} days" if days <= _DAYS_SPOKEN else "more than a year"
