"""Bring back what a restored database has lost."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from billing import recovery
from billing.books.shard_lock import ShardBusy


class Command(BaseCommand):
    """After PostgreSQL was restored from a backup: rebuild every shard, let gateways send again, ask Stripe."""

    help = (
        "After PostgreSQL was restored to an earlier moment; until then the shards that notice it refuse requests. Makes all live balances "
        "anew from the books, whereupon gateways send again what the books lack, and asks Stripe for missing events."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare what the command takes."""
        parser.add_argument("--accept", action="store_true", required=True, help="these books are the latest there are")

    def handle(self, **_: Any) -> None:
        """Recover and say what was done."""
        try:
            done = recovery.recover_books()
        except ShardBusy as error:
            raise CommandError(str(error)) from error
        shards = ", ".join(map(str, done.shards_behind)) or "none"
        events = (
            "Stripe could not be asked; the hourly sweep will" if done.events is None else f"{done.events} missing events of Stripe stored"
        )
        self.stdout.write(f"shards whose books had lost batches: {shards}; {done.booked} events booked on the way; {events}")
        self.stdout.write("Gateways now send again what the books lack. Check with verify_ledger in a minute, then lift freezes.")
