"""The probable cost counts the cache and the length of answers, as they were measured."""

import datetime as dt
import random
from dataclasses import replace

import msgspec
import pytest

from catalog.types import RateCard, Usage
from gateway.dialects.chat_completions import read_request
from gateway.relay.expected_cost import USUAL_OUTPUT_TOKENS, expected_picos, usual_output_tokens
from gateway.relay.health import EndpointHealth
from gateway.relay.planning import plan_names, plan_route
from gateway.relay.preferences import Expectation, read_preferences
from gateway.relay.samples import Sample
from gateway.relay.statistics import Statistics
from tests.gateway.relay.builders import make_candidate
from tests.gateway.relay.catalog_views import make_view

NOON = dt.datetime(2026, 11, 2, 12, tzinfo=dt.UTC)


def expectation(prompt_tokens=1_000, max_tokens=None):
    return Expectation(prompt_tokens, max_tokens, "", NOON)


def with_cache(candidate, read_picos):
    rates = {**candidate.endpoint.price.rates, "cache_read_tokens": read_picos}
    return replace(candidate, endpoint=msgspec.structs.replace(candidate.endpoint, price=RateCard(rates=rates)))


def measured(**endpoints: Usage):
    statistics = Statistics()
    for name, usage in endpoints.items():
        statistics.record(Sample(f"author/model@{name}", "ok", total_ms=1000, usage=usage))
    statistics.merge(statistics.take(), statistics._clock())
    statistics.refresh()
    return statistics


def test_an_unmeasured_endpoint_pays_the_whole_prompt_and_a_usual_answer():
    one = make_candidate("a", prompt_usd_per_million=1, completion_usd_per_million=2)

    assert expected_picos(one, None, expected=expectation(), usual=300) == 1_000 * 1_000_000 + 300 * 2_000_000


def test_measured_cache_hits_and_lengths_count():
    one = with_cache(make_candidate("a", prompt_usd_per_million=1, completion_usd_per_million=2), 100_000)
    figures = measured(a=Usage(input_tokens=250, cache_read_tokens=750, output_tokens=40)).figures("author/model@a")

    picos = expected_picos(one, figures, expected=expectation(), usual=300)

    assert picos == 250 * 1_000_000 + 750 * 100_000 + 40 * 2_000_000


def test_hits_do_not_count_where_the_cache_has_no_price_and_no_answer_is_longer_than_max_tokens():
    one = make_candidate("a", prompt_usd_per_million=1, completion_usd_per_million=2)
    figures = measured(a=Usage(input_tokens=250, cache_read_tokens=750, output_tokens=400)).figures("author/model@a")

    assert expected_picos(one, figures, expected=expectation(max_tokens=10), usual=300) == 1_000 * 1_000_000 + 10 * 2_000_000


def test_the_usual_answer_is_the_mean_of_what_was_measured():
    statistics = measured(a=Usage(input_tokens=1, output_tokens=100), b=Usage(input_tokens=1, output_tokens=300))
    figures = [statistics.figures(f"author/model@{name}") for name in ("a", "b", "c")]

    assert usual_output_tokens(figures) == 200
    assert usual_output_tokens([None]) == USUAL_OUTPUT_TOKENS


def order(provider, statistics, **fields):
    dear_with_cache = with_cache(make_candidate("b", prompt_usd_per_million=2), 100_000)
    view = make_view(make_candidate("a"), dear_with_cache)
    request = read_request(
        {"model": "author/model", "messages": [{"role": "user", "content": "x" * 40_000}], "max_tokens": 10, **fields}, has_extras=False
    )
    health, rng, wish = EndpointHealth(statistics=statistics), random.Random(1), read_preferences(provider)
    names = plan_names(view, request, wish, home=None, health=health, rng=rng)
    route, _ = plan_route(view, request, wish, names, home=None, health=health, rng=rng)
    return [one.endpoint.tag for one in route.candidates]


@pytest.mark.parametrize("sort", ["expected_cost", {"by": "expected_cost", "partition": "none"}])
def test_a_dearer_endpoint_whose_cache_is_warm_goes_before_the_cheapest(sort):
    warm = measured(b=Usage(input_tokens=1_000, cache_read_tokens=9_000, output_tokens=10))

    assert order({"sort": sort}, warm) == ["b", "a"]
    assert order({"sort": sort}, Statistics()) == ["a", "b"]
    assert order({"sort": "price"}, warm) == ["a", "b"]


def test_a_suffix_goes_before_it():
    warm = measured(b=Usage(input_tokens=1_000, cache_read_tokens=9_000, output_tokens=10))

    assert order({"sort": "expected_cost"}, warm, model="author/model:floor") == ["a", "b"]
