"""Conversations stay where their prompt is in the cache."""

import pytest
from django.conf import settings
from redis.exceptions import RedisError

from catalog.types import RateCard, Usage
from gateway.dialects.chat_completions import read_request
from gateway.relay.health import EndpointHealth
from gateway.relay.preferences import Preferences
from gateway.relay.routing import Route
from gateway.relay.stickiness import Stickiness, settle_in
from gateway.relay.sticky_sharing import StickySharing
from tests.gateway.relay.builders import make_candidate

CACHED = Usage(input_tokens=10, cache_read_tokens=2_000, output_tokens=5)
PLAIN = Usage(input_tokens=10, output_tokens=5)


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now_s


def ask(text="Hello", *, system="Be brief.", more=(), **fields):
    messages = [{"role": "system", "content": system}, {"role": "user", "content": text}, *more]
    return read_request({"model": "author/model", "messages": messages, **fields}, has_extras=False)


def endpoint(provider="a", *, cache_read_picos=100_000):
    one = make_candidate(provider).endpoint
    rates = {**one.price.rates, **({} if cache_read_picos is None else {"cache_read_tokens": cache_read_picos})}
    return type(one)(**{name: getattr(one, name) for name in one.__struct_fields__ if name != "price"}, price=RateCard(rates=rates))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def homes(clock: Clock) -> Stickiness:
    return Stickiness(clock)


def test_the_next_turn_finds_the_endpoint_whose_cache_was_used(homes):
    assert homes.find(1, ask()) is None
    homes.note(1, ask(), endpoint(), CACHED)

    turn = ask(more=[{"role": "assistant", "content": "Hi"}, {"role": "user", "content": "And now?"}])
    assert homes.find(1, turn).endpoint_id == "author/model@a"


@pytest.mark.parametrize(
    ("org_id", "request_"),
    [(2, ask()), (1, ask("Good morning")), (1, ask(system="Be loud.")), (1, ask(session_id="s")), (1, ask(model="author/other"))],
)
def test_other_customers_conversations_and_models_have_their_own(homes, org_id, request_):
    homes.note(1, ask(), endpoint(), CACHED)

    assert homes.find(org_id, request_) is None


@pytest.mark.parametrize(
    ("request_", "usage", "cache_read_picos", "has_home"),
    [
        (ask(), PLAIN, 100_000, False),
        (ask(), CACHED, 1_000_000, False),
        (ask(), CACHED, None, False),
        (ask(), Usage(cache_write_tokens=2_000, output_tokens=5), 100_000, True),
        (ask(session_id="s"), PLAIN, None, True),
        (ask(prompt_cache_key="k"), PLAIN, 100_000, False),
        (ask(prompt_cache_key="k"), CACHED, 100_000, True),
    ],
)
def test_a_home_is_made_by_a_session_or_by_a_cache_that_is_cheaper_than_the_prompt(homes, request_, usage, cache_read_picos, has_home):
    homes.note(1, request_, endpoint(cache_read_picos=cache_read_picos), usage)

    assert (homes.find(1, request_) is not None) == has_home


def test_a_session_or_cache_key_names_the_conversation_whatever_is_said(homes):
    homes.note(1, ask("One", session_id="s"), endpoint("a"), PLAIN)
    homes.note(1, ask("Two", prompt_cache_key="k"), endpoint("b"), CACHED)

    assert homes.find(1, ask("Three", session_id="s")).endpoint_id == "author/model@a"
    assert homes.find(1, ask("Four", prompt_cache_key="k")).endpoint_id == "author/model@b"


@pytest.mark.parametrize(
    ("provider", "usage", "life_s"),
    [("a", CACHED, 600), ("openai", CACHED, 1_800), ("deepseek", CACHED, 7_200), ("a", Usage(cache_write_1h_tokens=9), 3_660)],
)
def test_a_home_lasts_at_least_as_long_as_the_providers_cache(homes, clock, provider, usage, life_s):
    homes.note(1, ask(), endpoint(provider), usage)

    clock.now_s += life_s - 1
    assert homes.find(1, ask()) is not None
    clock.now_s += 1
    assert homes.find(1, ask()) is None


