import msgspec
import pytest

from gateway.relay.auto_router import ROUTERS
from gateway.relay.families import ROUTER_ROWS, family_of, latest_aliases, listed_aliases
from tests.gateway.relay.builders import make_candidate
from tests.gateway.relay.catalog_views import make_view


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("anthropic/claude-sonnet-4.5", "anthropic/claude-sonnet"),
        ("anthropic/claude-3.7-sonnet", "anthropic/claude-sonnet"),
        ("google/gemini-2.5-flash", "google/gemini-flash"),
        ("google/gemini-2.5-flash-lite", "google/gemini-flash-lite"),
        ("google/gemini-3-flash-preview", "google/gemini-flash-preview"),
        ("openai/gpt-4o-2024-11-20", "openai/gpt-4o"),
        ("deepseek/deepseek-v3.2", "deepseek/deepseek"),
        ("meta/llama-4:free", ""),
        ("author/2025", ""),
    ],
)
def test_a_family_is_the_name_without_versions_and_dates(model, family):
    assert family_of(model) == family


def model(model_id, created_s):
    view = make_view(make_candidate("a", model=model_id))
    return msgspec.structs.replace(view.snapshot.models[model_id], created_s=created_s)


def test_latest_is_the_newest_and_of_two_of_one_day_the_higher_version():
    models = [
        model("a/swift-4.5", 20),
        model("a/swift-4", 10),
        model("a/swift-5", 20),
        model("a/swift-mini-9", 30),
        model("a/swift-6:free", 40),
    ]

    assert latest_aliases(models) == {"~a/swift-latest": "a/swift-5", "~a/swift-mini-latest": "a/swift-mini-9"}


def test_the_catalog_finds_the_alias_with_and_without_a_suffix():
    view = make_view(make_candidate("a", model="a/swift-1"), make_candidate("a", model="a/swift-2"))

    assert view.find_model("~a/swift-latest")[0].id == "a/swift-2"
    found, suffix = view.find_model("~a/swift-latest:floor")
    assert (found.id, suffix) == ("a/swift-2", "floor")
    assert view.find_model("~a/other-latest") is None


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("a/swift-1:nitro", ("a/swift-1", "nitro")),
        ("a/swift-1:floor:nitro", ("a/swift-1", "nitro")),
        ("a/swift-1:nitro:online", ("a/swift-1", "nitro")),
        ("a/swift-1:online", ("a/swift-1", "online")),
        ("a/swift-1:free", ("a/swift-1:free", "")),
        ("a/swift-1:free:floor", ("a/swift-1:free", "floor")),
        ("a/swift-1:floor:free", ("a/swift-1:free", "floor")),
        ("a/swift-1:beta", None),
        ("a/swift-1:", None),
        ("", None),
    ],
)
def test_suffixes_combine_in_any_order_and_the_last_that_sorts_counts(name, found):
    view = make_view(make_candidate("a", model="a/swift-1"), make_candidate("a", model="a/swift-1:free"))

    result = view.find_model(name)

    assert (None if result is None else (result[0].id, result[1])) == found


def test_names_of_families_with_several_models_are_listed_and_the_routers_are_those_that_answer():
    models = [model("a/swift-1", 10), model("a/swift-2", 20), model("a/lone-1", 30)]

    assert listed_aliases(models) == {"~a/swift-latest": "a/swift-2"}
    assert {name for one in ROUTER_ROWS for name in (one.id, *one.also)} == ROUTERS
