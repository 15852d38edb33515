"""Reviewed prices in the place of the data files': set after a review, in force at once, ended by newer files or by the operator."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

import msgspec
from django.db import transaction
from django.utils import timezone

from accounts import audit
from accounts.audit import Actor
from catalog.cards import BadPrice, make_timeline
from catalog.files import PriceEntry
from catalog.locks import hold_catalog_lock
from catalog.markup_rules import read_book
from catalog.models import AgreementLevel, Endpoint, PriceOverride, PriceVersion
from catalog.prices import Timeline, WantedPrice, append_changes


def _timeline(listed: Mapping[str, Any]) -> Timeline:
    try:
        return make_timeline(msgspec.convert(listed, PriceEntry, strict=False))
    except msgspec.ValidationError as error:
        raise BadPrice(str(error)) from error


def _wanted(override: PriceOverride) -> WantedPrice:
    agreement = {**override.endpoint.agreement, "level": AgreementLevel.OPERATOR}
    known_from = dt.datetime.combine(override.dated, dt.time(), tzinfo=dt.UTC)
    return WantedPrice(override.endpoint_id, _timeline(override.listed), known_from, override.listed, override.source, agreement)


def wanted_prices(*, last_seen: Mapping[str, dt.date]) -> dict[str, WantedPrice]:
    """Return the prices that stand in for those of the files, by endpoint: overrides that are not older than the file's row."""
    active = PriceOverride.objects.filter(ended_at=None).select_related("endpoint").order_by("id")
    return {one.endpoint.slug: _wanted(one) for one in active if one.dated >= last_seen.get(one.endpoint.slug, dt.date.max)}


def listed_price(endpoint: Endpoint, *, at: dt.datetime) -> dict[str, Any]:
    """Return the price block of the version in force, {} before the first one."""
    version = PriceVersion.objects.public().filter(endpoint=endpoint, effective_from__lte=at).order_by("-effective_from", "-id").first()
    return dict(version.listed) if version else {}


def set_price(
    *, endpoint: Endpoint, listed: Mapping[str, Any], source: Mapping[str, Any], by: Actor, now: dt.datetime | None = None
) -> PriceOverride:  # fmt: skip
    """Put a price block in the place of the files'; its scheduled changes come into force by themselves. Does not publish.

    Raises: BadPrice; then nothing has changed.
    """
    moment = now or timezone.now()
    _timeline(listed)
    with transaction.atomic():
        hold_catalog_lock()
        PriceOverride.objects.filter(endpoint=endpoint, ended_at=None).update(ended_at=moment)
        override = PriceOverride.objects.create(
            endpoint=endpoint, listed=dict(listed), dated=moment.date(), source=dict(source), created_by=audit.name_actor(by)
        )  # fmt: skip
        append_changes([_wanted(override)], markups=read_book(), now=moment)
        audit.record(organization_id=None, by=by, action="price.overridden", target=endpoint.slug, detail={"listed": dict(listed)})
    return override
