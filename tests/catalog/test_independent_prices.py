"""Our prices and our arithmetic beside an independent implementation: genai-prices, with the same random usages.

Two questions. Given its prices, does its calculator come to the same cost as ours? And do its prices make the same cost as our catalog's,
and if not, does the catalog say why? Differences are split by meter; every part needs a reason, and the parts must add up to the whole.
"""

import datetime as dt
import random
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NamedTuple

import pytest
from genai_prices import Usage as TheirUsage
from genai_prices.data import providers
from genai_prices.types import ModelInfo

from catalog.cards import make_timeline
from catalog.files import EndpointEntry, read_files
from catalog.pricing import PICOS_PER_USD, TOKEN_METERS, cost, rate_of, rates_in_force
from catalog.sync.genai_source import read_card
from catalog.types import RateCard, Usage

AT = dt.datetime(2026, 11, 25, 9, 30, tzinfo=dt.UTC)
USAGES_PER_ENDPOINT = 32
# Why prices differ, and at how many meters of how many endpoints. A change here is news: of ours, or of theirs.
REASONS = {
    "they list no price for it": 28,
    "other sources outvote them": 8,
    "another source was taken for it": 2,
    "the two differ about long prompts": 5,  # Claude Sonnet 4.5 at Bedrock: they have no price above 200,000 tokens
    "it follows the price of its side, which differs": 21,
}
THEIR_NAMES = {
    "cache_read_tokens": "cache_read_tokens",
    "cache_write_tokens": "cache_write_5m_tokens",
    "cache_write_1h_tokens": "cache_write_1h_tokens",
    "audio_input_tokens": "input_audio_tokens",
    "audio_output_tokens": "output_audio_tokens",
    "image_input_tokens": "input_image_tokens",
    "image_output_tokens": "output_image_tokens",
    "reasoning_tokens": "output_reasoning_tokens",
}


class Pair(NamedTuple):
    """An endpoint of ours and the model of theirs that it was compared with when its price was chosen."""

    entry: EndpointEntry
    card: RateCard
    theirs: ModelInfo
    their_card: RateCard


def _pairs() -> Iterator[Pair]:
    models = {f"{provider.id}/{model.id}": model for provider in providers for model in provider.models}
    for provider in read_files().providers:
        for entry in provider.endpoints:
            for seen in entry.agreement.get("seen", []):
                theirs = models.get(seen["key"]) if seen["source"] == "genai-prices" else None
                if theirs is None:
                    continue
                their_card, unread = read_card(theirs.get_prices(AT))
                card = [one for since, one in make_timeline(entry.price) if since is None or since <= AT][-1]
                if not unread and {"input_tokens"} <= card.rates.keys() & their_card.rates.keys():
                    yield Pair(entry, card, theirs, their_card)
                break


@pytest.fixture(scope="module")
def pairs() -> list[Pair]:
    return list(_pairs())


def _draw(rng: random.Random, card: RateCard, other: RateCard) -> Usage:
    """Return a usage of meters that both cards can price; often exactly at the edge of a tier."""
    both = card.rates.keys() & other.rates.keys()
    sizes = [rng.randrange(1, 5_000), rng.randrange(1, 300_000), *(tier.min_prompt_tokens for tier in card.tiers)]
    counts = {"input_tokens": rng.choice(sizes)}
    if rng.random() < 0.6:
        counts["cache_read_tokens"] = rng.randrange(1, 100_000)
    if rng.random() < 0.3:
        counts["cache_write_tokens"] = rng.randrange(1, 50_000)
    if rng.random() < 0.2:
        counts["cache_write_1h_tokens"] = rng.randrange(1, 50_000)
    if "output_tokens" in both:
        counts["output_tokens"] = rng.randrange(0, 20_000)
        if rng.random() < 0.3:
            counts["reasoning_tokens"] = rng.randrange(1, 20_000)
    for meter in ("audio_input_tokens", "image_input_tokens", "audio_output_tokens", "image_output_tokens"):
        if meter in both and rng.random() < 0.5:
            counts[meter] = rng.randrange(1, 10_000)
    return Usage(**counts, requests=0)


