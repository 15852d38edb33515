"""From a price block of a data file to rate cards in integer picos, exactly. Pure.

A provider's list often leaves out what a service tier charges for cache, audio or long prompts. What is not listed is never guessed
downwards: it takes the dearer of the tier's own fallback and the base price, so that nothing is sold below cost.
"""

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Final, NamedTuple

import msgspec

from catalog.files import PriceEntry, Rates, TimeWindowEntry, Usd
from catalog.pricing import FALLBACKS, PICOS_PER_USD, TOKEN_METERS, rate_of
from catalog.types import PriceTier, RateCard, TimePrice

TOKEN_NAMES: Final[Mapping[str, str]] = {meter.removesuffix("_tokens"): meter for meter in TOKEN_METERS}
UNIT_NAMES: Final[Mapping[str, str]] = {
    "request": "requests",
    "search": "searches",
    "second": "seconds",
    "character": "characters",
    "page": "pages",
    "image": "images",
}
_CACHE_METERS: Final = frozenset({"cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens"})
_TOKENS_PER_PRICE: Final = 1_000_000
_MINUTES_PER_DAY: Final = 1_440
# $1,000 per million tokens is four times the dearest known price; more is a unit mistaken.
_DEAREST_TOKEN_PICOS: Final = 1_000_000_000
_DEAREST_UNIT_PICOS: Final = 100 * PICOS_PER_USD


class BadPrice(ValueError):
    """A price that is negative, not exact in picos, not a number, or out of all proportion."""


def picos_from_usd(usd: Usd, *, per: int = 1) -> int:
    """Return picos per unit of a price in dollars per ``per`` units: ('0.075', per=1_000_000) is 75_000.

    Raises: BadPrice for anything that is not an exact, non-negative number of picos.
    """
    try:
        value = Decimal(usd)
    except InvalidOperation as error:
        msg = f"{usd!r} is not a number"
        raise BadPrice(msg) from error
    if not value.is_finite():
        msg = f"{usd!r} is not a price"
        raise BadPrice(msg)
    if value < 0:
        msg = f"{usd!r} is negative"
        raise BadPrice(msg)
    picos = value * PICOS_PER_USD / per
    whole = int(picos)
    if whole * per != value * PICOS_PER_USD:
        msg = f"{usd!r} is finer than a pico-dollar per unit and cannot be billed exactly"
        raise BadPrice(msg)
    return whole


