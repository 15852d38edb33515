"""Give an organization credit."""

import datetime as dt
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from accounts.models import Organization
from billing.books import transfers
from billing.money import NotAnAmount, nanos_from_usd, usd_text


class Command(BaseCommand):
    """Grant promo credit (used first, expires) or, with --plain, ordinary credit."""

    help = "Give an organization credit, once per key: grant_credit org_0123… 5.00 --reason 'Spring campaign' --campaign spring --days 30"

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare what the command takes."""
        parser.add_argument("organization", help="Public id (org_…).")
        parser.add_argument("usd", help="Dollars, at most nine decimals.")
        parser.add_argument("--reason", required=True, help="Kept with the transfer; the customer reads it.")
        parser.add_argument("--key", default="", help="Idempotency key: the same key never grants twice. Left out, the campaign is it.")
        parser.add_argument("--campaign", default="", help="What it is granted for: once per organization, unless --key says otherwise.")
        parser.add_argument(
            "--days", type=int, default=settings.GRANT_DAYS, help="Expires after so many days (0: never). %(default)s if left out."
        )
        parser.add_argument("--plain", action="store_true", help="Ordinary credit instead of promo credit; it never expires.")

    def handle(self, *, organization: str, usd: str, reason: str, key: str, campaign: str, days: int, plain: bool, **_: Any) -> None:
        """Grant and say what was done."""
        if not key and not campaign:
            raise CommandError("give a --key or a --campaign, so that a repeat does not grant twice")
        if days < 0:
            raise CommandError("--days is zero or more")
        key = key or f"campaign:{campaign}"
        expires_at = None if plain or not days else timezone.now() + dt.timedelta(days=days)
        try:
            group = transfers.grant(
                organization=Organization.objects.get(public_id=organization),
                amount_nanos=nanos_from_usd(usd),
                reason=reason,
                idempotency_key=key,
                by=None,
                promo=not plain,
                expires_at=expires_at,
                campaign=campaign,
            )
        except Organization.DoesNotExist as error:
            msg = f"no organization {organization}"
            raise CommandError(msg) from error
        except (NotAnAmount, transfers.InvalidAmount, transfers.InvalidExpiry, transfers.KeyReused) as error:
            raise CommandError(str(error)) from error
        said = "was granted before" if group.is_repeat else "granted"
        self.stdout.write(f"${usd_text(group.transfers[0].amount_nanos)} {said} to {organization} ({key})")
