"""manage.py balance_provider SLUG: several keys for one provider, with weights and limits, and how requests are shared among them."""

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from catalog import credentials
from catalog.balancing import STRATEGIES, BadBalance, Balance, KeyChange, balance_provider
from catalog.publication import BrokenCatalog

_REFUSALS = (credentials.UnknownProvider, credentials.BadKey, BadBalance, BrokenCatalog)
_OF_A_KEY = ("api_key", "weight", "rpm", "tpm", "remove")


class Command(BaseCommand):
    """Keys are sealed in the database and never printed."""

    help = (
        "Show or change how a provider's requests are shared among its keys. With one option less than needed nothing changes. "
        "A key in the provider's environment variable takes no part once there is one here. In effect within two seconds."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the slug and what to change."""
        parser.add_argument("slug", help="the provider, such as openai")
        parser.add_argument("--strategy", choices=STRATEGIES, help="how requests are shared; weighted at first")
        parser.add_argument("--group", help="providers of one group are balanced among each other too, whatever their price; '' leaves it")
        parser.add_argument("--cooldown-s", type=int, help="seconds that a key rests after a rate limit that names no time; 5 at first")
        parser.add_argument("--key", help="the name of the key that the other options are for, such as 'second'; set_provider's is 'main'")
        parser.add_argument("--api-key", help="adds the key, or another in its place; '-' reads it from standard input")
        parser.add_argument("--weight", type=int, help="its share beside the others; 1 at first")
        parser.add_argument("--rpm", type=int, help="requests a minute at one endpoint; 0 is no limit")
        parser.add_argument("--tpm", type=int, help="tokens a minute at one endpoint; 0 is no limit")
        parser.add_argument("--remove", action="store_true", help="take this key away")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Change what is asked and show what holds."""
        if not options["key"] and any(options[name] not in (None, False) for name in _OF_A_KEY):
            msg = "say which key it is: --key NAME"
            raise CommandError(msg)
        try:
            balance = balance_provider(
                slug=options["slug"],
                strategy=options["strategy"],
                group=options["group"],
                cooldown_s=options["cooldown_s"],
                key=_read_change(options),
            )
        except _REFUSALS as error:
            raise CommandError(str(error)) from error
        self.stdout.write(_describe(options["slug"], balance))


def _read_change(options: dict[str, Any]) -> KeyChange | None:
    if not options["key"]:
        return None
    return KeyChange(
        name=options["key"],
        api_key=sys.stdin.readline() if options["api_key"] == "-" else options["api_key"],
        weight=options["weight"],
        rpm_limit=options["rpm"],
        tpm_limit=options["tpm"],
        is_removed=options["remove"],
    )


def _describe(slug: str, balance: Balance) -> str:
    group = f" in group {balance.group}" if balance.group else ""
    lines = [f"{slug}: {balance.strategy}{group}, a key rests {balance.cooldown_s} s after a rate limit that does not say how long"]
    for key in balance.keys:
        limits = [f"{limit:,} {word} a minute" for limit, word in ((key.rpm_limit, "requests"), (key.tpm_limit, "tokens")) if limit]
        lines.append(f"  {key.name}: weight {key.weight}, {' and '.join(limits) or 'no limit'}")
    return "\n".join(lines)
