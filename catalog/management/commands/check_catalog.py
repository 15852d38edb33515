"""manage.py check_catalog: what is wrong with the catalog, or needs a look."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from catalog import publication


class Command(BaseCommand):
    """Exit status 1 when there are errors, which also keep the catalog from being published."""

    help = "List errors, warnings and notes about prices, endpoints and providers. Fails if there are errors."

    def add_arguments(self, parser: CommandParser) -> None:
        """Let warnings fail too, for use in scripts."""
        parser.add_argument("--strict", action="store_true", help="fail on warnings too")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Print one line per problem and a count."""
        problems = publication.check()
        for one in problems:
            self.stdout.write(f"{one.severity:7} {one.code:16} {one.subject}: {one.message}")
        counts = {severity: sum(one.severity == severity for one in problems) for severity in ("error", "warning", "note")}
        summary = ", ".join(f"{count} {severity}{'' if count == 1 else 's'}" for severity, count in counts.items())
        if counts["error"] or (options["strict"] and counts["warning"]):
            raise CommandError(summary)
        self.stdout.write(summary)
