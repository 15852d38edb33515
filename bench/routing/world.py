"""The world in which strategies are compared: providers with prices, speeds, limits and bad days, and a day of requests. Deterministic.

Whether an attempt succeeds and how long it takes depends on the seed, the request and the site alone, so that every strategy meets the
same luck. Times are seconds since midnight.
"""

import math
import random
from collections.abc import Iterator
from typing import Final, NamedTuple

from gateway.relay.config import RelayConfig

DAY_S: Final = 86_400.0
_MASK: Final = (1 << 64) - 1
_PRICE_STEPS: Final = 6  # moments at which prices move
_CONNECT_FAILS_MS: Final = 40.0
CONNECT_TIMEOUT_MS: Final = RelayConfig.__dataclass_fields__["connect_timeout_s"].default * 1_000


class Site(NamedTuple):
    """One way to reach one model. Prices in picos per token; ``limit_rpm`` 0 is none; a straggler takes eight times as long."""

    id: str
    model: str
    provider: str
    input_picos: int
    output_picos: int
    first_token_ms: float
    tokens_per_s: float
    error_share: float
    straggler_share: float
    limit_rpm: int
    phase: float  # of its daily drift in speed, 0 to 1


class Trouble(NamedTuple):
    """A provider's bad time: ``share`` of its requests fail; ``kind`` is refused, silent, or server."""

    provider: str
    start_s: float
    end_s: float
    share: float
    kind: str


class Demand(NamedTuple):
    """One request."""

    number: int
    at_s: float
    model: str
    input_tokens: int
    output_tokens: int


class Trial(NamedTuple):
    """How an attempt would go: ``outcome`` as tallies.py names it, the first token and the end in milliseconds."""

    outcome: str
    first_token_ms: float
    total_ms: float


def _chance(seed: int, number: int, place: int, turn: int) -> float:
    """Return a number in [0, 1) that depends on nothing but these four (splitmix64)."""
    mixed = (seed * 0x9E3779B97F4A7C15 + number * 0xBF58476D1CE4E5B9 + place * 0x94D049BB133111EB + turn * 0xD6E8FEB86659FD93) & _MASK
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
    return ((mixed ^ (mixed >> 31)) >> 11) / (1 << 53)


