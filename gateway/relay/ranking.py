"""The order among endpoints that may serve a request: what puts one behind the others, and by what they are sorted. Pure.

A rank is a sum of steps, each worth more than all below it together: an outage, a missed threshold, a poor uptime, poor quality at calling
tools. Rank 0 is as good as any; within a rank the sort decides, and without one the draw.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from gateway.relay.catalog import Candidate
from gateway.relay.expected_cost import valuer
from gateway.relay.figures import Figures
from gateway.relay.health import EndpointHealth
from gateway.relay.preferences import Preferences

DOWN: Final = 1000
_THRESHOLD: Final = 100  # twice: missed; once: not measured yet
_UPTIME: Final = 10  # times the grade
# The quality is 0 to 2.
_INFINITY: Final = float("inf")


def _by_latency(_candidate: Candidate, figures: Figures | None) -> float:
    return figures.first_token_ms[0] if figures is not None and figures.first_token_ms else _INFINITY


def _by_throughput(_candidate: Candidate, figures: Figures | None) -> float:
    return -figures.tokens_per_s[0] if figures is not None and figures.tokens_per_s else 0.0


def _by_price(candidate: Candidate, _figures: Figures | None) -> float:
    return candidate.blended_picos


def _by_tool_calls(_candidate: Candidate, figures: Figures | None) -> float:
    rate = None if figures is None else figures.tool_fault_rate
    return 1.0 if rate is None else rate


# What a sort compares, the least first; equals stay by price. Without data an endpoint comes after those that have been measured.
SORT_VALUES: Final[Mapping[str, Callable[[Candidate, Figures | None], float]]] = {
    "price": _by_price,
    "latency": _by_latency,
    "throughput": _by_throughput,
    "exacto": _by_tool_calls,
    "expected_cost": _by_price,  # where nothing is known of the request
}


def _value_of(candidates: Sequence[Candidate], wish: Preferences, health: EndpointHealth) -> Callable[[Candidate, Figures | None], float]:
    """Return what the wish's sort compares among these."""
    if wish.expected is None:
        return SORT_VALUES[wish.sort]
    return valuer(wish.expected, [health.statistics.figures(one.endpoint.id) for one in candidates])


def heeds_quality(wish: Preferences, parameters: frozenset[str]) -> bool:
    """Whether endpoints that call tools badly go behind: for ``exacto``, and for requests with tools that are not sorted otherwise."""
    return wish.sort == "exacto" or (not wish.sort and "tools" in parameters)


def rank_of(candidate: Candidate, wish: Preferences, health: EndpointHealth, *, with_quality: bool) -> int:
    """Return how far behind the endpoint goes; 0 is not at all, from ``DOWN`` on it has an outage or a rate limit."""
    return ranks_of((candidate,), wish, health, with_quality=with_quality)[0]


def ranks_of(candidates: Sequence[Candidate], wish: Preferences, health: EndpointHealth, *, with_quality: bool) -> list[int]:
    """Return the rank of each candidate. In one loop: it is most of what a choice costs."""
    statistics = health.statistics
    is_down = health.is_down if health.has_trouble else _never
    grade = statistics.grade if statistics.has_grades else _no_grade
    has_thresholds = bool(wish.max_latencies_ms or wish.min_throughputs_tps)
    ranks = []
    for candidate in candidates:
        name = candidate.endpoint.id
        rank = _UPTIME * grade(name)
        if is_down(name):
            rank += DOWN
        if has_thresholds:
            rank += _THRESHOLD * threshold_step(wish, statistics.figures(name))
        if with_quality:
            rank += statistics.quality(name)
        ranks.append(rank)
    return ranks


def say_why_behind(rank: int) -> tuple[str, str]:
    """Return the word and the sentence for the largest step of a rank above 0."""
    if rank >= DOWN:
        return "outage", "failed or was rate limited in the last seconds, so it comes after those that answer"
    if rank >= 2 * _THRESHOLD:
        return "threshold", "missed provider.preferred_max_latency or preferred_min_throughput in the last five minutes"
    if rank >= _THRESHOLD:
        return "unmeasured", "has not been measured against the thresholds in the last five minutes"
    if rank >= _UPTIME:
        return "uptime", "answered less than 95 % of the requests of the last five minutes"
    return "quality", "calls tools worse than the model's other endpoints, or too seldom to tell"


def _never(_endpoint_id: str) -> bool:
    return False


def _no_grade(_endpoint_id: str) -> int:
    return 0


def threshold_step(wish: Preferences, figures: Figures | None) -> int:
    """Return 0 when all thresholds hold, 2 when one is missed, 1 when the endpoint has not been measured."""
    if figures is None:
        return 1
    step = 0
    if wish.max_latencies_ms:
        measured = figures.first_token_ms
        step = 0 if measured else 1
        for place, bound in wish.max_latencies_ms if measured else ():
            if measured[place] > bound:
                return 2
    if wish.min_throughputs_tps:
        measured = figures.tokens_per_s
        step = step if measured else 1
        for place, bound in wish.min_throughputs_tps if measured else ():
            if measured[place] < bound:
                return 2
    return step


