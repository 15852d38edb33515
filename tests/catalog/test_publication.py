"""Publishing: checked first, numbered, unchanged when nothing changed, and reversible."""

import datetime as dt
import json
from collections.abc import Callable

import pytest
import redis
from django.db import DatabaseError, connection, transaction

from catalog import markup_changes, publication, switches, tasks
from catalog.models import CatalogSnapshot, Endpoint, Provider
from catalog.publication import BrokenCatalog
from catalog.reader import CHANNEL
from catalog.types import Snapshot
from tests.catalog.conftest import ENDPOINT, MODELS, PRICE, DataDir, RealCatalog, newest_snapshot

pytestmark = pytest.mark.django_db

DEARER = "{usd_per_million_tokens: {input: '0.6', output: '1.5'}}"
FREE_ENDPOINT = (
    ENDPOINT.replace("maker/small@acme", "maker/small@acme/trial")
    .replace("  context_length", "  free: true\n  context_length")
    .replace("{price}", "{{usd_per_million_tokens: {{input: '0', output: '0'}}}}")
)


def test_the_shipped_catalog_publishes_without_an_error(real_catalog: RealCatalog) -> None:
    snapshot = real_catalog.snapshot
    assert (len(snapshot.models), len(snapshot.endpoints), len(snapshot.providers)) == (542, 1_344, 68)
    assert not [one for one in real_catalog.problems if one.severity == "error"]
    # The others have prices of tokens where pictures and sound are sold: a unit mistaken.
    assert [one.subject for one in real_catalog.problems if one.code == "unpriced"] == [
        "black-forest-labs/flux-kontext-max@fireworks",
        "black-forest-labs/flux-kontext-pro@fireworks",
        "black-forest-labs/flux.1-schnell@fireworks/fp8",
        "black-forest-labs/flux.2-flex@azure",
        "openai/whisper-large-v3@scaleway",
        "qwen/qwen3-asr-flash@alibaba",
    ]
    assert {provider.mode for slug, provider in snapshot.providers.items() if slug != "local"} == {"simulated"}
    assert snapshot.providers["local"].mode == "off"


