"""From the text of a price to exact integers."""

import datetime as dt

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.cards import BadPrice, make_timeline, picos_from_usd, usd_from_picos
from catalog.files import PriceEntry
from catalog.types import RateCard


def entry(**parts: object) -> PriceEntry:
    return msgspec.convert(parts, PriceEntry)


def card_of(**parts: object) -> RateCard:
    return make_timeline(entry(**parts))[0][1]


@pytest.mark.parametrize(
    ("usd", "per", "picos"),
    [("0.075", 1_000_000, 75_000), ("3", 1_000_000, 3_000_000), (3, 1_000_000, 3_000_000), ("0.014", 1, 14_000_000_000), ("0", 1, 0),
     ("0.000001", 1_000_000, 1), ("1e-6", 1_000_000, 1)],
)  # fmt: skip
def test_dollars_become_exact_picos(usd: str | int, per: int, picos: int) -> None:
    assert picos_from_usd(usd, per=per) == picos


@pytest.mark.parametrize("usd", ["-1", "NaN", "Infinity", "", "1,5", "0.0000000000001", "free"])
def test_what_is_not_an_exact_price_is_refused(usd: str) -> None:
    with pytest.raises(BadPrice):
        picos_from_usd(usd)


@given(st.integers(0, 10**18), st.sampled_from([1, 1_000_000]))
def test_writing_and_reading_a_price_gives_it_back(picos: int, per: int) -> None:
    assert picos_from_usd(usd_from_picos(picos, per=per), per=per) == picos


@pytest.mark.parametrize(
    "parts",
    [
        {"usd_per_million_tokens": {"input": "-1"}},  # the sentinel of an automatic router elsewhere
        {"usd_per_million_tokens": {"prompt": "1"}},
        {"usd_per_million_tokens": {"input": "2500000"}},  # per token mistaken for per million
        {"usd_per_unit": {"image": "4000"}},
        {"usd_per_unit": {"pixel": "0.1"}},
        {"tiers": [{"above_prompt_tokens": 200, "usd_per_million_tokens": {}}, {"above_prompt_tokens": 100, "usd_per_million_tokens": {}}]},
        {"time_windows": [{"name": "x", "when": [{"weekdays": [0], "utc": ["00:00-01:00"]}], "usd_per_million_tokens": {}}]},
        {"time_windows": [{"name": "x", "when": [{"weekdays": [1], "utc": ["00:00-25:00"]}], "usd_per_million_tokens": {}}]},
    ],
)
def test_a_price_block_with_a_mistake_is_refused(parts: dict[str, object]) -> None:
    with pytest.raises(BadPrice):
        card_of(**parts)


def test_what_a_service_tier_leaves_out_is_never_cheaper_than_the_base() -> None:
    made = card_of(
        usd_per_million_tokens={"input": "1", "output": "4", "audio_input": "10", "cache_write": "1.25", "image_output": "30"},
        usd_per_unit={"search": "0.01"},
        service_tiers={
            "batch": {"usd_per_million_tokens": {"input": "0.5", "output": "2"}},
            "priority": {"usd_per_million_tokens": {"input": "2", "output": "8"}},
        },
    )
    units = {"searches": 10_000_000_000}
    assert made.service_tiers["batch"].rates == {
        "input_tokens": 500_000, "output_tokens": 2_000_000, "audio_input_tokens": 10_000_000, "cache_write_tokens": 1_250_000,
        "image_output_tokens": 30_000_000, **units,
    }  # fmt: skip
    assert made.service_tiers["priority"].rates == {
        "input_tokens": 2_000_000, "output_tokens": 8_000_000, "audio_input_tokens": 10_000_000, "cache_write_tokens": 2_000_000,
        "image_output_tokens": 30_000_000, **units,
    }  # fmt: skip


def test_a_long_prompt_in_a_service_tier_costs_the_dearer_of_the_two() -> None:
    made = card_of(
        usd_per_million_tokens={"input": "2", "output": "12"},
        tiers=[{"above_prompt_tokens": 200_000, "usd_per_million_tokens": {"input": "4", "output": "18"}}],
        service_tiers={
            "flex": {"usd_per_million_tokens": {"input": "1", "output": "6"}},
            "priority": {"usd_per_million_tokens": {"input": "5", "output": "15"}},
        },
    )
    assert made.service_tiers["flex"].tiers[0].rates == {"input_tokens": 4_000_000, "output_tokens": 18_000_000}
    assert made.service_tiers["priority"].tiers[0].rates == {"input_tokens": 5_000_000, "output_tokens": 18_000_000}


def test_a_scheduled_change_takes_what_depends_on_it_along() -> None:
    timeline = make_timeline(
        entry(
            usd_per_million_tokens={"input": "1", "output": "4", "audio_input": "1.5", "cache_read": "0.1"},
            service_tiers={"flex": {"usd_per_million_tokens": {"input": "0.5", "output": "2"}}},
            tiers=[{"above_prompt_tokens": 200_000, "usd_per_million_tokens": {"input": "3"}}],
            scheduled=[{"from": "2027-01-01", "usd_per_million_tokens": {"input": "2", "cache_read": "0.05"}, "source": "here"}],
        ),
    )
    assert [since for since, _ in timeline] == [None, dt.datetime(2027, 1, 1, tzinfo=dt.UTC)]
    later = timeline[1][1]
    assert later.rates == {
        "input_tokens": 2_000_000, "output_tokens": 4_000_000, "audio_input_tokens": 3_000_000, "cache_read_tokens": 50_000,
    }  # fmt: skip
    assert later.tiers[0].rates == {"input_tokens": 6_000_000, "cache_read_tokens": 150_000}
    assert later.service_tiers["flex"].rates["input_tokens"] == 1_000_000
    assert later.service_tiers["flex"].rates["output_tokens"] == 2_000_000


def test_cache_prices_that_a_tier_leaves_out_rise_with_its_input_and_nothing_else_does() -> None:
    [(_, card)] = make_timeline(
        entry(
            usd_per_million_tokens={"input": "0.1", "output": "0.5", "cache_read": "0.01", "cache_write_1h": "0.2", "audio_input": "1"},
            tiers=[{"above_prompt_tokens": 100_000, "usd_per_million_tokens": {"input": "0.5", "cache_read": "0.04"}}],
        ),
    )
    assert card.tiers[0].rates == {"input_tokens": 500_000, "cache_read_tokens": 40_000, "cache_write_1h_tokens": 1_000_000}
