"""Old usage leaves the database for files, and the books hold as before."""

import csv
import datetime as dt
import gzip
import threading
from pathlib import Path

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction

from billing import queries
from billing.books import archive, arrivals, invariants, partitions, transfers
from billing.books.archive import ArchiveMismatch, Sums
from billing.models import Account, Transfer, UsageArchive, UsageArchiveBatch, UsageArchiveSum, UsageEvent, UsageRollup
from billing.queries import ReceiptArchived
from billing.receipts import statement as statements
from billing.receipts import usage_rows
from billing.types import AttemptRecord
from tests.billing import plane
from tests.factories.usage import book

pytestmark = pytest.mark.django_db

DAY = dt.date(2025, 3, 10)
NOON = dt.datetime(2025, 3, 10, 12, tzinfo=dt.UTC)
MARCH = statements.bounds_of(dt.date(2025, 3, 1))
NOW = dt.datetime(2026, 6, 1, 2, 10, tzinfo=dt.UTC)
LOST = AttemptRecord(endpoint_id="acme/swift@bolt", provider="bolt", status=200, latency_ms=9, reason="hedged", cost_nanos=30_000)
USAGE = [
    {"amount_picos": 214_000_400, "cost_nanos": 100_000, "attempts": (LOST,), "external_user": 'a "quoted", name;\n=1+1\t\\'},
    {"amount_picos": 3_000, "model": "acme/other", "cost_nanos": 77, "simulated": True},
    {"amount_picos": 9_000_000, "status": "expired", "meters": {}, "cost_nanos": 5},
]


@pytest.fixture
def folder(settings, tmp_path) -> Path:
    settings.USAGE_ARCHIVE_DIR = str(tmp_path / "archive")
    settings.USAGE_RETENTION_DAYS = 400
    return tmp_path / "archive"


@pytest.fixture
def used(organization, make_key, folder):
    """Book a grant, three requests of a day in March 2025, one of them settled late, and one of the day after."""
    key = make_key()[0]
    transfers.grant(organization=organization, amount_nanos=10**9, reason="r", idempotency_key="k", by=None)
    with time_machine.travel(NOON, tick=False):
        events = [book(key, event_id=plane.id_at(NOON), **fields) for fields in USAGE]
        book(key, event_id=events[2].event_id, amount_picos=4_000_000, cost_nanos=2)
        book(key, event_id=plane.id_at(NOON + dt.timedelta(days=1)), amount_picos=50_000)
    _date_batches()
    return events