class World:
    """``sites`` by model; ``requests`` is how many the day has."""

    def __init__(self, *, seed: int, requests: int, models: int = 12, providers: int = 15, is_calm: bool = False) -> None:
        self.seed = seed
        self.requests = requests
        self._rng = random.Random(seed)  # noqa: S311 -- the same world in every run
        self._is_calm = is_calm
        self.sites: dict[str, tuple[Site, ...]] = {}
        self._places: dict[str, int] = {}
        for number in range(models):
            self._add_model(f"lab/model-{number}", [f"host-{one}" for one in range(providers)])
        self.troubles = [] if is_calm else [*self._outages(providers), *self._brownouts(providers)]
        self._by_provider: dict[str, list[Trouble]] = {}
        for trouble in self.troubles:
            self._by_provider.setdefault(trouble.provider, []).append(trouble)
        self.price_moments = [DAY_S * (step + 1) / (_PRICE_STEPS + 1) for step in range(0 if is_calm else _PRICE_STEPS)]
        self._price_factors = {
            site.id: [round(self._rng.choice((1, 1, 1, 0.8, 1.25)), 2) for _ in self.price_moments] for site in self.all_sites
        }

    @property
    def all_sites(self) -> list[Site]:
        """Every site, by model."""
        return [site for sites in self.sites.values() for site in sites]

    def _add_model(self, model: str, providers: list[str]) -> None:
        rng = self._rng
        base_picos = round(math.exp(rng.uniform(math.log(50_000), math.log(3_000_000))))
        sites = []
        for provider in rng.sample(providers, rng.randint(3, 8)):
            input_picos = round(base_picos * rng.uniform(1.0, 1.8))
            site = Site(
                id=f"{model}@{provider}",
                model=model,
                provider=provider,
                input_picos=input_picos,
                output_picos=4 * input_picos,
                first_token_ms=rng.uniform(200, 900),
                tokens_per_s=rng.uniform(30, 140),
                error_share=rng.choice((0.0005, 0.001, 0.004)),
                straggler_share=rng.choice((0.01, 0.02, 0.03)),
                limit_rpm=0 if self._is_calm else rng.choice((0, 0, 0, 40)),
                phase=rng.random(),
            )
            self._places[site.id] = len(self._places)
            sites.append(site)
        self.sites[model] = tuple(sites)

    def _outages(self, providers: int) -> Iterator[Trouble]:
        """One provider at a time is dead, for 2 to 20 minutes, with pauses of up to three quarters of an hour between."""
        at_s = self._rng.uniform(600, 1_800)
        while at_s < DAY_S:
            length_s = self._rng.uniform(120, 1_200)
            kind = self._rng.choice(("refused", "server", "silent"))
            yield Trouble(f"host-{self._rng.randrange(providers)}", at_s, at_s + length_s, 1.0, kind)
            at_s += length_s + self._rng.uniform(600, 2_700)

    def _brownouts(self, providers: int) -> Iterator[Trouble]:
        for _ in range(40):
            at_s = self._rng.uniform(0, DAY_S)
            share = self._rng.uniform(0.05, 0.4)
            yield Trouble(f"host-{self._rng.randrange(providers)}", at_s, at_s + self._rng.uniform(300, 900), share, "server")

    def demands(self) -> Iterator[Demand]:
        """Yield the day's requests, busiest in the afternoon; some models are asked far more often than others."""
        rng = random.Random(self.seed + 1)  # noqa: S311
        models = list(self.sites)
        weights = [1 / (place + 1) for place in range(len(models))]
        moments = sorted(self._busy_moment(rng) for _ in range(self.requests))
        for number, at_s in enumerate(moments):
            input_tokens = min(round(rng.lognormvariate(6.8, 1.0)), 60_000)
            yield Demand(number, at_s, rng.choices(models, weights)[0], input_tokens, min(round(rng.lognormvariate(5.3, 0.9)), 4_000))

    @staticmethod
    def _busy_moment(rng: random.Random) -> float:
        while True:
            at_s = rng.random() * DAY_S
            if rng.random() < (1 - 0.6 * math.cos(2 * math.pi * at_s / DAY_S)) / 1.6:
                return at_s

    def price_factor(self, site: Site, at_s: float) -> float:
        """Return what the site's list price is multiplied with at a moment."""
        factor = 1.0
        for moment, step in zip(self.price_moments, self._price_factors[site.id], strict=True):
            if moment <= at_s:
                factor = step
        return factor

    def cost_picos(self, site: Site, demand: Demand) -> int:
        """Return what the answer costs there, by the price in force when the request came."""
        picos = site.input_picos * demand.input_tokens + site.output_picos * demand.output_tokens
        return round(picos * self.price_factor(site, demand.at_s))

    def trouble_at(self, provider: str, at_s: float) -> Trouble | None:
        """Return the provider's worst trouble at a moment."""
        now = [one for one in self._by_provider.get(provider, ()) if one.start_s <= at_s < one.end_s]
        return max(now, key=lambda one: one.share, default=None)

    def try_site(self, site: Site, demand: Demand, at_s: float, *, in_minute: int) -> Trial:
        """Return how an attempt at a moment goes, when the site has had ``in_minute`` others in the same minute."""
        place = self._places[site.id]
        if site.limit_rpm and in_minute >= site.limit_rpm:
            return Trial("limited", 0.0, 30.0)
        trouble = self.trouble_at(site.provider, at_s)
        luck = _chance(self.seed, demand.number, place, 1)
        if trouble is not None and luck < trouble.share:
            wait_ms = {"refused": _CONNECT_FAILS_MS, "silent": CONNECT_TIMEOUT_MS}.get(trouble.kind, site.first_token_ms)
            return Trial("server" if trouble.kind == "server" else "connect", 0.0, wait_ms)
        if _chance(self.seed, demand.number, place, 2) < site.error_share:
            return Trial("server", 0.0, site.first_token_ms)
        first_ms = site.first_token_ms * self._slowness(site, demand, at_s, place)
        return Trial("ok", first_ms, first_ms + demand.output_tokens / site.tokens_per_s * 1_000)

    def _slowness(self, site: Site, demand: Demand, at_s: float, place: int) -> float:
        drift = 1.0 if self._is_calm else 1 + 0.5 * math.sin(2 * math.pi * (at_s / DAY_S * 3 + site.phase))
        one, two = _chance(self.seed, demand.number, place, 3), _chance(self.seed, demand.number, place, 4)
        spread = math.exp(0.3 * math.sqrt(-2 * math.log(one + 1e-12)) * math.cos(2 * math.pi * two))
        is_straggler = _chance(self.seed, demand.number, place, 5) < site.straggler_share
        return drift * spread * (8 if is_straggler else 1)
