"""Price versions: appended when a price changes, never edited."""

import datetime as dt
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from catalog.markup import MarkupBook, Names
from catalog.models import Endpoint, PriceVersion
from catalog.types import RateCard

Timeline = Sequence[tuple[dt.datetime | None, RateCard]]


class WantedPrice(NamedTuple):
    """What an endpoint should cost from now on. ``known_from`` is when the price was first seen; the first version starts then."""

    endpoint_id: int
    timeline: Timeline  # cards.make_timeline
    known_from: dt.datetime
    listed: dict[str, Any]
    source: dict[str, Any]
    agreement: dict[str, Any]


class _Held(NamedTuple):
    cost: dict[str, Any]
    price: dict[str, Any]
    markup_basis_points: int
    markup_floor_picos: int


def _as_json(card: RateCard) -> dict[str, Any]:
    """Return the card as PostgreSQL gives it back, so that the two compare."""
    return msgspec.json.decode(msgspec.json.encode(card), type=dict[str, Any])


def _read_held(endpoint_ids: Sequence[int], now: dt.datetime) -> tuple[dict[int, _Held], dict[int, dict[dt.datetime, _Held]]]:
    """Return the version in force per endpoint, and the versions that wait, by the moment they come into force."""
    columns = ("endpoint_id", "effective_from", "cost", "price", "markup_basis_points", "markup_floor_picos")
    known = PriceVersion.objects.public().filter(endpoint_id__in=endpoint_ids)
    in_force = known.filter(effective_from__lte=now).order_by("endpoint_id", "-effective_from", "-id").distinct("endpoint_id")
    held = {row[0]: _Held(*row[2:]) for row in in_force.values_list(*columns)}
    waiting: dict[int, dict[dt.datetime, _Held]] = {}
    for endpoint_id, effective_from, *rest in known.filter(effective_from__gt=now).order_by("effective_from", "id").values_list(*columns):
        waiting.setdefault(endpoint_id, {})[effective_from] = _Held(*rest)
    return held, waiting


def _card_at(timeline: Timeline, moment: dt.datetime) -> tuple[dt.datetime | None, RateCard]:
    return [(since, card) for since, card in timeline if since is None or since <= moment][-1]


def read_names(endpoint_ids: Sequence[int] | None = None) -> dict[int, Names]:
    """Return what markup rules can name endpoints by: of those, or of all."""
    rows = Endpoint.objects.all() if endpoint_ids is None else Endpoint.objects.filter(pk__in=endpoint_ids)
    columns = ("slug", "model__slug", "model__author", "provider__slug")
    return {pk: Names(*names) for pk, *names in rows.values_list("pk", *columns)}


def append_changes(wanted: Sequence[WantedPrice], *, markups: MarkupBook, now: dt.datetime) -> int:
    """Append a version wherever what is wanted differs from what is held, now or at a dated change. Returns how many were appended.

    A dated change that is no longer wanted is covered by a later version with the same date.
    """
    endpoint_ids = [one.endpoint_id for one in wanted]
    held, waiting = _read_held(endpoint_ids, now)
    names = read_names(endpoint_ids)
    fresh: list[PriceVersion] = []
    for one in wanted:
        current = held.get(one.endpoint_id)
        dated = waiting.get(one.endpoint_id, {})
        moments = {now} | dated.keys() | {since for since, _ in one.timeline if since is not None and since > now}
        for moment in sorted(moments):
            current = dated.get(moment, current)
            since, card = _card_at(one.timeline, moment)
            markup = markups.find(names[one.endpoint_id], at=moment)
            target = _Held(_as_json(card), _as_json(markup.apply(card)), markup.basis_points, markup.floor_picos)
            if current == target:
                continue
            # The very first version reaches back to where the price was first seen.
            effective_from = moment if current is not None or moment > now else min(since or one.known_from, now)
            current = target
            fresh.append(
                PriceVersion(
                    endpoint_id=one.endpoint_id,
                    effective_from=effective_from,
                    **target._asdict(),
                    markup_rule_id=markup.rule_id,
                    listed=one.listed,
                    source=one.source,
                    agreement=one.agreement,
                    agreement_level=one.agreement["level"],
                ),
            )
    PriceVersion.objects.bulk_create(fresh, batch_size=500)
    return len(fresh)


def reprice(*, markups: MarkupBook, now: dt.datetime) -> int:
    """Append a version wherever another markup holds now than the one that the price in force was made with. Returns how many."""
    names = read_names()
    in_force = (
        PriceVersion.objects.public()
        .filter(effective_from__lte=now)
        .order_by("endpoint_id", "-effective_from", "-id")
        .distinct("endpoint_id")
    )
    moved = {}
    for pk, endpoint_id, basis_points, floor_picos in in_force.values_list(
        "pk", "endpoint_id", "markup_basis_points", "markup_floor_picos"
    ):
        markup = markups.find(names[endpoint_id], at=now)
        if (markup.basis_points, markup.floor_picos) != (basis_points, floor_picos):
            moved[pk] = markup
    fresh = []
    for version in PriceVersion.objects.filter(pk__in=moved):
        markup = moved[version.pk]
        version.pk = None
        version.effective_from = now
        version.price = _as_json(markup.apply(msgspec.convert(version.cost, RateCard)))
        version.markup_basis_points, version.markup_floor_picos, version.markup_rule_id = markup
        fresh.append(version)
    PriceVersion.objects.bulk_create(fresh, batch_size=500)
    return len(fresh)
