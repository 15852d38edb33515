"""What is known of endpoints, as it is shown to people and in the catalog's API."""

from collections.abc import Mapping
from typing import Final

from catalog.measurements import Measurement
from gateway.relay.figures import Figures
from gateway.relay.statistics import Statistics

_GRADED_MIN: Final = 10  # requests; fewer say nothing about an uptime
_SHOWN: Final = (0, 1, 2, 4)  # p50, p75, p90, p99 of figures.PLACES


def measure(statistics: Statistics, days: Mapping[str, tuple[int, int]], endpoint_id: str) -> Measurement | None:
    """Return what was measured at the endpoint, or None. ``days`` is endpoint → successes and graded requests of a day."""
    long, short = statistics.long_figures(endpoint_id), statistics.figures(endpoint_id)
    day = days.get(endpoint_id)
    if long is None and day is None:
        return None
    uptime_30m = _uptime(long)
    return Measurement(
        requests=long.graded if long else 0,
        uptime_5m=_uptime(short),
        uptime_30m=uptime_30m,
        uptime_1d=uptime_30m if day is None else _percent(*day),
        latency_ms=tuple(round(long.first_token_ms[place]) for place in _SHOWN) if long and long.first_token_ms else (),
        throughput_tps=tuple(round(long.tokens_per_s[place], 1) for place in _SHOWN) if long and long.tokens_per_s else (),
        tool_fault_rate=long.tool_fault_rate if long and long.tool_answers >= _GRADED_MIN else None,
    )


def _uptime(figures: Figures | None) -> float | None:
    return None if figures is None else _percent(figures.succeeded, figures.graded)


def _percent(succeeded: int, graded: int) -> float | None:
    return round(100 * succeeded / graded, 2) if graded >= _GRADED_MIN else None
