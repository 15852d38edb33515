"""What a purchase costs: the credit, our fee, and the bounds that the operator sets. Whole cents."""

from typing import NamedTuple

from django.conf import settings

from billing.money import NANOS_PER_CENT, NotAnAmount, nanos_as_typed, usd_text

_BASIS_POINTS = 10_000


class BadAmount(ValueError):
    """The amount cannot be bought; the text tells the customer why."""


class Quote(NamedTuple):
    """What is shown before paying. Tax and discounts are Stripe's and come on top."""

    credit_cents: int
    fee_cents: int

    @property
    def total_cents(self) -> int:
        """What is asked for."""
        return self.credit_cents + self.fee_cents

    @property
    def credit_nanos(self) -> int:
        """The credit in nanos."""
        return self.credit_cents * NANOS_PER_CENT

    @property
    def fee_nanos(self) -> int:
        """The fee in nanos."""
        return self.fee_cents * NANOS_PER_CENT

    @property
    def total_nanos(self) -> int:
        """The total in nanos."""
        return self.total_cents * NANOS_PER_CENT


def quote(credit_cents: int) -> Quote:
    """Return credit and fee: a share rounded half up to a cent, and never less than the minimum. Raises: BadAmount."""
    low, high = settings.PURCHASE_MIN_CENTS, settings.PURCHASE_MAX_CENTS
    if type(credit_cents) is not int or not low <= credit_cents <= high:
        msg = f"Choose an amount from {dollars(low)} to {dollars(high)}."
        raise BadAmount(msg)
    share = (credit_cents * settings.PURCHASE_FEE_BASIS_POINTS + _BASIS_POINTS // 2) // _BASIS_POINTS
    return Quote(credit_cents, max(share, settings.PURCHASE_FEE_MIN_CENTS))


def fee_text() -> str:
    """Return the fee as the operator set it, such as '5.5 %, at least $0.80'; '' when there is none."""
    basis_points, least = settings.PURCHASE_FEE_BASIS_POINTS, settings.PURCHASE_FEE_MIN_CENTS
    share = f"{usd_text(basis_points * NANOS_PER_CENT)} %" if basis_points else ""
    return f"{share}, at least {dollars(least)}" if share and least else share or (dollars(least) if least else "")


def read_cents(text: str) -> int:
    """Read dollars as people type them ('$1,000.50') to whole cents. Raises: BadAmount for anything finer or no amount at all."""
    try:
        nanos = nanos_as_typed(text)
    except NotAnAmount:
        raise BadAmount("Write an amount of dollars, such as 25 or 12.50, with a point before the cents.") from None
    cents, rest = divmod(nanos, NANOS_PER_CENT)
    if rest:
        raise BadAmount("Stripe moves whole cents: write at most two decimals.")
    return cents


def dollars(cents: int) -> str:
    """Write cents as people read them: $1,000.50, $5."""
    whole, part = divmod(abs(cents), 100)
    sign = "−" if cents < 0 else ""
    return f"{sign}${whole:,}.{part:02d}" if part else f"{sign}${whole:,}"
