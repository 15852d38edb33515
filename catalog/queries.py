"""Reads for pages, the admin and reports. Requests are served from snapshots (reader.py), not from here."""

import datetime as dt
from collections.abc import Collection
from typing import NamedTuple

from django.db.models import Case, Count, OuterRef, Q, QuerySet, Subquery, When

from catalog.models import CatalogSnapshot, Endpoint, Model, PriceVersion, Provider


class Counts(NamedTuple):
    """How much the catalog has: rows that are neither withdrawn nor switched off."""

    models: int
    endpoints: int
    providers: int


_CURRENT = Q(enabled=True, withdrawn_at=None)


def counts() -> Counts:
    """Return how many models, endpoints and providers there are."""
    return Counts(*(table._base_manager.filter(_CURRENT).count() for table in (Model, Endpoint, Provider)))  # noqa: SLF001


def models(*, search: str = "", author: str = "", model_type: str = "") -> QuerySet[Model]:
    """Return current models, newest first; every word of ``search`` is in the id or the name. Annotated with ``endpoint_count``."""
    found = Model.objects.filter(_CURRENT)
    if author:
        found = found.filter(author=author)
    if model_type:
        found = found.filter(type=model_type)
    for word in search.split():
        found = found.filter(Q(slug__icontains=word) | Q(name__icontains=word))
    sold = Count("endpoints", filter=Q(endpoints__enabled=True, endpoints__withdrawn_at=None))
    return found.annotate(endpoint_count=sold).order_by("-released", "slug")


def providers() -> QuerySet[Provider]:
    """Return current providers by name, annotated with ``endpoint_count``."""
    sold = Count("endpoints", filter=Q(endpoints__enabled=True, endpoints__withdrawn_at=None))
    return Provider.objects.filter(_CURRENT).annotate(endpoint_count=sold).order_by("name")


def endpoints(*, model: str = "", provider: str = "") -> QuerySet[Endpoint]:
    """Return current endpoints of a model, a provider or both (slugs), with both joined."""
    found = Endpoint.objects.filter(_CURRENT).select_related("model", "provider").order_by("slug")
    if model:
        found = found.filter(model__slug=model)
    if provider:
        found = found.filter(provider__slug=provider)
    return found


def price_history(*, endpoint: str) -> QuerySet[PriceVersion]:
    """Return every price version of an endpoint (slug), newest first; dated changes that still wait come first."""
    return PriceVersion.objects.public().filter(endpoint__slug=endpoint).order_by("-effective_from", "-id")


def price_in_force(*, endpoint: str, at: dt.datetime) -> PriceVersion | None:
    """Return the price version of an endpoint (slug) that is in force at ``at``."""
    return price_history(endpoint=endpoint).filter(effective_from__lte=at).first()


def with_prices_in_force(found: QuerySet[Endpoint], *, at: dt.datetime) -> QuerySet[Endpoint]:
    """Return the endpoints annotated with ``current_cost`` and ``current_price``: rate cards in picos as JSON, None without a price yet."""
    newest = PriceVersion.objects.public().filter(endpoint=OuterRef("pk"), effective_from__lte=at).order_by("-effective_from", "-id")
    return found.annotate(current_cost=Subquery(newest.values("cost")[:1]), current_price=Subquery(newest.values("price")[:1]))


def publications() -> QuerySet[CatalogSnapshot]:
    """Return published snapshots without their bodies, newest first."""
    return CatalogSnapshot.objects.defer("body").order_by("-version")


def price_versions(version_ids: Collection[int]) -> dict[int, PriceVersion]:
    """Return price versions by id, however old, with their endpoints; those that do not exist are missing."""
    return PriceVersion.objects.select_related("endpoint").in_bulk(list(version_ids))


def providers_with_keys() -> QuerySet[Provider]:
    """Return current providers annotated with ``key_count``; those of a group or with several keys come first."""
    found = Provider.objects.filter(_CURRENT).annotate(key_count=Count("credentials"))
    return found.order_by(Case(When(group="", then=1), default=0), "-key_count", "name")
