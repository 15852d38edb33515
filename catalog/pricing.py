"""What usage costs: Usage × RateCard → Cost. Pure integers, no clock, no Django.

Which rate a meter is billed at:

1. The card of the service tier that the provider says it served, where there is one, else the base card.
2. Inside a daily UTC window, the window's rates replace the card's.
3. When the prompt (cached tokens included) is longer than a tier's edge, strictly, the rates of the highest such tier replace those:
   for the whole request, output included.
4. A meter without a rate takes its fallback: cache reads and writes the input rate (1-hour writes first the 5-minute rate), reasoning
   the output rate, audio and image tokens the text rate of their side. Without a fee per request there is none.
5. Anything else without a rate is unknown, and unknown is refused, never free. A rate of 0 is free.
"""

import datetime as dt
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec

from catalog.types import METERS, Cost, CostLine, RateCard, Usage

PICOS_PER_NANO: Final = 1_000
PICOS_PER_USD: Final = 1_000_000_000_000
_BASIS_POINTS: Final = 10_000

# Meter → the meters whose rate it takes, in order, when it has none of its own.
FALLBACKS: Final[Mapping[str, tuple[str, ...]]] = {
    "cache_read_tokens": ("input_tokens",),
    "cache_write_tokens": ("input_tokens",),
    "cache_write_1h_tokens": ("cache_write_tokens", "input_tokens"),
    "audio_input_tokens": ("input_tokens",),
    "image_input_tokens": ("input_tokens",),
    "reasoning_tokens": ("output_tokens",),
    "audio_output_tokens": ("output_tokens",),
    "image_output_tokens": ("output_tokens",),
}
PROMPT_METERS: Final = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "audio_input_tokens",
    "image_input_tokens",
)
COMPLETION_METERS: Final = ("output_tokens", "reasoning_tokens", "audio_output_tokens", "image_output_tokens")
TOKEN_METERS: Final = PROMPT_METERS + COMPLETION_METERS
_OF_THE_PROMPT: Final = frozenset(PROMPT_METERS)
UNIT_METERS: Final = ("requests", "searches", "seconds", "characters", "pages", "images")
_NO_UNITS: Final[Mapping[str, int]] = {}
_AFTER_REQUESTS: Final = METERS[METERS.index("requests") + 1 :]

# What must have a rate before an endpoint may be sold: one of the sets, by the model's type.
_NEEDS: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "chat": (("input_tokens", "output_tokens"),),
    "embedding": (("input_tokens",),),
    "rerank": (("searches",), ("input_tokens",)),
    # Text tokens alone do not tell what a picture or an hour of sound costs.
    "image": (("images",), ("image_output_tokens",)),
    "speech": (("characters",), ("audio_output_tokens",), ("output_tokens",)),
    "transcription": (("seconds",), ("audio_input_tokens",)),
    "moderation": (("input_tokens",),),
}


class UnpricedMeter(Exception):
    """A meter was used for which no rate is known.

    ``meters`` names all of them; ``priced`` is the cost of everything else, for a caller that already delivered the answer.
    """

    def __init__(self, meters: tuple[str, ...], priced: Cost) -> None:
        super().__init__(f"no price is known for {', '.join(meters)}")
        self.meters = meters
        self.priced = priced


class InvalidUsage(ValueError):
    """A count is negative. Such a usage would credit the customer."""


def meters_of(usage: Usage) -> dict[str, int]:
    """Return the meters that are not zero, in their order."""
    meters: dict[str, int] = msgspec.to_builtins(usage)  # leaves out what has its default: all zeros, one request, is_estimate
    meters.pop("is_estimate", None)
    if usage.requests:
        meters["requests"] = usage.requests
        if usage.searches or usage.seconds or usage.characters or usage.pages or usage.images:
            # They come after it: receipts list meters in this order, and whoever recomputes them does too.
            meters |= {name: meters.pop(name) for name in _AFTER_REQUESTS if name in meters}
    else:
        meters.pop("requests", None)
    return meters


