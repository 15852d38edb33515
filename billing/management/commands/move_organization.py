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
        seconds = f"for running requests to end (default: {moving.WAIT_S:g}, so that no pause is longer than {moving.PAUSE_MAX_S:g})"
        parser.add_argument("--wait", type=float, default=moving.WAIT_S, metavar="SECONDS", help=seconds)
        parser.add_argument("--tries", type=int, default=20, metavar="N", help="as long as its requests take longer (default: 20)")

    def handle(self, *, organization: str, shard: int, wait: float, tries: int, **_: Any) -> None:
        """Move it and say how long it was paused."""
        if wait < 0 or tries < 1:
            raise CommandError("--wait must not be below 0, nor --tries below 1")
        found = Organization.objects.filter(public_id=organization).first()
        if found is None:
            raise CommandError(f"no organization {organization}")
        try:
            moved = moving.move(organization=found, shard=shard, wait_s=wait, tries=tries)
        except (moving.CannotMove, ShardBusy) as error:
            raise CommandError(f"{organization} stays on shard {found.shard}: {error}") from error
        again = f", in try {moved.tries}" if moved.tries > 1 else ""
        self.stdout.write(f"{organization} moved from shard {moved.source} to {moved.target}, paused for {moved.paused_s:.2f} s{again}")