def may_differ(wish: Preferences, health: EndpointHealth, *, with_quality: bool) -> bool:
    """Whether any endpoint can have another rank than 0; False saves working them out."""
    statistics = health.statistics
    return bool(
        health.has_trouble
        or statistics.has_grades
        or wish.max_latencies_ms
        or wish.min_throughputs_tps
        or (with_quality and statistics.has_quality)
    )


def order_candidates(
    candidates: list[Candidate], wish: Preferences, parameters: frozenset[str], health: EndpointHealth, rng: random.Random
) -> list[Candidate]:
    """Return one model's candidates, which come by price, in the order to try."""
    with_quality = heeds_quality(wish, parameters)
    equals = len(candidates)
    ranks: list[int] | None = None
    if may_differ(wish, health, with_quality=with_quality):
        ranks = ranks_of(candidates, wish, health, with_quality=with_quality)
    if wish.sort and wish.sort != "price" and not wish.order:
        value, figures = _value_of(candidates, wish, health), health.statistics.figures
        keys = [(value(one, figures(one.endpoint.id)), place) for place, one in enumerate(candidates)]
        if ranks is not None:
            return [candidates[place] for _, _, place in sorted((rank, *key) for rank, key in zip(ranks, keys, strict=True))]
        return [candidates[place] for _, place in sorted(keys)]
    if ranks is not None:
        order = sorted(range(equals), key=ranks.__getitem__)
        candidates = [candidates[place] for place in order]
        best = ranks[order[0]]
        equals = ranks.count(best) if best < DOWN else 0
    if wish.order:
        places = {slug: place for place, slug in enumerate(wish.order)}
        last = len(places)
        return sorted(candidates, key=lambda one: min(places.get(one.endpoint.tag, last), places.get(one.endpoint.provider, last)))
    return candidates if wish.sort else draw(candidates, equals, health, rng)


def draw(candidates: list[Candidate], count: int, health: EndpointHealth, rng: random.Random) -> list[Candidate]:
    """Put one of the first ``count``, drawn with weight 1 / price², in front of all others, which stay. Free ones win outright.

    If it belongs to a group of the operator's, the group's strategy chooses among its members of those ``count``.
    """
    if count < 2:  # noqa: PLR2004 -- one is no choice
        return candidates
    chosen = 0
    if candidates[0].blended_picos:
        weights = [1.0 / (one.blended_picos * one.blended_picos) for one in candidates[:count]]
        chosen = rng.choices(range(count), weights)[0]
    group = candidates[chosen].host.spec.group
    if group:
        members = [place for place in range(count) if candidates[place].host.spec.group == group]
        chosen = _choose_member(candidates, members, candidates[chosen].host.spec.balancing, health, rng)
    if chosen:
        candidates.insert(0, candidates.pop(chosen))
    return candidates


def _choose_member(candidates: list[Candidate], members: list[int], strategy: str, health: EndpointHealth, rng: random.Random) -> int:
    """Return the place of the group's member that goes first. Members without measurements are measured."""

    def weight(place: int) -> int:
        return sum(one.weight for one in candidates[place].host.credentials)

    def headroom(place: int) -> float:
        one = candidates[place]
        shares = [health.statistics.headroom(f"{one.endpoint.id}|{credential.name}") for credential in one.host.credentials]
        return max((1.0 if share is None else share for share in shares), default=1.0)

    rng.shuffle(members)  # so that equals take turns
    match strategy:
        case "least_busy":
            return min(members, key=lambda place: health.load_of(candidates[place].endpoint.id) / max(weight(place), 1))
        case "lowest_latency":
            return min(members, key=lambda place: health.statistics.latency_ms(candidates[place].endpoint.id) or 0.0)
        case "headroom":
            return max(members, key=headroom)
    return rng.choices(members, [max(weight(place), 1) for place in members])[0]


def sort_across(candidates: list[Candidate], wish: Preferences, health: EndpointHealth) -> list[Candidate]:
    """Return the endpoints of all models in one list, as each model's was. Equals stay in the models' order."""
    value, figures = _value_of(candidates, wish, health), health.statistics.figures
    with_quality = wish.sort == "exacto"

    def key(one: Candidate) -> tuple[bool, int, float]:
        rank = rank_of(one, wish, health, with_quality=with_quality)
        return one.host.spec.is_last_resort, rank, value(one, figures(one.endpoint.id))

    return sorted(candidates, key=key)


def put_misses_last(candidates: list[Candidate], wish: Preferences, health: EndpointHealth) -> list[Candidate]:
    """Move endpoints that miss a threshold behind those of the models that follow: a later model that keeps it goes first."""
    figures = health.statistics.figures
    return sorted(candidates, key=lambda one: threshold_step(wish, figures(one.endpoint.id)) == 2)  # noqa: PLR2004 -- missed
