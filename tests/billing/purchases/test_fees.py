import pytest

from billing.purchases import fees
from billing.purchases.fees import BadAmount


@pytest.mark.parametrize(
    ("credit_cents", "fee_cents"),
    [
        (500, 80),
        (1_000, 80),
        (1_454, 80),
        (1_455, 80),
        (1_464, 81),
        (2_000, 110),
        (10_000, 550),
        (2_500_000, 137_500),
        (1_009, 80),
        (1_500, 83),
    ],
)
def test_the_fee_is_a_share_rounded_half_up_and_never_below_its_minimum(credit_cents, fee_cents):
    assert fees.quote(credit_cents) == (credit_cents, fee_cents)


def test_the_operator_sets_the_fee(settings):
    settings.PURCHASE_FEE_BASIS_POINTS, settings.PURCHASE_FEE_MIN_CENTS = 1_000, 0

    assert fees.quote(505).fee_cents == 51


@pytest.mark.parametrize("credit_cents", [499, 2_500_001, 0, -500, 500.0, True, "500"])
def test_what_is_outside_the_bounds_or_no_whole_number_of_cents_cannot_be_bought(credit_cents):
    with pytest.raises(BadAmount, match=r"Choose an amount from \$5 to \$25,000"):
        fees.quote(credit_cents)


@pytest.mark.parametrize(
    ("text", "cents"),
    [("25", 2_500), ("$1,000.50", 100_050), (" 12.5 ", 1_250), ("-5", -500), ("0", 0), ("12 345", 1_234_500), ("$ .50", 50)],
)
def test_dollars_are_read_as_people_type_them(text, cents):
    assert fees.read_cents(text) == cents


@pytest.mark.parametrize("text", ["", "ten", "12.505", "0.001", "1e999999", "nan", "５０x", ".", "-", "1e3"])
def test_anything_finer_than_a_cent_and_anything_else_is_refused(text):
    with pytest.raises(BadAmount):
        fees.read_cents(text)


@pytest.mark.parametrize(
    "text", ["12,50", "2,5", "1,00", "1,0000", ",500", "1,000,50", "1.000,50", "1 0", "1,,000", "12,50.00", "0,500", "00,500"]
)
def test_a_comma_before_cents_is_refused_and_not_read_as_a_hundred_times_as_much(text):
    with pytest.raises(BadAmount, match="with a point before the cents"):
        fees.read_cents(text)


@pytest.mark.parametrize(("cents", "text"), [(500, "$5"), (100_050, "$1,000.50"), (-1_205, "−$12.05"), (0, "$0")])
def test_cents_are_written_as_people_read_them(cents, text):
    assert fees.dollars(cents) == text


@pytest.mark.parametrize(
    ("basis_points", "least_cents", "text"),
    [(550, 80, "5.5 %, at least $0.80"), (1_000, 0, "10 %"), (0, 80, "$0.80"), (1, 100, "0.01 %, at least $1"), (0, 0, "")],
)
def test_the_fee_is_told_in_words(settings, basis_points, least_cents, text):
    settings.PURCHASE_FEE_BASIS_POINTS, settings.PURCHASE_FEE_MIN_CENTS = basis_points, least_cents

    assert fees.fee_text() == text
