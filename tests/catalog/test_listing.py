"""GET /api/v1/models, as the official client parses it."""

import json
from typing import Any

import pytest
from openrouter.components import ModelsListResponse

from catalog.listing import Body, pricing_body
from catalog.listings import Listings
from catalog.model_query import ModelQuery
from catalog.pricing import PICOS_PER_USD
from catalog.types import PriceTier, RateCard, TimePrice
from tests.catalog.conftest import RealCatalog


@pytest.fixture(scope="module")
def body(real_catalog: RealCatalog) -> Body:
    listings = Listings(real_catalog.snapshot, public_url="https://tollway.example")
    return listings.search(ModelQuery(outputs=None), path="/api/v1/models", query_string=b"", now_s=0)


@pytest.fixture(scope="module")
def listed(body: Body) -> dict[str, Any]:
    return {model["id"]: model for model in json.loads(body.plain)["data"]}


def test_the_official_client_parses_every_model(body: Body) -> None:
    parsed = ModelsListResponse.model_validate_json(body.plain)
    assert parsed.total_count == len(parsed.data) == 539


def test_the_client_knows_every_word_that_the_contract_lists(listed: dict[str, Any]) -> None:
    architectures = [model["architecture"] for model in listed.values()]
    assert {word for one in architectures for word in one["input_modalities"]} <= {"text", "image", "file", "audio", "video"}
    assert {word for one in architectures for word in one["output_modalities"]} <= {
        "text", "image", "embeddings", "audio", "video", "rerank", "speech", "transcription",
    }  # fmt: skip
    assert all(one["input_modalities"] for one in architectures)
    # For verdicts it has no word.
    assert [name for name, one in listed.items() if not one["architecture"]["output_modalities"]] == ["openai/omni-moderation-latest"]


def test_prices_are_those_that_requests_are_charged(listed: dict[str, Any], real_catalog: RealCatalog) -> None:
    snapshot = real_catalog.snapshot
    for model_id in ("openai/gpt-4o-mini", "anthropic/claude-sonnet-4.5", "google/gemini-2.5-pro", "deepseek/deepseek-chat"):
        model = snapshot.models[model_id]
        rates = snapshot.endpoints[model.endpoints[0]].price.rates
        shown = listed[model_id]["pricing"]
        assert _picos(shown["prompt"]) == rates["input_tokens"]
        assert _picos(shown["completion"]) == rates["output_tokens"]


def _picos(usd: str) -> int:
    whole, _, part = usd.partition(".")
    return int(whole) * PICOS_PER_USD + int(part.ljust(12, "0"))


def test_only_models_that_answer_here_are_listed(listed: dict[str, Any]) -> None:
    assert "huggingfacetb/smollm2-135m-instruct" not in listed  # its provider is off without LOCAL_MODEL_URL
    assert "black-forest-labs/flux.2-flex" not in listed  # its only price cannot be billed


def test_a_free_variant_is_a_model_of_its_own_with_nothing_but_zero_prices(listed: dict[str, Any]) -> None:
    free = [model for model_id, model in listed.items() if model_id.endswith(":free")]
    assert len(free) == 21
    assert {(model["pricing"]["prompt"], model["pricing"]["completion"]) for model in free} == {("0", "0")}
    assert listed["deepseek/deepseek-v4.1-flash"]["pricing"]["prompt"] != "0"


def test_units_other_than_tokens_are_shown_where_clients_look() -> None:
    assert pricing_body(RateCard(rates={"characters": 15_000_000}), "speech") == {"prompt": "0.000015", "completion": "0"}
    assert pricing_body(RateCard(rates={"seconds": 100_000_000}), "transcription")["prompt"] == "0.0001"
    assert pricing_body(RateCard(rates={"searches": 2_000_000_000}), "rerank")["request"] == "0.002"
    assert pricing_body(RateCard(rates={"images": 39_000_000_000}), "image")["image_output"] == "0.039"


def test_long_prompts_and_hours_are_overrides() -> None:
    rates = RateCard(
        rates={"input_tokens": 2_000_000, "output_tokens": 12_000_000},
        tiers=(PriceTier(200_000, {"input_tokens": 4_000_000, "output_tokens": 18_000_000}),),
        time_prices=(TimePrice(990, 30, {"input_tokens": 1_000_000}, (6, 7)), TimePrice(0, 1440, {"input_tokens": 500_000}, (1,))),
    )
    assert pricing_body(rates, "chat")["overrides"] == [
        {"utc_start": 1630, "utc_end": 30, "utc_days": ["saturday", "sunday"], "prompt": "0.000001"},
        {"utc_days": ["monday"], "prompt": "0.0000005"},
        {"min_prompt_tokens": 200_000, "prompt": "0.000004", "completion": "0.000018"},
    ]


def test_dates_known_to_the_month_end_with_it(listed: dict[str, Any]) -> None:
    cutoffs = [model["knowledge_cutoff"] for model in listed.values() if model["knowledge_cutoff"]]
    assert all(len(one) == len("2025-01-01") for one in cutoffs)
    assert listed["deepseek/deepseek-chat"]["knowledge_cutoff"] == "2025-09-30"