def usd_from_picos(picos: int, *, per: int = 1) -> str:
    """Return dollars per ``per`` units as plain decimal text: the inverse of ``picos_from_usd``."""
    text = format(Decimal(picos * per) / PICOS_PER_USD, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _token_rates(prices: Rates) -> dict[str, int]:
    rates = {}
    for name, usd in prices.items():
        if name not in TOKEN_NAMES:
            msg = f"{name!r} is none of {', '.join(TOKEN_NAMES)}"
            raise BadPrice(msg)
        picos = picos_from_usd(usd, per=_TOKENS_PER_PRICE)
        if picos > _DEAREST_TOKEN_PICOS:
            msg = f"{name} at ${usd} per million tokens looks like a wrong unit"
            raise BadPrice(msg)
        rates[TOKEN_NAMES[name]] = picos
    return rates


def _unit_rates(prices: Rates) -> dict[str, int]:
    rates = {}
    for name, usd in prices.items():
        if name not in UNIT_NAMES:
            msg = f"{name!r} is none of {', '.join(UNIT_NAMES)}"
            raise BadPrice(msg)
        picos = picos_from_usd(usd)
        if picos > _DEAREST_UNIT_PICOS:
            msg = f"{name} at ${usd} each looks like a wrong unit"
            raise BadPrice(msg)
        rates[UNIT_NAMES[name]] = picos
    return rates


def _minute(clock: str) -> int:
    hours, _, minutes = clock.partition(":")
    if not (hours.isdigit() and minutes.isdigit()) or int(minutes) > 59 or (total := int(hours) * 60 + int(minutes)) > _MINUTES_PER_DAY:  # noqa: PLR2004
        msg = f"{clock!r} is not a time of day"
        raise BadPrice(msg)
    return total


def _windows(entry: TimeWindowEntry) -> list[TimePrice]:
    rates = _token_rates(entry.usd_per_million_tokens)
    windows = []
    for when in entry.when:
        if not all(1 <= day <= 7 for day in when.weekdays):  # noqa: PLR2004 -- ISO weekdays
            msg = f"weekdays {when.weekdays} are not 1 (Monday) to 7"
            raise BadPrice(msg)
        for span in when.utc:
            start, _, end = span.partition("-")
            windows.append(TimePrice(_minute(start), _minute(end), rates, tuple(when.weekdays)))
    return windows


def _complete(own: Mapping[str, int], base: Mapping[str, int]) -> dict[str, int]:
    """Return ``own`` with what ``base`` prices and ``own`` does not: units as they are, tokens at the dearer of fallback and base."""
    rates = dict(own)
    for meter, base_rate in base.items():
        if meter not in own:
            fallback = rate_of(own, meter) if meter in FALLBACKS else None
            rates[meter] = base_rate if fallback is None else max(base_rate, fallback)
    return rates


def _service_card(own: Mapping[str, int], base: RateCard) -> RateCard:
    rates = _complete(own, base.rates)
    # A long prompt in a service tier whose long prices nobody lists: the dearer of the two, meter by meter.
    tiers = tuple(
        PriceTier(tier.min_prompt_tokens, {meter: max(rate, rates.get(meter, 0)) for meter, rate in tier.rates.items()})
        for tier in base.tiers
    )
    return RateCard(rates=rates, tiers=tiers)


class _Parts(NamedTuple):
    """A price block in picos, before the service tiers are completed."""

    rates: dict[str, int]
    tiers: tuple[PriceTier, ...]
    windows: tuple[TimePrice, ...]
    services: dict[str, dict[str, int]]


def _with_cache(rates: Mapping[str, int], tier: Mapping[str, int]) -> dict[str, int]:
    """Return the rates of a tier with the cache prices that it leaves out although input rises: they rise in proportion."""
    return {**tier, **{meter: rate for meter, rate in _with_followers(rates, tier).items() if meter in _CACHE_METERS}}


def _read_parts(entry: PriceEntry) -> _Parts:
    base = _token_rates(entry.usd_per_million_tokens)
    tiers = tuple(PriceTier(tier.above_prompt_tokens, _with_cache(base, _token_rates(tier.usd_per_million_tokens))) for tier in entry.tiers)
    edges = [tier.min_prompt_tokens for tier in tiers]
    if edges != sorted(set(edges)) or any(edge <= 0 for edge in edges):
        msg = f"the edges of the tiers must be positive and grow: {edges}"
        raise BadPrice(msg)
    return _Parts(
        rates={**base, **_unit_rates(entry.usd_per_unit)},
        tiers=tiers,
        windows=tuple(window for named in entry.time_windows for window in _windows(named)),
        services={name: _token_rates(tier.usd_per_million_tokens) for name, tier in entry.service_tiers.items()},
    )


def _make_card(parts: _Parts) -> RateCard:
    base = RateCard(rates=parts.rates, tiers=parts.tiers, time_prices=parts.windows)
    services = {name: _service_card(own, base) for name, own in parts.services.items()}
    return msgspec.structs.replace(base, service_tiers=services)


def _with_followers(rates: Mapping[str, int], changes: Mapping[str, int]) -> dict[str, int]:
    """Return ``changes`` with the meters that nobody named but whose text rate rises: they rise in proportion."""
    full = dict(changes)
    for meter, rate in rates.items():
        text = FALLBACKS[meter][-1] if meter in FALLBACKS else meter
        if meter not in changes and rates.get(text) and changes.get(text, 0) > rates[text]:
            full[meter] = -(-rate * changes[text] // rates[text])
    return full


def _change(parts: _Parts, named: Mapping[str, int]) -> _Parts:
    """Return the parts after a change of base rates; what depends on a changed rate moves in proportion, rounded up."""
    changes = _with_followers(parts.rates, named)

    def follow(own: Mapping[str, int]) -> dict[str, int]:
        return {
            meter: -(-rate * changes[meter] // parts.rates[meter]) if meter in changes and parts.rates.get(meter) else rate
            for meter, rate in own.items()
        }

    return _Parts(
        rates={**parts.rates, **changes},
        tiers=tuple(msgspec.structs.replace(tier, rates=follow(tier.rates)) for tier in parts.tiers),
        windows=tuple(msgspec.structs.replace(window, rates=follow(window.rates)) for window in parts.windows),
        services={name: follow(own) for name, own in parts.services.items()},
    )


def make_timeline(entry: PriceEntry) -> list[tuple[dt.datetime | None, RateCard]]:
    """Return the provider's rate cards in the order they come into force: the listed one (since whenever: None), then each scheduled
    change, from the start of its day in UTC.

    A scheduled change replaces the prices it names. Service tiers, long prompts and hours keep their proportion to them.
    Raises: BadPrice.
    """
    parts = _read_parts(entry)
    timeline: list[tuple[dt.datetime | None, RateCard]] = [(None, _make_card(parts))]
    for change in sorted(entry.scheduled, key=lambda one: one.from_):
        parts = _change(parts, _token_rates(change.usd_per_million_tokens))
        timeline.append((dt.datetime.combine(change.from_, dt.time(), tzinfo=dt.UTC), _make_card(parts)))
    return timeline
