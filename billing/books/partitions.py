"""Day partitions of the usage table: made a week ahead, or on the spot when an event needs one that is missing; dropped by archive.py."""

import datetime as dt
from collections.abc import Iterable

from django.db import connection, transaction
from django.utils import timezone
from psycopg import sql

DAYS_AHEAD = 7
_TABLE = "billing_usageevent"


def make_ahead(*, now: dt.datetime | None = None, days: int = DAYS_AHEAD) -> list[str]:
    """Make the partitions of yesterday, today and the next ``days`` days. Return the names of those that were missing."""
    today = (now or timezone.now()).astimezone(dt.UTC).date()
    return ensure(today + dt.timedelta(days=offset) for offset in range(-1, days + 1))


def ensure(days: Iterable[dt.date]) -> list[str]:
    """Make the partitions of these UTC days if they are missing. Return the names of those that were."""
    missing = _missing(sorted(set(days)))
    for day in missing:
        _make(day)
    return [name_of(day) for day in missing]


def days() -> list[dt.date]:
    """Return the days that have a partition, oldest first."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT to_date(right(child.relname, 8), 'YYYYMMDD') FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid"
            " WHERE inhparent = %s::regclass ORDER BY 1",
            [_TABLE],
        )
        return [row[0] for row in cursor.fetchall()]


def drop(day: dt.date, *, wait: str) -> None:
    """Drop a day's partition. Needs a transaction; readers and writers of the table wait until it ends, ``wait`` is how long it waits
    for them. Raises: django.db.OperationalError when that was too long.
    """
    partition, table = sql.Identifier(name_of(day)), sql.Identifier(_TABLE)
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [wait])
        cursor.execute(sql.SQL("ALTER TABLE {} DETACH PARTITION {}").format(table, partition))
        cursor.execute(sql.SQL("DROP TABLE {}").format(partition))


def name_of(day: dt.date) -> str:
    """Return the name of a day's partition."""
    return f"{_TABLE}_{day:%Y%m%d}"


def _missing(days: list[dt.date]) -> list[dt.date]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT day FROM unnest(%s::date[]) AS day WHERE to_regclass(%s || '_' || to_char(day, 'YYYYMMDD')) IS NULL", [days, _TABLE]
        )
        return [row[0] for row in cursor.fetchall()]


def _make(day: dt.date) -> None:
    partition, table = sql.Identifier(name_of(day)), sql.Identifier(_TABLE)
    with transaction.atomic(), connection.cursor() as cursor:
        # One maker at a time; the second finds the first one's work.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [_TABLE])
        if not _missing([day]):
            return
        # Attaching, unlike CREATE TABLE ... PARTITION OF, does not lock out those who read and write the other days.
        cursor.execute(sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING ALL)").format(partition, table))
        cursor.execute(
            sql.SQL("ALTER TABLE {} ATTACH PARTITION {} FOR VALUES FROM ({}) TO ({})").format(
                table, partition, sql.Literal(day.isoformat()), sql.Literal((day + dt.timedelta(days=1)).isoformat())
            )
        )
