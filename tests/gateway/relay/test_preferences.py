import msgspec
import pytest

from gateway.relay.errors import BadRequest
from gateway.relay.figures import PLACES
from gateway.relay.preferences import NO_PREFERENCES, Preferences, check_slugs, read_preferences
from tests.gateway.relay.builders import make_candidate
from tests.gateway.relay.catalog_views import make_view


def test_preferences_are_read_exactly():
    wish = read_preferences(
        {
            "order": ["OpenAI", "azure", "openai"],
            "only": ["openai", "Azure"],
            "ignore": ["deepinfra/turbo"],
            "allow_fallbacks": False,
            "require_parameters": True,
            "data_collection": "deny",
            "zdr": True,
            "quantizations": ["BF16", "fp8"],
            "sort": {"by": "price", "partition": "model"},
            "max_price": {"prompt": "0.075", "completion": 1, "request": 0.01, "image": "0.04"},
        },
    )

    assert wish == Preferences(
        order=("openai", "azure"),
        only=("openai", "azure"),
        ignore=("deepinfra/turbo",),
        allow_fallbacks=False,
        require_parameters=True,
        deny_data_collection=True,
        zdr=True,
        quantizations=("bf16", "fp8", "mxfp8"),
        sort="price",
        max_rates=(("input_tokens", 75_000), ("output_tokens", 1_000_000), ("requests", 10_000_000_000), ("images", 40_000_000_000)),
    )


def test_thresholds_are_pairs_of_a_percentile_and_a_bound_in_milliseconds_and_tokens_per_second():
    wish = read_preferences({"preferred_min_throughput": 50, "preferred_max_latency": {"p50": 0.25, "p90": None, "p99": 2}})
    assert wish.min_throughputs_tps == ((PLACES["p50"], 50),)
    assert wish.max_latencies_ms == ((PLACES["p50"], 250), (PLACES["p99"], 2000))


def test_a_limit_on_audio_is_dollars_per_token_as_a_models_audio_price_is():
    assert read_preferences({"max_price": {"audio": "0.00004"}}).max_rates == (("audio_input_tokens", 40_000_000),)


def test_a_limit_finer_than_a_pico_is_rounded_up():
    assert read_preferences({"max_price": {"prompt": "0.000000001"}}).max_rates == (("input_tokens", 1),)


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"a_key_of_tomorrow": 3},
        {"max_price": {"a_price_of_tomorrow": -1, "prompt": None}},
        {"order": None, "only": None, "ignore": [], "sort": None, "max_price": None, "quantizations": None, "zdr": None},
        {"preferred_min_throughput": None, "preferred_max_latency": {"p50": None, "p10": "fast"}},
        {"enforce_distillable_text": False},
        {"sort": {"by": None, "partition": None}},
    ],
)
def test_what_is_unknown_null_or_rules_nothing_out_changes_nothing(raw):
    assert read_preferences(raw) == NO_PREFERENCES


@pytest.mark.parametrize(
    ("sort", "by", "across_models"),
    [
        ("latency", "latency", False),
        ({"by": "throughput"}, "throughput", False),
        ({"by": "throughput", "partition": "model"}, "throughput", False),
        ({"by": "throughput", "partition": "none"}, "throughput", True),
        ({"partition": "model"}, "", False),
        ({"partition": "none"}, "price", True),
    ],
)
def test_a_sort_is_a_word_or_an_object_and_one_list_of_all_models_always_has_an_order(sort, by, across_models):
    assert read_preferences({"sort": sort}) == Preferences(sort=by, across_models=across_models)


def test_no_provider_object_costs_no_work():
    assert read_preferences({}) is NO_PREFERENCES


@pytest.mark.parametrize(("asked", "covered"), [("fp4", ("fp4", "mxfp4", "nvfp4")), ("fp8", ("fp8", "mxfp8")), ("mxfp4", ("mxfp4",))])
def test_a_wide_quantization_covers_the_narrow_ones(asked, covered):
    assert read_preferences({"quantizations": [asked]}).quantizations == covered


