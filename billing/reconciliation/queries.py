"""Reads of what was compared. For operators: nothing here is scoped to an organization."""

import datetime as dt
from typing import NamedTuple

from django.db.models import F, QuerySet, Sum
from django.utils import timezone

from billing.models import Reconciliation, ReconciliationLine, SuspenseItem
from billing.proof.plots import Plot, draw
from billing.purchases import stripe_api
from billing.reconciliation import provider_apis, suspense

DAYS_SHOWN = 60


class Source(NamedTuple):
    """Somebody whose bills are compared. ``latest`` is None before the first comparison."""

    name: str
    latest: Reconciliation | None
    can_be_asked: bool

    @property
    def drift_nanos(self) -> int:
        """What the latest comparison found billed beyond the books."""
        return self.latest.billed_nanos - self.latest.booked_nanos if self.latest else 0


def sources() -> list[Source]:
    """Return Stripe and every provider that was compared or can be."""
    latest = {row.source: row for row in Reconciliation.objects.order_by("source", "-made_at").distinct("source")}
    askable = set(provider_apis.configured()) | ({suspense.STRIPE} if stripe_api.is_configured() else set())
    names = sorted({*latest, *provider_apis.READERS, suspense.STRIPE} - {suspense.STRIPE})
    return [Source(name, latest.get(name), name in askable) for name in (suspense.STRIPE, *names)]


def open_items() -> QuerySet[SuspenseItem]:
    """Return what waits for an explanation, oldest first."""
    return SuspenseItem.objects.filter(closed_at=None).order_by("opened_at")


def lines(*, source: str, limit: int = 500) -> QuerySet[ReconciliationLine]:
    """Return the compared lines of a provider, latest day first."""
    return ReconciliationLine.objects.filter(source=source).order_by("-day", "model")[:limit]


def drift_plot(*, now: dt.datetime | None = None) -> Plot | None:
    """Return the drift (billed less booked) of each provider by day as lines."""
    today = (now or timezone.now()).date()
    since = today - dt.timedelta(days=DAYS_SHOWN)
    rows = (
        ReconciliationLine.objects.filter(day__gte=since)
        .values("source", "day")
        .annotate(drift=Sum(F("billed_nanos") - F("booked_nanos")))
        .order_by("source", "day")
    )
    series: dict[str, dict[dt.date, int]] = {}
    for row in rows:
        series.setdefault(row["source"], {})[row["day"]] = int(row["drift"])
    return draw("Billed beyond the books, by provider and day", series, since=since, until=today)