def _usages(pairs: list[Pair]) -> Iterator[tuple[Pair, Usage]]:
    rng = random.Random(20261125)
    for pair in pairs:
        for _ in range(USAGES_PER_ENDPOINT):
            yield pair, _draw(rng, pair.their_card, pair.card)


def _their_picos(model: ModelInfo, usage: Usage) -> int:
    counts: dict[str, Any] = {their: getattr(usage, ours) for ours, their in THEIR_NAMES.items() if getattr(usage, ours)}
    if usage.cache_write_tokens or usage.cache_write_1h_tokens:
        counts["cache_write_tokens"] = usage.cache_write_tokens + usage.cache_write_1h_tokens
    total = model.get_prices(AT).calc_price(TheirUsage(input_tokens=usage.prompt_tokens, output_tokens=usage.completion_tokens, **counts))
    picos = total["total_price"] * PICOS_PER_USD
    assert picos == int(picos), f"{model.id}: {picos} is not a whole number of picos"
    return int(picos)


def test_two_calculators_come_to_the_same_cost_from_the_same_prices(pairs: list[Pair]) -> None:
    compared = 0
    for pair, usage in _usages(pairs):
        card = RateCard(rates={m: r for m, r in pair.their_card.rates.items() if m != "requests"}, tiers=pair.their_card.tiers)
        per_request = pair.their_card.rates.get("requests", 0)  # theirs charges it whether or not there was a request
        assert cost(card, usage, at=AT).picos + per_request == _their_picos(pair.theirs, usage), (pair.entry.id, usage)
        compared += 1
    assert len({pair.entry.model for pair in pairs}) >= 200
    assert compared >= 10_000


def _reason(pair: Pair, meter: str) -> str:
    """Return why a meter's rates differ, by the record of how our price was chosen; '' for no reason at all."""
    ours, theirs = pair.card, pair.their_card
    if meter not in ours.rates | theirs.rates:
        return "it follows the price of its side, which differs"
    if meter not in theirs.rates:
        return "they list no price for it"
    if meter not in ours.rates:
        return "our source lists no price for it"
    if ours.tiers != theirs.tiers and ours.rates[meter] == theirs.rates[meter]:
        return "the two differ about long prompts"
    seen = [one for one in pair.entry.agreement["seen"] if one["source"] != "genai-prices"]
    name = meter.removesuffix("_tokens")
    if meter in {"input_tokens", "output_tokens"}:
        is_backed = any(name in one and Decimal(one[name]) * 1_000_000 == ours.rates[meter] for one in seen)
        return "other sources outvote them" if is_backed else ""
    is_from_elsewhere = name in pair.entry.source.get("filled_from", {}) or pair.entry.source["data_set"] != "genai-prices"
    return "another source was taken for it" if is_from_elsewhere else ""


def test_every_difference_from_independent_prices_has_a_reason(pairs: list[Pair]) -> None:
    equal, compared = 0, 0
    found: dict[str, set[str]] = {}
    for pair, usage in _usages(pairs):
        compared += 1
        ours = cost(pair.card, usage, at=AT).picos
        theirs = _their_picos(pair.theirs, usage) - pair.their_card.rates.get("requests", 0)
        if ours == theirs:
            equal += 1
            continue
        our_rates = rates_in_force(pair.card, prompt_tokens=usage.prompt_tokens, at=AT)
        their_rates = rates_in_force(pair.their_card, prompt_tokens=usage.prompt_tokens, at=AT)
        explained = 0
        for meter in TOKEN_METERS:
            count = getattr(usage, meter)
            our_rate, their_rate = rate_of(our_rates, meter), rate_of(their_rates, meter)
            if count and our_rate != their_rate:
                assert our_rate is not None
                assert their_rate is not None
                explained += count * (our_rate - their_rate)
                found.setdefault(_reason(pair, meter), set()).add(f"{pair.entry.id} {meter}")
        assert explained == ours - theirs, (pair.entry.id, usage)
    assert compared >= 10_000
    assert equal >= compared * 0.9
    assert {reason: len(names) for reason, names in found.items()} == REASONS, found
