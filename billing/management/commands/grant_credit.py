"""Give an organization credit."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.models import Organization
from billing.books import transfers
from billing.money import NotAnAmount, nanos_from_usd, usd_text


class Command(BaseCommand):
    """Grant promo credit (used first) or, with --plain, ordinary credit."""

    help = "Give an organization credit, once per key: grant_credit org_0123… 5.00 --reason 'Welcome' --key welcome"

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare what the command takes."""
        parser.add_argument("organization", help="Public id (org_…).")
        parser.add_argument("usd", help="Dollars, at most nine decimals.")
        parser.add_argument("--reason", required=True, help="Kept with the transfer.")
        parser.add_argument("--key", required=True, help="Idempotency key: the same key never grants twice.")
        parser.add_argument("--plain", action="store_true", help="Ordinary credit instead of promo credit.")

    def handle(self, *, organization: str, usd: str, reason: str, key: str, plain: bool, **_: Any) -> None:
        """Grant and say what was done."""
        try:
            group = transfers.grant(
                organization=Organization.objects.get(public_id=organization),
                amount_nanos=nanos_from_usd(usd),
                reason=reason,
                idempotency_key=key,
                by=None,
                promo=not plain,
            )
        except Organization.DoesNotExist as error:
            msg = f"no organization {organization}"
            raise CommandError(msg) from error
        except (NotAnAmount, transfers.InvalidAmount, transfers.KeyReused) as error:
            raise CommandError(str(error)) from error
        said = "was granted before" if group.is_repeat else "granted"
        self.stdout.write(f"${usd_text(group.transfers[0].amount_nanos)} {said} to {organization} ({key})")
