"""The catalog's API over HTTP, with the shipped catalog in force, as the official client and as any HTTP cache see it."""

from typing import Any

import httpx
import pytest
from openrouter import OpenRouter

from tests.gateway.relay import shipped
from tests.gateway.relay.conftest import Stack

real_catalog, shop = shipped.real_catalog, shipped.shop  # fixtures


def test_the_official_client_lists_models_endpoints_and_providers(stack: Stack, shop: httpx.Client, django_db_blocker: Any) -> None:
    with django_db_blocker.unblock():
        secret = stack.new_customer().secret
    with OpenRouter(api_key=secret, server_url=f"{stack.url}/api/v1") as client:
        listed = client.models.list(output_modalities="all")
        assert listed is not None
        following = listed.next()
        assert following is not None
        rows = listed.result.data + following.result.data
        assert len(rows) == listed.result.total_count
        assert len([one for one in rows if not one.id.startswith("~") and not one.id.startswith("tollway/")]) == 539
        assert client.models.count().data.count == len(shop.get("/api/v1/models").json()["data"])
        assert client.models.list_for_user(security={"bearer": secret}, output_modalities="all").result.total_count == len(rows)
        assert client.models.get(author="openai", slug="gpt-4o-mini").data.id == "openai/gpt-4o-mini"
        endpoints = client.endpoints.list(author="deepseek", slug="deepseek-chat").data.endpoints
        assert {one.model_id for one in endpoints} == {"deepseek/deepseek-chat"}
        assert len(client.providers.list().data) == 67
        assert client.endpoints.list_zdr_endpoints().data
        assert client.embeddings.list_models().result.total_count == 51
        assert client.images.list_models().data


def test_a_list_is_compressed_for_those_who_take_it_and_known_by_its_tag(shop: httpx.Client) -> None:
    plain = shop.get("/api/v1/models", headers={"accept-encoding": "identity"})
    packed = shop.get("/api/v1/models", headers={"accept-encoding": "br, gzip"})
    refused = shop.get("/api/v1/models", headers={"accept-encoding": "br, gzip;q=0"})
    assert "content-encoding" not in plain.headers
    assert "content-encoding" not in refused.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < len(plain.content) / 5
    assert packed.content == plain.content == refused.content
    assert plain.headers["vary"] == "accept-encoding"
    assert plain.headers["access-control-allow-origin"] == "*"
    for tag in (plain.headers["etag"], plain.headers["etag"].removeprefix("W/"), f'"other", {plain.headers["etag"]}', "*"):
        unchanged = shop.get("/api/v1/models", headers={"if-none-match": tag})
        assert (unchanged.status_code, unchanged.content) == (304, b"")
        assert unchanged.headers["etag"] == plain.headers["etag"]
    assert shop.get("/api/v1/models", headers={"if-none-match": '"other"'}).status_code == 200


def test_head_tells_what_get_would_send(shop: httpx.Client) -> None:
    for path in ("/api/v1/models", "/api/v1/models?q=gpt", "/api/v1/providers", "/api/v1/model/openai/gpt-4o-mini"):
        got, head = shop.get(path), shop.head(path)
        assert head.content == b""
        assert head.status_code == 200
        assert head.headers["content-length"] == got.headers["content-length"]
        assert head.headers["etag"] == got.headers["etag"]


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/model/nobody/nothing",
        "/api/v1/model/openai/gpt-4o-mini:free",
        "/api/v1/models/nobody/nothing/endpoints",
        "/api/v1/images/models/openai/gpt-4o-mini/endpoints",
        "/api/v1/models/openai/gpt-4o-mini",
        "/api/v1/models/openai",
        "/api/v1/models/a/b/c/endpoints",
    ],
)
def test_what_is_not_there_is_a_404_in_our_shape(shop: httpx.Client, path: str) -> None:
    answer = shop.get(path)
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == 404
    assert answer.json()["error"]["metadata"]["error_type"] == "not_found"


def test_a_bad_parameter_is_a_400_that_names_it(shop: httpx.Client) -> None:
    for path, param in (
        ("/api/v1/models?limit=0", "limit"),
        ("/api/v1/models?sort=best", "sort"),
        ("/api/v1/embeddings/models?offset=x", "offset"),
    ):
        answer = shop.get(path)
        assert answer.status_code == 400
        assert answer.json()["error"]["metadata"]["param"] == param
    assert shop.post("/api/v1/providers").status_code == 405
    assert shop.get("/api/v1/models/").json() == shop.get("/api/v1/models").json()


def test_the_models_of_a_caller_need_a_key_and_no_cache_keeps_them(stack: Stack, shop: httpx.Client, django_db_blocker: Any) -> None:
    assert shop.get("/api/v1/models/user").status_code == 401
    with django_db_blocker.unblock():
        headers = stack.new_customer().headers
    mine = shop.get("/api/v1/models/user", params={"limit": 2}, headers=headers)
    assert len(mine.json()["data"]) == 2
    assert mine.json()["links"]["next"] == "/api/v1/models/user?offset=2&limit=2"
    assert mine.headers["cache-control"] == "private, no-cache"