def test_each_answer_makes_it_last_and_an_hours_cache_stays_an_hours(homes, clock):
    homes.note(1, ask(), endpoint(), Usage(cache_write_1h_tokens=9))
    clock.now_s += 3_000
    homes.note(1, ask(), endpoint(), CACHED)

    clock.now_s += 3_000
    assert homes.find(1, ask()) is not None
    homes.forget_old()
    clock.now_s += 1_000
    homes.forget_old()
    assert homes.find(1, ask()) is None
    assert homes._homes == homes._owners == {}


def test_the_newest_endpoint_wins(homes):
    homes.note(1, ask(), endpoint("a"), CACHED)
    homes.note(1, ask(), endpoint("b"), CACHED)

    assert homes.find(1, ask()).endpoint_id == "author/model@b"


def route_of(*slugs, model="author/model"):
    return Route([make_candidate(slug, model=model) for slug in slugs])


def settled(homes, route, wish=None, health=None, **options):
    settle_in(route, homes.find(1, ask()), wish or Preferences(), health or EndpointHealth(), **options)
    return [one.endpoint.provider for one in route.candidates]


def test_home_goes_first_and_the_others_keep_their_order(homes):
    homes.note(1, ask(), endpoint("c"), CACHED)

    assert settled(homes, route_of("a", "b", "c", "d")) == ["c", "a", "b", "d"]
    assert settled(homes, route_of("a", "b")) == ["a", "b"]


def test_home_survives_an_order_that_names_it_and_no_other(homes):
    homes.note(1, ask(), endpoint("c"), CACHED)

    assert settled(homes, route_of("b", "c", "a"), Preferences(order=("b", "c"))) == ["c", "b", "a"]
    assert settled(homes, route_of("b", "c", "a"), Preferences(order=("b",))) == ["b", "c", "a"]


def test_home_with_an_outage_waits(homes):
    homes.note(1, ask(), endpoint("c"), CACHED)
    health = EndpointHealth()
    for _ in range(3):
        health.failure("author/model@c")

    assert settled(homes, route_of("a", "c"), health=health) == ["a", "c"]


def test_a_fallback_model_is_a_home_for_routers_only(homes):
    homes.note(1, ask(), endpoint("c"), CACHED)
    mixed = Route([*route_of("a", model="author/first").candidates, *route_of("c").candidates])

    assert settled(homes, mixed) == ["a", "c"]
    assert settled(homes, mixed, any_model=True) == ["c", "a"]


async def test_other_processes_hear_of_a_home_and_one_that_begins_later_too(broker):
    here, there = Stickiness(), Stickiness()
    ours, theirs = StickySharing(settings.BROKER_REDIS_URL, here), StickySharing(settings.BROKER_REDIS_URL, there)
    await theirs.exchange_news()
    here.note(1, ask(), endpoint("c"), CACHED)

    await ours.exchange_news()
    await theirs.exchange_news()
    assert there.find(1, ask()) == here.find(1, ask())

    late = Stickiness()
    beginner = StickySharing(settings.BROKER_REDIS_URL, late)
    await beginner.exchange_news()
    assert late.find(1, ask()) == here.find(1, ask())
    for one in (ours, theirs, beginner):
        await one.close()


async def test_without_redis_a_process_goes_on_with_what_it_knows():
    alone = Stickiness()
    sharing = StickySharing("redis://127.0.0.1:1/0", alone)
    alone.note(1, ask(), endpoint("c"), CACHED)

    with pytest.raises(RedisError):
        await sharing.exchange_news()
    assert alone.find(1, ask()).endpoint_id == "author/model@c"
    await sharing.close()