def test_endpoints_are_listed_cheapest_first_and_lead_back_to_their_model(real_catalog: RealCatalog) -> None:
    snapshot = real_catalog.snapshot
    for model in snapshot.models.values():
        endpoints = [snapshot.endpoints[one] for one in model.endpoints]
        assert {one.model for one in endpoints} <= {model.id}
        if model.type == "chat":
            totals = [3 * one.price.rates["input_tokens"] + one.price.rates["output_tokens"] for one in endpoints]
            fees = [one.price.rates.get("requests", 0) // 1_000 for one in endpoints]
            assert [total + fee for total, fee in zip(totals, fees, strict=True)] == sorted(
                total + fee for total, fee in zip(totals, fees, strict=True)
            )


def test_no_endpoint_is_both_free_and_paid_for(real_catalog: RealCatalog) -> None:
    for endpoint in real_catalog.snapshot.endpoints.values():
        assert endpoint.is_free is not any(endpoint.price.rates.values())
        if endpoint.model.endswith(":free"):
            assert endpoint.is_free


def test_aliases_lead_to_models_and_hide_none(real_catalog: RealCatalog) -> None:
    snapshot = real_catalog.snapshot
    assert set(snapshot.aliases.values()) <= set(snapshot.models)
    assert not set(snapshot.aliases) & set(snapshot.models)
    assert snapshot.aliases["deepseek/deepseek-chat-v3"] == "deepseek/deepseek-chat"


def test_a_model_with_free_and_paid_endpoints_has_a_free_variant(publish_small: Callable[..., Snapshot]) -> None:
    snapshot = publish_small(endpoint=ENDPOINT + FREE_ENDPOINT)
    assert snapshot.models["maker/small"].endpoints == ("maker/small@acme",)
    assert snapshot.models["maker/small:free"].endpoints == ("maker/small@acme/trial",)
    assert snapshot.endpoints["maker/small@acme/trial"].model == "maker/small:free"
    assert snapshot.aliases == {"maker/small-20250301": "maker/small", "maker/small-20250301:free": "maker/small:free"}


def test_a_model_that_is_free_everywhere_answers_to_both_names(publish_small: Callable[..., Snapshot]) -> None:
    snapshot = publish_small(endpoint=FREE_ENDPOINT)
    assert list(snapshot.models) == ["maker/small"]
    assert snapshot.aliases["maker/small:free"] == "maker/small"


def test_publishing_again_without_a_change_keeps_the_version(publish_small: Callable[..., Snapshot]) -> None:
    assert publish_small().version == 1
    assert not publication.publish().is_new
    assert publish_small().version == 1


def test_a_changed_price_is_a_new_version_with_a_new_price_version(publish_small: Callable[..., Snapshot]) -> None:
    before, after = publish_small(), publish_small(price=DEARER)
    assert (before.version, after.version) == (1, 2)
    old, new = (one.endpoints["maker/small@acme"] for one in (before, after))
    assert old.price_version_id < new.price_version_id
    assert (old.price.rates["input_tokens"], new.price.rates["input_tokens"]) == (500_000, 600_000)


def test_a_change_of_the_settings_alone_is_published(publish_small: Callable[..., Snapshot], settings) -> None:
    assert publish_small().providers["acme"].mode == "off"
    settings.DEMO_MODE = True
    assert publish_small().providers["acme"].mode == "simulated"
    settings.PROVIDER_CREDENTIALS = {"acme": "k"}
    assert publish_small().providers["acme"].mode == "live"


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ({"price": "{usd_per_million_tokens: {input: '0', output: '0'}}"}, "zero_price"),
        ({"endpoint": ENDPOINT.replace("  context_length", "  free: true\n  context_length")}, "free_with_price"),
        ({"price": "{usd_per_million_tokens: {input: '1'}}"}, "empty"),
    ],
)
def test_a_broken_catalog_is_never_published(publish_small: Callable[..., Snapshot], parts: dict[str, str], code: str) -> None:
    publish_small()
    with pytest.raises(publication.BrokenCatalog) as caught:
        publish_small(**parts)
    assert [one.code for one in caught.value.problems] == [code]
    assert newest_snapshot().endpoints["maker/small@acme"].price.rates["input_tokens"] == 500_000


def test_an_endpoint_that_lacks_a_price_is_left_out_with_a_warning(publish_small: Callable[..., Snapshot]) -> None:
    half = ENDPOINT.replace("maker/small@acme", "maker/small@acme/half").replace("{price}", "{{usd_per_million_tokens: {{input: '1'}}}}")
    assert list(publish_small(endpoint=ENDPOINT + half).endpoints) == ["maker/small@acme"]
    assert [(one.severity, one.subject) for one in publication.check() if one.code == "unpriced"] == [("warning", "maker/small@acme/half")]


def test_a_rollback_repeats_an_earlier_version_and_holds(publish_small: Callable[..., Snapshot], data_dir: DataDir) -> None:
    publish_small()
    publish_small(price=DEARER)
    assert publication.rollback(version=1).version == 3
    assert newest_snapshot().endpoints["maker/small@acme"].price.rates["input_tokens"] == 500_000
    # The start of another process loads what has changed and publishes nothing.
    publish_small(models=MODELS.replace("name: Small", "name: Smaller"), price=DEARER)
    assert newest_snapshot().version == 3
    assert publication.publish().version == 4
    assert newest_snapshot().models["maker/small"].name == "Smaller"
    assert data_dir.path.exists()


def test_an_unknown_version_cannot_be_rolled_back_to(publish_small: Callable[..., Snapshot]) -> None:
    publish_small()
    with pytest.raises(publication.UnknownVersion):
        publication.rollback(version=99)


