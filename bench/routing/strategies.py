"""Who chooses: Tollway's own router as it runs in production, LiteLLM's strategies by their documentation, chance, and an oracle.

A strategy is asked once per attempt and told how each ended. Facts about LiteLLM: docs routing.md and constants.py, as of August 2026: a
429 cools a deployment for five seconds, and so does a minute in which more than half of at least five requests failed.
"""

import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from bench.routing.world import Demand, Site, Trial, World

_COOLDOWN_S: Final = 5.0
_MINUTE_S: Final = 60.0
_FAILED_MIN: Final = 5
_REMEMBERED: Final = 10


class Strategy(Protocol):
    """``name`` is what the report calls it."""

    name: str

    def choose(self, demand: Demand, now_s: float, tried: Sequence[Site]) -> Site | None:
        """Return where to send the next attempt; None gives up."""

    def started(self, site: Site, demand: Demand, now_s: float) -> None:
        """An attempt has begun."""

    def ended(self, site: Site, demand: Demand, trial: Trial, now_s: float) -> None:
        """An attempt has ended."""

    def tick(self, now_s: float) -> None:
        """A second has passed."""


@dataclass
class _Deployment:
    """What LiteLLM's router remembers of one."""

    cooling_until_s: float = 0.0
    minute: int = -1
    requests: int = 0
    failures: int = 0
    tokens: int = 0
    running: int = 0
    latencies: deque[float] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))

    def enter(self, now_s: float) -> None:
        minute = int(now_s // _MINUTE_S)
        if minute != self.minute:
            self.minute, self.requests, self.failures, self.tokens = minute, 0, 0, 0


class LiteLlm:
    """One of LiteLLM's strategies: the best by ``value`` among those that are not cooling, each attempt anew; without one at random."""

    def __init__(self, name: str, world: World, value: Callable[[World, _Deployment, Site, Demand], float] | None) -> None:
        self.name = name
        self._world = world
        self._value = value
        self._deployments = {site.id: _Deployment() for site in world.all_sites}
        self._rng = random.Random(7)  # noqa: S311 -- load balancing

    def choose(self, demand: Demand, now_s: float, tried: Sequence[Site]) -> Site | None:  # noqa: ARG002 -- it may choose one again
        """Return the best that is not cooling, of all when all are."""
        sites = self._world.sites[demand.model]
        healthy = [site for site in sites if self._deployments[site.id].cooling_until_s <= now_s] or list(sites)
        if self._value is None:
            return self._rng.choice(healthy)
        values = [self._value(self._world, self._deployments[site.id], site, demand) for site in healthy]
        best = min(values)
        return self._rng.choice([site for site, value in zip(healthy, values, strict=True) if value == best])

    def started(self, site: Site, demand: Demand, now_s: float) -> None:  # noqa: ARG002
        """Count it."""
        deployment = self._deployments[site.id]
        deployment.enter(now_s)
        deployment.requests += 1
        deployment.running += 1

    def ended(self, site: Site, demand: Demand, trial: Trial, now_s: float) -> None:
        """Count it, and let the deployment cool when it fails too often."""
        deployment = self._deployments[site.id]
        deployment.enter(now_s)
        deployment.running -= 1
        if trial.outcome == "ok":
            deployment.tokens += demand.input_tokens + demand.output_tokens
            deployment.latencies.append(trial.total_ms / max(demand.output_tokens, 1))
            return
        deployment.failures += 1
        mostly_fails = deployment.requests >= _FAILED_MIN and deployment.failures * 2 > deployment.requests
        if trial.outcome == "limited" or mostly_fails:
            deployment.cooling_until_s = now_s + _COOLDOWN_S

    def tick(self, now_s: float) -> None:
        """Nothing is done by the clock."""


def _mean_latency(_world: World, deployment: _Deployment, _site: Site, _demand: Demand) -> float:
    return sum(deployment.latencies) / len(deployment.latencies) if deployment.latencies else 0.0


LITELLM: Final[Mapping[str, Callable[[World, _Deployment, Site, Demand], float] | None]] = {
    "LiteLLM simple-shuffle": None,
    "LiteLLM least-busy": lambda _world, deployment, _site, _demand: deployment.running,
    "LiteLLM latency-based": _mean_latency,
    "LiteLLM usage-based": lambda _world, deployment, _site, _demand: deployment.tokens,
    "LiteLLM cost-based": lambda world, _deployment, site, demand: world.cost_picos(site, demand),
}


class Chance:
    """Any site that was not tried, with no memory."""

    name = "plain random"

    def __init__(self, world: World) -> None:
        self._world = world
        self._rng = random.Random(7)  # noqa: S311 -- load balancing

    def choose(self, demand: Demand, now_s: float, tried: Sequence[Site]) -> Site | None:  # noqa: ARG002
        """Return any that was not tried."""
        left = [site for site in self._world.sites[demand.model] if site not in tried]
        return self._rng.choice(left) if left else None

    def started(self, *_: Any) -> None:
        """Nothing is remembered."""

    ended = tick = started


class Oracle:
    """Knows how every attempt would go: the cheapest site that answers, at the first attempt."""

    name = "oracle"

    def __init__(self, world: World, load_of: Callable[[Site, float], int]) -> None:
        self._world = world
        self._load_of = load_of

    def choose(self, demand: Demand, now_s: float, tried: Sequence[Site]) -> Site | None:
        """Return the cheapest that would answer."""
        sites = sorted(self._world.sites[demand.model], key=lambda site: self._world.cost_picos(site, demand))
        for site in sites:
            if site not in tried and self._world.try_site(site, demand, now_s, in_minute=self._load_of(site, now_s)).outcome == "ok":
                return site
        return None

    def started(self, *_: Any) -> None:
        """Nothing is remembered."""

    ended = tick = started
