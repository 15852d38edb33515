"""What counts as new, gone, moved or an old disagreement, and what is flagged."""

from decimal import Decimal

import pytest

from catalog.sync.comparison import Finding, Held, Move, compare
from catalog.sync.offers import Offer
from catalog.sync.price_block import with_moves
from catalog.types import PriceTier, RateCard

PROVIDERS = {"ac": "acme"}


def held(rates: dict[str, int], **fields: object) -> Held:
    defaults = {
        "endpoint": "maker/small@acme",
        "provider": "acme",
        "keys": frozenset(),
        "names": frozenset({"small"}),
        "seen": {},
        "is_from_source": True,
    }
    return Held(cost=RateCard(rates=rates), **{**defaults, **fields})  # type: ignore[arg-type]


def offer(rates: dict[str, int], key: str = "small", provider: str = "ac", **fields: object) -> Offer:
    return Offer(provider, key, key.title(), RateCard(rates=rates), **fields)  # type: ignore[arg-type]


def only(findings: list[Finding]) -> Finding:
    [finding] = findings
    return finding


def test_equal_prices_are_no_finding_and_other_providers_are_nobodys_business() -> None:
    assert (
        compare([held({"input_tokens": 5})], [offer({"input_tokens": 5}), offer({"input_tokens": 9}, provider="zz")], providers=PROVIDERS)
        == []
    )


def test_a_price_that_moved_beyond_the_threshold_is_told_with_how_far() -> None:
    ours, theirs = [held({"input_tokens": 1000, "output_tokens": 50})], [offer({"input_tokens": 1100, "cache_read_tokens": 7})]
    moved = only(compare(ours, theirs, providers=PROVIDERS, threshold_percent=Decimal(5)))
    assert (moved.kind, moved.endpoint, moved.moves) == ("moved", "maker/small@acme", (Move("input_tokens", 0, 1000, 1100),))
    assert moved.largest_percent == 10
    assert compare(ours, theirs, providers=PROVIDERS, threshold_percent=Decimal(10)) == []


def test_a_source_that_says_what_it_said_at_the_review_has_not_moved() -> None:
    ours = [held({"input_tokens": 1000}, seen={"input_tokens": 1100})]
    assert only(compare(ours, [offer({"input_tokens": 1100})], providers=PROVIDERS)).kind == "disagrees"
    assert only(compare(ours, [offer({"input_tokens": 1200})], providers=PROVIDERS)).kind == "moved"


def test_tiers_move_too() -> None:
    card = RateCard(rates={"input_tokens": 5}, tiers=(PriceTier(200_000, {"input_tokens": 10}),))
    ours = held({})._replace(cost=card)
    theirs = offer({"input_tokens": 5})._replace(card=RateCard(rates={"input_tokens": 5}, tiers=(PriceTier(200_000, {"input_tokens": 9}),)))
    assert only(compare([ours], [theirs], providers=PROVIDERS)).moves == (Move("input_tokens", 200_000, 10, 9),)


def test_what_only_one_side_has_is_new_or_gone() -> None:
    found = compare(
        [held({"input_tokens": 5})], [offer({"input_tokens": 5}, key="large"), offer({}, key="old", deprecated=True)], providers=PROVIDERS
    )
    assert [(one.kind, one.key or one.endpoint) for one in found] == [("gone", "maker/small@acme"), ("new", "large")]
    assert compare([held({"input_tokens": 5}, is_from_source=False)], [], providers=PROVIDERS) == []


def test_a_name_listed_before_is_not_mistaken_for_another_row_of_the_source() -> None:
    ours = [held({"input_tokens": 5}, keys=frozenset({"ac/small"}), names=frozenset())]
    found = compare(ours, [offer({"input_tokens": 5}), offer({"input_tokens": 9}, key="ac/small")], providers=PROVIDERS)
    assert [(one.kind, one.key) for one in found] == [("new", "ac/small")]


@pytest.mark.parametrize(
    ("before", "after", "flag"),
    [
        (1_000, 2_000, ""),
        (1_000, 2_001, "input_tokens moved by a factor of 2.0"),
        (1_000, 400, "input_tokens moved by a factor of 2.5"),
        (1_000, 10_100, "input_tokens moved by a factor of 10: the unit looks wrong"),
        (100_000, 1_000, "input_tokens moved by a factor of 100: the unit looks wrong"),
        (1_000, 990_000, "input_tokens moved by a factor of 1,000: the unit looks wrong"),
        (1_000, 0, "input_tokens becomes free"),
        (0, 1_000, "input_tokens was free"),
    ],
)
def test_what_looks_wrong_is_flagged(before: int, after: int, flag: str) -> None:
    moved = only(compare([held({"input_tokens": before})], [offer({"input_tokens": after})], providers=PROVIDERS))
    assert moved.flags == ((flag,) if flag else ())


def test_other_sources_that_agreed_with_us_are_named() -> None:
    moved = only(compare([held({"input_tokens": 10}, others=2)], [offer({"input_tokens": 11})], providers=PROVIDERS))
    assert moved.flags == ("2 other sources agreed with our price",)


def test_moved_rates_go_back_into_the_price_block_as_exact_text() -> None:
    listed = {
        "usd_per_million_tokens": {"input": "0.5", "output": "1.5"},
        "tiers": [{"above_prompt_tokens": 200_000, "usd_per_million_tokens": {"input": "1"}}],
    }
    moves = [
        Move("input_tokens", 0, 500_000, 75_000),
        Move("input_tokens", 200_000, 1_000_000, 1_250_000),
        Move("searches", 0, 1, 10_000_000_000),
    ]
    assert with_moves(listed, moves) == {
        "usd_per_million_tokens": {"input": "0.075", "output": "1.5"},
        "usd_per_unit": {"search": "0.01"},
        "tiers": [{"above_prompt_tokens": 200_000, "usd_per_million_tokens": {"input": "1.25"}}],
    }
    assert listed["usd_per_million_tokens"]["input"] == "0.5"