@pytest.mark.parametrize(
    ("raw", "param"),
    [
        ({"order": "openai"}, "provider.order"),
        ({"only": [1]}, "provider.only"),
        ({"ignore": {"openai": True}}, "provider.ignore"),
        ({"only": ["a", "OpenAI"], "ignore": ["openai"]}, "provider.ignore"),
        ({"allow_fallbacks": "yes"}, "provider.allow_fallbacks"),
        ({"require_parameters": 1}, "provider.require_parameters"),
        ({"zdr": "true"}, "provider.zdr"),
        ({"enforce_distillable_text": "true"}, "provider.enforce_distillable_text"),
        ({"quantizations": ["fp8", "fp7"]}, "provider.quantizations"),
        ({"quantizations": "fp8"}, "provider.quantizations"),
        ({"sort": "fame"}, "provider.sort"),
        ({"sort": ["price"]}, "provider.sort"),
        ({"sort": {"by": "fame"}}, "provider.sort.by"),
        ({"sort": {"by": "price", "partition": "some"}}, "provider.sort.partition"),
        ({"sort": {"by": "price", "partition": False}}, "provider.sort.partition"),
        ({"data_collection": "maybe"}, "provider.data_collection"),
        ({"max_price": 3}, "provider.max_price"),
        ({"max_price": []}, "provider.max_price"),
        ({"max_price": {"prompt": "cheap"}}, "provider.max_price.prompt"),
        ({"max_price": {"prompt": True}}, "provider.max_price.prompt"),
        ({"max_price": {"prompt": "NaN"}}, "provider.max_price.prompt"),
        ({"max_price": {"prompt": [0, [1], 0]}}, "provider.max_price.prompt"),
        ({"max_price": {"completion": -1}}, "provider.max_price.completion"),
        ({"max_price": {"request": "-0.01"}}, "provider.max_price.request"),
        ({"max_price": {"image": {}}}, "provider.max_price.image"),
        ({"max_price": {"audio": -0.5}}, "provider.max_price.audio"),
        ({"preferred_min_throughput": "fast"}, "provider.preferred_min_throughput"),
        ({"preferred_min_throughput": True}, "provider.preferred_min_throughput"),
        ({"preferred_min_throughput": -1}, "provider.preferred_min_throughput"),
        ({"preferred_max_latency": {"p75": -0.1}}, "provider.preferred_max_latency.p75"),
        ({"preferred_max_latency": [1]}, "provider.preferred_max_latency"),
        ({"preferred_max_latency": {"p50": 1, "p90": "slow"}}, "provider.preferred_max_latency.p90"),
    ],
)
def test_a_wrong_preference_is_refused_with_its_name(raw, param):
    with pytest.raises(BadRequest) as refused:
        read_preferences(raw)

    assert refused.value.status == 400
    assert refused.value.metadata == {"param": param}
    assert refused.value.message.startswith(param)


@pytest.fixture(scope="module")
def view():
    idle = msgspec.structs.replace(make_candidate("idle").host.spec, mode="off")
    return make_view(make_candidate("deepinfra", tag="deepinfra/turbo"), idle_providers=(idle,))


@pytest.mark.parametrize("slug", ["deepinfra", "deepinfra/turbo", "idle"])
@pytest.mark.parametrize("name", ["order", "only", "ignore"])
def test_providers_and_tags_of_the_catalog_are_known_whether_they_can_be_called_or_not(view, name, slug):
    assert "idle" not in view.hosts

    check_slugs(read_preferences({name: [slug.upper()]}), view)


@pytest.mark.parametrize("slug", ["nobody", "deepinfra/slow", ""])
@pytest.mark.parametrize("name", ["order", "only", "ignore"])
def test_an_unknown_slug_is_refused_with_its_field(view, name, slug):
    with pytest.raises(BadRequest) as refused:
        check_slugs(read_preferences({name: ["deepinfra", slug]}), view)

    assert refused.value.status == 400
    assert refused.value.metadata == {"param": f"provider.{name}"}
    assert repr(slug) in refused.value.message


def test_slugs_are_held_against_the_catalog_in_force(view):
    newer = make_view(make_candidate("deepinfra", tag="deepinfra/slow"))
    wish = read_preferences({"only": ["deepinfra/slow"]})

    check_slugs(wish, newer)
    with pytest.raises(BadRequest):
        check_slugs(wish, view)
