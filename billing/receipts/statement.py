"""What happened to an organization's credit in a period, from the postings: opening balance, every movement, usage, closing balance.

Usage counts when its batch was posted, everything else when it was posted itself. Postings are never changed, so a statement of a period
that has ended is the same for ever.
"""

import datetime as dt
import uuid
from collections import Counter
from typing import Any, Final, NamedTuple

from django.db import connection
from django.utils import timezone

from accounts.models import Organization
from billing.books.charges import TOKENS_IN, TOKENS_OUT
from billing.books.chart import ORGANIZATION_CODES, USAGE_CODES, AccountCode, TransferCode
from billing.books.invariants import one_moment
from billing.receipts.funding import Credit

# A transaction that began before the end may commit a little after it.
SETTLED_AFTER: Final = dt.timedelta(minutes=10)
# A batch and its transfers are written within one transaction: how far apart their clocks may be.
_APART: Final = dt.timedelta(hours=1)
# How much older than its posting an event may be, in days; lets the database skip the other partitions.
_EVENT_DAYS_BACK: Final = 40

# One statement, so that the balance of now and the changes since are of one moment.
_CHANGES = """
WITH own AS (SELECT id, code, credits_nanos - debits_nanos AS net FROM billing_account WHERE org_id = %(org)s AND code = ANY(%(codes)s)),
changes AS (
    SELECT transfer.group_id, transfer.code, own.code AS account, coalesce(batch.created_at, transfer.created_at) AS at,
        CASE WHEN transfer.credit_account_id = own.id THEN transfer.amount_nanos ELSE -transfer.amount_nanos END AS change
    FROM billing_transfer transfer
    JOIN own ON own.id IN (transfer.debit_account_id, transfer.credit_account_id)
    LEFT JOIN billing_usagebatch batch ON batch.id = transfer.batch_id
    WHERE transfer.org_id = %(org)s AND transfer.created_at >= %(scan_from)s
)
SELECT 'now', NULL::timestamptz, NULL::uuid, NULL::int, NULL::int, coalesce(sum(net), 0)::bigint FROM own
UNION ALL
SELECT 'after', NULL, NULL, NULL, NULL, coalesce(sum(change), 0)::bigint FROM changes WHERE at >= %(until)s
UNION ALL
SELECT 'usage', NULL, NULL, NULL, account, sum(change)::bigint FROM changes
WHERE at >= %(since)s AND at < %(until)s AND code = ANY(%(usage)s) GROUP BY account
UNION ALL
SELECT 'movement', min(at), group_id, code, NULL, sum(change)::bigint FROM changes
WHERE at >= %(since)s AND at < %(until)s AND NOT code = ANY(%(usage)s) GROUP BY group_id, code HAVING sum(change) <> 0
"""
_USAGE = f"""
SELECT model, provider, key_id, sum(requests)::bigint, sum(nanos)::bigint, sum(tokens_in)::bigint, sum(tokens_out)::bigint FROM (
SELECT event.model, event.provider, event.key_id, count(*) FILTER (WHERE event.part = 0) AS requests, sum(event.amount_nanos) AS nanos,
    coalesce(sum({" + ".join(f"coalesce((event.meters->>'{name}')::bigint, 0)" for name in TOKENS_IN)}), 0) AS tokens_in,
    coalesce(sum({" + ".join(f"coalesce((event.meters->>'{name}')::bigint, 0)" for name in TOKENS_OUT)}), 0) AS tokens_out
FROM billing_usageevent event JOIN billing_usagebatch batch ON batch.id = event.batch_id
WHERE event.org_id = %(org)s AND event.day >= %(first_day)s AND event.day <= %(last_day)s
    AND batch.created_at >= %(since)s AND batch.created_at < %(until)s
GROUP BY event.model, event.provider, event.key_id
UNION ALL
SELECT model, provider, key_id, requests, amount_nanos, tokens_in, tokens_out FROM billing_usagearchivesum
WHERE org_id = %(org)s AND posted_on >= %(posted_from)s AND posted_on < %(posted_until)s
) AS kept GROUP BY model, provider, key_id
HAVING sum(requests) <> 0 OR sum(nanos) <> 0 OR sum(tokens_in) <> 0 OR sum(tokens_out) <> 0
"""  # noqa: S608 -- the names above and nothing else
_CREDIT_OF_ACCOUNT: Final[dict[int, Credit]] = {AccountCode.CUSTOMER_PROMO: "promo_credit", AccountCode.CUSTOMER_CREDIT: "credit"}


