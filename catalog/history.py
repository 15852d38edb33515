"""What endpoints cost over time, and what has changed lately. Reads; periods are half-open and in order."""

import datetime as dt
from collections.abc import Iterable
from itertools import pairwise
from typing import Final, NamedTuple

import msgspec
from django.db.models import Max, Min

from catalog.models import CatalogLoad, PriceVersion
from catalog.types import RateCard, Snapshot

_FIRST_LOAD: Final = dt.timedelta(hours=1)  # what came with the first load is as old as its release, not as this database


class PricePeriod(NamedTuple):
    """The customer's price of an endpoint from ``since`` until ``until`` (None: for good as far as is known)."""

    version_id: int
    since: dt.datetime
    until: dt.datetime | None
    price: RateCard
    source: dict[str, str]
    agreement_level: str


class PriceChange(NamedTuple):
    """An endpoint whose price became another one."""

    endpoint: str
    version_id: int
    at: dt.datetime
    before: RateCard
    after: RateCard


class Arrival(NamedTuple):
    """A model that is new: when it came into this catalog, or was released if it was there from the start."""

    model: str
    at: dt.datetime


def price_periods(endpoints: Iterable[str]) -> dict[str, list[PricePeriod]]:
    """Return the periods of each endpoint (slug), oldest first, dated changes that still wait included."""
    columns = ("endpoint__slug", "id", "effective_from", "price", "source", "agreement_level")
    rows = PriceVersion.objects.public().filter(endpoint__slug__in=list(endpoints)).order_by("endpoint__slug", "effective_from", "id")
    found: dict[str, list[PricePeriod]] = {}
    for slug, version_id, since, price, source, level in rows.values_list(*columns):
        periods = found.setdefault(slug, [])
        period = PricePeriod(version_id, since, None, msgspec.convert(price, RateCard), source, level)
        if periods and periods[-1].since == since:
            periods.pop()  # a later row with the same date corrects the earlier one
        if periods and periods[-1].price == period.price:
            continue  # the provider's price or its source changed, ours did not
        if periods:
            periods[-1] = periods[-1]._replace(until=since)
        periods.append(period)
    return found


def latest_changes(snapshot: Snapshot, *, count: int) -> list[PriceChange]:
    """Return the newest price changes that are in force in ``snapshot``, newest first."""
    changed = (
        PriceVersion.objects.public()
        .filter(endpoint__slug__in=list(snapshot.endpoints))
        .values("endpoint__slug")
        .annotate(first=Min("effective_from"), last=Max("effective_from"))
        .exclude(first=Max("effective_from"))
        .values_list("endpoint__slug", flat=True)
    )
    changes = [
        PriceChange(slug, after.version_id, after.since, before.price, after.price)
        for slug, periods in price_periods(changed).items()
        for before, after in pairwise(periods)
        if after.since <= snapshot.published_at
    ]
    return sorted(changes, key=lambda one: (one.at, one.version_id), reverse=True)[:count]


def latest_arrivals(snapshot: Snapshot, *, count: int) -> list[Arrival]:
    """Return the newest models of ``snapshot``, newest first. A model without a known date is not among them."""
    first_load = CatalogLoad.objects.order_by("id").values_list("loaded_at", flat=True).first()
    seen = dict(
        PriceVersion.objects.public().values("endpoint__slug").annotate(seen=Min("created_at")).values_list("endpoint__slug", "seen")
    )
    arrivals = []
    for model in snapshot.models.values():
        released = dt.datetime.fromtimestamp(model.created_s, tz=dt.UTC) if model.created_s else None
        added = min((seen[slug] for slug in model.endpoints if slug in seen), default=None)
        if added is not None and first_load is not None and added > first_load + _FIRST_LOAD:
            arrivals.append(Arrival(model.id, added))
        elif released is not None and released <= snapshot.published_at:
            arrivals.append(Arrival(model.id, released))
    return sorted(arrivals, key=lambda one: (one.at, one.model), reverse=True)[:count]
