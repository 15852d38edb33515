"""Check that the books balance and that the money store agrees."""

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from billing.books import invariants


class Command(BaseCommand):
    """Stop at the first difference, or list all of them with --all."""

    help = "Check every invariant of the books. Exits with 1 and the first difference if one is broken."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare what the command takes."""
        parser.add_argument("--all", action="store_true", dest="every", help="List all differences instead of stopping at the first.")

    def handle(self, *, every: bool, **_: Any) -> None:
        """Check, and fail on a difference."""
        found = 0
        with _progress() as on_progress:
            for difference in invariants.differences(on_progress=on_progress):
                found += 1
                self.stdout.write(str(difference))
                if not every:
                    break
        if found:
            msg = "the books do not balance" if not every else f"the books do not balance: {found} differences"
            raise CommandError(msg)
        self.stdout.write("The books balance.")


class _progress:  # noqa: N801 -- reads as the verb at its one use
    """Shows a bar on a terminal, nothing elsewhere."""

    def __enter__(self) -> invariants.Progress:
        self._bar: Any = None
        self._tasks: dict[str, Any] = {}
        if sys.stderr.isatty():
            try:
                from rich.console import Console  # noqa: PLC0415 -- comes with the 'local' extra only
                from rich.progress import Progress  # noqa: PLC0415
            except ImportError:
                return self._show
            self._bar = Progress(console=Console(stderr=True), transient=True)
            self._bar.start()
        return self._show

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def _show(self, title: str, done: int, total: int) -> None:
        if self._bar is None:
            return
        if title not in self._tasks:
            self._tasks[title] = self._bar.add_task(title, total=total)
        self._bar.update(self._tasks[title], completed=done, total=total)
