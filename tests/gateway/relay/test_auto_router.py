"""The routers: they choose among what can take the request, in the band of price, by points that anyone can add up."""

import random

import msgspec
import pytest

from gateway.dialects.chat_completions import ChatCompletionsDialect, decode_request, read_request
from gateway.relay.auto_router import _members as members_of
from gateway.relay.auto_router import choose_models, read_settings, resolve_names, score, task_of
from gateway.relay.catalog import CatalogView
from gateway.relay.errors import BadRequest, NoEndpoint
from gateway.relay.figures import DEGRADED
from gateway.relay.health import EndpointHealth
from gateway.relay.planning import plan_names, plan_route
from gateway.relay.preferences import read_preferences
from gateway.relay.quality import POOR
from gateway.relay.types import Home
from tests.gateway.relay.builders import make_candidate
from tests.gateway.relay.catalog_views import make_view


def make_router_view(**models: dict) -> CatalogView:
    """Return a view of models by slug; ``usd`` is the price of a million tokens, other fields are the model's."""
    candidates = [
        make_candidate(f"p{place}", model=f"lab/{slug}", prompt_usd_per_million=fields.get("usd", 1))
        for place, (slug, fields) in enumerate(models.items())
    ]
    view = make_view(*candidates)
    specs = {}
    for slug, fields in models.items():
        changes = {name: value for name, value in fields.items() if name != "usd"}
        specs[f"lab/{slug}"] = msgspec.structs.replace(view.snapshot.models[f"lab/{slug}"], **changes)
    snapshot = msgspec.structs.replace(view.snapshot, models=specs)
    view.snapshot = snapshot
    return view


def ask(text="Hello", **fields):
    body = {"model": "tollway/auto", "messages": [{"role": "user", "content": text}], **fields}
    return read_request(body, has_extras=False)


def choose(view, request, router="tollway/auto", *, provider=None, health=None, seed=1):
    return choose_models(
        view, request, router, wish=read_preferences(provider or {}), health=health or EndpointHealth(), rng=random.Random(seed)
    )


# Prices 1 to 10: two models in each of the five bands.
TEN = {f"m{usd}": {"usd": usd, "created_s": usd} for usd in range(1, 11)}


@pytest.mark.parametrize(
    ("tier", "models"),
    [
        (None, ("lab/m2", "lab/m1")),
        ("low", ("lab/m2", "lab/m1")),
        ("medium", ("lab/m4", "lab/m3")),
        ("high", ("lab/m6", "lab/m5")),
        ("xhigh", ("lab/m8", "lab/m7")),
        ("max", ("lab/m10", "lab/m9")),
    ],
)
def test_a_tier_is_a_band_of_price_and_the_newer_model_leads(tier, models):
    plugins = [{"id": "auto-router", "cost_tier": tier}] if tier else None

    assert choose(make_router_view(**TEN), ask(plugins=plugins)).models == models


@pytest.mark.parametrize(
    ("settings", "models"),
    [
        # Ten prices stand at the percentiles 0, 11, 22, … 99.
        ({"cost_quality_tradeoff": 10}, ("lab/m1",)),
        ({"cost_quality_tradeoff": 9}, ("lab/m2", "lab/m1")),
        ({"cost_quality_tradeoff": 5}, ("lab/m5", "lab/m4", "lab/m3")),
        ({"cost_quality_tradeoff": 0}, ("lab/m9", "lab/m8", "lab/m7")),
        ({"cost_quality_tradeoff": 0, "cost_tier": "medium"}, ("lab/m4", "lab/m3")),
    ],
)
def test_the_older_tradeoff_is_a_ceiling_of_price_and_a_tier_goes_before_it(settings, models):
    assert choose(make_router_view(**TEN), ask(plugins=[{"id": "auto-router", **settings}])).models == models


def turns(*models):
    said = [{"role": "assistant", "content": "Well.", **({"model": model} if model else {})} for model in models]
    return [{"role": "user", "content": "Hello"}, *said, {"role": "user", "content": "Go on"}]


