"""The script that customers check receipts with prices as we do, for any price and any usage."""

import datetime as dt

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from catalog import pricing
from catalog.pricing import UnpricedMeter
from catalog.types import METERS, PriceTier, RateCard, TimePrice, Usage
from tests.gateway.receipts.conftest import load_script

SCRIPT = load_script()

SOME = ("input_tokens", "cache_read_tokens", "cache_write_1h_tokens", "output_tokens", "reasoning_tokens", "requests", "searches")
rates = st.dictionaries(st.sampled_from(SOME), st.integers(0, 10**12), max_size=4)
windows = st.builds(
    TimePrice,
    start_minute=st.integers(0, 1440),
    end_minute=st.integers(0, 1440),
    rates=rates,
    weekdays=st.sampled_from([(), (1, 2, 3), (7,)]),
)
tiers = st.lists(st.integers(0, 200), max_size=2, unique=True).flatmap(
    lambda edges: st.tuples(*(st.builds(PriceTier, min_prompt_tokens=st.just(edge), rates=rates) for edge in sorted(edges)))
)
plain_cards = st.builds(RateCard, rates=rates, tiers=tiers, service_tiers=st.just({}), time_prices=st.lists(windows, max_size=2).map(tuple))
cards = plain_cards | st.builds(lambda card, flex: msgspec.structs.replace(card, service_tiers={"flex": flex}), plain_cards, plain_cards)
counts = st.dictionaries(st.sampled_from(METERS), st.integers(1, 150), max_size=6)


@given(card=cards, meters=counts, service_tier=st.sampled_from(["", "flex", "other"]), at_ms=st.integers(0, 4 * 10**12))
def test_the_script_prices_as_we_do(card, meters, service_tier, at_ms):
    at = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(milliseconds=at_ms)
    try:
        ours = pricing.cost(card, Usage(**{"requests": 0, **meters}), service_tier=service_tier, at=at)
    except UnpricedMeter as unpriced:
        ours = unpriced.priced
    theirs = SCRIPT.price_lines(msgspec.json.decode(msgspec.json.encode(card)), meters, service_tier=service_tier, started_at_ms=at_ms)
    assert theirs == [msgspec.structs.asdict(line) for line in ours.lines]
    assert SCRIPT.rounded(sum(line["picos"] for line in theirs)) == ours.nanos
