"""Compare the books with what Stripe or a provider says."""

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from billing.money import usd_text
from billing.purchases import stripe_api
from billing.reconciliation import bills, provider_apis, providers, stripe_balance, suspense
from billing.reconciliation.bills import PRESETS, BadBill, ColumnMap

_COLUMNS = ("day", "model", "amount")


class Command(BaseCommand):
    """Stripe by its API, a provider by its cost API or by a CSV of its bill."""

    help = "Compare the books with Stripe's balance or a provider's bill. Exits with 1 when something is beyond the tolerance."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare what the command takes."""
        parser.add_argument("source", help="'stripe', or a provider's slug.")
        parser.add_argument("--csv", type=Path, help="A provider's export or invoice; '-' reads standard input.")
        parser.add_argument("--preset", choices=sorted(PRESETS), help="Whose export it is, if not the source's own.")
        parser.add_argument("--columns", help="Columns of another export, as day=Date,model=SKU,amount=Cost.")
        parser.add_argument("--days", type=int, default=0, help="How many days back (API).")

    def handle(self, *, source: str, csv: Path | None, preset: str | None, columns: str | None, days: int, **_: Any) -> None:
        """Compare, tell the sums, fail on a difference."""
        try:
            if source == suspense.STRIPE:
                made = stripe_balance.reconcile(days=days or stripe_balance.DAYS)
            elif csv is not None:
                text = sys.stdin.read() if str(csv) == "-" else csv.read_text(encoding="utf-8-sig")
                charges = bills.read_csv(text, _columns(source, preset, columns))
                made = providers.reconcile_charges(provider=source, charges=charges, way="csv", by=None)
            else:
                made = providers.reconcile_by_api(provider=source, days=days or providers.DAYS_BACK)
        except (BadBill, OSError, provider_apis.NoCredential, provider_apis.BillUnavailable) as error:
            raise CommandError(str(error)) from error
        except (stripe_api.StripeDown, stripe_api.StripeRefused, stripe_api.NotConfigured) as error:
            raise CommandError(f"Stripe: {error}") from error
        self.stdout.write(
            f"{source} {made.since} to {made.until}: booked ${usd_text(made.booked_nanos)}, billed ${usd_text(made.billed_nanos)},"
            f" {made.off_count} of {made.line_count} lines off"
        )
        if made.off_count:
            raise CommandError("see /operator/reconciliation")


def _columns(source: str, preset: str | None, columns: str | None) -> ColumnMap:
    if columns:
        given = dict(part.partition("=")[::2] for part in columns.split(","))
        if set(given) != set(_COLUMNS):
            raise CommandError(f"--columns needs {', '.join(_COLUMNS)}, as day=Date,model=SKU,amount=Cost")
        return ColumnMap(day=(given["day"],), model=(given["model"],), amount=(given["amount"],))
    name = preset or source
    if name not in PRESETS:
        raise CommandError(f"no columns are known for {name}: give --preset or --columns")
    return PRESETS[name]