@pytest.mark.parametrize(
    ("messages", "plugin", "first"),
    [
        (turns("lab/m1", "lab/m9"), {"pin_model": True}, "lab/m9"),  # the latest counts, and goes before the band
        (turns("lab/m9"), {"pin_model": False}, "lab/m2"),
        (turns("lab/m9"), {}, "lab/m2"),
        (turns("lab/m9", None), {"pin_model": True}, "lab/m2"),
        (turns("nobody/knows"), {"pin_model": True}, "lab/m2"),
        (turns("lab/m9"), {"pin_model": True, "excluded_models": ["lab/m9"]}, "lab/m2"),
        (turns(), {"pin_model": True}, "lab/m2"),
    ],
)
def test_a_pin_keeps_to_the_model_of_the_latest_answer_while_it_is_wanted(messages, plugin, first):
    request = ask(messages=messages, plugins=[{"id": "auto-router", **plugin}])

    assert choose(make_router_view(**TEN), request).models[0] == first


def test_a_pinned_conversation_does_not_go_home_to_another_model():
    view, health = make_router_view(**TEN), EndpointHealth()
    home = Home((1, "tollway/auto"), view.candidates["lab/m1"][0].endpoint.id, 9_999_999_999, 600)

    def first(*models, pin_model):
        request = ask(messages=turns(*models), plugins=[{"id": "auto-router", "pin_model": pin_model}])
        wish, rng = read_preferences({}), random.Random(1)
        names = plan_names(view, request, wish, home=home, health=health, rng=rng)
        return plan_route(view, request, wish, names, home=home, health=health, rng=rng)[0].candidates[0].endpoint.model

    assert first("lab/m2", pin_model=True) == "lab/m2"
    assert first("lab/m2", pin_model=False) == "lab/m1"


def test_the_model_on_a_message_is_not_sent_to_a_provider_that_does_not_know_it():
    body = b'{"model":"tollway/auto","messages":[{"role":"assistant","content":"a","model":"lab/m1"},{"role":"user","content":"b"}]}'
    endpoint = make_candidate("p").endpoint

    call = ChatCompletionsDialect().encode_request(
        decode_request(body), endpoint, make_candidate("p").host.spec, stream=False, max_tokens=None
    )

    assert msgspec.json.decode(call.body)["messages"][0] == {"role": "assistant", "content": "a"}


def test_at_most_three_are_chosen():
    view = make_router_view(**{f"m{number}": {"created_s": number} for number in range(6)})

    assert choose(view, ask()).models == ("lab/m5", "lab/m4", "lab/m3")


def test_points_add_up_as_documented():
    view = make_router_view(old={"created_s": 1, "context_length": 200_000}, new={"created_s": 2, "context_length": 100_000})
    old, new = sorted(members_of(view), key=lambda member: member.model.created_s)
    health = EndpointHealth()

    assert score(old, "general", health) == 0 + 250 + 83 + 100
    assert score(new, "general", health) == 400 + 250 + 83 + 50
    assert score(new, "code", health) == 400 + 75 + 83 + 50
    for _ in range(3):
        health.failure(new.candidates[0].endpoint.id)
    assert score(new, "general", health) == 400 + 250 + 0 + 50


def test_an_endpoint_that_answers_too_seldom_or_calls_tools_badly_brings_no_points():
    (one,) = members_of(make_router_view(one={}))
    health = EndpointHealth()
    statistics, name = health.statistics, one.candidates[0].endpoint.id
    well = score(one, "general", health)

    statistics._quality[name] = POOR
    assert score(one, "general", health) == well
    assert score(one, "tools", health) == well - 83
    statistics._grades[name] = DEGRADED
    assert score(one, "general", health) == well - 83


@pytest.mark.parametrize(
    ("request_fields", "task"),
    [
        ({"text": "Why does this code not compile?"}, "code"),
        ({"text": "Prove the theorem."}, "math"),
        ({"text": "Good morning"}, "general"),
        ({"text": "Weather?", "tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"text": [{"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}]}, "vision"),
    ],
)
def test_the_task_is_read_from_the_request_alone(request_fields, task):
    assert task_of(ask(**request_fields)) == task


def test_thinking_tasks_prefer_models_that_think():
    view = make_router_view(plain={"created_s": 5}, thinker={"created_s": 5, "reasoning": True})

    assert choose(view, ask("Refactor this function: def f(): pass")).models[0] == "lab/thinker"
    assert choose(view, ask("Good morning")).models[0] == "lab/plain"


