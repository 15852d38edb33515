"""The simulation: the same world every time, the same luck for everybody, and an oracle that nobody beats."""

import itertools

import pytest

from bench.routing.figures import detect_dead
from bench.routing.replay import ATTEMPTS_MAX, Replay, Result
from bench.routing.strategies import LITELLM, Chance, LiteLlm
from bench.routing.tollway import Tollway
from bench.routing.world import DAY_S, Demand, Trial, World

REQUESTS = 1_500


@pytest.fixture(scope="module")
def world() -> World:
    return World(seed=5, requests=REQUESTS)


@pytest.fixture(scope="module")
def oracle(world: World) -> Result:
    return Replay(world).run()


def test_a_day_is_the_same_every_time(world: World) -> None:
    again = World(seed=5, requests=REQUESTS)
    assert list(again.demands()) == list(world.demands())
    days = [Replay(one).run(Tollway("", one, sort="price")) for one in (world, again)]
    assert (days[0].costs, days[0].first_token_ms) == (days[1].costs, days[1].first_token_ms)
    other = World(seed=6, requests=REQUESTS)
    assert list(other.demands()) != list(world.demands())


def test_one_provider_is_dead_at_a_time_and_its_requests_fail(world: World) -> None:
    outages = sorted((one for one in world.troubles if one.share == 1), key=lambda one: one.start_s)
    assert len(outages) > 10
    assert all(before.end_s < after.start_s for before, after in itertools.pairwise(outages))
    found = next((one, site) for one in outages for site in world.all_sites if site.provider == one.provider)
    demand = Demand(0, found[0].start_s + 1, found[1].model, 10, 10)
    assert world.try_site(found[1], demand, demand.at_s, in_minute=0).outcome in {"connect", "server"}


def test_a_site_with_a_limit_refuses_what_is_beyond_it(world: World) -> None:
    site = next(one for one in world.all_sites if one.limit_rpm)
    demand = Demand(0, 10.0, site.model, 10, 10)
    assert world.try_site(site, demand, 10.0, in_minute=site.limit_rpm) == Trial("limited", 0.0, 30.0)
    assert world.try_site(site, demand, 10.0, in_minute=site.limit_rpm - 1).outcome != "limited"


def test_nobody_pays_less_than_the_oracle_for_the_same_requests(world: World, oracle: Result) -> None:
    assert oracle.attempts == sum(cost is not None for cost in oracle.costs)
    for strategy in (Tollway("", world), *(LiteLlm(name, world, value) for name, value in LITELLM.items()), Chance(world)):
        day = Replay(world).run(strategy)
        assert day.cost_over(oracle) >= -1e-3  # the oracle's own requests use up limits too
        assert len(day.costs) == REQUESTS
        assert day.attempts <= ATTEMPTS_MAX * REQUESTS
        assert sum(day.asked_by_hour) == REQUESTS
        assert sum(day.failed_by_hour) == sum(cost is None for cost in day.costs)


def test_the_router_by_price_answers_and_costs_as_promised(world: World, oracle: Result) -> None:
    day = Replay(world).run(Tollway("", world, sort="price"))
    assert day.success_share >= 0.999
    assert day.cost_over(oracle) <= 0.03


def test_a_provider_that_refuses_is_found_within_two_seconds() -> None:
    assert 0 < detect_dead(per_s=20) <= 2


def test_a_race_is_won_by_the_first_to_speak_and_charges_the_losers_prompt() -> None:
    calm = World(seed=9, requests=6 * REQUESTS, models=1, is_calm=True)  # one model, so that its endpoint is measured
    plain = Replay(calm).run(Tollway("", calm, sort="price"))
    raced = Replay(calm, hedges=True).run(Tollway("", calm, sort="price"))
    assert raced.hedged > 0
    assert raced.hedged_picos > 0
    assert raced.percentile_ms(0.99) < plain.percentile_ms(0.99)
    assert raced.success_share == plain.success_share == 1


def test_demands_come_in_order_and_within_the_day(world: World) -> None:
    moments = [one.at_s for one in world.demands()]
    assert moments == sorted(moments)
    assert moments[0] >= 0
    assert moments[-1] < DAY_S
