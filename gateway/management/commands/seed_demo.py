"""``manage.py seed_demo --env-file demo.env``: people, organization, keys and $25 of credit for a first try."""

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from gateway import demo


class Command(BaseCommand):
    """Prints no secret, and takes none from the command line, where other users of the machine could read it."""

    help = "Make the demo's people, organization, keys and credit. Safe to repeat."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take one file."""
        parser.add_argument(
            "--env-file",
            required=True,
            metavar="PATH",
            help="File with TOLLWAY_EMAIL, TOLLWAY_PASSWORD, TOLLWAY_ADMIN_EMAIL, TOLLWAY_ADMIN_PASSWORD, TOLLWAY_API_KEY and "
            "TOLLWAY_MANAGEMENT_KEY as NAME=value lines; '-' reads them from standard input.",
        )

    def handle(self, *, env_file: str, **options: Any) -> None:  # noqa: ARG002 -- the framework's options
        """Seed and say what is there."""
        try:
            text = sys.stdin.read() if env_file == "-" else Path(env_file).read_text(encoding="utf-8")
            organization = demo.seed(access=demo.DemoAccess.from_env_text(text))
        except OSError as error:
            msg = f"{env_file} cannot be read: {error.strerror}"
            raise CommandError(msg) from error
        except demo.BadDemoAccess as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"Demo ready: organization {organization.public_id}")
