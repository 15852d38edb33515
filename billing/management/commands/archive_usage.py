"""Move old days of usage into files, or check the files that are there."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError

from billing.books import archive
from billing.books.archive import ArchiveMismatch, NoArchive


class Command(BaseCommand):
    """Archive what is due, as the nightly job does."""

    help = "Export days of usage older than USAGE_RETENTION_DAYS to USAGE_ARCHIVE_DIR and drop them, or check the files with --check."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare what the command takes."""
        parser.add_argument("--check", action="store_true", help="Read every file again and compare it with what was recorded.")

    def handle(self, *, check: bool, **_: Any) -> None:
        """Do one or the other."""
        if not settings.USAGE_ARCHIVE_DIR:
            raise CommandError("USAGE_ARCHIVE_DIR is not set: usage is kept in the database for ever.")
        if check:
            self._check()
            return
        try:
            days = archive.archive_due()
        except (ArchiveMismatch, NoArchive, OSError, OperationalError) as error:
            msg = f"nothing was dropped: {error}"
            raise CommandError(msg) from error
        self.stdout.write(f"Archived {', '.join(map(str, days))}." if days else "No day is old enough.")

    def _check(self) -> None:
        problems = list(archive.check_files())
        for problem in problems:
            self.stdout.write(problem)
        if problems:
            msg = f"{len(problems)} of the archive's files are not as they were recorded"
            raise CommandError(msg)
        self.stdout.write("Every file of the archive is as it was recorded.")
