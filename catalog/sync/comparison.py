"""What a source says beside what the catalog says: new, gone, moved, disagreeing. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Final, Literal, NamedTuple

from catalog.sync.offers import Offer
from catalog.types import RateCard

Kind = Literal["new", "gone", "moved", "disagrees"]
_UNIT_ERRORS: Final = (10, 100, 1_000, 1_000_000)
_UNIT_TOLERANCE: Final = Decimal("0.02")
_FACTOR_MAX: Final = 2
_MAIN_METERS: Final = ("input_tokens", "output_tokens")


class Held(NamedTuple):
    """An endpoint as the catalog has it. ``keys`` are what this source listed it under (its provider/its name), ``names`` what it may be.

    ``seen`` is what this source said when the price was last reviewed, meter → picos: a source that still says the same has not moved.
    ``others`` counts the other sources that agreed with our price then.
    """

    endpoint: str
    provider: str
    keys: frozenset[str]
    cost: RateCard
    seen: Mapping[str, int]
    names: frozenset[str] = frozenset()
    others: int = 0
    is_from_source: bool = False  # this source has listed it before


class Move(NamedTuple):
    """One meter's rate in picos, ours and theirs; above ``edge`` prompt tokens, 0 for the base rate."""

    meter: str
    edge: int
    before: int
    after: int

    @property
    def percent(self) -> Decimal:
        """How far it moved; a price that was free moved by 100 %."""
        return Decimal(self.after - self.before) * 100 / self.before if self.before else Decimal(100)


class Finding(NamedTuple):
    """One line of a diff. ``flags`` say why it must not be applied without a person."""

    kind: Kind
    provider: str
    key: str
    name: str
    endpoint: str = ""
    moves: tuple[Move, ...] = ()
    flags: tuple[str, ...] = ()
    offer: Offer | None = None

    @property
    def largest_percent(self) -> Decimal:
        """The move that is farthest from 0."""
        return max((move.percent for move in self.moves), key=abs, default=Decimal(0))


def _flags(moves: Iterable[Move], held: Held) -> Iterator[str]:
    for move in moves:
        if not move.before or not move.after:
            yield f"{move.meter} {'becomes free' if not move.after else 'was free'}"
            continue
        ratio = Decimal(max(move.before, move.after)) / min(move.before, move.after)
        unit = next((one for one in _UNIT_ERRORS if abs(ratio / one - 1) <= _UNIT_TOLERANCE), None)
        if unit is not None:
            yield f"{move.meter} moved by a factor of {unit:,}: the unit looks wrong"
        elif ratio > _FACTOR_MAX:
            yield f"{move.meter} moved by a factor of {ratio:.1f}"
    if held.others:
        yield f"{held.others} other source{'' if held.others == 1 else 's'} agreed with our price"


def _moves(held: Held, offer: Offer, threshold_percent: Decimal) -> tuple[Move, ...]:
    """Return where both name a rate and they differ by more than the threshold."""
    pairs = [(0, held.cost.rates, offer.card.rates)]
    ours = {tier.min_prompt_tokens: tier.rates for tier in held.cost.tiers}
    pairs += [(tier.min_prompt_tokens, ours.get(tier.min_prompt_tokens, {}), tier.rates) for tier in offer.card.tiers]
    found = [
        Move(meter, edge, before[meter], after)
        for edge, before, rates in pairs
        for meter, after in rates.items()
        if meter in before and before[meter] != after
    ]
    return tuple(move for move in found if abs(move.percent) > threshold_percent)


def _has_moved(held: Held, offer: Offer) -> bool:
    """Return whether the source says something else than when the price was reviewed."""
    if not held.seen:
        return True
    rates = offer.card.rates
    return any(meter in rates and held.seen.get(meter, rates[meter]) != rates[meter] for meter in _MAIN_METERS)


def compare(
    held: Sequence[Held], offers: Sequence[Offer], *, providers: Mapping[str, str], threshold_percent: Decimal = Decimal(0)
) -> list[Finding]:
    """Return the differences. ``providers`` maps the source's names of providers to ours; others are left out."""
    by_key: dict[tuple[str, str], list[Held]] = {}
    for one in held:
        for key in one.keys | one.names:
            by_key.setdefault((one.provider, key), []).append(one)
    findings: list[Finding] = []
    met: set[str] = set()
    for offer in offers:
        slug = providers.get(offer.provider)
        if slug is None:
            continue
        # Dated names of one model may share a row of the source.
        listed = by_key.get((slug, f"{offer.provider}/{offer.key}"), [])
        meant = listed or [one for one in by_key.get((slug, offer.key), []) if offer.key in one.names]
        if not meant and not offer.deprecated:
            findings.append(Finding("new", slug, offer.key, offer.name, offer=offer))
        for one in meant:
            met.add(one.endpoint)
            moves = _moves(one, offer, threshold_percent)
            if moves:
                kind: Kind = "moved" if _has_moved(one, offer) else "disagrees"
                findings.append(Finding(kind, slug, offer.key, offer.name, one.endpoint, moves, tuple(_flags(moves, one)), offer))
    slugs = set(providers.values())
    findings += [
        Finding("gone", one.provider, "", one.endpoint, one.endpoint)
        for one in held
        if one.provider in slugs and one.is_from_source and one.endpoint not in met
    ]
    return sorted(findings, key=lambda one: (one.kind, one.provider, one.endpoint or one.key))
