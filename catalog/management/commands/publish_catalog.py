"""manage.py publish_catalog: publish the rows as they stand, or go back to an earlier version."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from catalog import publication


class Command(BaseCommand):
    """Publishes explicitly; also ends the hold that a rollback puts on automatic publication."""

    help = "Publish the catalog as the database has it, after its checks; --rollback VERSION publishes an earlier version again."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the version to go back to."""
        parser.add_argument("--rollback", type=int, metavar="VERSION", help="publish this earlier version again, under a new number")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Publish and say what is in force."""
        version = options["rollback"]
        try:
            published = publication.publish() if version is None else publication.rollback(version=version)
        except publication.BrokenCatalog as error:
            lines = "\n".join(f"{one.subject}: {one.message}" for one in error.problems)
            raise CommandError(f"The catalog has errors and was not published:\n{lines}") from error
        except publication.UnknownVersion as error:
            raise CommandError(str(error)) from error
        state = "published" if published.is_new else "already in force, nothing has changed"
        self.stdout.write(f"Catalog version {published.version} {state}: {published.models} models, {published.endpoints} endpoints.")
        if version is not None:
            self.stdout.write("Automatic publication holds until the next publish_catalog.")
