"""What usage costs. Vectors are of mistakes that gateways and cost trackers are known to have made."""

import datetime as dt
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing import money
from catalog import pricing
from catalog.pricing import (
    COMPLETION_METERS,
    PROMPT_METERS,
    TOKEN_METERS,
    UNIT_METERS,
    InvalidUsage,
    UnpricedMeter,
    blended_picos,
    cost,
    is_priced,
    marked_up,
    meters_of,
    nanos_from_picos,
    rate_of,
    text_bound,
    totals,
    upper_bound,
    usd_text,
)
from catalog.types import METERS, PriceTier, RateCard, TimePrice, Usage

NOON = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)  # a Wednesday
PER_MILLION = 1_000_000  # picos per token of one dollar per million tokens


def card(**dollars_per_million: float) -> RateCard:
    """Return a card with token rates in dollars per million tokens."""
    return RateCard(rates={f"{name}_tokens": round(usd * PER_MILLION) for name, usd in dollars_per_million.items()})


def usd(rates: RateCard, at: dt.datetime = NOON, service_tier: str = "", **meters: int) -> str:
    return usd_text(cost(rates, Usage(**meters), at=at, service_tier=service_tier).picos)


SONNET = card(input=3, output=15, cache_read=0.3, cache_write=3.75, cache_write_1h=6)
OPUS = card(input=5, output=25, cache_read=0.5, cache_write=6.25, cache_write_1h=10)


@pytest.mark.parametrize(
    ("rates", "meters", "expected"),
    [
        # Cache writes counted once more as input made 1.85984625.
        (OPUS, {"input_tokens": 6, "cache_write_tokens": 159_217, "output_tokens": 2_745}, "1.06376125"),
        # The split into 5-minute and 1-hour writes lost makes 0.0375.
        (SONNET, {"cache_write_tokens": 2_000, "cache_write_1h_tokens": 8_000}, "0.0555"),
        # 2.15086875 at the 5-minute rate.
        (OPUS, {"cache_write_1h_tokens": 344_139}, "3.44139"),
        # 6.25 from the aggregate alone.
        (OPUS, {"cache_write_tokens": 600_000, "cache_write_1h_tokens": 400_000}, "7.75"),
        # Cached tokens billed as input made about 1.68.
        (
            card(input=1.25, output=10, cache_read=0.125),
            {"input_tokens": 51_232, "cache_read_tokens": 1_188_096, "output_tokens": 12_909},
            "0.341642",
        ),
        # Cached tokens billed at both rates made 0.0137.
        (
            card(input=0.5, output=3, cache_read=0.05),
            {"input_tokens": 3_914, "cache_read_tokens": 16_298, "output_tokens": 931},
            "0.0055649",
        ),
        # Reasoning is billed once, as output, when it has no price of its own.
        (card(input=1, output=4), {"input_tokens": 100, "output_tokens": 200, "reasoning_tokens": 300}, "0.0021"),
        (card(input=1, output=4, reasoning=8), {"input_tokens": 100, "output_tokens": 200, "reasoning_tokens": 300}, "0.0033"),
        # Audio has its own rate, or that of the text of its side; never zero.
        (
            card(input=2.5, output=10, audio_input=40, audio_output=80),
            {"audio_input_tokens": 1_000, "audio_output_tokens": 500},
            "0.08",
        ),
        (card(input=2.5, output=10), {"audio_input_tokens": 1_000, "audio_output_tokens": 500}, "0.0075"),
        (card(input=0.3, output=2.5, image_output=30), {"input_tokens": 10, "image_output_tokens": 1_290}, "0.038703"),
        # No binary fractions: 0.6619999999999999 elsewhere.
        (card(input=0.331, output=0.331), {"input_tokens": 1_000_000, "output_tokens": 1_000_000}, "0.662"),
        # An explicit zero is free.
        (card(input=0, output=0), {"input_tokens": 1_000_000, "output_tokens": 1_000_000}, "0"),
        # Zero usage that was reported is zero, not something to estimate.
        (SONNET, {}, "0"),
    ],
)
def test_known_mistakes_are_not_made(rates: RateCard, meters: dict[str, int], expected: str) -> None:
    assert usd(rates, **meters) == expected