class StatementMismatch(Exception):
    """The usage rows do not add up to the postings. No such statement may leave the house; verify_ledger says more."""


class Movement(NamedTuple):
    """Credit that came or went other than by usage. ``reason`` is a TransferCode in lower case; below zero it went."""

    at: dt.datetime
    reason: str
    amount_nanos: int
    group_id: uuid.UUID


class UsageLine(NamedTuple):
    """Usage of one model at one provider with one key."""

    model: str
    provider: str
    key_id: int
    requests: int
    amount_nanos: int
    tokens_in: int
    tokens_out: int


class Statement(NamedTuple):
    """A period, half-open. ``is_final`` when nothing can be posted into it any more. ``charged`` is by credit, net of returns."""

    since: dt.datetime
    until: dt.datetime
    is_final: bool
    opening_nanos: int
    closing_nanos: int
    movements: list[Movement]
    charged: dict[Credit, int]
    usage: list[UsageLine]

    @property
    def charged_nanos(self) -> int:
        """All usage."""
        return sum(self.charged.values())

    @property
    def requests(self) -> int:
        """How many requests were booked."""
        return sum(line.requests for line in self.usage)


def read(organization: Organization, *, since: dt.datetime, until: dt.datetime, now: dt.datetime | None = None) -> Statement:
    """Return the statement of a period; one that is not over yet reaches to the present. Raises: StatementMismatch."""
    now = now or timezone.now()
    args: dict[str, Any] = {
        "org": organization.pk,
        "codes": [code.value for code in ORGANIZATION_CODES],
        "usage": [code.value for code in USAGE_CODES],
        "since": since,
        "until": until,
        "scan_from": since - _APART,
        "first_day": since.date() - dt.timedelta(days=_EVENT_DAYS_BACK),
        "last_day": until.date() + dt.timedelta(days=1),
        # Of archived days whole days are known; statements are of whole months.
        "posted_from": since.date(),
        "posted_until": until.date(),
    }
    with one_moment(), connection.cursor() as cursor:
        cursor.execute(_CHANGES, args)
        changes = cursor.fetchall()
        cursor.execute(_USAGE, args)
        usage = [UsageLine(*row) for row in cursor.fetchall()]
    statement = _assemble(since, until, is_final=until + SETTLED_AFTER <= now, changes=changes, usage=usage)
    listed = sum(line.amount_nanos for line in usage)
    if listed != statement.charged_nanos:
        msg = f"organization {organization.pk}: usage of {since} to {until} is {listed} n$, its postings say {statement.charged_nanos} n$"
        raise StatementMismatch(msg)
    return statement


def _assemble(
    since: dt.datetime, until: dt.datetime, *, is_final: bool, changes: list[tuple[Any, ...]], usage: list[UsageLine]
) -> Statement:
    movements: list[Movement] = []
    charged: Counter[Credit] = Counter()
    now_nanos = after_nanos = 0
    for kind, at, group_id, code, account, nanos in changes:
        match kind:
            case "now":
                now_nanos = nanos
            case "after":
                after_nanos = nanos
            case "usage":
                charged[_CREDIT_OF_ACCOUNT[account]] -= nanos
            case _:
                movements.append(Movement(at, TransferCode(code).name.lower(), nanos, group_id))
    closing_nanos = now_nanos - after_nanos
    opening_nanos = closing_nanos - sum(movement.amount_nanos for movement in movements) + sum(charged.values())
    return Statement(
        since=since,
        until=until,
        is_final=is_final,
        opening_nanos=opening_nanos,
        closing_nanos=closing_nanos,
        movements=sorted(movements, key=lambda movement: (movement.at, movement.group_id)),
        charged=dict(charged),
        usage=sorted(usage, key=lambda line: (-line.amount_nanos, line.model, line.provider, line.key_id)),
    )


def months_of(organization: Organization, *, now: dt.datetime | None = None) -> list[dt.date]:
    """Return the first days of the months since the organization was made, newest first."""
    month, first = (now or timezone.now()).date().replace(day=1), organization.created_at.date().replace(day=1)
    found = []
    while month >= first:
        found.append(month)
        month = (month - dt.timedelta(days=1)).replace(day=1)
    return found


def bounds_of(month: dt.date) -> tuple[dt.datetime, dt.datetime]:
    """Return the first moment of a month and of the next, in UTC."""
    following = (month.replace(day=1) + dt.timedelta(days=32)).replace(day=1)
    since, until = (dt.datetime(day.year, day.month, 1, tzinfo=dt.UTC) for day in (month, following))
    return since, until
