"""Say what is set up for buying credit, here and at Stripe, and what is missing."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from billing.purchases import setup_check

_WORDS = {"ok": "ok", "note": "note", "missing": "MISSING"}


class Command(BaseCommand):
    """Looks only; run it before a live key is set, and after."""

    help = (
        "Check key, account, webhook, portal, tax and receipts without changing or booking anything. Exits with 1 if something is missing."
    )

    def handle(self, **_: Any) -> None:
        """Print one line for each thing."""
        missing = 0
        for finding in setup_check.check():
            missing += finding.level == "missing"
            self.stdout.write(f"{_WORDS[finding.level]:<8} {finding.subject}: {finding.text}")
        if missing:
            msg = f"{missing} {'thing is' if missing == 1 else 'things are'} missing"
            raise CommandError(msg)
        self.stdout.write("Everything that buying needs is set up.")
