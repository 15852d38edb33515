"""Old days of usage: written to a file, the file read back and compared, then the partition dropped. All of a day or nothing.

Only receipts leave the database. Transfers, accounts, batches and hourly sums stay for ever, and of every archived day the sums stay that
invariants and statements need. A crash leaves at most a file without a record, which the next attempt writes anew.
"""

import csv
import datetime as dt
import gzip
import hashlib
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, cast

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone
from psycopg import sql

from billing.books import partitions
from billing.books.arrivals import KEPT_AT_LEAST_DAYS
from billing.books.charges import COSTS_ELSEWHERE, TOKENS_IN, TOKENS_OUT
from billing.models import UsageArchive

_LOCK: Final = 0x61726368  # 'arch': one day at a time
# Settlement waits behind the drop for no longer than this; then the next run tries again.
_DROP_WAIT: Final = "2s"
_CHUNK_BYTES: Final = 1024 * 1024

_SUMS: Final = "SELECT count(*), coalesce(sum(amount_nanos), 0)::bigint, coalesce(sum(cost_nanos), 0)::bigint FROM {}"
_KEEP_BATCHES: Final = """
INSERT INTO billing_usagearchivebatch (batch_id, org_id, day, rows, amount_nanos)
SELECT batch_id, org_id, day, count(*), sum(amount_nanos)::bigint FROM {} GROUP BY batch_id, org_id, day
"""
_KEEP_SUMS: Final = f"""
INSERT INTO billing_usagearchivesum
    (org_id, posted_on, day, key_id, model, provider, requests, amount_nanos, cost_nanos, tokens_in, tokens_out)
SELECT org_id, (batch.created_at AT TIME ZONE 'UTC')::date, day, key_id, model, provider,
    sum(requests)::bigint, sum(side.amount_nanos)::bigint, sum(side.cost_nanos)::bigint, sum(tokens_in)::bigint, sum(tokens_out)::bigint
FROM (
    SELECT event.org_id, event.batch_id, event.day, event.key_id, event.model, event.provider,
        count(*) FILTER (WHERE event.part = 0) AS requests, sum(event.amount_nanos) AS amount_nanos,
        coalesce(sum(event.cost_nanos) FILTER (WHERE NOT event.simulated), 0) AS cost_nanos,
        coalesce(sum({" + ".join(f"coalesce((event.meters->>'{name}')::bigint, 0)" for name in TOKENS_IN)}), 0) AS tokens_in,
        coalesce(sum({" + ".join(f"coalesce((event.meters->>'{name}')::bigint, 0)" for name in TOKENS_OUT)}), 0) AS tokens_out
    FROM {{0}} event GROUP BY 1, 2, 3, 4, 5, 6
    UNION ALL
    SELECT event.org_id, event.batch_id, event.day, event.key_id, event.model, moved.provider, 0, 0, moved.cost_nanos, 0, 0
    FROM {COSTS_ELSEWHERE.format(rows="{0} AS event")}
) AS side JOIN billing_usagebatch batch ON batch.id = side.batch_id
GROUP BY 1, 2, 3, 4, 5, 6
"""  # noqa: S608 -- the names above and nothing else

_log = logging.getLogger(__name__)


class ArchiveMismatch(Exception):
    """A file is not what the database had, or not what was recorded. When a day is being archived, nothing was dropped."""


class NoArchive(Exception):
    """No folder is set for archives, so usage is kept for ever."""


class Sums(NamedTuple):
    """What a day's rows come to. Nanos."""

    rows: int
    amount_nanos: int
    cost_nanos: int


def archive_due(*, now: dt.datetime | None = None, limit: int = 31) -> list[dt.date]:
    """Archive every day that is older than the retention, oldest first, and return them; none when no folder is set.

    Raises: ArchiveMismatch, OSError (the days before are done).
    """
    if not settings.USAGE_ARCHIVE_DIR:
        return []
    today = (now or timezone.now()).astimezone(dt.UTC).date()
    first_kept = today - dt.timedelta(days=max(settings.USAGE_RETENTION_DAYS, KEPT_AT_LEAST_DAYS))
    done: list[dt.date] = []
    archived = set(UsageArchive.objects.values_list("day", flat=True))
    for day in [day for day in partitions.days() if day < first_kept and day not in archived][:limit]:
        if archive_day(day) is None:
            break  # another worker is at it
        done.append(day)
    return done