GEMINI_PRO = msgspec.structs.replace(
    card(input=2, output=12, cache_read=0.2), tiers=(PriceTier(200_000, card(input=4, output=18, cache_read=0.4).rates),)
)  # fmt: skip


@pytest.mark.parametrize(
    ("meters", "expected"),
    [
        ({"input_tokens": 250_000}, "1"),  # a flat price gives 0.50, the excess alone 0.60
        ({"input_tokens": 200_000}, "0.4"),  # exactly at the edge is still the low tier
        ({"input_tokens": 200_001}, "0.800004"),
        ({"input_tokens": 150_000, "cache_read_tokens": 50_001}, "0.6200004"),  # cached tokens count for the edge
        ({"input_tokens": 150_000, "cache_read_tokens": 50_000}, "0.31"),
        ({"input_tokens": 199_999, "output_tokens": 10_000}, "0.519998"),  # output does not
        ({"input_tokens": 300_000, "output_tokens": 10_000}, "1.38"),  # and moves with the prompt
        ({"cache_write_tokens": 100_001, "cache_write_1h_tokens": 100_000}, "0.800004"),  # writes count and take the tier's input rate
    ],
)
def test_a_long_prompt_moves_the_whole_request_to_the_higher_tier(meters: dict[str, int], expected: str) -> None:
    assert usd(GEMINI_PRO, **meters) == expected


def test_the_highest_of_several_tiers_wins() -> None:
    rates = msgspec.structs.replace(
        card(input=1, output=1), tiers=tuple(PriceTier(edge, card(input=price).rates) for edge, price in ((32_000, 2), (128_000, 3)))
    )
    assert [usd(rates, input_tokens=count) for count in (32_000, 32_001, 128_000, 128_001)] == ["0.032", "0.064002", "0.256", "0.384003"]


def test_a_model_without_tiers_is_flat_at_a_million_tokens() -> None:
    assert usd(SONNET, input_tokens=1_000_000) == "3"


def test_the_tier_that_was_served_is_priced_whatever_was_asked_for() -> None:
    rates = msgspec.structs.replace(
        card(input=2, output=8), service_tiers={"flex": card(input=1, output=4), "priority": card(input=3.5, output=14)}
    )
    served = {tier: usd(rates, service_tier=tier, input_tokens=1_000, output_tokens=1_000) for tier in ("flex", "priority", "default", "")}
    assert served == {"flex": "0.005", "priority": "0.0175", "default": "0.01", "": "0.01"}


DEEPSEEK = msgspec.structs.replace(
    card(input=0.3, output=1.2),
    time_prices=(
        TimePrice(0, 60, card(input=0.15, output=0.6).rates, (1, 2, 3, 4, 5)),
        TimePrice(600, 1440, card(input=0.15, output=0.6).rates, (1, 2, 3, 4, 5)),
        TimePrice(0, 1440, card(input=0.15, output=0.6).rates, (6, 7)),
    ),
)


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2026-11-25T00:59:59+00:00", "0.15"),
        ("2026-11-25T01:00:00+00:00", "0.3"),
        ("2026-11-25T09:59:59+00:00", "0.3"),
        ("2026-11-25T10:00:00+00:00", "0.15"),
        ("2026-11-25T23:59:59+00:00", "0.15"),
        ("2026-11-28T05:00:00+00:00", "0.15"),  # Saturday
        ("2026-11-28T05:00:00+08:00", "0.15"),  # Friday 21:00 in UTC
        ("2026-11-27T20:00:00-08:00", "0.15"),  # Saturday 04:00 in UTC
        ("2026-11-30T13:00:00+08:00", "0.3"),  # Monday 05:00 in UTC
    ],
)
def test_the_hour_and_weekday_in_utc_decide_a_time_price(moment: str, expected: str) -> None:
    assert usd(DEEPSEEK, at=dt.datetime.fromisoformat(moment), input_tokens=1_000_000) == expected


def test_a_window_may_wrap_around_midnight() -> None:
    rates = msgspec.structs.replace(card(input=2), time_prices=(TimePrice(16 * 60 + 30, 30, card(input=1).rates),))
    at = [usd(rates, at=NOON.replace(hour=hour, minute=minute), input_tokens=1) for hour, minute in ((16, 29), (16, 30), (0, 29), (0, 30))]
    assert at == ["0.000002", "0.000001", "0.000001", "0.000002"]


