import re

import pytest

from gateway.templatetags.tollway import context_size, money, picos, price, seconds


def _text(html: str) -> str:
    return re.sub(r"<[^>]+>", "", html)


@pytest.mark.parametrize(
    ("nanos", "text"),
    [
        (0, "$0.00"),
        (1, "$0.000000001"),
        (214_000, "$0.000214"),
        (10_000_000, "$0.01"),
        (4_200_000_000, "$4.20"),
        (1_234_567_890_123_456_789, "$1,234,567,890.123456789"),
        (-250_000_000, "−$0.25"),
    ],
)
def test_money_shows_every_digit_it_has(nanos: int, text: str) -> None:
    assert _text(money(nanos)) == text


def test_money_has_the_exact_value_in_its_title() -> None:
    assert 'title="$0.000214 (214,000 nanos)"' in money(214_000)


def test_small_amounts_are_loud_where_they_say_something() -> None:
    assert money(214_500) == (
        '<span class="money" title="$0.0002145 (214,500 nanos)"><span class="money-soft">$0.</span><span class="money-soft">000</span>'
        '<span class="money-group">214</span><span class="money-soft"><span class="money-group">5</span></span></span>'
    )


@pytest.mark.parametrize(
    ("rate", "per", "text"), [(75_000, 1_000_000, "$0.075"), (0, 1_000_000, "Free"), (None, 1_000_000, "–"), (40_000_000_000, 1, "$0.04")]
)
def test_prices_are_exact(rate: int | None, per: int, text: str) -> None:
    assert _text(price(rate, per=per)) == text


def test_costs_before_rounding_keep_all_digits() -> None:
    assert _text(picos(1_500)) == "$0.0000000015"


@pytest.mark.parametrize(("tokens", "text"), [(0, "–"), (512, "512"), (128_000, "128K"), (1_000_000, "1M"), (1_048_576, "1.05M")])
def test_context_lengths_read_as_people_say_them(tokens: int, text: str) -> None:
    assert context_size(tokens) == text


@pytest.mark.parametrize(("milliseconds", "text"), [(840, "840 ms"), (1_240, "1.24 s"), (None, "–")])
def test_durations_choose_their_unit(milliseconds: int | None, text: str) -> None:
    assert seconds(milliseconds) == text
