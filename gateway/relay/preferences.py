"""The ``provider`` object of a request: what a caller wants of the endpoints, read and checked. Pure.

Unknown keys are ignored, as OpenRouter does. ``preferred_min_throughput`` and ``preferred_max_latency`` rule nothing out, they put behind.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from weakref import WeakKeyDictionary

from billing.money import NotAnAmount, nanos_from_usd
from gateway.relay.catalog import CatalogView
from gateway.relay.errors import BadRequest
from gateway.relay.figures import PLACES

_SORTS: Final = ("price", "throughput", "latency", "exacto", "expected_cost")
_PERCENTILES: Final = ("p50", "p75", "p90", "p99")
# What may be asked for → what an endpoint may have then: fp4 and fp8 cover the formats that share their scales among a block of numbers.
_QUANTIZATIONS: Final[Mapping[str, tuple[str, ...]]] = {
    **{name: (name,) for name in ("int4", "int8", "mxfp4", "nvfp4", "fp6", "mxfp8", "fp16", "bf16", "fp32", "unknown")},
    "fp4": ("fp4", "mxfp4", "nvfp4"),
    "fp8": ("fp8", "mxfp8"),
}
_TOKENS_PER_PRICE: Final = 1_000_000
_PICOS_PER_NANO: Final = 1_000
_MS_PER_S: Final = 1_000.0
# Kind of price → the meter it limits, and how many units of it the price is for.
_MAX_PRICES: Final[Mapping[str, tuple[str, int]]] = {
    "prompt": ("input_tokens", _TOKENS_PER_PRICE),
    "completion": ("output_tokens", _TOKENS_PER_PRICE),
    "request": ("requests", 1),
    "image": ("images", 1),
    "audio": ("audio_input_tokens", 1),  # the unit of a model's "audio" price
}


@dataclass(frozen=True, slots=True)
class Expectation:
    """What the expected cost of a request depends on, beside what is measured at an endpoint. ``at`` is for prices by the hour."""

    prompt_tokens: int
    max_tokens: int | None
    service_tier: str
    at: dt.datetime


@dataclass(frozen=True, slots=True)
class Preferences:
    """The ``provider`` object of a request, checked. Slugs are in lower case; ``quantizations`` has everything that those asked for cover;
    ``max_rates`` pairs a meter with the most picos one unit of it may cost. ``across_models`` sorts the endpoints of all models together
    instead of one model after the other; there is a ``sort`` then. Thresholds pair a place in the percentiles of figures.py with a bound.
    ``searches_web`` is the request's, not the object's. ``expected`` is there when the sort is expected_cost and the request is known.
    """

    order: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    allow_fallbacks: bool = True
    require_parameters: bool = False
    deny_data_collection: bool = False
    zdr: bool = False
    quantizations: tuple[str, ...] = ()
    sort: str = ""
    across_models: bool = False
    max_rates: tuple[tuple[str, int], ...] = ()
    distillable_only: bool = False
    hedge: bool = False
    searches_web: bool = False
    expected: Expectation | None = None
    max_latencies_ms: tuple[tuple[int, float], ...] = ()
    min_throughputs_tps: tuple[tuple[int, float], ...] = ()


NO_PREFERENCES: Final = Preferences()
# Of each catalog version in use, made when a request first names a slug that is no provider's.
_tags_by_view: WeakKeyDictionary[CatalogView, frozenset[str]] = WeakKeyDictionary()


def _refuse(name: str, expected: str) -> BadRequest:
    param = f"provider.{name}"
    return BadRequest(f"{param} must be {expected}", metadata={"param": param})


def _strings(raw: dict[str, Any], name: str) -> tuple[str, ...]:
    value = raw.get(name)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise _refuse(name, "a list of strings")
    return tuple(dict.fromkeys(item.lower() for item in value))


def _flag(raw: dict[str, Any], name: str, *, default: bool = False) -> bool:
    value = raw.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise _refuse(name, "true or false")
    return value


def _quantizations(raw: dict[str, Any]) -> tuple[str, ...]:
    covered: list[str] = []
    for name in _strings(raw, "quantizations"):
        if name not in _QUANTIZATIONS:
            raise _refuse("quantizations", f"a list of {', '.join(_QUANTIZATIONS)}")
        covered += _QUANTIZATIONS[name]
    return tuple(dict.fromkeys(covered))


def _price_nanos(value: Any, name: str) -> int:
    try:
        # By type first: a list of three is a number to Decimal.
        nanos = nanos_from_usd(value) if isinstance(value, str | int | float) else -1
    except NotAnAmount:
        nanos = -1
    if nanos < 0:
        raise _refuse(f"max_price.{name}", "dollars, zero or more, with at most nine decimals")
    return nanos


def _max_rates(raw: dict[str, Any]) -> tuple[tuple[str, int], ...]:
    prices = raw.get("max_price")
    if prices is None:
        return ()
    if not isinstance(prices, dict):
        raise _refuse("max_price", "an object")
    return tuple(
        # A limit finer than a pico is rounded in the caller's favour.
        (meter, -(-_price_nanos(prices[name], name) * _PICOS_PER_NANO // units))
        for name, (meter, units) in _MAX_PRICES.items()
        if prices.get(name) is not None
    )


def _sort(raw: dict[str, Any]) -> tuple[str, bool]:
    """Return what to sort by, and whether across models. One list of all models needs an order: by price, where none is named."""
    value, name, partition = raw.get("sort"), "sort", None
    if isinstance(value, dict):
        partition = value.get("partition")
        if partition not in (None, "model", "none"):
            raise _refuse("sort.partition", "'model' or 'none'")
        value, name = value.get("by"), "sort.by"
    if value is None:
        return ("price", True) if partition == "none" else ("", False)
    if value not in _SORTS:
        raise _refuse(name, f"one of {', '.join(_SORTS)}")
    return str(value), partition == "none"


def _is_positive(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")


def _thresholds(raw: dict[str, Any], name: str, unit: float = 1.0) -> tuple[tuple[int, float], ...]:
    """Return (place of the percentile, bound in ``unit``s) of every threshold; a plain number is one for the median."""
    value = raw.get(name)
    if value is None:
        return ()
    if not isinstance(value, dict):
        if not _is_positive(value):
            raise _refuse(name, f"a number, zero or more, or an object of {', '.join(_PERCENTILES)}")
        return ((PLACES["p50"], value * unit),)
    for percentile in _PERCENTILES:
        if value.get(percentile) is not None and not _is_positive(value[percentile]):
            raise _refuse(f"{name}.{percentile}", "a number, zero or more")
    return tuple((PLACES[percentile], value[percentile] * unit) for percentile in _PERCENTILES if value.get(percentile) is not None)


def read_preferences(raw: dict[str, Any]) -> Preferences:
    """Check the ``provider`` object by itself; ``check_slugs`` holds it against a catalog. Raises: BadRequest naming the field."""
    if not raw:
        return NO_PREFERENCES
    collection = raw.get("data_collection")
    if collection not in (None, "allow", "deny"):
        raise _refuse("data_collection", "'allow' or 'deny'")
    sort, across_models = _sort(raw)
    wish = Preferences(
        order=_strings(raw, "order"),
        only=_strings(raw, "only"),
        ignore=_strings(raw, "ignore"),
        allow_fallbacks=_flag(raw, "allow_fallbacks", default=True),
        require_parameters=_flag(raw, "require_parameters"),
        deny_data_collection=collection == "deny",
        zdr=_flag(raw, "zdr"),
        quantizations=_quantizations(raw),
        sort=sort,
        across_models=across_models,
        max_rates=_max_rates(raw),
        hedge=_flag(raw, "hedge"),
        distillable_only=_flag(raw, "enforce_distillable_text"),
        max_latencies_ms=_thresholds(raw, "preferred_max_latency", _MS_PER_S),
        min_throughputs_tps=_thresholds(raw, "preferred_min_throughput"),
    )
    if wish.only and wish.ignore and (both := set(wish.only).intersection(wish.ignore)):
        raise BadRequest(
            f"provider.ignore must not name what provider.only names: {', '.join(sorted(both))}", metadata={"param": "provider.ignore"}
        )
    return wish


def _tags_of(view: CatalogView) -> frozenset[str]:
    tags = _tags_by_view.get(view)
    if tags is None:
        tags = _tags_by_view[view] = frozenset(endpoint.tag for endpoint in view.snapshot.endpoints.values())
    return tags


def check_slugs(wish: Preferences, view: CatalogView) -> None:
    """Refuse slugs that are neither a provider nor an endpoint's tag; one that is known and cannot be called here is fine.

    Raises: BadRequest naming the field and the slug.
    """
    providers = view.snapshot.providers
    for name, slugs in (("order", wish.order), ("only", wish.only), ("ignore", wish.ignore)):
        for slug in slugs:
            if slug not in providers and slug not in _tags_of(view):
                raise BadRequest(
                    f"provider.{name} names {slug[:100]!r}, which is no provider here",
                    metadata={"param": f"provider.{name}"},
                    remedy="GET /api/v1/providers lists every provider; the tags of a model's endpoints are accepted too.",
                )
