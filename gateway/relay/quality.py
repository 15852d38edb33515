"""Quality of an endpoint beside the others of its model: OpenRouter's Auto Exacto by what is measured here. Pure.

Two signals over thirty minutes: throughput more than 1.5 σ under the model's median, and a share of good tool calls more than 2 σ under
it, make an endpoint POOR. The middle and the spread are medians, so that the bad one does not shift them. Too little data is UNKNOWN.
"""

import statistics
from collections.abc import Mapping
from typing import Final

from gateway.relay.figures import Figures

GOOD, UNKNOWN, POOR = 0, 1, 2

_REQUESTS_MIN: Final = 100
_TOOL_ANSWERS_MIN: Final = 50  # OpenRouter: 200 in two hours
_ENDPOINTS_MIN: Final = 4
_SIGMA_PER_MAD: Final = 1.4826  # of a normal distribution
_THROUGHPUT_SIGMAS, _TOOL_SIGMAS = 1.5, 2.0
# Endpoints that are all alike have next to no spread: differences below these are nobody's concern.
_THROUGHPUT_SIGMA_SHARE: Final = 0.1
_TOOL_SIGMA: Final = 0.01


def grade_quality(figures: Mapping[str, Figures]) -> dict[str, int]:
    """Return GOOD or POOR by endpoint id; who is not named is UNKNOWN. Endpoints of one model share what stands before the '@'."""
    models: dict[str, dict[str, Figures]] = {}
    for endpoint_id, one in figures.items():
        if one.graded >= _REQUESTS_MIN:
            models.setdefault(endpoint_id.partition("@")[0], {})[endpoint_id] = one
    grades: dict[str, int] = {}
    for endpoints in models.values():
        if len(endpoints) >= _ENDPOINTS_MIN:
            _grade_model(endpoints, grades)
    return grades


def _grade_model(endpoints: Mapping[str, Figures], grades: dict[str, int]) -> None:
    speeds = {name: speed for name, one in endpoints.items() if (speed := one.throughput_tps()) is not None}
    tools = {
        name: 1 - rate
        for name, one in endpoints.items()
        if one.tool_answers >= _TOOL_ANSWERS_MIN and (rate := one.tool_fault_rate) is not None
    }
    speed_floor = _floor(speeds, _THROUGHPUT_SIGMAS, share=_THROUGHPUT_SIGMA_SHARE)
    tool_floor = _floor(tools, _TOOL_SIGMAS, least=_TOOL_SIGMA)
    for name in endpoints:
        if (name in speeds and speeds[name] < speed_floor) or (name in tools and tools[name] < tool_floor):
            grades[name] = POOR
        elif name in tools:
            grades[name] = GOOD


def _floor(values: Mapping[str, float], sigmas: float, *, share: float = 0.0, least: float = 0.0) -> float:
    """Return what lies ``sigmas`` under the median of at least four values; nothing is under it with fewer."""
    if len(values) < _ENDPOINTS_MIN:
        return float("-inf")
    middle = statistics.median(values.values())
    spread = statistics.median(abs(value - middle) for value in values.values())
    return middle - sigmas * max(spread * _SIGMA_PER_MAD, middle * share, least)
