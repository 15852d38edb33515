"""Move an organization to another ledger shard."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.models import Organization
from billing.books import moving
from billing.books.shard_lock import ShardBusy


class Command(BaseCommand):
    """Its new requests get 503 with Retry-After until those that run have ended, seconds as a rule."""

    help = "Move an organization to another ledger shard while it is used. Running requests end first; new ones get 503 meanwhile."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare what the command takes."""
        parser.add_argument("organization", help="its public id, org_…")
        parser.add_argument("--shard", type=int, required=True)
        parser.add_argument("--wait", type=float, default=30.0, metavar="SECONDS", help="for running requests to end (default: 30)")

    def handle(self, *, organization: str, shard: int, wait: float, **_: Any) -> None:
        """Move it and say how long it was paused."""
        found = Organization.objects.filter(public_id=organization).first()
        if found is None:
            raise CommandError(f"no organization {organization}")
        try:
            moved = moving.move(organization=found, shard=shard, wait_s=wait)
        except (moving.CannotMove, ShardBusy) as error:
            raise CommandError(f"{organization} stays on shard {found.shard}: {error}") from error
        self.stdout.write(f"{organization} moved from shard {moved.source} to {moved.target}, paused for {moved.paused_s:.2f} s")