def nanos_from_picos(picos: int) -> int:
    """Round a cost to nanos, half up: the same rule as ``billing.money``, which this app may not import. Raises: ValueError if negative."""
    if picos < 0:
        msg = f"a cost is never negative, got {picos} picos"
        raise ValueError(msg)
    return (picos + PICOS_PER_NANO // 2) // PICOS_PER_NANO


def rate_of(rates: Mapping[str, int], meter: str) -> int | None:
    """Return picos per unit of ``meter``, by its own rate or its fallback; None is unknown."""
    rate = rates.get(meter)
    if rate is not None:
        return rate
    for other in FALLBACKS.get(meter, ()):
        rate = rates.get(other)
        if rate is not None:
            return rate
    return 0 if meter == "requests" else None


def _is_inside(start_minute: int, end_minute: int, weekdays: tuple[int, ...], at: dt.datetime) -> bool:
    if weekdays and at.isoweekday() not in weekdays:
        return False
    minute = at.hour * 60 + at.minute
    if start_minute <= end_minute:
        return start_minute <= minute < end_minute
    return minute >= start_minute or minute < end_minute


def rates_in_force(card: RateCard, *, prompt_tokens: int, service_tier: str = "", at: dt.datetime) -> Mapping[str, int]:
    """Return meter → picos per unit for one request, before fallbacks. ``service_tier`` is the one that was served; ``at`` is aware.

    A service tier without a card of its own is billed at the base card.
    """
    if service_tier:
        card = card.service_tiers.get(service_tier, card)
    rates: Mapping[str, int] = card.rates
    if card.time_prices:
        moment = at.astimezone(dt.UTC)
        for window in card.time_prices:
            if _is_inside(window.start_minute, window.end_minute, window.weekdays, moment):
                rates = {**rates, **window.rates}
    for tier in reversed(card.tiers):
        if prompt_tokens > tier.min_prompt_tokens:
            return {**rates, **tier.rates}
    return rates


def cost(card: RateCard, usage: Usage, *, service_tier: str = "", at: dt.datetime) -> Cost:
    """Price one request with the rates in force at ``at``, for the service tier that the provider says it served.

    Raises: UnpricedMeter, InvalidUsage.
    """
    rates = rates_in_force(card, prompt_tokens=usage.prompt_tokens, service_tier=service_tier, at=at)
    lines: list[CostLine] = []
    unpriced: list[str] = []
    total = 0
    for meter, count in meters_of(usage).items():
        if count < 0:
            msg = f"{meter} is {count}; a count is never negative"
            raise InvalidUsage(msg)
        rate = rate_of(rates, meter)
        if rate is None:
            unpriced.append(meter)
            continue
        picos = rate * count
        if picos:
            total += picos
            lines.append(CostLine(meter, count, rate, picos))
    result = Cost(picos=total, nanos=nanos_from_picos(total), lines=tuple(lines))
    if unpriced:
        raise UnpricedMeter(tuple(unpriced), result)
    return result


def totals(card: RateCard, usage: Usage, meters: Mapping[str, int], *, service_tier: str = "", at: dt.datetime) -> tuple[int, int]:
    """Return the picos of what ``cost`` finds, and the part of them that is for the prompt, without lines; every request asks for it.

    ``meters`` are those of ``usage``. Raises: UnpricedMeter, InvalidUsage.
    """
    rates = card.rates
    if service_tier or card.tiers or card.time_prices:
        rates = rates_in_force(card, prompt_tokens=usage.prompt_tokens, service_tier=service_tier, at=at)  # type: ignore[assignment]
    total = prompt = 0
    for meter, count in meters.items():
        rate = rates.get(meter)
        if rate is None:
            rate = rate_of(rates, meter)
        if rate is None or count < 0:
            cost(card, usage, service_tier=service_tier, at=at)  # which says what is wrong
            raise AssertionError(meter)
        total += rate * count
        if meter in _OF_THE_PROMPT:
            prompt += rate * count
    return total, prompt


def is_priced(card: RateCard, model_type: str = "chat") -> bool:
    """Return whether a model of this type can be sold at this card: what it always uses has a rate (0 included)."""
    return bool(sold_meters(card, model_type))


def sold_meters(card: RateCard, model_type: str) -> tuple[str, ...]:
    """Return the meters by which this card sells a model of this type, the first set that has rates; empty: it cannot be sold.

    What is free by every price that is known is free by any unit.
    """
    found = next((needs for needs in _NEEDS[model_type] if all(meter in card.rates for meter in needs)), ())
    return found or (() if any(card.rates.values()) else tuple(card.rates))


def _dearest(rates: Mapping[str, int], meters: Collection[str]) -> int:
    # Fallbacks need no look: what they fall back to (input, 5-minute writes, output) is among the meters of its side.
    return max([rates[meter] for meter in meters if meter in rates], default=0)


def _cards(card: RateCard, service_tier: str) -> list[RateCard]:
    if service_tier == "auto":
        return [card, *card.service_tiers.values()]
    own = card.service_tiers.get(service_tier)
    # A provider may serve another tier than the one asked for, and then bills that.
    return [card] if own is None else [card, own]


def _rate_sets(card: RateCard) -> list[tuple[int, Mapping[str, int]]]:
    """Return every set of rates that could come into force, whatever the hour, with the prompt length above which it does."""
    bases: list[Mapping[str, int]] = [card.rates]
    bases += [{**card.rates, **window.rates} for window in card.time_prices]
    always = [(-1, base) for base in bases]
    return always + [(tier.min_prompt_tokens, {**base, **tier.rates}) for base in bases for tier in card.tiers]


@lru_cache
def _possible_meters(*, audio: bool, images: bool, cache_writes_1h: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the meters of the prompt and of the answer that such a request can use."""
    ruled_out: set[str] = set()
    if not audio:
        ruled_out |= {"audio_input_tokens", "audio_output_tokens"}
    if not images:
        ruled_out |= {"image_input_tokens", "image_output_tokens"}
    if not cache_writes_1h:
        ruled_out.add("cache_write_1h_tokens")
    sides = (PROMPT_METERS, COMPLETION_METERS)
    inputs, outputs = (tuple(meter for meter in side if meter not in ruled_out) for side in sides)
    return inputs, outputs


class _Dearest(NamedTuple):
    """The dearest rates of one set, in picos; in force for prompts longer than ``edge`` tokens."""

    edge: int
    input_picos: int
    output_picos: int
    request_picos: int
    rates: Mapping[str, int]  # all of them, for units


_Kind = tuple[str, bool, bool, bool]
# Worked out once per card and kind of request: it is asked for by every request. By identity, because a card holds dictionaries; the
# card is kept beside its rows, so that its id stays its own.
_dearest_of: dict[int, tuple[RateCard, dict[_Kind, tuple[_Dearest, ...]]]] = {}
_DEAREST_CARDS_MAX: Final = 20_000
# The same of text alone: picos per token of the prompt, of the answer, and per request; None where that does not say all.
_text_rates: dict[int, tuple[RateCard, tuple[int, int, int] | None]] = {}


def _find_dearest(card: RateCard, kind: _Kind) -> tuple[_Dearest, ...]:
    known = _dearest_of.get(id(card))
    if known is None or known[0] is not card:
        if len(_dearest_of) >= _DEAREST_CARDS_MAX:
            _dearest_of.clear()  # cards of catalogs that are no longer in force
        known = _dearest_of[id(card)] = (card, {})
    rows = known[1].get(kind)
    if rows is None:
        service_tier, audio, images, cache_writes_1h = kind
        inputs, outputs = _possible_meters(audio=audio, images=images, cache_writes_1h=cache_writes_1h)
        rows = known[1][kind] = tuple(
            _Dearest(edge, _dearest(rates, inputs), _dearest(rates, outputs), rates.get("requests", 0), rates)
            for one in _cards(card, service_tier)
            for edge, rates in _rate_sets(one)
        )
    return rows


def text_bound(card: RateCard, prompt_tokens_max: int, output_tokens_max: int) -> int | None:
    """Return what ``upper_bound`` finds for text without units at the base service tier, where the card has one set of rates, else None."""
    known = _text_rates.get(id(card))
    if known is None or known[0] is not card:
        known = _keep_text_rates(card)
    rates = known[1]
    return None if rates is None else rates[0] * prompt_tokens_max + rates[1] * output_tokens_max + rates[2]


def _keep_text_rates(card: RateCard) -> tuple[RateCard, tuple[int, int, int] | None]:
    if len(_text_rates) >= _DEAREST_CARDS_MAX:
        _text_rates.clear()
    rows = _find_dearest(card, ("", False, False, True))
    is_plain = len(rows) == 1 and "image_output_tokens" not in card.rates  # those are no text
    known = _text_rates[id(card)] = card, (rows[0].input_picos, rows[0].output_picos, rows[0].request_picos) if is_plain else None
    return known


def upper_bound(
    card: RateCard,
    *,
    prompt_tokens_max: int,
    output_tokens_max: int,
    service_tier: str = "",
    audio: bool = True,
    images: bool = True,
    cache_writes_1h: bool = True,
    requests: int = 1,
    units_max: Mapping[str, int] = _NO_UNITS,
) -> int:
    """Return the most, in picos, that a request of at most so many tokens and units can cost: every token at the dearest rate it could
    get. ``units_max`` maps a unit's meter (searches, images, …) to the most of it; what has no rate adds nothing.

    ``service_tier`` is the one asked for ('auto': any). The flags say what the request can involve at all; leaving them on is always safe,
    and dearer: audio is often ten times as dear as text.
    """
    dearest = 0
    # Clients write what they like here; only names that the card knows may take room among what is worked out.
    tier = service_tier if service_tier == "auto" or service_tier in card.service_tiers else ""
    for edge, input_picos, output_picos, request_picos, rates in _find_dearest(card, (tier, audio, images, cache_writes_1h)):
        if prompt_tokens_max > edge:
            picos = input_picos * prompt_tokens_max + output_picos * output_tokens_max + request_picos * requests
            for meter, most in units_max.items():
                picos += rates.get(meter, 0) * most
            dearest = max(dearest, picos)
    return dearest


def blended_picos(card: RateCard) -> int:
    """Return a number that compares prices of one kind of model, in picos per three input tokens and one output token.

    A thousand times that is taken to be worth a request, an image, a search, a page, a minute or a thousand characters.
    """
    rates = card.rates
    if "input_tokens" in rates or "output_tokens" in rates:
        output = rates.get("image_output_tokens", rates.get("output_tokens", 0))
        return 3 * rates.get("input_tokens", 0) + output + rates.get("requests", 0) // 1_000
    whole = sum(rates.get(meter, 0) for meter in ("requests", "images", "searches", "pages")) + 60 * rates.get("seconds", 0)
    return whole // 1_000 + rates.get("characters", 0)


def _mark_up(rates: Mapping[str, int], basis_points: int, floor_picos: int) -> dict[str, int]:
    # Rounded up to a whole pico, so that a markup is never less than it says.
    raised = {meter: -(-rate * (_BASIS_POINTS + basis_points) // _BASIS_POINTS) for meter, rate in rates.items()}
    if not floor_picos:
        return raised
    return {
        meter: max(raised[meter], rate + floor_picos) if rate and meter in TOKEN_METERS else raised[meter] for meter, rate in rates.items()
    }


def marked_up(card: RateCard, basis_points: int, *, floor_picos: int = 0) -> RateCard:
    """Return ``card`` with every rate raised by ``basis_points`` (100 is 1 %), each rounded up to a whole pico; rates of tokens that are
    not free by at least ``floor_picos``.
    """
    if basis_points == 0 and floor_picos == 0:
        return card

    def raise_rates(rates: Mapping[str, int]) -> dict[str, int]:
        return _mark_up(rates, basis_points, floor_picos)

    return msgspec.structs.replace(
        card,
        rates=raise_rates(card.rates),
        tiers=tuple(msgspec.structs.replace(tier, rates=raise_rates(tier.rates)) for tier in card.tiers),
        service_tiers={name: marked_up(tier, basis_points, floor_picos=floor_picos) for name, tier in card.service_tiers.items()},
        time_prices=tuple(msgspec.structs.replace(window, rates=raise_rates(window.rates)) for window in card.time_prices),
    )


def usd_text(picos: int) -> str:
    """Write picos as plain decimal dollars without trailing zeros: 250_000 is '0.00000025'."""
    whole, part = divmod(picos, PICOS_PER_USD)
    return f"{whole}.{part:012d}".rstrip("0") if part else str(whole)
