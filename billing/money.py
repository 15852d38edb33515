"""The unit of money: nanos, integers of 1e-9 USD. Parse, format, and the one rounding rule. Pure; no Django."""

import re
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow
from typing import NewType

Nanos = NewType("Nanos", int)  # 1 nano = 1e-9 USD
Picos = NewType("Picos", int)  # 1 pico = 1e-12 USD; prices and unrounded costs

NANOS_PER_USD = 1_000_000_000
NANOS_PER_CENT = 10_000_000
PICOS_PER_NANO = 1_000
NANOS_MAX = 2**63 - 1
_TYPED = re.compile(r"[+-]?(\d+|[1-9]\d{0,2}([,\s]\d{3})+)?(\.\d*)?", re.ASCII)
_EXACT = Context(prec=28, traps=[Inexact, InvalidOperation, Overflow])


class NotAnAmount(ValueError):
    """The text or number is not an amount of dollars with at most nine decimals within 64 bits."""


def nanos_from_picos(picos: int) -> Nanos:
    """Round an unrounded cost to nanos, half up. The only place where a cost is rounded. Raises: ValueError if negative."""
    if picos < 0:
        msg = f"a cost is never negative, got {picos} picos"
        raise ValueError(msg)
    return (picos + PICOS_PER_NANO // 2) // PICOS_PER_NANO  # type: ignore[return-value]  # calling Nanos takes as long as all of this


def nanos_from_usd(usd: str | float | Decimal) -> Nanos:
    """Read dollars exactly: '0.25' is 250_000_000. A JSON float is read by its shortest decimal form.

    Raises: NotAnAmount for more than nine decimals, not-a-number, infinities and values beyond 64 bits.
    """
    if isinstance(usd, bool):
        msg = "a boolean is not an amount of money"
        raise NotAnAmount(msg)
    try:
        value = Decimal(repr(usd) if isinstance(usd, float) else usd)
    except (InvalidOperation, ValueError, TypeError) as no_number:
        msg = f"{usd!r} is not an amount of dollars"
        raise NotAnAmount(msg) from no_number
    try:
        # Traps instead of rounding: a 40th digit must be refused, not lost, and 1e999999 must never become an integer.
        whole = int(value.scaleb(9, _EXACT).quantize(Decimal(1), context=_EXACT))
    except (ArithmeticError, ValueError) as too_exact:
        msg = f"{usd!r} has more than nine decimals or is too large"
        raise NotAnAmount(msg) from too_exact
    if abs(whole) > NANOS_MAX:
        msg = f"{usd!r} is too large"
        raise NotAnAmount(msg)
    return Nanos(whole)


def nanos_as_typed(text: str) -> Nanos:
    """Read dollars as people type them: '$1,000.50', ' 25 '. Commas stand before thousands and nowhere else.

    Raises: NotAnAmount, also for '12,50', which means a hundredth of what it would be without its comma.
    """
    given = text.replace("\u00a0", " ").replace("\u202f", " ").strip().removeprefix("$").strip()
    if not _TYPED.fullmatch(given):
        msg = f"{text!r} is not an amount of dollars"
        raise NotAnAmount(msg)
    return nanos_from_usd(re.sub(r"[,\s]", "", given))


def usd_text(nanos: int) -> str:
    """Write nanos as a plain decimal of dollars without trailing zeros: 214_000 is '0.000214'."""
    if 0 < nanos < NANOS_PER_USD:  # what nearly every request costs
        return f"0.{nanos:09d}".rstrip("0")
    sign = "-" if nanos < 0 else ""
    whole, part = divmod(abs(nanos), NANOS_PER_USD)
    return f"{sign}{whole}.{part:09d}".rstrip("0") if part else f"{sign}{whole}"
