"""manage.py set_markup: what is added to providers' prices."""

from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from catalog import markup_changes, markup_rules
from catalog.markup import SCOPES
from catalog.markup_rules import BadRule
from catalog.publication import BrokenCatalog
from catalog.sync.offers import picos_per_token

_BASIS_POINTS_PER_PERCENT = 100


def _basis_points(text: str) -> int:
    try:
        points = Decimal(text) * _BASIS_POINTS_PER_PERCENT
    except InvalidOperation:
        points = Decimal("NaN")
    if not points.is_finite() or points != int(points):
        raise CommandError(f"{text!r} is not a percentage with at most two decimals")
    return int(points)


class Command(BaseCommand):
    """Shows what would change; --apply does it."""

    help = "Preview or apply a markup rule. The most specific rule wins: organization, plan, endpoint, model, author, provider, everything."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take what to mark up, and by how much."""
        parser.add_argument("percent", help="percent on top of the provider's price, such as 5 or 2.75")
        group = parser.add_mutually_exclusive_group()
        for scope in SCOPES:
            if scope != "global":
                group.add_argument(f"--{scope}", metavar="SLUG", help=f"only for this {scope}; default: everything")
        parser.add_argument("--floor", default="0", metavar="USD", help="add at least so many dollars per million tokens that are not free")
        parser.add_argument("--note", default="", help="why, for those who read it later")
        parser.add_argument("--apply", action="store_true", help="do it; without this only the preview is shown")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Show the preview; write the rule if asked."""
        scope, target = next(((one, options[one]) for one in SCOPES if options.get(one)), ("global", ""))
        try:
            floor = picos_per_token(Decimal(options["floor"]))
        except InvalidOperation:
            floor = None
        if floor is None:
            raise CommandError(f"{options['floor']!r} is not a price per million tokens")
        points = _basis_points(options["percent"])
        try:
            preview = markup_rules.preview(scope=scope, target=target, basis_points=points, floor_picos=floor)
            self.stdout.write(f"{preview}")
            if options["apply"]:
                rule = markup_changes.create(
                    scope=scope, target=target, basis_points=points, floor_picos=floor, note=options["note"], by=None
                )  # fmt: skip
                self.stdout.write(f"Rule {rule.pk} is in force: {rule}.")
            else:
                self.stdout.write("Nothing has changed; repeat with --apply.")
        except BadRule as error:
            raise CommandError(str(error)) from error
        except BrokenCatalog as error:
            raise CommandError(f"The catalog has errors and nothing has changed: {error}") from error
