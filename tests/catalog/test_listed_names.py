"""Names that stand for models, in the list of models: the newest of a family, and routers."""

import json
from typing import Any

import pytest
from openrouter.components import ModelsListResponse

from catalog.listing import Router
from catalog.listings import Listings, UnknownModel
from catalog.model_query import read_query
from tests.catalog.conftest import RealCatalog

LATEST = "~anthropic/claude-sonnet-latest"
TARGET = "anthropic/claude-sonnet-4.5"
ROUTERS = (
    Router(id="tollway/auto", name="Auto", description="Chooses.", created_s=1_760_000_000, also=("openrouter/auto",)),
    Router(id="tollway/free", name="Free", description="Chooses.", created_s=1_760_000_000, is_free=True),
)


@pytest.fixture(scope="module")
def listings(real_catalog: RealCatalog) -> Listings:
    latest = {LATEST: TARGET, "~nobody/gone-latest": "nobody/gone"}
    return Listings(real_catalog.snapshot, public_url="https://tollway.example", latest=latest, routers=ROUTERS)


def ask(listings: Listings, query: str) -> list[dict[str, Any]]:
    data: list[dict[str, Any]] = json.loads(
        listings.search(read_query(query.encode()), path="/api/v1/models", query_string=query.encode(), now_s=1_795_000_000).plain
    )["data"]
    return data


def test_the_official_client_reads_every_row(listings: Listings) -> None:
    parsed = ModelsListResponse.model_validate_json(listings.default.plain)
    rows = {one.id: one for one in parsed.data}

    assert {LATEST, "tollway/auto", "tollway/free"} <= rows.keys()
    assert "~nobody/gone-latest" not in rows
    assert (rows["tollway/auto"].pricing.prompt, rows["tollway/free"].pricing.prompt) == ("-1", "0")
    assert [one.created for one in parsed.data] == sorted((one.created for one in parsed.data), reverse=True)


def test_the_latest_has_its_targets_prices_and_limits(listings: Listings) -> None:
    rows = {one["id"]: one for one in ask(listings, "")}
    alias, target = rows[LATEST], rows[TARGET]

    assert alias["alias_target"] == {"slug": TARGET, "name": target["name"]}
    assert "alias_target" not in target
    for field in ("pricing", "context_length", "top_provider", "architecture", "supported_parameters", "created"):
        assert alias[field] == target[field]


def test_one_row_is_found_by_every_name_of_it(listings: Listings) -> None:
    assert json.loads(listings.model(LATEST).plain)["data"]["id"] == LATEST
    assert listings.model("openrouter/auto") == listings.model("tollway/auto")
    assert json.loads(listings.endpoints(LATEST).plain)["data"]["id"] == TARGET
    assert json.loads(listings.endpoints("tollway/auto").plain)["data"]["endpoints"] == []
    with pytest.raises(UnknownModel):
        listings.model("~nobody/gone-latest")


@pytest.mark.parametrize("sort", ["pricing-low-to-high", "pricing-high-to-low"])
def test_a_price_that_nobody_knows_sorts_last(listings: Listings, sort: str) -> None:
    routers = [one["id"] for one in ask(listings, f"sort={sort}")[-2:]]

    assert set(routers) == {"tollway/auto", "tollway/free"}


@pytest.mark.parametrize("query", ["max_price=5", "providers=anthropic", "zdr=true", "arch=claude"])
def test_routers_are_left_out_where_endpoints_are_asked_for(listings: Listings, query: str) -> None:
    assert not {"tollway/auto", "tollway/free"} & {one["id"] for one in ask(listings, query)}


def test_they_are_no_news_and_draw_no_pictures(listings: Listings) -> None:
    raw = b"use_rss=true"
    feed = listings.search(read_query(raw), path="/api/v1/models", query_string=raw, now_s=1_795_000_000).plain.decode()

    assert TARGET in feed
    assert LATEST not in feed
    assert "tollway/auto" not in feed
    assert LATEST not in {one["id"] for one in json.loads(listings.image_models.plain)["data"]}


def test_where_nothing_is_left_to_choose_from_there_is_no_router(real_catalog: RealCatalog) -> None:
    unanswered = frozenset(real_catalog.snapshot.endpoints)
    empty = Listings(
        real_catalog.snapshot, public_url="https://tollway.example", unanswered=unanswered, latest={LATEST: TARGET}, routers=ROUTERS
    )

    assert ask(empty, "") == []
    with pytest.raises(UnknownModel):
        empty.model("openrouter/auto")
