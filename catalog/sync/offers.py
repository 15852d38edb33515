"""What a source says that a provider sells: one shape for every source. Pure."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Final, NamedTuple

from catalog.pricing import PICOS_PER_USD
from catalog.types import PriceTier, RateCard

_PER_MILLION: Final = 1_000_000


class UnreadableSource(Exception):
    """A source cannot be read; the message says which and why. Nothing is proposed from a part of it."""


class Offer(NamedTuple):
    """One model at one provider, as a source has it. ``provider`` and ``key`` are the source's own names.

    ``is_chat`` is None where the source does not say; ``unread`` has the prices that have no meter here or are not exact in picos.
    """

    provider: str
    key: str
    name: str
    card: RateCard
    context_length: int | None = None
    max_output_tokens: int | None = None
    deprecated: bool = False
    unread: tuple[str, ...] = ()


def picos_per_unit(usd: Decimal, per: int = 1) -> int | None:
    """Return picos per unit of a price in dollars per ``per`` units; None if that is not a whole, non-negative number."""
    if not usd.is_finite() or usd < 0:
        return None
    picos = usd * PICOS_PER_USD / per
    whole = int(picos)
    return whole if whole * per == usd * PICOS_PER_USD else None


def picos_per_token(usd_per_million: Decimal) -> int | None:
    """Return picos per token of a price per million tokens; None if not exact."""
    return picos_per_unit(usd_per_million, _PER_MILLION)


def make_tiers(steps: Iterable[tuple[int, str, int]]) -> tuple[PriceTier, ...]:
    """Return tiers from (edge, meter, picos) in any order."""
    edges: dict[int, dict[str, int]] = {}
    for edge, meter, picos in steps:
        edges.setdefault(edge, {})[meter] = picos
    return tuple(PriceTier(edge, edges[edge]) for edge in sorted(edges))