def test_what_has_no_price_is_refused_and_the_rest_is_told() -> None:
    with pytest.raises(UnpricedMeter) as caught:
        cost(SONNET, Usage(input_tokens=1_000, searches=2, seconds=3), at=NOON)
    assert caught.value.meters == ("searches", "seconds")
    assert usd_text(caught.value.priced.picos) == "0.003"


@pytest.mark.parametrize(
    ("rates", "meter", "expected"),
    [
        ({"input": 3, "output": 15}, "cache_read_tokens", "3"),
        ({"input": 3, "output": 15}, "cache_write_tokens", "3"),
        ({"input": 3, "output": 15}, "cache_write_1h_tokens", "3"),
        ({"input": 3, "output": 15, "cache_write": 3.75}, "cache_write_1h_tokens", "3.75"),
        ({"input": 3, "output": 15, "cache_write": 3.75}, "cache_read_tokens", "3"),
        ({"input": 3, "output": 15}, "audio_input_tokens", "3"),
        ({"input": 3, "output": 15}, "image_input_tokens", "3"),
        ({"input": 3, "output": 15}, "reasoning_tokens", "15"),
        ({"input": 3, "output": 15}, "audio_output_tokens", "15"),
        ({"input": 3, "output": 15}, "image_output_tokens", "15"),
        ({"input": 3, "output": 15, "cache_read": 0}, "cache_read_tokens", "0"),  # an explicit zero is a price
    ],
)
def test_an_unpriced_kind_of_token_takes_the_rate_it_falls_back_to(rates: dict[str, float], meter: str, expected: str) -> None:
    assert usd(card(**rates), **{meter: 1_000_000}) == expected


def test_an_empty_card_prices_nothing_rather_than_at_zero() -> None:
    with pytest.raises(UnpricedMeter):
        cost(RateCard(rates={}), Usage(input_tokens=1), at=NOON)


def test_units_and_fees_are_added() -> None:
    rates = RateCard(rates={**card(input=3, output=15).rates, "requests": 14_000_000_000, "searches": 10_000_000_000})
    assert usd(rates, input_tokens=1_000, output_tokens=100, searches=2) == "0.0385"


def test_a_negative_count_is_an_error_and_never_a_credit() -> None:
    with pytest.raises(InvalidUsage):
        cost(SONNET, Usage(input_tokens=-5), at=NOON)


def test_every_meter_of_usage_is_priced_here() -> None:
    assert set(TOKEN_METERS) | set(UNIT_METERS) == set(METERS)
    assert len(TOKEN_METERS) + len(UNIT_METERS) == len(METERS)
    assert Usage(**dict.fromkeys(PROMPT_METERS, 1)).prompt_tokens == len(PROMPT_METERS)
    assert Usage(**dict.fromkeys(COMPLETION_METERS, 1)).completion_tokens == len(COMPLETION_METERS)


@pytest.mark.parametrize(
    ("model_type", "rates", "priced"),
    [
        ("chat", {"input_tokens": 0, "output_tokens": 0}, True),
        ("chat", {"input_tokens": 1}, False),
        ("embedding", {"input_tokens": 1}, True),
        ("rerank", {"searches": 1}, True),
        ("image", {"images": 1}, True),
        ("image", {}, False),
        ("speech", {"characters": 1}, True),
        ("transcription", {"seconds": 1}, True),
    ],
)
def test_an_endpoint_is_sold_only_with_prices_for_what_it_always_uses(model_type: str, rates: dict[str, int], *, priced: bool) -> None:
    assert is_priced(RateCard(rates=rates), model_type) is priced


def test_a_markup_is_rounded_up_to_a_pico_and_reaches_every_rate() -> None:
    rates = msgspec.structs.replace(GEMINI_PRO, service_tiers={"flex": card(input=1)}, time_prices=(TimePrice(0, 60, card(input=1).rates),))
    raised = marked_up(rates, 550)
    assert raised.rates["input_tokens"] == 2_110_000
    assert raised.tiers[0].rates["output_tokens"] == 18_990_000
    assert raised.service_tiers["flex"].rates["input_tokens"] == raised.time_prices[0].rates["input_tokens"] == 1_055_000
    assert marked_up(RateCard(rates={"input_tokens": 1}), 1).rates == {"input_tokens": 2}
    assert marked_up(rates, 0) is rates


