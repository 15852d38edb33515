"""What a workload comes to at each endpoint, by the arithmetic that charges it."""

import datetime as dt
from collections.abc import Mapping
from typing import Final, NamedTuple

from django.utils import timezone

from catalog.pricing import UnpricedMeter, cost
from catalog.showcase import METER_WORDS
from catalog.types import Cost, CostLine, EndpointSpec, ModelSpec, ProviderSpec, Snapshot, Usage

_COUNT_MAX: Final = 1_000_000_000
_EXAMPLE: Final = "anthropic/claude-sonnet-5"
_PERCENT: Final = 100


class Workload(NamedTuple):
    """So many requests of so many tokens; ``cached_percent`` of the prompt is read from the provider's cache."""

    requests: int = 1_000
    prompt_tokens: int = 2_000
    output_tokens: int = 500
    cached_percent: int = 0

    @property
    def usage(self) -> Usage:
        """What one of the requests uses."""
        cached = self.prompt_tokens * self.cached_percent // _PERCENT
        return Usage(input_tokens=self.prompt_tokens - cached, cache_read_tokens=cached, output_tokens=self.output_tokens)


class QuoteRow(NamedTuple):
    """An endpoint's price for the workload, in nanos (1e-9 USD): each request is rounded as it would be charged."""

    endpoint: EndpointSpec
    provider: ProviderSpec
    one_nanos: int
    total_nanos: int


class Quote(NamedTuple):
    """The workload and its price at each endpoint that can be bought, cheapest first."""

    workload: Workload
    rows: tuple[QuoteRow, ...]


class WorkedExample(NamedTuple):
    """One request, line by line."""

    model: ModelSpec
    endpoint: EndpointSpec
    provider: ProviderSpec
    usage: Usage
    cost: Cost

    @property
    def lines(self) -> list[tuple[str, CostLine]]:
        """The lines of the charge, each with the name of what was used."""
        return [(METER_WORDS[line.meter][0], line) for line in self.cost.lines]


def _count(query: Mapping[str, str], name: str, default: int, most: int = _COUNT_MAX) -> int:
    text = query.get(name, "").replace(",", "").strip()
    return min(int(text), most) if text.isascii() and text.isdigit() and len(text) <= len(str(_COUNT_MAX)) + 1 else default


def read_workload(query: Mapping[str, str]) -> Workload:
    """Return the workload of a query; what is no count stays at its default."""
    usual = Workload()
    return Workload(
        _count(query, "requests", usual.requests),
        _count(query, "prompt", usual.prompt_tokens),
        _count(query, "output", usual.output_tokens),
        _count(query, "cached", usual.cached_percent, _PERCENT),
    )


def quote(snapshot: Snapshot, model: ModelSpec, workload: Workload, *, at: dt.datetime | None = None) -> Quote:
    """Return the price of the workload at each endpoint that answers here; without prices by token there are no rows."""
    moment = at or timezone.now()
    rows = []
    for name in model.endpoints:
        endpoint = snapshot.endpoints[name]
        provider = snapshot.providers[endpoint.provider]
        if provider.mode == "off":
            continue
        try:
            one = cost(endpoint.price, workload.usage, at=moment)
        except UnpricedMeter:
            continue
        rows.append(QuoteRow(endpoint, provider, one.nanos, one.nanos * workload.requests))
    return Quote(workload, tuple(sorted(rows, key=lambda row: (row.total_nanos, row.endpoint.id))))


def worked_example(snapshot: Snapshot | None, *, at: dt.datetime | None = None) -> WorkedExample | None:
    """Return one request at a well-known model, or at any with a price for cache reads; None without such a model."""
    if snapshot is None:
        return None
    moment = at or timezone.now()
    usage = Usage(input_tokens=1_200, cache_read_tokens=8_000, output_tokens=450)
    for name in (_EXAMPLE, *snapshot.models):
        model = snapshot.models.get(name)
        for endpoint_id in model.endpoints if model else ():
            endpoint = snapshot.endpoints[endpoint_id]
            if {"input_tokens", "output_tokens", "cache_read_tokens"} <= endpoint.price.rates.keys() and model is not None:
                provider = snapshot.providers[endpoint.provider]
                return WorkedExample(model, endpoint, provider, usage, cost(endpoint.price, usage, at=moment))
    return None
