"""Explain a charge: price the counts again with the price version that the request was routed with, meter by meter, rounded once."""

import datetime as dt
from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

import msgspec

from billing.types import UsageEvent
from catalog import pricing, queries
from catalog.models import PriceVersion
from catalog.pricing import UnpricedMeter
from catalog.types import METERS, Cost, CostLine, RateCard, Usage

# metered: the charge is the sum of the lines. waived: nothing was charged (an error, an empty answer, a free endpoint). last_report: the
# server that ran the request died, and what it had last reported was charged. unexplained: the price version is not known.
Rule = Literal["metered", "waived", "last_report", "unexplained"]

_MS_PER_S: Final = 1000
_CACHE_METERS: Final = ("cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens")


class Price(NamedTuple):
    """A price version, decoded: what a customer pays, and the markup that made it out of the provider's price."""

    version_id: int
    endpoint: str
    effective_from: dt.datetime
    markup_basis_points: int
    markup_floor_picos: int
    card: RateCard
    cost_card: RateCard  # the provider's price: for operators only


class Explanation(NamedTuple):
    """The lines, their exact sum and its one rounding, and the rule by which the charge follows from them."""

    rule: Rule
    lines: tuple[CostLine, ...]
    picos: int
    nanos: int
    conditions: tuple[str, ...] = ()  # which of the version's prices were in force, in words; none for the plain ones
    cache_discount_picos: int = 0  # what cached prompts saved; below zero when writing them cost more


def read_price(version: PriceVersion) -> Price:
    """Decode a price version."""
    return Price(
        version_id=version.pk,
        endpoint=version.endpoint.slug,
        effective_from=version.effective_from,
        markup_basis_points=version.markup_basis_points,
        markup_floor_picos=version.markup_floor_picos,
        card=msgspec.convert(version.price, RateCard),
        cost_card=msgspec.convert(version.cost, RateCard),
    )


def find_price(version_id: int) -> Price | None:
    """Return a price version, however old; None when there is no such version."""
    version = queries.price_versions([version_id]).get(version_id)
    return None if version is None else read_price(version)


def explain(event: UsageEvent, price: Price | None) -> Explanation:
    """Price the event again."""
    if price is None:
        return Explanation(_rule(event, None), (), 0, 0)
    cost = cost_of(event, price.card)
    conditions = tuple(_conditions(event, price.card))
    return Explanation(_rule(event, cost), cost.lines, cost.picos, cost.nanos, conditions, _cache_discount_picos(event, price.card))


def _rule(event: UsageEvent, cost: Cost | None) -> Rule:
    if event.status == "expired":
        return "last_report"
    if cost is not None and cost.picos == event.amount_picos:
        return "metered"
    return "unexplained" if event.amount_picos else "waived"


def _usage(event: UsageEvent) -> Usage:
    # ``requests`` is written down when it is not zero, and Usage's default is one.
    return msgspec.convert({"requests": 0} | {meter: count for meter, count in event.meters.items() if meter in METERS}, Usage)


def _started_at(event: UsageEvent) -> dt.datetime:
    return dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(milliseconds=event.started_at_ms)


def cost_of(event: UsageEvent, card: RateCard) -> Cost:
    """Price the event's counts with a card, at the moment when the request began. A meter without a price costs nothing."""
    try:
        return pricing.cost(card, _usage(event), service_tier=event.service_tier, at=_started_at(event))
    except UnpricedMeter as unpriced:
        return unpriced.priced  # as at the settlement: what has a price is charged


def _conditions(event: UsageEvent, card: RateCard) -> Iterator[str]:
    if event.service_tier in card.service_tiers:
        card = card.service_tiers[event.service_tier]
        yield f"{event.service_tier} service tier"
    prompt_tokens = _usage(event).prompt_tokens
    if pricing.rates_in_force(msgspec.structs.replace(card, tiers=()), prompt_tokens=0, at=_started_at(event)) != card.rates:
        yield f"prices of the hour, {_started_at(event):%A %H:%M} UTC"
    exceeded = [tier.min_prompt_tokens for tier in card.tiers if prompt_tokens > tier.min_prompt_tokens]
    if exceeded:
        yield f"prompts above {max(exceeded):,} tokens"


def _cache_discount_picos(event: UsageEvent, card: RateCard) -> int:
    cached = {meter: count for meter in _CACHE_METERS if (count := event.meters.get(meter, 0))}
    if not cached:
        return 0
    rates = pricing.rates_in_force(card, prompt_tokens=_usage(event).prompt_tokens, service_tier=event.service_tier, at=_started_at(event))
    full = pricing.rate_of(rates, "input_tokens")
    if full is None:
        return 0
    return sum(count * (full - (full if (rate := pricing.rate_of(rates, meter)) is None else rate)) for meter, count in cached.items())
