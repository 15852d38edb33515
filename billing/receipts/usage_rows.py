"""Usage rows of a period, page by page: for exports of any length at a constant size.

A row belongs to the period in which it was posted, as in statements, so that an export of a month adds up to its statement.
"""

import datetime as dt
import uuid
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgspec
from django.db import connection
from django.db.models import Max

from accounts.models import Organization
from billing.models import UsageArchiveSum
from billing.types import UsageEvent

PAGE_ROWS: Final = 2_000
_EVENT_DAYS_BACK: Final = 40
# Jsonb comes as text from raw cursors. Attempts are on receipts.
_FIELDS: Final = tuple(name for name in UsageEvent.__struct_fields__ if name not in {"meters", "attempts"})
_PAGE = f"""
SELECT batch.created_at, event.part, event.meters::text, {", ".join(f"event.{name}" for name in _FIELDS)}
FROM billing_usageevent event JOIN billing_usagebatch batch ON batch.id = event.batch_id
WHERE event.org_id = %(org)s AND event.day >= %(first_day)s AND event.day <= %(last_day)s
    AND batch.created_at >= %(since)s AND batch.created_at < %(until)s
    AND (event.event_id, event.part) > (%(after_id)s, %(after_part)s)
ORDER BY event.event_id, event.part LIMIT %(limit)s
"""  # noqa: S608 -- the names of our own struct
_FIRST: Final = uuid.UUID(int=0)


class PostedRow(NamedTuple):
    """One usage row. In part 1 the amounts are differences to part 0, and the counts are those of the whole request."""

    event: UsageEvent
    part: int
    posted_at: dt.datetime


def pages(organization: Organization, *, since: dt.datetime, until: dt.datetime) -> Iterator[list[PostedRow]]:
    """Yield the rows posted in the half-open period, in the order of the requests' ids.

    Between pages the database connection is given back: a reader may take its time.
    """
    after: tuple[uuid.UUID, int] = (_FIRST, 0)
    while True:
        page = _read(organization, since=since, until=until, after=after)
        if not connection.in_atomic_block:
            connection.close()
        if page:
            yield page
            after = (page[-1].event.event_id, page[-1].part)
        if len(page) < PAGE_ROWS:
            return


def archived_until(organization: Organization, *, since: dt.datetime, until: dt.datetime) -> dt.date | None:
    """Return the latest day of the period of which rows are in the archive and missing here, None when the period is whole."""
    posted = UsageArchiveSum.objects.filter(org_id=organization.pk, posted_on__gte=since.date(), posted_on__lt=until.date())
    latest: dt.date | None = posted.aggregate(latest=Max("posted_on"))["latest"]
    return latest


def _read(organization: Organization, *, since: dt.datetime, until: dt.datetime, after: tuple[uuid.UUID, int]) -> list[PostedRow]:
    args: dict[str, Any] = {
        "org": organization.pk,
        "first_day": since.date() - dt.timedelta(days=_EVENT_DAYS_BACK),
        "last_day": until.date() + dt.timedelta(days=1),
        "since": since,
        "until": until,
        "after_id": after[0],
        "after_part": after[1],
        "limit": PAGE_ROWS,
    }
    with connection.cursor() as cursor:
        cursor.execute(_PAGE, args)
        return [PostedRow(_event(meters, fields), part, posted_at) for posted_at, part, meters, *fields in cursor.fetchall()]


def _event(meters: str, fields: list[Any]) -> UsageEvent:
    return UsageEvent(meters=msgspec.json.decode(meters), **dict(zip(_FIELDS, fields, strict=True)))