def _date_batches() -> None:
    """Give what was booked by the database's clock the time of its requests."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("UPDATE billing_usagebatch SET created_at = %s", [NOON + dt.timedelta(hours=1)])
        cursor.execute("UPDATE billing_transfer SET created_at = %s", [NOON + dt.timedelta(hours=1)])
        cursor.execute("SET LOCAL session_replication_role = origin")


def _rows() -> list[tuple]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM billing_usageevent WHERE day = %s ORDER BY org_id, event_id, part", [DAY])
        return cursor.fetchall()


def test_a_day_beyond_the_retention_goes_into_a_file_and_its_partition_is_dropped(used, folder):
    rows = _rows()

    assert archive.archive_due(now=dt.datetime(2026, 4, 15, tzinfo=dt.UTC)) == [DAY]

    [made] = UsageArchive.objects.all()
    assert (made.day, made.file, made.rows) == (DAY, "usage-2025-03-10.csv.gz", 4)
    assert (made.amount_nanos, made.cost_nanos) == (214_000 + 3 + 9_000 - 5_000, 100_000 + 77 + 5 - 3)
    assert archive.read_sums(folder / made.file) == Sums(made.rows, made.amount_nanos, made.cost_nanos)
    assert DAY not in partitions.days()
    assert UsageEvent.objects.count() == 1
    with gzip.open(folder / made.file, "rt", encoding="utf-8", newline="") as file:
        kept = list(csv.DictReader(file))
    assert kept[0].keys() == {field.column for field in UsageEvent._meta.concrete_fields}
    assert sorted(row["external_user"] for row in kept) == ["", "", "", USAGE[0]["external_user"]]
    assert len(rows) == 4


def test_a_file_read_back_by_the_database_gives_the_very_rows(used, folder):
    rows = _rows()
    archive.archive_day(DAY)
    partitions.ensure([DAY])

    body = gzip.decompress((folder / "usage-2025-03-10.csv.gz").read_bytes())
    with connection.cursor() as cursor, cursor.copy("COPY billing_usageevent FROM STDIN (FORMAT csv, HEADER MATCH)") as copy:
        copy.write(body)

    assert _rows() == rows


def test_a_day_that_was_put_back_in_its_old_place_is_not_archived_over_its_only_copy(used, folder):
    archive.archive_day(DAY)
    before = (folder / "usage-2025-03-10.csv.gz").read_bytes()
    partitions.ensure([DAY])

    assert archive.archive_due(now=dt.datetime(2026, 4, 15, tzinfo=dt.UTC)) == []
    with pytest.raises(ArchiveMismatch, match="in the archive already"):
        archive.archive_day(DAY)
    assert (folder / "usage-2025-03-10.csv.gz").read_bytes() == before


def test_the_books_hold_as_before_and_no_transfer_is_gone(used):
    assert invariants.verify(shards=[]) == []
    before = Transfer.objects.count(), list(Account.objects.order_by("pk").values()), UsageRollup.objects.count()

    archive.archive_due(now=NOW)

    assert UsageEvent.objects.count() == 0
    assert (Transfer.objects.count(), list(Account.objects.order_by("pk").values()), UsageRollup.objects.count()) == before
    assert UsageArchiveSum.objects.get(provider="bolt", cost_nanos=30_000).requests == 0
    assert invariants.verify(shards=[]) == []


@pytest.mark.parametrize(
    ("table", "column"),
    [("billing_usagearchivebatch", "amount_nanos"), ("billing_usagearchivesum", "requests"), ("billing_usagearchivebatch", "rows")],
)
def test_sums_of_the_archive_that_are_not_the_books_are_noticed_and_cannot_be_changed(used, table, column):
    archive.archive_due(now=NOW)
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE {table} SET {column} = {column} + 1")  # noqa: S608 -- from this file

    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(f"UPDATE {table} SET {column} = {column} + 1 WHERE day = %s", [DAY])  # noqa: S608 -- from this file

    assert {difference.invariant for difference in invariants.verify(shards=[])} == {"I3"}


def test_a_statement_stays_what_it_was(organization, used):
    before = statements.read(organization, since=MARCH[0], until=MARCH[1], now=NOW)
    assert before.requests == 4

    archive.archive_due(now=NOW)

    assert statements.read(organization, since=MARCH[0], until=MARCH[1], now=NOW) == before


def test_an_export_knows_what_it_would_lack(organization, used):
    april = statements.bounds_of(dt.date(2025, 4, 1))
    assert usage_rows.archived_until(organization, since=MARCH[0], until=MARCH[1]) is None

    archive.archive_due(now=NOW)

    assert usage_rows.archived_until(organization, since=MARCH[0], until=MARCH[1]) == DAY
    assert usage_rows.archived_until(organization, since=april[0], until=april[1]) is None


def test_a_receipt_in_the_archive_is_not_one_that_never_was(organization, used):
    assert queries.full_receipt(organization, used[0].event_id) is not None

    archive.archive_due(now=NOW)

    for event_id in (used[0].event_id, plane.id_at(NOON)):  # whoever asks learns of the day and of nothing else
        with pytest.raises(ReceiptArchived, match="2025-03-10"):
            queries.full_receipt(organization, event_id)


def test_what_is_younger_or_still_may_get_events_stays(used, settings):
    assert archive.archive_due(now=NOON + dt.timedelta(days=400)) == []

    settings.USAGE_RETENTION_DAYS = 1
    assert archive.archive_due(now=NOON + dt.timedelta(days=arrivals.KEPT_AT_LEAST_DAYS)) == []
    assert archive.archive_due(now=NOON + dt.timedelta(days=arrivals.KEPT_AT_LEAST_DAYS + 1)) == [DAY]
    assert arrivals.DAYS_BACK < arrivals.KEPT_AT_LEAST_DAYS


def test_without_a_folder_nothing_leaves(used, settings):
    settings.USAGE_ARCHIVE_DIR = ""

    assert archive.archive_due(now=NOW) == []
    with pytest.raises(CommandError, match="USAGE_ARCHIVE_DIR"):
        call_command("archive_usage")
    assert UsageEvent.objects.count() == 5


def test_a_file_that_is_not_what_the_database_has_keeps_the_partition(used, folder, monkeypatch):
    real = archive.read_sums
    monkeypatch.setattr(archive, "read_sums", lambda path: real(path)._replace(rows=3))

    with pytest.raises(ArchiveMismatch), transaction.atomic():
        archive.archive_day(DAY)

    assert DAY in partitions.days()
    assert (UsageEvent.objects.count(), UsageArchive.objects.count(), UsageArchiveBatch.objects.count()) == (5, 0, 0)
    monkeypatch.undo()


def test_a_disk_that_is_full_leaves_nothing_half_done(used, folder, monkeypatch):
    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archive.os, "fsync", fail)

    with pytest.raises(OSError, match="No space"), transaction.atomic():
        archive.archive_day(DAY)

    assert list(folder.iterdir()) == []
    assert (UsageEvent.objects.count(), UsageArchiveSum.objects.count()) == (5, 0)
    monkeypatch.undo()
    assert archive.archive_day(DAY).rows == 4


def test_files_are_checked_from_the_first_byte_to_the_last(used, folder, capsys):
    archive.archive_due(now=NOW)
    call_command("archive_usage", "--check")
    assert "as it was recorded" in capsys.readouterr().out

    whole, other = (folder / f"usage-2025-03-{day}.csv.gz" for day in (10, 11))
    whole.write_bytes(whole.read_bytes() + b"\0")
    other.unlink()

    assert [problem.partition(": ")[0] for problem in archive.check_files()] == [str(whole), str(other)]
    with pytest.raises(CommandError, match="2 of the archive's files"):
        call_command("archive_usage", "--check")


@pytest.mark.django_db(transaction=True)
def test_a_check_that_reads_one_moment_holds_the_drop_back_and_sees_the_day_whole(organization, make_key, folder, monkeypatch):
    key = make_key()[0]
    transfers.grant(organization=organization, amount_nanos=10**9, reason="r", idempotency_key="k", by=None)
    book(key, event_id=plane.id_at(NOON), amount_picos=7_000)
    monkeypatch.setattr(archive, "_DROP_WAIT", "200ms")
    outcomes = []

    def run() -> None:
        try:
            outcomes.append(archive.archive_day(DAY))
        except DatabaseError as error:
            outcomes.append(type(error).__name__)
        finally:
            connection.close()

    def archive_aside() -> None:
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()

    with invariants.one_moment():
        # The moment is fixed by the first look at the books, the lock was taken before.
        archive_aside()
        assert list(invariants.usage()) == []
    assert (outcomes, DAY in partitions.days(), UsageArchive.objects.count()) == (["OperationalError"], True, 0)

    archive_aside()

    assert outcomes[1] is not None
    assert (outcomes[1].rows, DAY in partitions.days()) == (1, False)
    assert list(invariants.usage()) == []
