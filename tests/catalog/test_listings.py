"""Filters, order, pages and details over the shipped catalog."""

import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest
from openrouter.components import ImageModelEndpointsResponse, ImageModelsListResponse, ListEndpointsResponse
from openrouter.operations import ListEndpointsZdrResponse, ListProvidersResponse

from catalog.listings import Listings, UnknownModel
from catalog.measurements import Measurement
from catalog.model_query import read_outputs, read_query
from tests.catalog.conftest import RealCatalog

Ask = Callable[[str], list[dict[str, Any]]]
_NOW_S = 1_795_000_000


@pytest.fixture(scope="module")
def listings(real_catalog: RealCatalog) -> Listings:
    return Listings(real_catalog.snapshot, public_url="https://tollway.example")


@pytest.fixture(scope="module")
def ask(listings: Listings) -> Ask:
    def answer(query_string: str) -> list[dict[str, Any]]:
        raw = query_string.encode()
        body = listings.search(read_query(raw), path="/api/v1/models", query_string=raw, now_s=_NOW_S)
        data: list[dict[str, Any]] = json.loads(body.plain)["data"]
        return data

    return answer


def test_models_that_answer_with_text_are_listed_by_default_newest_first(listings: Listings, ask: Ask) -> None:
    default = json.loads(listings.default.plain)
    assert default["data"] == ask("")
    assert all("text" in one["architecture"]["output_modalities"] for one in default["data"])
    assert [one["created"] for one in default["data"]] == sorted((one["created"] for one in default["data"]), reverse=True)
    assert len(ask("output_modalities=all")) == 539 > default["total_count"]
    assert default["links"] == {"next": None}


def test_both_encodings_hold_the_same_and_the_tag_follows_the_content(listings: Listings, real_catalog: RealCatalog) -> None:
    assert gzip.decompress(listings.default.gzip) == listings.default.plain
    assert Listings(real_catalog.snapshot, public_url="https://tollway.example").default == listings.default
    assert listings.image_models.etag != listings.default.etag


def test_pages_put_together_are_the_whole_list(listings: Listings, ask: Ask) -> None:
    address, pages = "output_modalities=all&limit=200", []
    while address:
        raw = address.encode()
        answer = json.loads(listings.search(read_query(raw), path="/api/v1/models", query_string=raw, now_s=_NOW_S).plain)
        assert answer["total_count"] == 539
        pages.append(answer["data"])
        address = (answer["links"]["next"] or "").removeprefix("/api/v1/models").removeprefix("?")
    assert [len(page) for page in pages] == [200, 200, 139]
    assert [one for page in pages for one in page] == ask("output_modalities=all")


@pytest.mark.parametrize(
    ("query", "holds"),
    [
        ("supported_parameters=tools,structured_outputs", lambda one: {"tools", "structured_outputs"} <= set(one["supported_parameters"])),
        ("output_modalities=embeddings", lambda one: one["architecture"]["output_modalities"] == ["embeddings"]),
        ("input_modalities=text,image", lambda one: {"text", "image"} <= set(one["architecture"]["input_modalities"])),
        ("context=1000000", lambda one: (one["context_length"] or 0) >= 1_000_000),
        ("min_price=1&max_price=3", lambda one: 0.000001 <= float(one["pricing"]["prompt"]) <= 0.000003),
        ("max_output_price=0.5", lambda one: float(one["pricing"]["completion"]) <= 0.0000005),
        ("arch=claude", lambda one: one["architecture"]["tokenizer"] == "Claude"),
        ("model_authors=openai,Mistralai", lambda one: one["id"].split("/")[0] in {"openai", "mistralai"}),
        ("q=CLAUDE+sonnet", lambda one: "claude" in one["id"] and "sonnet" in one["id"]),
        ("max_age_days=365", lambda one: one["created"] > _NOW_S - 366 * 86_400),
        ("min_age_days=365", lambda one: 0 < one["created"] <= _NOW_S - 365 * 86_400),
    ],
    ids=["parameters", "outputs", "inputs", "context", "price", "output price", "family", "authors", "words", "young", "old"],
)
def test_a_filter_keeps_what_it_names_and_drops_the_rest(ask: Ask, query: str, holds: Callable[[dict[str, Any]], bool]) -> None:
    found = ask(query)
    everything = ask("output_modalities=all") if "output_modalities" in query else ask("")
    assert 0 < len(found) < len(everything)
    assert all(holds(one) for one in found)
    unpriced = {"0"} if "price" in query else set()  # without a price by token no price filter matches
    assert not [one for one in everything if one not in found and holds(one) and one["pricing"]["completion"] not in unpriced]


