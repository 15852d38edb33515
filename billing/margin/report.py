"""What is earned: revenue, provider cost, fees and margin of a time, by model, provider, organization or day. Nanos.

Usage comes from the hourly sums, which are committed with the transfers they sum; fees come from the transfers themselves. That both
are the ledger's own figures is shown by ``ledger_check``, which compares everything ever used with the balances of the accounts.
"""

import datetime as dt
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple, TypeVar, get_args

from django.db import connection
from django.db.models import Sum
from django.db.models.functions import TruncDate

from accounts.models import Organization
from billing.books.chart import CHART, AccountCode
from billing.models import Account, UsageRollup
from billing.proof.plots import Plot, draw

Dimension = Literal["day", "model", "provider", "organization"]
DIMENSIONS: Final[tuple[Dimension, ...]] = get_args(Dimension)
DAYS_MAX: Final = 3_660
V = TypeVar("V")

_FEE_CODES: Final = (AccountCode.REVENUE_PURCHASE_FEE, AccountCode.STRIPE_FEES, AccountCode.DISPUTE_FEES)
_FEES: Final = """
SELECT (transfer.created_at AT TIME ZONE 'UTC')::date, transfer.org_id, sum(CASE WHEN transfer.credit_account_id = account.id
    THEN transfer.amount_nanos ELSE -transfer.amount_nanos END)::bigint
FROM billing_transfer transfer JOIN billing_account account ON account.id IN (transfer.credit_account_id, transfer.debit_account_id)
WHERE account.code = ANY(%s) AND transfer.created_at >= %s AND transfer.created_at < %s GROUP BY 1, 2
"""
_RESULT: Final = """
SELECT account.code, sum(CASE WHEN transfer.credit_account_id = account.id
    THEN transfer.amount_nanos ELSE -transfer.amount_nanos END)::bigint
FROM billing_transfer transfer JOIN billing_account account ON account.id IN (transfer.credit_account_id, transfer.debit_account_id)
WHERE account.code >= 4000 AND account.code < 6000 AND transfer.created_at >= %s AND transfer.created_at < %s GROUP BY 1 ORDER BY 1
"""
_BESIDE_USAGE: Final = """
SELECT coalesce(sum(CASE WHEN transfer.credit_account_id = account.id
    THEN transfer.amount_nanos ELSE -transfer.amount_nanos END), 0)::bigint
FROM billing_transfer transfer JOIN billing_account account ON account.id IN (transfer.credit_account_id, transfer.debit_account_id)
WHERE account.code = %s AND transfer.batch_id IS NULL
"""


class BadPeriod(ValueError):
    """The days are no period that can be shown; the message says why."""


class Row(NamedTuple):
    """One line. ``fees_nanos`` (ours less those that we pay) belong to days and organizations only, else None."""

    name: str
    requests: int
    revenue_nanos: int
    cost_nanos: int
    fees_nanos: int | None

    @property
    def margin_nanos(self) -> int:
        """What is left of revenue and fees after the provider's cost."""
        return self.revenue_nanos - self.cost_nanos + (self.fees_nanos or 0)

    @property
    def margin_basis_points(self) -> int | None:
        """The margin as a share of the revenue, in hundredths of a per cent; None without revenue."""
        return self.margin_nanos * 10_000 // self.revenue_nanos if self.revenue_nanos else None


class Report(NamedTuple):
    """Rows with the largest revenue first (days in order), their sum, and what the ledger earned and paid in the time by account."""

    by: Dimension
    since: dt.date
    until: dt.date
    rows: tuple[Row, ...]
    total: Row
    results: tuple[tuple[str, int], ...]
    result_nanos: int
    plot: Plot | None


class Check(NamedTuple):
    """A figure of the report over all time beside the ledger's."""

    title: str
    reported_nanos: int
    ledger_nanos: int


def read_period(since: str, until: str, *, today: dt.date, days: int = 30) -> tuple[dt.date, dt.date]:
    """Read the first and last day; empty is the last ``days``. Raises: BadPeriod."""
    try:
        last = dt.date.fromisoformat(until) if until else today
        first = dt.date.fromisoformat(since) if since else last - dt.timedelta(days=days - 1)
    except (ValueError, OverflowError) as error:
        raise BadPeriod("a day is written like 2026-01-31") from error
    if first > last:
        raise BadPeriod("the first day is after the last")
    if (last - first).days > DAYS_MAX or last.year > today.year + 1:
        raise BadPeriod("the time is longer than ten years")
    return first, last


def read_dimension(text: str) -> Dimension:
    """Return the dimension by its name; the day if it is none."""
    return text if text in DIMENSIONS else "day"


def make(*, by: Dimension, since: dt.date, until: dt.date) -> Report:
    """Sum up the UTC days ``since`` to ``until``, both included."""
    start, end = _midnight(since), _midnight(until + dt.timedelta(days=1))
    usage = _usage(by, start, end)
    fees = _fees(by, start, end)
    rows = [
        Row(name, *usage.get(name, (0, 0, 0)), fees.get(name, 0) if fees is not None else None)
        for name in usage.keys() | (fees or {}).keys()
    ]
    total_fees = sum((fees if fees is not None else _fees("day", start, end) or {}).values())
    total = Row(
        "Total",
        sum(row.requests for row in rows),
        sum(row.revenue_nanos for row in rows),
        sum(row.cost_nanos for row in rows),
        total_fees,
    )
    results = _results(start, end)
    order = sorted(rows, key=lambda row: row.name) if by == "day" else sorted(rows, key=lambda row: (-row.revenue_nanos, row.name))
    result = sum(nanos for _, nanos in results)
    return Report(by, since, until, tuple(order), total, results, result, _plot(by, start, end, since=since, until=until))


