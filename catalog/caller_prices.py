"""Prices of organizations and plans: price versions of their own, and the books in which a snapshot carries them.

A rule for an organization or a plan holds for every endpoint, so its book has all of them. An organization with a rule of its own has a
book of its own; otherwise it has its plan's.
"""

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from accounts.models import Organization
from catalog.markup import Markup, MarkupBook
from catalog.models import PlanMember, PriceVersion
from catalog.types import CallerPrice, RateCard


class PriceInForce(NamedTuple):
    """A price version's id and its two cards, decoded."""

    id: int
    cost: RateCard
    price: RateCard


class Books(NamedTuple):
    """``prices`` by the book's name (``organization:<public id>``, ``plan:<name>``) and the endpoint's key; names by organization key."""

    prices: Mapping[str, Mapping[int, CallerPrice]] = {}
    of_organization: Mapping[int, str] = {}


class _Held(NamedTuple):
    """The newest version of a caller's price of an endpoint, as far as it decides whether another is needed."""

    id: int
    base_id: int
    basis_points: int
    floor_picos: int


def append_books(public: Mapping[int, PriceInForce], *, markups: MarkupBook, now: dt.datetime) -> Books:
    """Append a version wherever a caller's price differs from the one held, and return everybody's. ``public`` is by endpoint key."""
    named = markups.of_callers(at=now)
    if not named:
        return Books()
    readers = _readers(named)
    names = set(readers.values())
    wanted = {f"{scope}:{target}": markup for (scope, target), markup in named.items() if f"{scope}:{target}" in names}
    held = _read_held(wanted)
    prices = {name: _append_book(name, markup, public, held=held.get(name, {}), now=now) for name, markup in wanted.items()}
    return Books(prices, readers)


def _readers(named: Iterable[tuple[str, str]]) -> dict[int, str]:
    """Return which organization has which book."""
    plans = {target for scope, target in named if scope == "plan"}
    ids = [target for scope, target in named if scope == "organization"]
    on_plans = PlanMember.objects.filter(plan__in=plans).values_list("organization_id", "plan")
    readers = {organization_id: f"plan:{plan}" for organization_id, plan in on_plans}
    own = Organization.objects.filter(public_id__in=ids).values_list("id", "public_id")
    return readers | {organization_id: f"organization:{public_id}" for organization_id, public_id in own}


def _read_held(names: Iterable[str]) -> dict[str, dict[int, _Held]]:
    versions = (
        PriceVersion.objects.filter(caller__in=list(names)).order_by("caller", "endpoint_id", "-id").distinct("caller", "endpoint_id")
    )
    held: dict[str, dict[int, _Held]] = {}
    columns = ("caller", "endpoint_id", "id", "base_id", "markup_basis_points", "markup_floor_picos")
    for name, endpoint_id, *rest in versions.values_list(*columns):
        held.setdefault(name, {})[endpoint_id] = _Held(*rest)
    return held


def _append_book(
    name: str, markup: Markup, public: Mapping[int, PriceInForce], *, held: Mapping[int, _Held], now: dt.datetime
) -> dict[int, CallerPrice]:
    cards = {endpoint_id: markup.apply(price.cost) for endpoint_id, price in public.items()}
    stale = {
        price.id: endpoint_id
        for endpoint_id, price in public.items()
        if (found := held.get(endpoint_id)) is None or found[1:] != (price.id, markup.basis_points, markup.floor_picos)
    }
    fresh = []
    for version in PriceVersion.objects.filter(pk__in=stale):
        version.base_id, version.pk = version.pk, None
        version.caller = name
        version.effective_from = now
        version.price = msgspec.to_builtins(cards[version.endpoint_id])
        version.markup_basis_points, version.markup_floor_picos, version.markup_rule_id = markup
        fresh.append(version)
    PriceVersion.objects.bulk_create(fresh, batch_size=500)
    ids = {endpoint_id: one.id for endpoint_id, one in held.items()} | {one.endpoint_id: one.pk for one in fresh}
    return {endpoint_id: CallerPrice(ids[endpoint_id], card) for endpoint_id, card in cards.items()}