def test_providers_regions_and_data_policies_are_those_of_endpoints(ask: Ask, real_catalog: RealCatalog) -> None:
    snapshot = real_catalog.snapshot
    for query, holds in (
        ("providers=Anthropic", lambda endpoint: endpoint.provider == "anthropic"),
        ("region=eu", lambda endpoint: endpoint.region == "eu"),
        ("zdr=true", lambda endpoint: snapshot.providers[endpoint.provider].data_policy["zdr"]),
    ):
        found = {one["id"] for one in ask(f"{query}&output_modalities=all")}
        assert found == {endpoint.model for endpoint in snapshot.endpoints.values() if holds(endpoint)} & {
            one["id"] for one in ask("output_modalities=all")
        }
        assert found


def test_orders_are_what_they_say(ask: Ask) -> None:
    cheap, dear = ask("sort=pricing-low-to-high"), ask("sort=pricing-high-to-low")
    assert float(cheap[0]["pricing"]["prompt"]) == 0
    assert float(dear[0]["pricing"]["prompt"]) > float(dear[-1]["pricing"]["prompt"])
    assert {one["id"] for one in cheap} == {one["id"] for one in dear}
    contexts = [one["context_length"] or 0 for one in ask("sort=context-high-to-low")]
    assert contexts == sorted(contexts, reverse=True)
    assert ask("sort=throughput-high-to-low") == ask("")  # nothing is measured yet: the default order


def test_what_nobody_knows_here_matches_nothing(ask: Ask) -> None:
    assert ask("min_intelligence_index=1") == []
    assert ask("category=programming") == []
    assert ask("distillable=true") == []
    assert ask("distillable=false") == ask("")


def test_an_answer_is_remembered_until_many_others_came(real_catalog: RealCatalog) -> None:
    listings = Listings(real_catalog.snapshot, public_url="https://tollway.example")
    query = read_query(b"q=gpt")
    body = listings.search(query, path="/api/v1/models", query_string=b"q=gpt", now_s=0)
    assert listings.find_known(query, path="/api/v1/models", now_s=10**9) is body
    aged = read_query(b"max_age_days=3")
    listings.search(aged, path="/api/v1/models", query_string=b"", now_s=_NOW_S)
    assert listings.find_known(aged, path="/api/v1/models", now_s=_NOW_S + 86_400) is None
    for number in range(32):
        listings.search(read_query(f"q=nothing{number}".encode()), path="/api/v1/models", query_string=b"", now_s=0)
    assert listings.find_known(query, path="/api/v1/models", now_s=0) is None


def test_counts_agree_with_lists(listings: Listings, ask: Ask) -> None:
    for raw in ("", "output_modalities=image", "output_modalities=all"):
        assert json.loads(listings.count(read_outputs(raw.encode())).plain) == {"data": {"count": len(ask(raw))}}


def test_the_list_is_sorted_by_what_was_measured_and_what_was_not_comes_last(listings: Listings, ask: Ask) -> None:
    slow, fast = (one["id"] for one in ask("sort=pricing-low-to-high")[-2:])
    first = {model: listings._models[model].endpoints[0].id for model in (slow, fast)}
    measured = {
        first[slow]: Measurement(latency_ms=(900, 900, 900, 900), throughput_tps=(80, 1, 1, 1)),
        first[fast]: Measurement(latency_ms=(90, 90, 90, 90), throughput_tps=(20, 1, 1, 1)),
    }

    def order(sort: str, now_s: int) -> list[str]:
        query = read_query(f"sort={sort}".encode())
        body = listings.search(query, path="/api/v1/models", query_string=b"", now_s=now_s, measured=measured)
        return [one["id"] for one in json.loads(body.plain)["data"]]

    assert order("latency-low-to-high", 0)[:2] == [fast, slow]
    assert order("throughput-high-to-low", 0)[:2] == [slow, fast]
    assert order("latency-low-to-high", 0)[2:] == [one["id"] for one in ask("") if one["id"] not in (fast, slow)]
    query = read_query(b"sort=latency-low-to-high")
    assert listings.find_known(query, path="/api/v1/models", now_s=29) is not None
    assert listings.find_known(query, path="/api/v1/models", now_s=30) is None


