"""Orders of a model's endpoints. What an order knows nothing of comes last in it; the cheapest comes first among equals."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from catalog.showcase import EndpointRow


class EndpointOrder(NamedTuple):
    """``word`` is for people; ``value`` is what is compared, None where it is unknown; ``column`` is whose heading says so."""

    word: str
    column: str
    value: Callable[[EndpointRow], float | str | None]
    is_descending: bool = False


def _measured(name: str) -> Callable[[EndpointRow], float | None]:
    def value(row: EndpointRow) -> float | None:
        found = getattr(row.measured, name, None)
        return (found[0] if found else None) if isinstance(found, tuple) else found

    return value


_PRICE: Final = EndpointOrder("Cheapest", "", lambda _row: 0)  # as the catalog has them
ORDERS: Final[Mapping[str, EndpointOrder]] = {
    "price": _PRICE,
    "input": EndpointOrder("Cheapest input", "input", lambda row: row.input_picos),
    "output": EndpointOrder("Cheapest output", "output", lambda row: row.output_picos),
    "cached": EndpointOrder("Cheapest cache read", "cached", lambda row: row.cache_read_picos),
    "context": EndpointOrder("Longest context", "context", lambda row: row.endpoint.context_length or None, is_descending=True),
    "latency": EndpointOrder("Fastest first token", "latency", _measured("latency_ms")),
    "throughput": EndpointOrder("Highest throughput", "throughput", _measured("throughput_tps"), is_descending=True),
    "uptime": EndpointOrder("Highest uptime", "uptime", _measured("uptime_30m"), is_descending=True),
    "provider": EndpointOrder("Provider", "provider", lambda row: row.provider.name.lower()),
}
OPERATOR_ORDERS: Final[Mapping[str, EndpointOrder]] = {
    **ORDERS,
    "margin": EndpointOrder("Highest margin", "margin", lambda row: row.margin_percent, is_descending=True),
    "margin-low": EndpointOrder("Lowest margin", "margin", lambda row: row.margin_percent),
}


def sort_rows(rows: Sequence[EndpointRow], order: EndpointOrder) -> list[EndpointRow]:
    """Return the rows in an order; they are given cheapest first."""
    # A descending sort is stable too, so equals stay cheapest first.
    known = [(value, row) for row in rows if (value := order.value(row)) is not None]
    known.sort(key=lambda one: one[0], reverse=order.is_descending)
    return [row for _, row in known] + [row for row in rows if order.value(row) is None]
