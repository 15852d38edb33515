"""A provider's bill as lines of day, model and dollars: read from CSV by a map of columns, or from an API's JSON (provider_apis.py).

Amounts stay decimal until a day and model are summed, and are rounded once, half up, to nanos.
"""

import csv
import datetime as dt
import io
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Final, NamedTuple

from billing.money import NANOS_MAX, NANOS_PER_USD

_LINES_MAX: Final = 200_000
_THOUSANDS: Final = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d+)?")
_DATED: Final = re.compile(r"[-@](20\d{2}-?\d{2}-?\d{2}|\d{8})$")


class BadBill(ValueError):
    """The file or answer is not a bill that we can read; the message says where and why."""


class Charge(NamedTuple):
    """One line of a bill. Dollars, as exact as the provider writes them."""

    day: dt.date
    model: str
    usd: Decimal


class ColumnMap(NamedTuple):
    """Which column is what: the first of each that the file has. ``usd_per_unit`` is 0.01 where amounts are cents."""

    day: tuple[str, ...]
    model: tuple[str, ...]
    amount: tuple[str, ...]
    usd_per_unit: Decimal = Decimal(1)


Bill = dict[tuple[dt.date, str], int]  # nanos by day and model

# Names of columns as the providers' exports have had them.
PRESETS: Final[dict[str, ColumnMap]] = {
    "openai": ColumnMap(
        ("start_time_iso", "start_time", "date"), ("line_item", "model", "snapshot_id"), ("amount_value", "amount", "cost_in_major")
    ),
    "anthropic": ColumnMap(
        ("usage_date_utc", "starting_at", "date"), ("model", "model_version", "description"), ("cost_usd", "amount_usd", "cost")
    ),
    "openrouter": ColumnMap(("date", "created_at"), ("model_permaslug", "model"), ("usage", "cost_total", "cost")),
    "google": ColumnMap(
        ("Usage start date", "usage_start_time", "Usage date"), ("SKU description", "sku_description", "Sku"),
        ("Unrounded subtotal ($)", "Subtotal ($)", "Cost ($)", "cost"),
    ),
}  # fmt: skip


def read_csv(text: str, columns: ColumnMap) -> list[Charge]:
    """Read a bill. Raises: BadBill naming the line and column."""
    reader = csv.DictReader(io.StringIO(text.lstrip("\ufeff")))
    header = reader.fieldnames or []
    day, model, amount = (_find(name, wanted, header) for name, wanted in zip(columns._fields, columns[:3], strict=False))
    charges = []
    for number, row in enumerate(reader, start=2):
        if number > _LINES_MAX:
            raise BadBill(f"the file has more than {_LINES_MAX:,} lines; send it in parts")
        if not any((value or "").strip() for value in row.values() if isinstance(value, str)):
            continue
        try:
            usd = read_usd(row[amount]) * columns.usd_per_unit
            charges.append(Charge(read_day(row[day]), read_model(row[model]), usd))
        except ValueError as error:
            raise BadBill(f"line {number}: {error}") from error
    if not charges:
        raise BadBill("the file has no lines")
    return charges


def sum_up(charges: Iterable[Charge]) -> Bill:
    """Return the bill in nanos, each day and model rounded once. Raises: BadBill for what no bill amounts to."""
    sums: defaultdict[tuple[dt.date, str], Decimal] = defaultdict(Decimal)
    for charge in charges:
        sums[charge.day, charge.model] += charge.usd
    bill = {}
    for key, usd in sums.items():
        nanos = int((usd * NANOS_PER_USD).to_integral_value(rounding=ROUND_HALF_UP))
        if abs(nanos) > NANOS_MAX:
            raise BadBill(f"{key[1]} of {key[0]} amounts to {usd} dollars")
        bill[key] = nanos
    return bill


def read_day(text: str | None) -> dt.date:
    """Read a day: ISO date or moment, or Unix seconds, in UTC. Raises: BadBill."""
    given = (text or "").strip()
    try:
        if given.isdigit() and len(given) > len("20251231"):
            return dt.datetime.fromtimestamp(int(given), dt.UTC).date()
        moment = dt.datetime.fromisoformat(given)
    except (ValueError, OverflowError, OSError) as error:
        raise BadBill(f"{given!r} is not a day like 2026-01-31") from error
    return moment.astimezone(dt.UTC).date() if moment.tzinfo else moment.date()


def read_usd(text: str | None) -> Decimal:
    """Read an amount as exports write it: 1,234.56, $0.10, 1.2e-05. Raises: BadBill."""
    given = (text or "").replace("$", "").strip()
    if "," in given and not _THOUSANDS.fullmatch(given):
        raise BadBill(f"{text!r} has a comma that is not before thousands; amounts are written like 1,234.56")
    given = given.replace(",", "")
    try:
        value = Decimal(given)
    except InvalidOperation as error:
        raise BadBill(f"{text!r} is not an amount") from error
    if not value.is_finite():
        raise BadBill(f"{text!r} is not an amount")
    return value


def read_model(text: str | None) -> str:
    """Return a model's name without what a line says beside it ('gpt-4o, input')."""
    return ((text or "").split(",")[0].strip() or "other")[:200]


def match_models(theirs: Iterable[str], ours: Iterable[str]) -> Mapping[str, str]:
    """Return our slug for each of their names that is the same model: with or without maker and date. Others keep their name."""
    known = list(ours)
    plain = {_plain(slug): slug for slug in known}
    return {name: name if name in known else plain.get(_plain(name), name) for name in theirs}


def _plain(name: str) -> str:
    last = name.lower().rsplit("/", 1)[-1]
    return _DATED.sub("", last).replace(".", "-")


def _find(name: str, wanted: tuple[str, ...], header: Iterable[str]) -> str:
    by_lower = {column.strip().lower(): column for column in header}
    for one in wanted:
        if one.lower() in by_lower:
            return by_lower[one.lower()]
    raise BadBill(f"no column for the {name}: looked for {', '.join(wanted)}; the file has {', '.join(header) or 'none'}")
