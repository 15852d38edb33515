"""Rebuild live balances from the books."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from billing.books import rebuild
from billing.books.shard_lock import ShardBusy


class Command(BaseCommand):
    """Drain a shard's stream into the books and make its live balances anew from them."""

    help = "Make the money store's balances, holds and key counters of a shard anew from the books. Running requests re-assert their holds."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare what the command takes."""
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("--shard", type=int, choices=range(settings.LEDGER_SHARDS), metavar=f"0..{settings.LEDGER_SHARDS - 1}")
        which.add_argument("--all", action="store_true", dest="every")

    def handle(self, *, shard: int | None, every: bool, **_: Any) -> None:
        """Rebuild and say what was done."""
        shards = range(settings.LEDGER_SHARDS) if every or shard is None else [shard]
        for number in shards:
            try:
                rebuilt = rebuild.rebuild_shard(shard=number, wait_s=rebuild.WAIT_S)
            except ShardBusy as error:
                raise CommandError(str(error)) from error
            self.stdout.write(f"shard {number}: epoch {rebuilt.epoch}, {rebuilt.settled.booked} events booked on the way")
