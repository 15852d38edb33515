"""Amounts of money by day as lines, drawn on the server."""

import datetime as dt
from collections.abc import Mapping
from typing import Final, NamedTuple

from billing.money import usd_text

WIDTH: Final = 1080
HEIGHT: Final = 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 96, 12, 14, 32
_SERIES: Final = 6
_ROWS: Final = 4
_CENT: Final = 10_000_000


class Line(NamedTuple):
    """One series. ``number`` (1 to 6) picks its colour; ``path`` is an SVG path."""

    number: int
    label: str
    path: str


class Mark(NamedTuple):
    """A mark on an axis: where, and what it says."""

    position: float
    text: str


class Plot(NamedTuple):
    """Everything that the template draws."""

    title: str
    lines: tuple[Line, ...]
    rows: tuple[Mark, ...]
    columns: tuple[Mark, ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT


def draw(
    title: str, series: Mapping[str, Mapping[dt.date, int]], *, since: dt.date | None = None, until: dt.date | None = None
) -> Plot | None:
    """Draw up to six series of nanos by day, a day without a figure as zero. None when there is nothing to draw.

    With ``since`` and ``until`` (both included) all of that time is shown, whatever days have figures.
    """
    days = sorted({day for points in series.values() for day in points})
    if not days:
        return None
    days = sorted({*days, *filter(None, (since, until))})
    shown = sorted(series.items(), key=lambda one: -sum(map(abs, one[1].values())))[:_SERIES]
    span = [days[0] + dt.timedelta(days=offset) for offset in range((days[-1] - days[0]).days + 1)]
    values = [points.get(day, 0) for _, points in shown for day in span]
    low, high = min(0, *values), max(0, *values)
    high = high if high > low else low + _CENT

    def x(place: int) -> float:
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * (place / (len(span) - 1) if len(span) > 1 else 0.5)

    def y(nanos: int) -> float:
        return HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * ((nanos - low) / (high - low))

    lines = []
    for number, (label, points) in enumerate(shown, start=1):
        steps = [f"{x(place):.1f} {y(points.get(day, 0)):.1f}" for place, day in enumerate(span)]
        only = f"M{x(0) - 8:.1f} {y(points.get(span[0], 0)):.1f}h16"
        lines.append(Line(number, label, only if len(span) == 1 else "M" + "L".join(steps)))
    marks = sorted({0, *(low + (high - low) * step // _ROWS for step in range(_ROWS + 1))})
    rows = tuple(Mark(y(nanos), _short(nanos)) for nanos in marks)
    return Plot(title, tuple(lines), rows, (Mark(_LEFT, f"{span[0]}"), Mark(WIDTH - _RIGHT, f"{span[-1]}")))


def _short(nanos: int) -> str:
    cents = abs(nanos) // _CENT
    text = f"{cents // 100:,}.{cents % 100:02d}" if cents else usd_text(abs(nanos))[:8]
    return f"{'−' if nanos < 0 else ''}${text}"