def archive_day(day: dt.date) -> UsageArchive | None:
    """Export a day, check the file and drop the partition. None when somebody else is archiving.

    Raises: NoArchive, ArchiveMismatch, OSError, and what the database raises when the drop waits for too long: nothing was dropped then.
    """
    folder = _folder()
    partition = sql.Identifier(partitions.name_of(day))
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK])
        if not cursor.fetchone()[0]:
            return None
        if UsageArchive.objects.filter(day=day).exists():
            # Its sums are on record: counted again they would be twice what was used, and the file is the only copy.
            msg = f"{day} is in the archive already; rows that were read back belong into a table of their own"
            raise ArchiveMismatch(msg)
        # Nobody writes to a day so old; this makes sure of it.
        cursor.execute(sql.SQL("LOCK TABLE {} IN SHARE MODE").format(partition))
        cursor.execute(sql.SQL(_SUMS).format(partition))
        expected = Sums(*cursor.fetchone())
        path, sha256 = _export(cursor, partition, folder / f"usage-{day:%Y-%m-%d}.csv.gz")
        _require_equal(day, read_sums(path), expected)
        for keep in (_KEEP_BATCHES, _KEEP_SUMS):
            cursor.execute(sql.SQL(keep).format(partition))
        made = UsageArchive.objects.create(day=day, file=path.name, sha256=sha256, size_bytes=path.stat().st_size, **expected._asdict())
        partitions.drop(day, wait=_DROP_WAIT)
    _log.info("usage of %s archived: %s rows, %s n$, %s", day, made.rows, made.amount_nanos, path)
    return made


def check_files() -> Iterator[str]:
    """Yield what is wrong with the files of archived days: missing, changed, or not adding up. Raises: NoArchive."""
    folder = _folder()
    for archive in UsageArchive.objects.order_by("day").iterator():
        path = folder / archive.file
        try:
            if _digest(path) != archive.sha256:
                raise ArchiveMismatch("its checksum is not the recorded one")
            _require_equal(archive.day, read_sums(path), Sums(archive.rows, archive.amount_nanos, archive.cost_nanos))
        except (OSError, ArchiveMismatch, ValueError, KeyError) as error:
            yield f"{path}: {error}"


def read_sums(path: Path) -> Sums:
    """Read a file from its first to its last row. Raises: OSError, ValueError, KeyError when it is no such file."""
    rows = amount_nanos = cost_nanos = 0
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            rows += 1
            amount_nanos += int(row["amount_nanos"])
            cost_nanos += int(row["cost_nanos"])
    return Sums(rows, amount_nanos, cost_nanos)


def _folder() -> Path:
    if not settings.USAGE_ARCHIVE_DIR:
        raise NoArchive("set USAGE_ARCHIVE_DIR to the folder where old usage is kept")
    folder = Path(settings.USAGE_ARCHIVE_DIR)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _export(cursor: Any, partition: sql.Identifier, path: Path) -> tuple[Path, str]:
    """Write a partition to a file that is there as a whole or not at all. Return its path and digest."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as raw:
            # No name and no time inside: the same rows give the same bytes.
            with gzip.GzipFile("", "wb", fileobj=cast("IO[bytes]", raw), mtime=0) as file:
                rows = sql.SQL("COPY (SELECT * FROM {} ORDER BY org_id, event_id, part) TO STDOUT (FORMAT csv, HEADER)")
                with cursor.copy(rows.format(partition)) as copy:
                    for piece in copy:
                        file.write(piece)
            raw.flush()
            os.fsync(raw.fileno())
        Path(name).replace(path)
        _sync_folder(path.parent)
    finally:
        with suppress(FileNotFoundError):
            Path(name).unlink()
    return path, _digest(path)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_CHUNK_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def _require_equal(day: dt.date, found: Sums, expected: Sums) -> None:
    if found != expected:
        msg = f"the file of {day} has {found}, expected was {expected}"
        raise ArchiveMismatch(msg)
