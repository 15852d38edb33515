"""manage.py sync_catalog: compare with fresh data, review, apply."""

from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from catalog.cards import BadPrice, usd_from_picos
from catalog.credentials import UnknownProvider
from catalog.models import PriceProposal, SyncRun
from catalog.pricing import TOKEN_METERS
from catalog.publication import BrokenCatalog
from catalog.sync import proposals
from catalog.sync.proposals import NotApplicable
from catalog.sync.refresh import GENAI, refresh

_MILLION = 1_000_000


def _describe_move(move: list[Any]) -> str:
    meter, edge, before, after = move
    per, unit = (_MILLION, "/M") if meter in TOKEN_METERS else (1, "")
    where = f" above {edge:,} tokens" if edge else ""
    return f"{meter}{where} ${usd_from_picos(before, per=per)} → ${usd_from_picos(after, per=per)}{unit}"


class Command(BaseCommand):
    """Proposes; a person applies. Nothing changes a price here without --apply or a rule."""

    help = "Compare the catalog with genai-prices, a models.dev file or a provider's own list; review and apply what differs."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take a source, or decisions about earlier findings."""
        parser.add_argument("source", nargs="?", default=GENAI, help="genai-prices (default), models-dev, or provider:<slug>")
        parser.add_argument("--path", type=Path, help="api.json or a checkout, for models-dev")
        parser.add_argument("--threshold", default="0", metavar="PERCENT", help="leave out moves up to this percentage")
        parser.add_argument("--all", action="store_true", help="show sources that disagree as before, and models that are new, too")
        parser.add_argument("--apply", nargs="+", type=int, metavar="ID", help="apply these findings instead, and publish")
        parser.add_argument("--reject", nargs="+", type=int, metavar="ID", help="reject these findings instead")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Decide, or compare and show the difference."""
        try:
            if options["apply"]:
                published = proposals.apply(self._find(options["apply"]), by=None)
                self.stdout.write(f"{len(options['apply'])} applied; catalog version {published.version} is in force.")
            elif options["reject"]:
                self.stdout.write(f"{proposals.reject(self._find(options['reject']), by=None)} rejected.")
            else:
                threshold = Decimal(options["threshold"])
                run = refresh(options["source"], path=options["path"], threshold_percent=threshold)
                self._show(run, show_all=options["all"])
        except InvalidOperation as error:
            raise CommandError(f"{options['threshold']!r} is not a percentage") from error
        except (NotApplicable, BadPrice, BrokenCatalog, UnknownProvider) as error:
            raise CommandError(f"Nothing has changed: {error}") from error

    @staticmethod
    def _find(ids: list[int]) -> list[PriceProposal]:
        found = list(PriceProposal.objects.filter(pk__in=ids).select_related("endpoint", "run"))
        missing = set(ids) - {one.pk for one in found}
        if missing:
            raise CommandError(f"there is no finding {', '.join(map(str, sorted(missing)))}")
        return found

    def _show(self, run: SyncRun, *, show_all: bool) -> None:
        if run.error:
            raise CommandError(run.error)
        shown = run.proposals.order_by("kind", "provider", "name")
        if not show_all:
            shown = shown.filter(kind__in=[PriceProposal.Kind.MOVED, PriceProposal.Kind.GONE])
        for one in shown.select_related("endpoint"):
            subject = one.endpoint.slug if one.endpoint else f"{one.provider}: {one.key}"
            moves = "; ".join(_describe_move(move) for move in one.moves)
            flags = f"  HELD: {'; '.join(one.flags)}" if one.state == PriceProposal.State.HELD else ""
            self.stdout.write(f"{one.pk:6} {one.kind:9} {subject}  {moves}{flags}")
        counts = ", ".join(f"{count} {kind}" for kind, count in run.summary.items())
        self.stdout.write(f"{run.source}: {counts}. Apply with --apply ID …, reject with --reject ID ….")
