"""manage.py load_catalog: bring the published catalog up to date with the data files and the settings."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from catalog import publication
from catalog.files import DATA_DIR, BadDataFiles


class Command(BaseCommand):
    """Loads and publishes; does next to nothing when nothing has changed."""

    help = "Load the catalog's data files and publish them to the data plane. Quick when nothing has changed."

    def add_arguments(self, parser: CommandParser) -> None:
        """Name the directory of the data files, for those who keep their own."""
        parser.add_argument(
            "--data", type=Path, default=DATA_DIR, help="directory with providers/ and models/ (default: the one in the repository)"
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        """Load, publish, and say in a line what changed."""

        def report(what: str, done: int, total: int) -> None:
            if options["verbosity"] > 0 and done < total:
                self.stdout.write(f"  catalog: {what} ({done + 1}/{total})")
                self.stdout.flush()

        try:
            summary, published = publication.load_and_publish(data_dir=options["data"], progress=report)
        except BadDataFiles as error:
            raise CommandError("The data files were refused; the published catalog stays as it was.\n" + "\n".join(error.faults)) from error
        except publication.BrokenCatalog as error:
            raise CommandError(f"The catalog has errors and was not published: {error}") from error
        if not summary.skipped:
            self.stdout.write(
                f"Loaded: {summary.endpoints.added} endpoints added, {summary.endpoints.changed} changed, "
                f"{summary.endpoints.withdrawn} withdrawn; {summary.price_versions} new price versions."
            )
        state = "published" if published.is_new else "already in force"
        self.stdout.write(
            f"Catalog version {published.version} {state}: {published.models} models, {published.endpoints} endpoints, "
            f"{published.providers} providers."
        )