def test_prices_of_images_by_token_and_by_piece_compare() -> None:
    by_piece = RateCard(rates={"images": 39_000_000_000})
    assert 0 < blended_picos(by_piece) < blended_picos(RateCard(rates={"images": 40_000_000_000}))


# --- Properties -----------------------------------------------------------------------------------------------------
RATES = st.integers(0, 10**9)
COUNTS = st.integers(0, 3_000_000)
USAGES = st.builds(Usage, **dict.fromkeys(METERS, COUNTS))


@st.composite
def cards(draw: st.DrawFn, *, with_services: bool = True) -> RateCard:
    """Draw a card whose tiers are never cheaper than what they replace."""
    base = draw(st.fixed_dictionaries({}, optional=dict.fromkeys(METERS, RATES)))
    base = {"input_tokens": draw(RATES), "output_tokens": draw(RATES), **dict.fromkeys(UNIT_METERS, 7), **base}
    edges = sorted(draw(st.sets(st.integers(1, 2_000_000), max_size=3)))
    tiers, factor = [], 1
    for edge in edges:
        factor += draw(st.integers(0, 3))
        tiers.append(PriceTier(edge, {meter: rate * factor for meter, rate in base.items() if meter in TOKEN_METERS}))
    windows = draw(st.lists(st.builds(TimePrice, st.integers(0, 1440), st.integers(0, 1440), st.just({"input_tokens": 0})), max_size=2))
    services = {"flex": draw(cards(with_services=False))} if with_services and draw(st.booleans()) else {}
    return RateCard(rates=base, tiers=tuple(tiers), time_prices=tuple(windows), service_tiers=services)


MOMENTS = st.datetimes(timezones=st.just(dt.UTC))
TIERS = st.sampled_from(["", "flex", "priority"])


@given(cards(), USAGES, MOMENTS, TIERS)
def test_a_cost_is_never_negative_and_is_the_sum_of_its_lines(rates: RateCard, usage: Usage, at: dt.datetime, tier: str) -> None:
    whole = cost(rates, usage, service_tier=tier, at=at)
    assert whole.picos >= 0
    assert whole.picos == sum(line.picos for line in whole.lines)
    assert all(line.picos == line.count * line.rate_picos and line.count == getattr(usage, line.meter) for line in whole.lines)
    assert whole.nanos == nanos_from_picos(whole.picos)


@given(cards(), USAGES, MOMENTS, TIERS)
def test_totals_are_those_of_the_lines(rates: RateCard, usage: Usage, at: dt.datetime, tier: str) -> None:
    lines = cost(rates, usage, service_tier=tier, at=at).lines
    whole, prompt = totals(rates, usage, meters_of(usage), service_tier=tier, at=at)
    assert (whole, prompt) == (sum(line.picos for line in lines), sum(line.picos for line in lines if line.meter in PROMPT_METERS))


def test_totals_refuse_what_lines_refuse() -> None:
    unpriced, negative = Usage(input_tokens=10, searches=1), Usage(input_tokens=-1)
    for refusal, usage in ((UnpricedMeter, unpriced), (InvalidUsage, negative)):
        with pytest.raises(refusal):
            totals(RateCard(rates={"input_tokens": 5}), usage, meters_of(usage), at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC))


@given(cards(), st.integers(0, 10**7), st.integers(0, 10**6))
def test_the_bound_of_text_is_that_of_a_request_that_can_involve_nothing_else(rates: RateCard, prompt: int, output: int) -> None:
    bound = upper_bound(rates, prompt_tokens_max=prompt, output_tokens_max=output, audio=False, images=False)
    found = text_bound(rates, prompt, output)
    assert found in (None, bound)
    if not rates.tiers and not rates.time_prices and "image_output_tokens" not in rates.rates:
        assert found == bound


@given(cards(), USAGES, MOMENTS, TIERS, st.sampled_from(METERS), st.integers(1, 1_000_000))
def test_more_of_any_meter_never_costs_less(  # noqa: PLR0917 -- drawn, not passed
    rates: RateCard, usage: Usage, at: dt.datetime, tier: str, meter: str, more: int
) -> None:
    dearer = msgspec.structs.replace(usage, **{meter: getattr(usage, meter) + more})
    assert cost(rates, dearer, service_tier=tier, at=at).picos >= cost(rates, usage, service_tier=tier, at=at).picos