def ledger_check() -> list[Check]:
    """Compare all usage ever reported with the accounts: revenue and cost, with what was corrected or taken from bills beside usage."""
    usage = UsageRollup.objects.aggregate(revenue=Sum("amount_nanos", default=0), cost=Sum("cost_nanos", default=0))
    revenue = int(usage["revenue"]) + _beside_usage(AccountCode.REVENUE_USAGE)
    cost = int(usage["cost"]) - _beside_usage(AccountCode.PROVIDER_COST)
    return [
        Check("Revenue from usage", revenue, _balance(AccountCode.REVENUE_USAGE)),
        Check("Provider cost", cost, -_balance(AccountCode.PROVIDER_COST)),
    ]


def _usage(by: Dimension, start: dt.datetime, end: dt.datetime) -> dict[str, tuple[int, int, int]]:
    found = UsageRollup.objects.filter(hour__gte=start, hour__lt=end)
    field = {"day": "day", "organization": "org_id"}.get(by, by)
    if by == "day":
        found = found.annotate(day=TruncDate("hour", tzinfo=dt.UTC))
    sums = {"count": Sum("requests"), "revenue": Sum("amount_nanos"), "cost": Sum("cost_nanos")}
    rows = found.values(field).annotate(**sums).order_by(field)
    figures = {row[field]: (int(row["count"]), int(row["revenue"]), int(row["cost"])) for row in rows}
    return _named(by, figures)


def _fees(by: Dimension, start: dt.datetime, end: dt.datetime) -> dict[str, int] | None:
    """Return our fees less those that we pay, by name; None where fees belong to nobody."""
    if by not in {"day", "organization"}:
        return None
    sums: Counter[dt.date | int | None] = Counter()
    with connection.cursor() as cursor:
        cursor.execute(_FEES, [[code.value for code in _FEE_CODES], start, end])
        for day, org_id, nanos in cursor.fetchall():
            sums[day if by == "day" else org_id] += int(nanos)
    return _named(by, sums)


def _named(by: Dimension, figures: Mapping[Any, V]) -> dict[str, V]:
    """Write what rows are about as text: days as ISO dates, organizations with their public id, what belongs to none as 'service'."""
    if by != "organization":
        return {str(key): value for key, value in figures.items()}
    known = Organization.objects.in_bulk([key for key in figures if key is not None])
    names = {key: f"{known[key].name} ({known[key].public_id})" if key in known else "service" for key in figures}
    return {names[key]: value for key, value in figures.items()}


def _results(start: dt.datetime, end: dt.datetime) -> tuple[tuple[str, int], ...]:
    with connection.cursor() as cursor:
        cursor.execute(_RESULT, [start, end])
        return tuple((CHART[AccountCode(code)].title, int(nanos)) for code, nanos in cursor.fetchall())


def _beside_usage(code: AccountCode) -> int:
    with connection.cursor() as cursor:
        cursor.execute(_BESIDE_USAGE, [code.value])
        return int(cursor.fetchone()[0])


def _balance(code: AccountCode) -> int:
    sums = Account.objects.filter(code=code).aggregate(debits=Sum("debits_nanos", default=0), credits=Sum("credits_nanos", default=0))
    return int(sums["credits"] - sums["debits"])


def _plot(by: Dimension, start: dt.datetime, end: dt.datetime, *, since: dt.date, until: dt.date) -> Plot | None:
    """Draw the days as a whole, or the margin of the six that earn or lose most."""
    if by != "day":
        title = f"Margin of usage by {by} and day: the six with the largest"
        return draw(title, _margins(by, start, end), since=since, until=until)
    days = _usage("day", start, end)
    series: dict[str, dict[dt.date, int]] = {"Revenue": {}, "Provider cost": {}, "Margin of usage": {}}
    for name, (_, revenue, cost) in days.items():
        day = dt.date.fromisoformat(name)
        series["Revenue"][day], series["Provider cost"][day], series["Margin of usage"][day] = revenue, cost, revenue - cost
    return draw("Revenue, provider cost and margin of usage by day", series, since=since, until=until)


def _margins(by: Dimension, start: dt.datetime, end: dt.datetime) -> dict[str, dict[dt.date, int]]:
    field = {"organization": "org_id"}.get(by, by)
    found = UsageRollup.objects.filter(hour__gte=start, hour__lt=end).annotate(day=TruncDate("hour", tzinfo=dt.UTC))
    series: dict[Any, dict[dt.date, int]] = {}
    for row in found.values(field, "day").annotate(margin=Sum("amount_nanos") - Sum("cost_nanos")).order_by(field, "day"):
        series.setdefault(row[field], {})[row["day"]] = int(row["margin"])
    return _named(by, series)


def _midnight(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time.min, tzinfo=dt.UTC)
