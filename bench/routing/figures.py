"""What the simulation found, and the goals it is held against."""

from dataclasses import dataclass
from typing import Final, NamedTuple

from bench.routing.replay import Result
from bench.routing.tollway import Tollway
from bench.routing.world import CONNECT_TIMEOUT_MS, Demand, Trial, Trouble, World

_COST_OVER_MAX: Final = 0.03
_SUCCESS_MIN: Final = 0.999
_DETECTED_WITHIN_S: Final = 2.0
_CUT_MIN: Final = 0.40
_HEDGE_SPEND_MAX: Final = 0.05
_REPLAY_MAX_S: Final = 60  # of a processor
_P99: Final = 0.99


class Goal(NamedTuple):
    """A promise, as text, and whether it holds."""

    what: str
    wanted: str
    measured: str
    is_met: bool


@dataclass(frozen=True, slots=True)
class Figures:
    """One run. ``results`` begins with the oracle and Tollway sorted by price; times in seconds. ``took_s`` is by the clock and for all
    strategies, ``replay_s`` the processor's for one day by one of them.
    """

    seed: int
    requests: int
    results: list[Result]
    plain: Result
    hedged: Result
    dead_s: float
    silent_s: float
    troubles: list[Trouble]
    sites: int
    took_s: float
    replay_s: float

    @property
    def hedge_cut(self) -> float:
        """By how much hedging shortens the 99th percentile of the time to the first token."""
        return 1 - self.hedged.percentile_ms(_P99) / self.plain.percentile_ms(_P99)

    @property
    def hedge_spend(self) -> float:
        """What hedging adds to what the providers are paid: losers' prompts, and winners that are dearer."""
        spent = sum(cost or 0 for cost in self.hedged.costs) + self.hedged.hedged_picos
        return spent / sum(cost or 0 for cost in self.plain.costs) - 1

    @property
    def goals(self) -> list[Goal]:
        """The promises."""
        oracle, ours = self.results[0], self.results[1]
        over = ours.cost_over(oracle)
        return [
            Goal("cost above the oracle's", f"≤ {_COST_OVER_MAX:.0%}", f"{over:.2%}", over <= _COST_OVER_MAX),
            Goal("a day is replayed in", f"≤ {_REPLAY_MAX_S} s", f"{self.replay_s:.0f} s", self.replay_s <= _REPLAY_MAX_S),
            Goal("requests answered", f"≥ {_SUCCESS_MIN:.1%}", f"{ours.success_share:.3%}", ours.success_share >= _SUCCESS_MIN),
            Goal(
                "a dead provider goes last after", f"≤ {_DETECTED_WITHIN_S:g} s", f"{self.dead_s:.2f} s", self.dead_s <= _DETECTED_WITHIN_S
            ),
            Goal("hedging cuts p99 of the first token by", f"≥ {_CUT_MIN:.0%}", f"{self.hedge_cut:.0%}", self.hedge_cut >= _CUT_MIN),
            Goal(
                "hedging adds to the spending", f"≤ {_HEDGE_SPEND_MAX:.0%}", f"{self.hedge_spend:.2%}", self.hedge_spend <= _HEDGE_SPEND_MAX
            ),
        ]


def _detect(per_s: float, *, fails_after_ms: float) -> float:
    """Return how long after its death the cheapest site of a model is tried first for the last time, in seconds."""
    world = World(seed=3, requests=0, models=1, is_calm=True)
    [sites] = world.sites.values()
    dead = min(sites, key=lambda site: site.input_picos)
    router = Tollway("", world, sort="price")
    failing: list[tuple[float, Demand]] = []
    last_s = 0.0
    for number in range(int(20 * per_s)):
        now_s = 1_000 + number / per_s
        while failing and failing[0][0] <= now_s:
            ends_s, demand = failing.pop(0)
            router.ended(dead, demand, Trial("connect", 0.0, fails_after_ms), ends_s)
        demand = Demand(number, now_s, dead.model, 100, 100)
        if router.choose(demand, now_s, []) == dead:
            last_s = now_s - 1_000
            router.started(dead, demand, now_s)
            failing.append((now_s + fails_after_ms / 1_000, demand))
    return last_s


def detect_dead(*, per_s: float) -> float:
    """Return the seconds for one that refuses connections."""
    return _detect(per_s, fails_after_ms=40)


def detect_silent(*, per_s: float) -> float:
    """Return the seconds for one that swallows connections, which fail when connecting times out."""
    return _detect(per_s, fails_after_ms=round(CONNECT_TIMEOUT_MS))
