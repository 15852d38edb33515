"""Files become rows; prices become versions; nothing is lost and nothing is written twice."""

import datetime as dt

import pytest
from django.db import DatabaseError, connection, transaction

from catalog import queries
from catalog.files import BadDataFiles
from catalog.loader import load_catalog
from catalog.models import Endpoint, Model, Origin, PriceVersion, Provider
from tests.catalog.conftest import ENDPOINT, PROVIDER, DataDir, RealCatalog

NOW = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)
LATER = NOW + dt.timedelta(days=1)
DEARER = "{usd_per_million_tokens: {input: '0.6', output: '1.5'}}"
SCHEDULED = (
    "{usd_per_million_tokens: {input: '0.5', output: '1.5'}, "
    "scheduled: [{from: '2026-12-01', usd_per_million_tokens: {input: '1'}, source: here}]}"
)

pytestmark = pytest.mark.django_db


def load(data_dir: DataDir, *, now: dt.datetime = NOW, markup: int = 0, **parts: str) -> int:
    return load_catalog(data_dir=data_dir.write(**parts), now=now, markup_basis_points=markup).price_versions


def input_picos(*, at: dt.datetime, card: str = "price") -> int:
    version = queries.price_in_force(endpoint="maker/small@acme", at=at)
    assert version is not None
    return getattr(version, card)["rates"]["input_tokens"]


def test_the_shipped_files_are_all_loaded(real_catalog: RealCatalog) -> None:
    assert real_catalog.counts == queries.Counts(models=521, endpoints=1_350, providers=68)
    assert real_catalog.summary.endpoints.added == 1_350
    assert real_catalog.price_versions == real_catalog.summary.price_versions == 1_358  # eight changes are already dated


def test_unchanged_files_are_skipped(data_dir: DataDir) -> None:
    assert load(data_dir) == 1
    assert load_catalog(data_dir=data_dir.write(), now=LATER, markup_basis_points=0).skipped


def test_the_first_price_reaches_back_to_when_it_was_seen(data_dir: DataDir) -> None:
    load(data_dir)
    assert PriceVersion.objects.get().effective_from == dt.datetime(2026, 11, 1, tzinfo=dt.UTC)


def test_a_new_price_is_a_new_version_and_the_old_one_stays(data_dir: DataDir) -> None:
    load(data_dir)
    assert load(data_dir, now=LATER, price=DEARER) == 1
    assert [input_picos(at=moment) for moment in (NOW, LATER)] == [500_000, 600_000]


def test_a_change_of_anything_else_makes_no_price_version(data_dir: DataDir) -> None:
    load(data_dir)
    assert load(data_dir, now=LATER, endpoint=ENDPOINT.replace("context_length: 1000", "context_length: 2000")) == 0
    assert Endpoint.objects.get().context_length == 2000


def test_a_scheduled_price_waits_for_its_day(data_dir: DataDir) -> None:
    assert load(data_dir, price=SCHEDULED) == 2
    last_minute = dt.datetime(2026, 11, 30, 23, 59, tzinfo=dt.UTC)
    assert [input_picos(at=moment) for moment in (last_minute, last_minute + dt.timedelta(minutes=1))] == [500_000, 1_000_000]


def test_a_scheduled_price_that_was_loaded_is_not_written_again_after_its_day(data_dir: DataDir) -> None:
    load(data_dir, price=SCHEDULED)
    after = dt.datetime(2026, 12, 5, tzinfo=dt.UTC)
    assert load(data_dir, now=after, price=SCHEDULED, provider=PROVIDER.replace("Acme", "Acme Inc")) == 0
    assert input_picos(at=after) == 1_000_000


def test_a_scheduled_price_that_is_taken_back_is_covered(data_dir: DataDir) -> None:
    load(data_dir, price=SCHEDULED)
    assert load(data_dir, now=LATER) == 1
    assert input_picos(at=dt.datetime(2027, 1, 1, tzinfo=dt.UTC)) == 500_000


def test_a_schedule_that_has_passed_before_the_first_load_is_the_price(data_dir: DataDir) -> None:
    assert load(data_dir, now=dt.datetime(2026, 12, 5, tzinfo=dt.UTC), price=SCHEDULED) == 1
    assert PriceVersion.objects.get().effective_from == dt.datetime(2026, 12, 1, tzinfo=dt.UTC)
    assert PriceVersion.objects.get().cost["rates"]["input_tokens"] == 1_000_000


def test_a_markup_raises_the_price_and_not_the_cost(data_dir: DataDir) -> None:
    load(data_dir)
    assert load(data_dir, now=LATER, markup=500) == 1
    assert (input_picos(at=LATER), input_picos(at=LATER, card="cost")) == (525_000, 500_000)
    assert PriceVersion.objects.latest("id").markup_basis_points == 500


def test_a_price_version_keeps_its_source_and_the_text_of_the_price(data_dir: DataDir) -> None:
    load(data_dir)
    version = PriceVersion.objects.get()
    assert version.source == {"data_set": "hand", "date": "2026-11-01"}
    assert version.agreement_level == "single"
    assert version.listed["usd_per_million_tokens"] == {"input": "0.5", "output": "1.5"}


@pytest.mark.parametrize("statement", ["UPDATE catalog_priceversion SET markup_basis_points = 1", "DELETE FROM catalog_priceversion"])
def test_the_database_refuses_to_change_a_price(data_dir: DataDir, statement: str) -> None:
    load(data_dir)
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


def test_what_leaves_the_files_is_withdrawn_and_can_come_back(data_dir: DataDir) -> None:
    load(data_dir)
    load(data_dir, now=LATER, endpoint=ENDPOINT.replace("maker/small@acme", "maker/small@acme/turbo"))
    assert Endpoint.objects.get(slug="maker/small@acme").withdrawn_at == LATER
    load(data_dir, now=LATER + dt.timedelta(days=1))
    assert Endpoint.objects.get(slug="maker/small@acme").withdrawn_at is None


def test_the_operators_own_rows_and_switches_survive_a_load(data_dir: DataDir) -> None:
    load(data_dir)
    Provider.objects.update(base_url_override="https://mine.example", enabled=False)
    Model.objects.update(origin=Origin.OPERATOR, name="Mine")
    load(data_dir, now=LATER, price=DEARER)
    provider = Provider.objects.get()
    assert (provider.base_url_override, provider.enabled, Model.objects.get().name) == ("https://mine.example", False, "Mine")


@pytest.mark.parametrize("price", ["{usd_per_million_tokens: {input: '-1', output: '1'}}", "{usd_per_million_tokens: {input: '9999999'}}"])
def test_a_bad_price_changes_nothing(data_dir: DataDir, price: str) -> None:
    load(data_dir)
    with pytest.raises(BadDataFiles, match=r"providers/acme.yaml maker/small@acme: "):
        load(data_dir, now=LATER, price=price, provider=PROVIDER.replace("Acme", "Changed"))
    assert (Provider.objects.get().name, PriceVersion.objects.count()) == ("Acme", 1)
