"""What the public pages show: the published snapshot, searched, sorted and put into words.

Pages read the same snapshot that requests are priced with, so they cannot promise another price than the one that is charged.
"""

import math
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

import msgspec

from catalog.measurements import Measurement
from catalog.models import CatalogSnapshot
from catalog.page_filters import NO_FILTERS, ModelFilters
from catalog.pricing import blended_picos
from catalog.types import EndpointSpec, ModelSpec, ProviderSpec, RateCard, Snapshot

Sort = Literal["newest", "name", "input", "output", "context"]
SORTS: Final[tuple[Sort, ...]] = ("newest", "name", "input", "output", "context")

_MILLION: Final = 1_000_000
# Dearer than any price: models without one come last when sorted by it.
_NO_PRICE: Final = 2**63

# Meter → what it is called, units per price, and the unit's name.
METER_WORDS: Final[dict[str, tuple[str, int, str]]] = {
    "input_tokens": ("Input", _MILLION, "M tokens"),
    "output_tokens": ("Output", _MILLION, "M tokens"),
    "cache_read_tokens": ("Cache read", _MILLION, "M tokens"),
    "cache_write_tokens": ("Cache write", _MILLION, "M tokens"),
    "cache_write_1h_tokens": ("Cache write, 1 h", _MILLION, "M tokens"),
    "reasoning_tokens": ("Reasoning", _MILLION, "M tokens"),
    "audio_input_tokens": ("Audio input", _MILLION, "M tokens"),
    "audio_output_tokens": ("Audio output", _MILLION, "M tokens"),
    "image_input_tokens": ("Image input", _MILLION, "M tokens"),
    "image_output_tokens": ("Image output", _MILLION, "M tokens"),
    "requests": ("Request", 1, "request"),
    "searches": ("Search", 1, "search"),
    "seconds": ("Audio", 60, "minute"),
    "characters": ("Text", _MILLION, "M characters"),
    "pages": ("Page", 1, "page"),
    "images": ("Image", 1, "image"),
}
_IN_COLUMNS: Final = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")


class PriceLine(NamedTuple):
    """A rate in words. ``picos`` is for one unit; shown per ``per`` units, called ``unit``."""

    label: str
    picos: int
    per: int
    unit: str
    condition: str = ""  # 'above 200,000 prompt tokens', 'batch', …


class ModelRow(NamedTuple):
    """A model in the list. Rates in picos per token of its cheapest endpoint; None where it has none."""

    model: ModelSpec
    input_picos: int | None
    output_picos: int | None
    other_price: PriceLine | None  # for models that are not priced by token
    provider_count: int
    is_simulated: bool


class EndpointRow(NamedTuple):
    """An endpoint of a model's page."""

    endpoint: EndpointSpec
    provider: ProviderSpec
    input_picos: int | None
    output_picos: int | None
    cache_read_picos: int | None
    cache_write_picos: int | None
    others: tuple[PriceLine, ...]
    measured: Measurement | None = None

    @property
    def margin_percent(self) -> float | None:
        """The part of our price that is ours, over three input tokens and one output token; None for what is free."""
        charged = blended_picos(self.endpoint.price)
        return (charged - blended_picos(self.endpoint.cost)) * 100 / charged if charged else None


_decode = msgspec.msgpack.Decoder(Snapshot).decode


class _Rows(NamedTuple):
    """Rows made from one snapshot. Snapshot and rows in one object, so that no thread sees the rows of another snapshot."""

    of: Snapshot | None
    by_model: dict[str, ModelRow]


class _Cache:
    """The newest snapshot that this process has decoded, which takes tens of milliseconds, and the rows made from it."""

    snapshot: Snapshot | None = None
    rows = _Rows(None, {})


def take(snapshot: Snapshot) -> None:
    """Show this snapshot as soon as it is the newest published one; whoever has decoded it saves the next visitor the time."""
    _Cache.snapshot = snapshot


def published() -> Snapshot | None:
    """Return the snapshot in force, or None before the first publication."""
    newest = CatalogSnapshot.objects.order_by("-version").values_list("version", "published_at").first()
    if newest is None:
        return None
    version = newest[0]
    # The date too: a database that was restored from a copy counts its versions again.
    if _Cache.snapshot is None or (_Cache.snapshot.version, _Cache.snapshot.published_at) != newest:
        _Cache.snapshot = _decode(bytes(CatalogSnapshot.objects.values_list("body", flat=True).get(version=version)))
    return _Cache.snapshot


def published_version() -> int | None:
    """Return the version in force, or None before the first publication."""
    return CatalogSnapshot.objects.order_by("-version").values_list("version", flat=True).first()


def served_endpoints(snapshot: Snapshot, model: ModelSpec) -> list[EndpointSpec]:
    """Return the model's endpoints whose provider answers here, cheapest first."""
    endpoints = (snapshot.endpoints[name] for name in model.endpoints)
    return [one for one in endpoints if snapshot.providers[one.provider].mode != "off"]


def cheapest_chat_model(snapshot: Snapshot | None) -> str | None:
    """Return the id of the cheapest chat model that is not free and that is served, for examples."""
    rows = [row for row in model_rows(snapshot, sort="input") if row.model.type == "chat" and row.input_picos and row.provider_count]
    return rows[0].model.id if rows else None


