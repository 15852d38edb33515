"""Change the key that signs receipts."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from billing.receipts import signing


class Command(BaseCommand):
    """Retire the signing key in force and make a new one."""

    help = "Change the key that signs receipts, statements and exports. The old public key stays published."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare what the command takes."""
        parser.add_argument("--revoke", action="store_true", help="The old key fell into wrong hands: nothing it signed is to be believed.")

    def handle(self, *, revoke: bool, **_: Any) -> None:
        """Rotate and name the new key."""
        self.stdout.write(f"signing with {signing.rotate(revoke=revoke)} from now on")