def test_the_official_client_parses_the_endpoints_of_every_model(listings: Listings, ask: Ask, real_catalog: RealCatalog) -> None:
    total = 0
    for model in ask("output_modalities=all"):
        assert json.loads(listings.model(model["id"]).plain) == {"data": model}
        parsed = ListEndpointsResponse.model_validate(json.loads(listings.endpoints(model["id"]).plain)["data"])
        assert parsed.id == model["id"]
        total += len(parsed.endpoints)
    answering = [one for one in real_catalog.snapshot.endpoints.values() if real_catalog.snapshot.providers[one.provider].mode != "off"]
    assert total == len(answering) > 1_300


def test_the_cheapest_endpoint_is_first_and_prices_the_model(listings: Listings) -> None:
    model = json.loads(listings.model("deepseek/deepseek-chat").plain)["data"]
    endpoints = json.loads(listings.endpoints("deepseek/deepseek-chat").plain)["data"]["endpoints"]
    assert endpoints[0]["pricing"] == model["pricing"]
    assert len({one["tag"] for one in endpoints}) == len(endpoints) > 1


def test_a_variant_that_a_model_does_not_have_is_unknown_and_has_no_endpoints(listings: Listings) -> None:
    with pytest.raises(UnknownModel):
        listings.model("openai/gpt-4o-mini:free")
    assert json.loads(listings.endpoints("openai/gpt-4o-mini:free").plain)["data"]["endpoints"] == []
    for name in ("openai/gpt-4o-mini:turbo", "nobody/nothing:free", "openai", ""):
        with pytest.raises(UnknownModel):
            listings.endpoints(name)


def test_a_canonical_name_leads_to_its_model(listings: Listings, real_catalog: RealCatalog) -> None:
    alias, target = next((alias, target) for alias, target in real_catalog.snapshot.aliases.items() if ":" not in alias)
    assert listings.model(alias) == listings.model(target)


def test_providers_with_their_seats_and_policies(listings: Listings) -> None:
    parsed = ListProvidersResponse.model_validate_json(listings.providers.plain)
    by_slug = {one.slug: one for one in parsed.data}
    assert len(by_slug) == 67
    assert by_slug["openai"].headquarters == "US"
    assert by_slug["openai"].status_page_url == "https://status.openai.com"


def test_endpoints_that_retain_nothing(listings: Listings, real_catalog: RealCatalog) -> None:
    parsed = ListEndpointsZdrResponse.model_validate_json(listings.zero_retention.plain)
    names = {one.provider_name for one in parsed.data}
    policies = {one.name: one.data_policy.get("zdr") for one in real_catalog.snapshot.providers.values()}
    assert names
    offers = [(one.model_id, one.tag) for one in parsed.data]
    assert len(offers) == len(set(offers))
    assert all(policies[name] is True for name in names)


def test_image_models_tell_their_prices_as_exact_numbers(listings: Listings) -> None:
    parsed = ImageModelsListResponse.model_validate_json(listings.image_models.plain)
    assert len(parsed.data) > 30
    assert json.loads(listings.video_models.plain) == {"data": []}
    for model in parsed.data:
        ImageModelEndpointsResponse.model_validate_json(listings.image_endpoints(model.id).plain)
    plain = listings.image_endpoints("openai/chatgpt-image-latest").plain
    assert b'{"billable":"output_image","unit":"token","cost_usd":0.000032}' in plain
    with pytest.raises(UnknownModel):
        listings.image_endpoints("openai/gpt-4o-mini")


def test_the_list_is_an_rss_feed_too(listings: Listings) -> None:
    query = read_query(b"use_rss=true&q=claude&limit=2")
    body = listings.search(query, path="/api/v1/models", query_string=b"", now_s=0)
    assert body.content_type == b"application/rss+xml; charset=utf-8"
    assert body.plain.count(b"<item>") == 2
    assert b"<link>https://tollway.example/models/anthropic/claude-" in body.plain
