"""Periods that people ask for: whole UTC days, both ends included."""

import datetime as dt
from typing import Final, NamedTuple

DAYS_MAX: Final = 366


class BadPeriod(ValueError):
    """The days make no period. ``field`` names what is wrong: from or to."""

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field} {rule}")
        self.field = field
        self.rule = rule


class Period(NamedTuple):
    """A half-open period, in UTC."""

    since: dt.datetime
    until: dt.datetime


def read(first: str, last: str) -> Period:
    """Return the period from the beginning of one day to the end of another, such as 2026-11-01 to 2026-11-30. Raises: BadPeriod."""
    since, until = _day("from", first), _day("to", last)
    if until < since:
        raise BadPeriod("to", "must not be before from")
    if (until - since).days >= DAYS_MAX:
        raise BadPeriod("to", f"must be less than {DAYS_MAX} days after from")
    return Period(_midnight(since), _midnight(until + dt.timedelta(days=1)))


def _day(field: str, text: str) -> dt.date:
    if not text:
        raise BadPeriod(field, "is required: a day such as 2026-11-30")
    try:
        day = dt.datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=dt.UTC).date()
    except ValueError:
        raise BadPeriod(field, "must be a day such as 2026-11-30") from None
    if not dt.date(2000, 1, 1) <= day <= dt.date(2999, 12, 31):
        raise BadPeriod(field, "must be a day of this millennium")
    return day


def _midnight(day: dt.date) -> dt.datetime:
    return dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC)
