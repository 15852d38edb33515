"""The prices of a model's endpoints over time as a step plot, drawn on the server."""

import datetime as dt
from typing import Final, NamedTuple

from catalog.history import PricePeriod, price_periods
from catalog.types import ModelSpec, Snapshot

WIDTH: Final = 1080
HEIGHT: Final = 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 12, 14, 36
_SERIES: Final = 6
_SPAN_MIN: Final = dt.timedelta(days=30)
_MILLION: Final = 1_000_000
_PICOS_PER_USD: Final = 1_000_000_000_000
_TICKS: Final = 4


class PlotLine(NamedTuple):
    """One endpoint's line. ``number`` (1 to 6) picks its colour; ``path`` is an SVG path."""

    number: int
    label: str
    path: str


class Tick(NamedTuple):
    """A mark on an axis: where, and what it says."""

    position: float
    text: str


class PricePlot(NamedTuple):
    """Everything that the template draws. Prices are dollars per million input tokens."""

    lines: tuple[PlotLine, ...]
    rows: tuple[Tick, ...]
    columns: tuple[Tick, ...]
    changes: int
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    bottom: int = HEIGHT - _BOTTOM


def _nice_top(picos: int) -> int:
    """Return the smallest round number that is not below: 1, 2, 2.5, 4 or 5 times a power of ten."""
    power: int = 10 ** (len(str(picos)) - 1)
    return next(step * power // 10 for step in (10, 20, 25, 40, 50, 80, 100) if step * power // 10 >= picos)


def _path(periods: list[PricePeriod], *, start: dt.datetime, end: dt.datetime, top: int) -> str:
    def x(at: dt.datetime) -> str:
        share = (min(max(at, start), end) - start) / (end - start)
        return f"{_LEFT + share * (WIDTH - _LEFT - _RIGHT):.1f}"

    def y(rate: int) -> str:
        return f"{HEIGHT - _BOTTOM - rate / top * (HEIGHT - _TOP - _BOTTOM):.1f}"

    parts: list[str] = []
    for period in periods:
        height = y(period.price.rates["input_tokens"])
        parts.append(f"{'V' if parts else f'M{x(period.since)} '}{height}H{x(period.until or end)}")
    return "".join(parts)


def draw(snapshot: Snapshot, model: ModelSpec) -> PricePlot | None:
    """Return the plot of the cheapest endpoints that are priced by input token; None without any. Announced changes are not drawn."""
    end = snapshot.published_at
    shown = [name for name in model.endpoints if "input_tokens" in snapshot.endpoints[name].price.rates][:_SERIES]
    known = price_periods(shown)
    drawn = {
        name: [one for one in known.get(name, []) if one.since <= end and "input_tokens" in one.price.rates] for name in shown
    }  # fmt: skip
    drawn = {name: periods for name, periods in drawn.items() if periods}
    if not drawn:
        return None
    start = min(*(periods[0].since for periods in drawn.values()), end - _SPAN_MIN)
    top = _nice_top(max(max(one.price.rates["input_tokens"] for one in periods) for periods in drawn.values()) or 1)
    lines = tuple(
        PlotLine(number, f"{snapshot.providers[snapshot.endpoints[name].provider].name} ({snapshot.endpoints[name].tag})",
                 _path(periods, start=start, end=end, top=top))
        for number, (name, periods) in enumerate(drawn.items(), start=1)
    )  # fmt: skip
    inner = HEIGHT - _TOP - _BOTTOM
    rows = tuple(Tick(HEIGHT - _BOTTOM - inner * step / _TICKS, _usd(top * step // _TICKS)) for step in range(_TICKS + 1))
    columns = (Tick(_LEFT, f"{start:%Y-%m-%d}"), Tick(WIDTH - _RIGHT, f"{end:%Y-%m-%d}"))
    return PricePlot(lines, rows, columns, sum(len(periods) - 1 for periods in drawn.values()))


def _usd(picos: int) -> str:
    return f"${picos * _MILLION / _PICOS_PER_USD:.4g}"