@given(cards(), st.builds(Usage, **dict.fromkeys(TOKEN_METERS, COUNTS)), MOMENTS, TIERS, st.integers(0, 1_000), st.integers(0, 1_000))
def test_no_request_within_its_bounds_costs_more_than_the_hold(  # noqa: PLR0917 -- drawn, not passed
    rates: RateCard, usage: Usage, at: dt.datetime, tier: str, spare_in: int, spare_out: int
) -> None:
    bound = upper_bound(
        rates,
        prompt_tokens_max=usage.prompt_tokens + spare_in,
        output_tokens_max=usage.completion_tokens + spare_out,
        service_tier=tier,
    )
    for served in {tier, ""}:
        assert cost(rates, usage, service_tier=served, at=at).picos <= bound


def test_the_hold_looks_at_what_the_request_can_involve() -> None:
    rates = card(input=3, output=15, cache_write_1h=6, audio_input=40, audio_output=80)
    bound = {"prompt_tokens_max": 1_000, "output_tokens_max": 100}
    assert usd_text(upper_bound(rates, **bound)) == "0.048"
    assert usd_text(upper_bound(rates, **bound, audio=False)) == "0.0075"
    assert usd_text(upper_bound(rates, **bound, audio=False, cache_writes_1h=False)) == "0.0045"


def test_the_hold_covers_the_tier_asked_for_and_the_one_served_instead() -> None:
    rates = msgspec.structs.replace(card(input=2), service_tiers={"flex": card(input=1), "priority": card(input=3.5)})
    bounds = {
        tier: upper_bound(rates, prompt_tokens_max=1_000_000, output_tokens_max=0, service_tier=tier)
        for tier in ("", "flex", "priority", "auto", "anything a client may write")
    }
    assert [usd_text(picos) for picos in bounds.values()] == ["2", "2", "3.5", "3.5", "2"]


def test_names_that_clients_make_up_take_no_memory() -> None:
    rates = card(input=2)
    for number in range(1_000):
        upper_bound(rates, prompt_tokens_max=1, output_tokens_max=1, service_tier=f"tier-{number}")
    assert len(pricing._dearest_of[id(rates)][1]) == 1


def test_the_hold_reaches_only_the_tiers_that_the_prompt_can_reach() -> None:
    assert usd_text(upper_bound(GEMINI_PRO, prompt_tokens_max=200_000, output_tokens_max=0)) == "0.4"
    assert usd_text(upper_bound(GEMINI_PRO, prompt_tokens_max=200_001, output_tokens_max=0)) == "0.800004"


@given(st.integers(0, 10**30))
def test_costs_are_rounded_exactly_as_the_books_round(picos: int) -> None:
    assert nanos_from_picos(picos) == money.nanos_from_picos(picos)


@pytest.mark.parametrize(("picos", "nanos"), [(0, 0), (499, 0), (500, 1), (501, 1), (1_499, 1), (1_500, 2)])
def test_half_a_nano_is_rounded_up(picos: int, nanos: int) -> None:
    assert nanos_from_picos(picos) == nanos


def test_both_rounding_rules_refuse_negative_costs() -> None:
    for rule in (nanos_from_picos, money.nanos_from_picos):
        with pytest.raises(ValueError, match="never negative"):
            rule(-1)


@given(st.dictionaries(st.sampled_from(METERS), RATES), st.sampled_from(METERS))
def test_a_rate_is_its_own_or_the_fallback_of_its_side(rates: dict[str, int], meter: str) -> None:
    rate: Any = rate_of(rates, meter)
    assert rate is None or rate in rates.values() or (meter == "requests" and rate == 0)


def test_meters_are_listed_in_their_order_whichever_of_them_counted():
    counted = Usage(input_tokens=3, output_tokens=2, searches=2, images=1)

    assert list(meters_of(counted).items()) == [("input_tokens", 3), ("output_tokens", 2), ("requests", 1), ("searches", 2), ("images", 1)]
    assert list(meters_of(Usage(**dict.fromkeys(METERS, 2)))) == list(METERS)
    assert list(meters_of(Usage(requests=0, seconds=4)).items()) == [("seconds", 4)]
