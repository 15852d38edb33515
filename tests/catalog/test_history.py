"""Prices over time, from files to periods, changes and feeds."""

import datetime as dt
from collections.abc import Callable

import pytest
from django.test import Client

from catalog import history, publication
from catalog.loader import load_catalog
from catalog.models import PriceVersion
from catalog.types import Snapshot
from tests.catalog.conftest import DataDir

CHEAPER = "{usd_per_million_tokens: {input: '0.25', output: '1.5'}}"
SCHEDULED = """{usd_per_million_tokens: {input: '0.5', output: '1.5'}, scheduled: [
      {from: '2126-01-01', usd_per_million_tokens: {input: '1'}, source: page}]}"""
ENDPOINT = "maker/small@acme"


def test_periods_follow_each_other_without_gaps(publish_small: Callable[..., Snapshot]) -> None:
    publish_small()
    publish_small(price=CHEAPER)
    first, second = history.price_periods([ENDPOINT])[ENDPOINT]
    assert first.since == dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
    assert first.until == second.since
    assert second.until is None
    assert (first.price.rates["input_tokens"], second.price.rates["input_tokens"]) == (500_000, 250_000)


def test_a_correction_with_the_same_date_replaces_what_it_corrects(publish_small: Callable[..., Snapshot], data_dir: DataDir) -> None:
    publish_small(price=SCHEDULED)
    assert [one.since.year for one in history.price_periods([ENDPOINT])[ENDPOINT]] == [2026, 2126]
    publish_small()  # the announced change is called off
    assert PriceVersion.objects.count() == 3
    assert [one.since.year for one in history.price_periods([ENDPOINT])[ENDPOINT]] == [2026]


def test_a_change_is_told_once_it_is_in_force(publish_small: Callable[..., Snapshot], data_dir: DataDir) -> None:
    assert history.latest_changes(publish_small(price=SCHEDULED), count=9) == []
    [change] = history.latest_changes(publish_small(price=CHEAPER), count=9)
    assert (change.endpoint, change.before.rates["input_tokens"], change.after.rates["input_tokens"]) == (ENDPOINT, 500_000, 250_000)


def test_a_price_that_is_loaded_and_not_published_is_not_told(publish_small: Callable[..., Snapshot], data_dir: DataDir) -> None:
    snapshot = publish_small()
    load_catalog(data_dir=data_dir.write(price=CHEAPER))
    assert history.latest_changes(snapshot, count=9) == []
    assert publication.publish().is_new


def test_models_of_the_first_load_are_as_old_as_their_release(publish_small: Callable[..., Snapshot]) -> None:
    assert history.latest_arrivals(publish_small(), count=9) == [history.Arrival("maker/small", dt.datetime(2025, 3, 1, tzinfo=dt.UTC))]


def test_the_history_is_public_and_known_by_its_tag(publish_small: Callable[..., Snapshot], client: Client) -> None:
    publish_small()
    publish_small(price=CHEAPER)
    answer = client.get("/api/v1/prices/maker/small/history")
    [endpoint] = answer.json()["data"]["endpoints"]
    assert endpoint["endpoint"] == ENDPOINT
    assert [one["pricing"]["prompt"] for one in endpoint["prices"]] == ["0.0000005", "0.00000025"]
    assert endpoint["prices"][0]["effective_until"] == endpoint["prices"][1]["effective_from"]
    assert endpoint["prices"][0]["source"]["data_set"] == "hand"
    assert "cost" not in answer.content.decode()  # what a provider charges us is not the customer's
    assert answer["Cache-Control"] == "public, max-age=60"
    assert client.get("/api/v1/prices/maker/small/history", HTTP_IF_NONE_MATCH=answer["ETag"]).status_code == 304
    assert client.get("/api/v1/prices/maker/small-20250301/history").json() == answer.json()
    missing = client.get("/api/v1/prices/maker/large/history")
    assert missing.status_code == 404
    assert missing.json()["error"]["metadata"]["error_type"] == "not_found"


def test_both_feeds_tell_changes_and_new_models(publish_small: Callable[..., Snapshot], client: Client) -> None:
    publish_small()
    publish_small(price=CHEAPER)
    feed = client.get("/api/v1/feed.json").json()
    assert feed["version"] == "https://jsonfeed.org/version/1.1"
    assert [item["title"] for item in feed["items"]] == ["Small at Acme: input -50 %", "New model: Small"]
    assert feed["items"][0]["_tollway"]["after"]["prompt"] == "0.00000025"
    rss = client.get("/feed.rss")
    assert rss["Content-Type"] == "application/rss+xml; charset=utf-8"
    assert rss.content.count(b"<item>") == 2
    assert b"<title>Small at Acme: input -50 %</title>" in rss.content


@pytest.mark.django_db
def test_without_a_catalog_the_feed_is_empty_and_the_history_asks_to_come_back(client: Client) -> None:
    assert client.get("/api/v1/feed.json").json()["items"] == []
    answer = client.get("/api/v1/prices/maker/small/history")
    assert answer.status_code == 503
    assert answer["Retry-After"] == "1"
