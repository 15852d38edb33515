"""Replays the day: arrivals, attempts and their ends in the order in which they happen, for one strategy."""

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from bench.routing.strategies import Oracle, Strategy
from bench.routing.tollway import Tollway
from bench.routing.world import DAY_S, Demand, Site, Trial, World

ATTEMPTS_MAX: Final = 4  # as in production, for everybody
_HOURS: Final = 24


@dataclass
class Result:
    """What came of a day. Costs in picos, by request number; None was not answered. First tokens in milliseconds from the arrival."""

    name: str
    costs: list[int | None] = field(default_factory=list)
    first_token_ms: list[float] = field(default_factory=list)
    attempts: int = 0
    hedged_picos: int = 0  # what the losers of races cost
    hedged: int = 0
    asked_by_hour: list[int] = field(default_factory=lambda: [0] * _HOURS)
    failed_by_hour: list[int] = field(default_factory=lambda: [0] * _HOURS)

    @property
    def success_share(self) -> float:
        """Answered requests by all."""
        return sum(cost is not None for cost in self.costs) / len(self.costs)

    def percentile_ms(self, share: float) -> float:
        """Return the time to the first token that this share of the answered requests kept below."""
        ordered = sorted(self.first_token_ms)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)]

    def cost_over(self, other: "Result") -> float:
        """Return what the requests that both answered cost here, by what they cost there, less 1."""
        pairs = [(ours, theirs) for ours, theirs in zip(self.costs, other.costs, strict=True) if ours is not None and theirs is not None]
        return sum(ours for ours, _ in pairs) / sum(theirs for _, theirs in pairs) - 1


class Replay:
    """One run of one strategy. ``load_of`` counts a site's accepted attempts in the running minute."""

    def __init__(self, world: World, *, hedges: bool = False) -> None:
        self._world = world
        self._hedges = hedges
        self._minutes: dict[str, tuple[int, int]] = {}
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = 0
        self._strategy: Strategy
        self._result: Result

    def load_of(self, site: Site, at_s: float) -> int:
        """Return how many attempts the site has taken in the minute of a moment."""
        minute, count = self._minutes.get(site.id, (-1, 0))
        return count if minute == int(at_s // 60) else 0

    def run(self, strategy: Strategy | None = None, *, progress: Callable[[float], None] | None = None) -> Result:
        """Replay with the strategy; without one, the oracle."""
        self._strategy = strategy or Oracle(self._world, self.load_of)
        self._result = Result(self._strategy.name, costs=[None] * self._world.requests)
        clock_s = 0
        for demand in self._world.demands():
            self._play(demand.at_s)
            if int(demand.at_s) > clock_s:
                clock_s = int(demand.at_s)
                self._strategy.tick(float(clock_s))
                if progress is not None and clock_s % 600 == 0:
                    progress(clock_s / DAY_S)
            self._result.asked_by_hour[int(demand.at_s // 3_600)] += 1
            self._attempt(demand, demand.at_s, [])
        self._play(float("inf"))
        return self._result

    def _later(self, at_s: float, event: Callable[[float], None]) -> None:
        self._order += 1
        heapq.heappush(self._events, (at_s, self._order, event))

    def _play(self, until_s: float) -> None:
        while self._events and self._events[0][0] <= until_s:
            at_s, _, event = heapq.heappop(self._events)
            event(at_s)

    def _attempt(self, demand: Demand, now_s: float, tried: list[Site]) -> None:
        site = self._strategy.choose(demand, now_s, tried) if len(tried) < ATTEMPTS_MAX else None
        if site is None:
            self._result.failed_by_hour[int(demand.at_s // 3_600)] += 1
            return
        trial = self._send(site, demand, now_s)
        if self._hedges and not tried and isinstance(self._strategy, Tollway) and self._race(site, trial, demand, now_s):
            return
        self._await(site, trial, demand, now_s, tried)

    def _send(self, site: Site, demand: Demand, now_s: float) -> Trial:
        trial = self._world.try_site(site, demand, now_s, in_minute=self.load_of(site, now_s))
        if trial.outcome != "limited":
            self._minutes[site.id] = int(now_s // 60), self.load_of(site, now_s) + 1
        self._strategy.started(site, demand, now_s)
        self._result.attempts += 1
        return trial

    def _await(self, site: Site, trial: Trial, demand: Demand, now_s: float, tried: list[Site]) -> None:
        ends_s = now_s + trial.total_ms / 1_000
        if trial.outcome == "ok":
            self._answer(site, demand, (now_s - demand.at_s) * 1_000 + trial.first_token_ms)
            self._later(ends_s, lambda at_s: self._strategy.ended(site, demand, trial, at_s))
            return

        def fail(at_s: float) -> None:
            self._strategy.ended(site, demand, trial, at_s)
            self._attempt(demand, at_s, [*tried, site])

        self._later(ends_s, fail)

    def _answer(self, site: Site, demand: Demand, first_token_ms: float) -> None:
        self._result.costs[demand.number] = self._world.cost_picos(site, demand)
        self._result.first_token_ms.append(first_token_ms)

    def _race(self, site: Site, trial: Trial, demand: Demand, now_s: float) -> bool:
        """Start a second site beside a silent first one. The loser is cancelled when the winner speaks: it has cost its prompt."""
        assert isinstance(self._strategy, Tollway)  # noqa: S101 -- only it can be asked
        plan = self._strategy.hedge(demand)
        if plan is None or trial.outcome != "ok" or trial.first_token_ms <= plan[0]:
            return False
        after_ms, second = plan
        begins_s = now_s + after_ms / 1_000
        other = self._send(second, demand, begins_s)
        self._result.hedged += 1
        other_ms = after_ms + other.first_token_ms
        if other.outcome != "ok":
            self._await(site, trial, demand, now_s, [])
            return True
        if other_ms >= trial.first_token_ms:
            self._strategy.lost(second, trial.first_token_ms - after_ms)
            self._result.hedged_picos += self._prompt_picos(second, demand)
            self._await(site, trial, demand, now_s, [])
            return True
        self._strategy.lost(site, other_ms)
        self._result.hedged_picos += self._prompt_picos(site, demand)
        self._await(second, other, demand, begins_s, [site])
        return True

    def _prompt_picos(self, site: Site, demand: Demand) -> int:
        return round(site.input_picos * self._world.price_factor(site, demand.at_s)) * demand.input_tokens


def run_all(world: World, strategies: Iterable[Strategy], *, told: Callable[[str], Callable[[float], None]]) -> list[Result]:
    """Return the oracle's day and each strategy's. ``told`` is given a name and returns what takes its progress, 0 to 1."""
    results = [Replay(world).run(progress=told("oracle"))]
    results += [Replay(world).run(strategy, progress=told(strategy.name)) for strategy in strategies]
    return results