def model_rows(
    snapshot: Snapshot | None, *, search: str = "", model_type: str = "", sort: Sort = "newest", filters: ModelFilters = NO_FILTERS
) -> list[ModelRow]:  # fmt: skip
    """Return the models that match every word of ``search`` (in id, name or author) and the filters, sorted."""
    if snapshot is None:
        return []
    words = search.lower().split()
    rows = [
        model_row(snapshot, model)
        for model in snapshot.models.values()
        if (not model_type or model.type == model_type)
        and all(word in f"{model.id} {model.name}".lower() for word in words)
        and (filters == NO_FILTERS or filters.match(snapshot, model))
    ]
    rows.sort(key=lambda row: row.model.name.lower())
    match sort:
        case "newest":
            rows.sort(key=lambda row: -row.model.created_s)
        case "input":
            rows.sort(key=lambda row: _NO_PRICE if row.input_picos is None else row.input_picos)
        case "output":
            rows.sort(key=lambda row: _NO_PRICE if row.output_picos is None else row.output_picos)
        case "context":
            rows.sort(key=lambda row: -row.model.context_length)
    return rows


def model_row(snapshot: Snapshot, model: ModelSpec) -> ModelRow:
    """Return a model with the prices of its cheapest endpoint that answers here."""
    rows = _Cache.rows
    if rows.of is not snapshot:
        rows = _Cache.rows = _Rows(snapshot, {})
    row = rows.by_model.get(model.id)
    if row is None:
        row = rows.by_model[model.id] = _make_row(snapshot, model)
    return row


def _make_row(snapshot: Snapshot, model: ModelSpec) -> ModelRow:
    served = served_endpoints(snapshot, model)
    shown = served or [snapshot.endpoints[name] for name in model.endpoints]
    rates = shown[0].price.rates if shown else {}
    other = next((line for line in price_lines(RateCard(rates=rates)) if line.unit != "M tokens"), None)
    return ModelRow(
        model=model,
        input_picos=rates.get("input_tokens"),
        output_picos=rates.get("output_tokens"),
        other_price=None if "output_tokens" in rates else other,
        provider_count=len({one.provider for one in served}),
        is_simulated=bool(served) and all(snapshot.providers[one.provider].mode == "simulated" for one in served),
    )


def similar_models(snapshot: Snapshot, model: ModelSpec, *, count: int = 5) -> list[ModelRow]:
    """Return the models of the same type that are nearest in price and in what they can do, of other names, nearest first."""
    mine = _capabilities(model)
    own_price = _price_of(snapshot, model)
    if own_price is None:
        return []
    found = []
    for other in snapshot.models.values():
        price = _price_of(snapshot, other)
        if other.type != model.type or other.id.partition(":")[0] == model.id.partition(":")[0] or price is None:
            continue
        # Twice the price is as far away as one capability more or less.
        distance = abs(math.log2((price + 1) / (own_price + 1))) + len(mine ^ _capabilities(other))
        found.append((distance, -other.created_s, other.id, other))
    return [model_row(snapshot, other) for *_, other in sorted(found, key=lambda one: one[:3])[:count]]


def _price_of(snapshot: Snapshot, model: ModelSpec) -> int | None:
    served = served_endpoints(snapshot, model)
    return blended_picos(served[0].price) if served else None


def _capabilities(model: ModelSpec) -> frozenset[str]:
    named = {one for one in ("tools", "structured_outputs") if one in model.supported_parameters}
    size = {f"context {bound}" for bound in (100_000, 500_000) if model.context_length >= bound}
    return frozenset({*model.input_modalities, *model.output_modalities, *named, *size, *(["reasoning"] if model.reasoning else [])})


def endpoint_rows(snapshot: Snapshot, model: ModelSpec, board: Mapping[str, Measurement] | None = None) -> list[EndpointRow]:
    """Return all endpoints of a model, served or not, cheapest first, with what ``board`` says was measured at them."""
    rows = []
    for name in model.endpoints:
        endpoint = snapshot.endpoints[name]
        rates = endpoint.price.rates
        rows.append(
            EndpointRow(
                endpoint=endpoint,
                provider=snapshot.providers[endpoint.provider],
                input_picos=rates.get("input_tokens"),
                output_picos=rates.get("output_tokens"),
                cache_read_picos=rates.get("cache_read_tokens"),
                cache_write_picos=rates.get("cache_write_tokens"),
                others=tuple(_other_lines(endpoint.price)),
                measured=(board or {}).get(endpoint.id),
            ),
        )
    return rows


def price_lines(card: RateCard, *, condition: str = "") -> list[PriceLine]:
    """Return the rates of a card in words, in the order of METER_WORDS, without its tiers."""
    return [PriceLine(*_worded(meter, card.rates[meter]), condition) for meter in METER_WORDS if meter in card.rates]


def _worded(meter: str, picos: int) -> tuple[str, int, int, str]:
    label, per, unit = METER_WORDS[meter]
    return label, picos, per, unit


def _other_lines(card: RateCard) -> list[PriceLine]:
    lines = price_lines(RateCard(rates={meter: rate for meter, rate in card.rates.items() if meter not in _IN_COLUMNS and rate}))
    for tier in card.tiers:
        lines += price_lines(RateCard(rates=tier.rates), condition=f"above {tier.min_prompt_tokens:,} prompt tokens")
    for name, service in card.service_tiers.items():
        lines += price_lines(RateCard(rates={m: r for m, r in service.rates.items() if m in _IN_COLUMNS[:2]}), condition=f"{name} tier")
    for window in card.time_prices:
        lines += price_lines(RateCard(rates=window.rates), condition=f"{_clock(window.start_minute)}–{_clock(window.end_minute)} UTC")
    return lines


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"
