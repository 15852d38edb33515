"""Tollway's router as a strategy: the production code for routes, breaker and statistics, on the world's clock."""

import datetime as dt
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from bench.routing.world import Demand, Site, Trial, World
from catalog.types import EndpointSpec, ModelSpec, ProviderSpec, RateCard, Snapshot, Usage
from gateway.relay.catalog import Candidate, CatalogView
from gateway.relay.config import RelayConfig
from gateway.relay.health import EndpointHealth
from gateway.relay.hedging import hedge_after_s, second_of
from gateway.relay.preferences import read_preferences
from gateway.relay.routing import find_route
from gateway.relay.samples import Sample
from gateway.relay.statistics import Statistics
from gateway.relay.tries import lost_sample

_AT: Final = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
_FORGET_EVERY_S: Final = 60


def make_view(world: World, at_s: float) -> CatalogView:
    """Return the catalog as it is published at a moment of the world's day."""
    endpoints, models = {}, {}
    for model, sites in world.sites.items():
        for site in sites:
            factor = world.price_factor(site, at_s)
            card = RateCard(rates={"input_tokens": round(site.input_picos * factor), "output_tokens": round(site.output_picos * factor)})
            endpoints[site.id] = EndpointSpec(
                id=site.id,
                model=model,
                provider=site.provider,
                provider_model_id=model,
                tag=site.provider,
                price_version_id=len(endpoints) + 1,
                price=card,
                cost=card,
            )
        models[model] = ModelSpec(
            id=model,
            canonical_slug=model,
            name=model,
            author="lab",
            type="chat",
            description="",
            created_s=0,
            context_length=0,
            max_output_tokens=0,
            input_modalities=("text",),
            output_modalities=("text",),
            supported_parameters=(),
            endpoints=tuple(site.id for site in sites),
        )
    providers = {
        slug: ProviderSpec(slug=slug, name=slug, base_url="https://host.example/v1", dialect="chat_completions", auth="none", mode="live")
        for slug in {site.provider for site in world.all_sites}
    }
    snapshot = Snapshot(version=1, published_at=_AT, models=models, endpoints=endpoints, providers=providers, aliases={})
    return CatalogView(snapshot, RelayConfig("", "", "", ("only for benchmarks",), {}, "https://tollway.example", Path("unused")))


class Tollway:
    """Routes by ``provider`` preferences, as a request would carry them."""

    def __init__(self, name: str, world: World, **provider: Any) -> None:
        self.name = name
        self._world = world
        self._wish = read_preferences(provider)
        self._now_s = 0.0
        self.statistics = Statistics(clock=lambda: self._now_s)
        self.health = EndpointHealth(clock=lambda: self._now_s, statistics=self.statistics)
        self._rng = random.Random(7)  # noqa: S311 -- load balancing
        self._sites = {site.id: site for site in world.all_sites}
        self._views = [(moment, make_view(world, moment)) for moment in (0.0, *world.price_moments)]
        self._routes: dict[int, list[Candidate]] = {}

    def choose(self, demand: Demand, now_s: float, tried: Sequence[Site]) -> Site | None:
        """Return the next of the route, which was made when the request came."""
        self._now_s = now_s
        if not tried:
            self._routes[demand.number] = self._route(demand)
        route = self._routes[demand.number]
        return self._sites[route[len(tried)].endpoint.id] if len(tried) < len(route) else None

    def _route(self, demand: Demand) -> list[Candidate]:
        view = next(view for moment, view in reversed(self._views) if moment <= demand.at_s)
        return find_route(
            view,
            names=(demand.model,),
            kind="chat",
            wish=self._wish,
            body={"model": demand.model, "messages": []},
            max_tokens=None,
            health=self.health,
            rng=self._rng,
        ).candidates

    def hedge(self, demand: Demand) -> tuple[float, Site] | None:
        """Return after how many milliseconds of silence a second site starts, and which."""
        route = self._routes[demand.number]
        second = second_of(route, self.health)
        return None if second is None else (hedge_after_s(self.health, route[0]) * 1_000, self._sites[second.endpoint.id])

    def started(self, site: Site, demand: Demand, now_s: float) -> None:  # noqa: ARG002 -- the protocol's
        """Tell the breaker."""
        self._now_s = now_s
        self.health.started(site.id)

    def ended(self, site: Site, demand: Demand, trial: Trial, now_s: float) -> None:
        """Tell the breaker and the statistics, as attempts do."""
        self._now_s = now_s
        self._routes.pop(demand.number, None) if trial.outcome == "ok" else None
        if trial.outcome == "ok":
            self.health.success(site.id)
            usage = Usage(input_tokens=demand.input_tokens, output_tokens=demand.output_tokens)
            self.statistics.record(
                Sample(site.id, "ok", first_token_ms=round(trial.first_token_ms), total_ms=round(trial.total_ms), usage=usage)
            )
        elif trial.outcome == "limited":
            self.health.rate_limited(site.id, 60 - now_s % 60)
            self.statistics.record(Sample(site.id, "limited"))
        else:
            self.health.failure(site.id)
            self.statistics.record(Sample(site.id, trial.outcome))

    def lost(self, site: Site, silent_ms: float) -> None:
        """Note how long the loser of a race was silent, as attempts do."""
        self.statistics.record(lost_sample(self.statistics, site.id, round(silent_ms)))

    def tick(self, now_s: float) -> None:
        """Fold what was measured, as the background does every second."""
        self._now_s = now_s
        bulletin = self.statistics.take()
        if not bulletin.is_empty:
            self.statistics.merge(bulletin, now_s, is_long=False)
        self.statistics.refresh()
        self.health.take_news()
        if int(now_s) % _FORGET_EVERY_S == 0:
            self.health.forget_old()