def test_a_scheduled_price_is_published_when_its_day_comes(publish_small: Callable[..., Snapshot]) -> None:
    tomorrow = dt.datetime.now(dt.UTC).date() + dt.timedelta(days=1)
    price = PRICE[:-1] + f", scheduled: [{{from: '{tomorrow}', usd_per_million_tokens: {{input: '2'}}, source: here}}]}}"
    publish_small(price=price)
    assert publication.publish_due() is None
    published = publication.publish_due(now=dt.datetime.combine(tomorrow, dt.time(0, 1), tzinfo=dt.UTC))
    assert published is not None
    assert published.version == 2
    assert newest_snapshot().endpoints["maker/small@acme"].price.rates["input_tokens"] == 2_000_000


def test_a_moment_that_changes_nothing_is_due_once(publish_small: Callable[..., Snapshot]) -> None:
    publish_small()
    start = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    markup_changes.create(scope="model", target="maker/small", basis_points=0, since=start, by=None)
    before = newest_snapshot()

    published = publication.publish_due(now=start + dt.timedelta(seconds=1))

    assert published is not None
    assert newest_snapshot().endpoints == before.endpoints
    assert newest_snapshot().version == before.version + 1
    assert publication.publish_due(now=start + dt.timedelta(seconds=2)) is None


def test_a_broken_catalog_is_not_looked_at_every_second(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def refuse() -> None:
        seen.append(1)
        raise BrokenCatalog([])

    monkeypatch.setattr(publication, "publish_due", refuse)
    monkeypatch.setattr(tasks._Refusal, "until_s", 0.0)
    with pytest.raises(BrokenCatalog):
        tasks.publish_due()
    tasks.publish_due()
    assert len(seen) == 1


def test_switching_an_endpoint_off_takes_it_out_at_once(publish_small: Callable[..., Snapshot]) -> None:
    publish_small(endpoint=ENDPOINT + ENDPOINT.replace("maker/small@acme", "maker/small@acme/turbo"))
    switches.switch(Endpoint.objects.filter(slug="maker/small@acme"), enabled=False)
    assert list(newest_snapshot().endpoints) == ["maker/small@acme/turbo"]
    switches.switch(Provider.objects.all(), enabled=False)
    assert newest_snapshot().providers["acme"].mode == "off"


def test_a_switch_whose_publication_is_refused_is_put_back(publish_small: Callable[..., Snapshot], monkeypatch: pytest.MonkeyPatch) -> None:
    publish_small()
    seen = []

    def refuse() -> None:
        seen.append(Endpoint.objects.get().enabled)
        raise BrokenCatalog([])

    monkeypatch.setattr(publication, "publish", refuse)
    with pytest.raises(BrokenCatalog):
        switches.switch(Endpoint.objects.all(), enabled=False)
    assert (seen, Endpoint.objects.get().enabled) == ([False], True)


def test_a_published_snapshot_cannot_be_changed(publish_small: Callable[..., Snapshot]) -> None:
    publish_small()
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE catalog_catalogsnapshot SET version = 7")


@pytest.mark.django_db(transaction=True)
def test_a_publication_is_announced_after_it_is_committed(data_dir: DataDir, broker: redis.Redis) -> None:
    channel = broker.pubsub(ignore_subscribe_messages=True)
    channel.subscribe(CHANNEL)
    channel.get_message(timeout=1)
    publication.load_and_publish(data_dir=data_dir.path)
    message = channel.get_message(timeout=2)
    channel.close()
    assert message is not None
    assert json.loads(message["data"]) == CatalogSnapshot.objects.get().version == 1


@pytest.mark.django_db(transaction=True)
def test_a_publication_does_not_need_redis(data_dir: DataDir, settings) -> None:
    settings.BROKER_REDIS_URL = "redis://127.0.0.1:1/0"
    publication.load_and_publish(data_dir=data_dir.path)
    assert CatalogSnapshot.objects.count() == 1


def test_two_endpoints_that_are_one_are_told(publish_small: Callable[..., Snapshot]) -> None:
    twin = ENDPOINT.replace("maker/small@acme", "maker/small@acme/again")
    publish_small(endpoint=ENDPOINT + twin.replace("last_seen", "deprecated: true\n  last_seen"))
    problems = [(one.severity, one.code, one.subject) for one in publication.check()]
    assert ("warning", "duplicate", "maker/small@acme/again") in problems
    assert ("note", "deprecated", "maker/small@acme/again") in problems