@pytest.mark.parametrize(
    ("fields", "able"),
    [
        ({"text": [{"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}]}, {"input_modalities": ("text", "image")}),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, {"supported_parameters": ("tools",)}),
        ({"response_format": {"type": "json_object"}}, {"supported_parameters": ("response_format",)}),
        ({"reasoning": {"effort": "high"}}, {"reasoning": True}),
        ({"max_tokens": 8_000}, {"max_output_tokens": 8_000, "context_length": 32_000}),
        ({"text": "word " * 40_000}, {"context_length": 1_000_000}),
    ],
)
def test_only_models_that_can_take_the_request_are_chosen(fields, able):
    unable = {"supported_parameters": (), "max_output_tokens": 4_000, "created_s": 9}
    view = make_router_view(unable=unable, able={**unable, "created_s": 1, **able})

    assert choose(view, ask(**fields)).models == ("lab/able",)


@pytest.mark.parametrize(
    ("plugin", "models"),
    [
        ({"allowed_models": ["lab/a*"]}, ("lab/ab", "lab/aa")),
        ({"excluded_models": ["lab/a*"]}, ("lab/b",)),
        ({"allowed_models": ["lab/*"], "excluded_models": ["lab/ab"]}, ("lab/b", "lab/aa")),
        ({"enabled": False, "allowed_models": ["lab/b"]}, ("lab/b", "lab/ab", "lab/aa")),
    ],
)
def test_patterns_allow_and_then_exclude(plugin, models):
    view = make_router_view(aa={"created_s": 1}, ab={"created_s": 2}, b={"created_s": 3})

    assert choose(view, ask(plugins=[{"id": "auto-router", **plugin}])).models == models


def test_provider_preferences_and_expiry_hold_for_routers_too():
    view = make_router_view(a={"created_s": 2}, b={"created_s": 1}, gone={"created_s": 3, "expiration_date": "2026-12-31"})

    assert choose(view, ask(), provider={"only": ["p1"]}).models == ("lab/b",)
    assert choose(view, ask()).models == ("lab/a", "lab/b")


def test_nothing_that_fits_is_a_404_that_says_so():
    with pytest.raises(NoEndpoint) as refused:
        choose(make_router_view(a={}), ask(plugins=[{"id": "auto-router", "allowed_models": ["nobody/*"]}]))

    assert refused.value.status == 404
    assert refused.value.message == "No models match your request and model restrictions"
    assert refused.value.availability["code"] == "constraint_filtered"


@pytest.mark.parametrize(
    ("plugin", "param"),
    [
        ({"cost_tier": "cheap"}, "plugins[0].cost_tier"),
        ({"allowed_models": "lab/*"}, "plugins[0].allowed_models"),
        ({"excluded_models": ["x" * 1025]}, "plugins[0].excluded_models"),
        ({"cost_tier": ["low"]}, "plugins[0].cost_tier"),
        ({"cost_quality_tradeoff": 11}, "plugins[0].cost_quality_tradeoff"),
        ({"cost_quality_tradeoff": -1}, "plugins[0].cost_quality_tradeoff"),
        ({"cost_quality_tradeoff": 4.5}, "plugins[0].cost_quality_tradeoff"),
        ({"cost_quality_tradeoff": True}, "plugins[0].cost_quality_tradeoff"),
        ({"pin_model": "yes"}, "plugins[0].pin_model"),
    ],
)
def test_wrong_settings_are_refused_with_their_name(plugin, param):
    with pytest.raises(BadRequest) as refused:
        read_settings([{"id": "auto-router", **plugin}])

    assert refused.value.metadata == {"param": param}


def test_the_free_router_draws_among_free_models_only():
    view = make_router_view(paid={}, **{f"free{number}": {"usd": 0} for number in range(4)})

    drawn = {choose(view, ask(), "tollway/free", seed=seed).models for seed in range(40)}

    assert len(drawn) > 4
    assert {model for models in drawn for model in models} == {f"lab/free{number}" for number in range(4)}
    assert choose(view, ask()).models == ("lab/paid",)


def test_names_around_a_router_keep_their_places():
    view = make_router_view(a={"created_s": 2}, b={"created_s": 1})

    names = resolve_names(
        view,
        ask(),
        ("lab/b", "openrouter/auto"),
        wish=read_preferences({}),
        health=EndpointHealth(),
        rng=random.Random(1),
    )

    assert names == ("lab/b", "lab/a")


def test_embeddings_have_no_router():
    request = ask()
    request.kind = "embedding"

    with pytest.raises(BadRequest) as refused:
        choose(make_router_view(a={}), request)

    assert refused.value.metadata == {"param": "model"}
