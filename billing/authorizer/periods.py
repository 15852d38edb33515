"""The periods of a key's limit, in UTC: days, weeks from Monday, months. The same numbering as ``scripts/scopes.lua``."""

import datetime as dt
from typing import NamedTuple

_EPOCH_DAY = dt.date(1970, 1, 1)
_S_PER_DAY = 86_400
# 1970-01-01 was a Thursday.
_DAYS_AFTER_MONDAY = 3
_DAYS_PER_WEEK = 7
_MONTHS_PER_YEAR = 12


class Periods(NamedTuple):
    """Period numbers of one moment: days and Monday weeks since 1970, months since year 0."""

    day: int
    week: int
    month: int

    @property
    def day_start(self) -> dt.datetime:
        """Midnight of the day, UTC."""
        return dt.datetime.combine(_EPOCH_DAY + dt.timedelta(days=self.day), dt.time(), tzinfo=dt.UTC)

    @property
    def week_start(self) -> dt.datetime:
        """Midnight of the week's Monday, UTC."""
        return dt.datetime.combine(
            _EPOCH_DAY + dt.timedelta(days=self.week * _DAYS_PER_WEEK - _DAYS_AFTER_MONDAY), dt.time(), tzinfo=dt.UTC
        )

    @property
    def month_start(self) -> dt.datetime:
        """Midnight of the month's first day, UTC."""
        year, month = divmod(self.month, _MONTHS_PER_YEAR)
        return dt.datetime(year, month + 1, 1, tzinfo=dt.UTC)


def periods_at(unix_s: int) -> Periods:
    """Return the periods of a moment in Unix seconds."""
    day = unix_s // _S_PER_DAY
    date = _EPOCH_DAY + dt.timedelta(days=day)
    return Periods(day=day, week=(day + _DAYS_AFTER_MONDAY) // _DAYS_PER_WEEK, month=date.year * _MONTHS_PER_YEAR + date.month - 1)
