"""How long it takes to choose a route, by the number of endpoints and what a request asks for: ``python -m bench.routing_speed``.

No network and no stores. Each figure is the best of many rounds: what the code costs, not what else the machine was doing.
"""

import datetime as dt
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from catalog.types import EndpointSpec, ModelSpec, ProviderSpec, RateCard, Snapshot, Usage
from gateway.relay.catalog import CatalogView
from gateway.relay.config import RelayConfig
from gateway.relay.health import EndpointHealth
from gateway.relay.preferences import read_preferences
from gateway.relay.routing import find_route
from gateway.relay.samples import Sample
from gateway.relay.statistics import Statistics

GOALS_US: Final = {5: 30, 20: 50}
_ROUNDS, _CALLS = 200, 50
_TOOLS: Final = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
# What is asked → provider preferences, other fields of the body, whether endpoints have failed.
CASES: Final[dict[str, tuple[dict[str, Any], dict[str, Any], bool]]] = {
    "nothing": ({}, {}, False),
    "nothing, some are down": ({}, {}, True),
    "tools and max_tokens": ({}, {"tools": _TOOLS, "temperature": 1}, False),
    "sort by latency": ({"sort": "latency"}, {}, False),
    "thresholds": ({"preferred_max_latency": {"p90": 0.5}, "preferred_min_throughput": 20}, {}, True),
    "order and only": ({"order": ["host-3", "host-1"], "only": ["host-1", "host-2", "host-3", "host-4"]}, {}, True),
    "everything": (
        {
            "sort": {"by": "throughput", "partition": "model"},
            "max_price": {"prompt": 50, "completion": 100},
            "quantizations": ["fp8", "unknown"],
            "data_collection": "allow",
            "require_parameters": True,
            "ignore": ["host-0"],
            "preferred_max_latency": 2,
        },
        {"tools": _TOOLS, "temperature": 1},
        True,
    ),
}


def make_view(endpoints: int) -> CatalogView:
    """Return a catalog of one model with that many endpoints."""
    slugs = [f"host-{number}" for number in range(endpoints)]
    providers = {
        slug: ProviderSpec(slug=slug, name=slug, base_url="https://host.example/v1", dialect="chat_completions", auth="none", mode="live")
        for slug in slugs
    }
    specs = {}
    for number, slug in enumerate(slugs):
        rate = 1_000_000 + 100_000 * number
        card = RateCard(rates={"input_tokens": rate, "output_tokens": 4 * rate})
        specs[f"a/m@{slug}"] = EndpointSpec(
            id=f"a/m@{slug}",
            model="a/m",
            provider=slug,
            provider_model_id="m",
            tag=slug,
            context_length=128_000,
            max_output_tokens=16_000,
            supported_parameters=frozenset({"temperature", "tools", "top_p", "stop", "seed", "response_format"}),
            price_version_id=number + 1,
            price=card,
            cost=card,
        )
    model = ModelSpec(
        id="a/m",
        canonical_slug="a/m",
        name="M",
        author="a",
        type="chat",
        description="",
        created_s=0,
        context_length=128_000,
        max_output_tokens=16_000,
        input_modalities=("text",),
        output_modalities=("text",),
        supported_parameters=("temperature", "tools"),
        endpoints=tuple(specs),
    )
    at = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    snapshot = Snapshot(version=1, published_at=at, models={"a/m": model}, endpoints=specs, providers=providers, aliases={})
    config = RelayConfig("", "", "", ("only for benchmarks",), {}, "https://tollway.example", Path("unused"))
    return CatalogView(snapshot, config)


def make_health(endpoints: int, *, troubled: bool) -> EndpointHealth:
    """Return what is known after some traffic: figures of every endpoint, and, if ``troubled``, two that fail."""
    rng = random.Random(1)  # noqa: S311 -- the same figures in every run
    statistics = Statistics()
    for number in range(endpoints):
        for _ in range(200):
            usage = Usage(input_tokens=100, output_tokens=rng.randrange(20, 400))
            total_ms = rng.randrange(500, 9000)
            statistics.record(Sample(f"a/m@host-{number}", "ok", first_token_ms=rng.randrange(50, 900), total_ms=total_ms, usage=usage))
    statistics.merge(statistics.take(), time.time())
    statistics.refresh()
    health = EndpointHealth(statistics=statistics)
    for name in ("a/m@host-1", "a/m@host-4") if troubled else ():
        for _ in range(3):
            health.failure(name)
    return health


def measure_us(call: Callable[[], object]) -> float:
    """Return the microseconds of one call, in the best of the rounds."""
    best = float("inf")
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        for _ in range(_CALLS):
            call()
        best = min(best, time.perf_counter() - began)
    return best / _CALLS * 1e6


def measure(endpoints: int, case: str) -> float:
    """Return the microseconds that one choice takes, reading the preferences included."""
    raw, fields, troubled = CASES[case]
    view, health = make_view(endpoints), make_health(endpoints, troubled=troubled)
    rng = random.Random(1)  # noqa: S311 -- load balancing
    body = {"model": "a/m", "messages": [], **fields}
    max_tokens = 1000 if "max_tokens" in case else None

    def choose() -> object:
        return find_route(
            view,
            names=("a/m",),
            kind="chat",
            wish=read_preferences(raw),
            body=body,
            max_tokens=max_tokens,
            health=health,
            rng=rng,
        )

    return measure_us(choose)


def main() -> None:
    """Print a table."""
    print(f"{'µs to choose a route':<26}" + "".join(f"{f'{count} endpoints':>16}" for count in GOALS_US))
    for case in CASES:
        print(f"{case:<26}" + "".join(f"{measure(count, case):>16.1f}" for count in GOALS_US))
    print(f"{'goal':<26}" + "".join(f"{goal:>16}" for goal in GOALS_US.values()))


if __name__ == "__main__":
    main()
