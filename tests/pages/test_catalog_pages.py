"""Filters, comparison, calculator, plot, provider and pricing pages: what they say is what is charged."""

import datetime as dt
import re

import msgspec
import pytest
from django.http import QueryDict
from django.test import Client

from catalog import calculator, fragments, list_page, price_plot, showcase
from catalog.calculator import Workload
from catalog.models import PriceVersion
from catalog.page_filters import ModelFilters, read_filters
from catalog.pricing import cost
from catalog.types import RateCard, Snapshot
from tests.factories import snapshots

AT = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("author=acme", ["acme/swift", "acme/painter"]),
        ("provider=slowhost", ["acme/swift"]),
        ("provider=away", ["other/away"]),
        ("vision=1", ["acme/swift", "acme/painter", "other/away"]),
        ("reasoning=1", []),
        ("free=1", []),
        ("zdr=1", []),
        ("open=1", []),
        ("context=200000", []),
        ("context=128000", ["acme/swift", "acme/painter", "other/away"]),
        ("max=0.25", ["acme/swift"]),
        ("max=0.24", []),
        ("min=0.25", ["acme/swift"]),
        ("min=0.26&max=0.5", ["acme/swift"]),
        ("min=0.51", []),
        ("video=1", []),
        ("notrain=1", []),
        ("max=cheap&context=many&region=mars", ["acme/swift", "acme/painter", "other/away"]),
        ("region=eu", []),
    ],
)
@pytest.mark.usefixtures("catalog")
def test_every_filter_is_in_the_address(client: Client, query: str, ids: list[str]) -> None:
    answer = client.get(f"/models?{query}")
    assert [row.model.id for row in answer.context["page"]] == ids
    assert answer.status_code == 200


def test_filters_that_make_no_sense_do_not_filter() -> None:
    assert read_filters({"max": "NaN", "context": "-1", "region": "moon", "author": ""}) == ModelFilters()
    assert read_filters({"max": "1e400", "tools": "1"}).features == {"tools"}


@pytest.mark.usefixtures("catalog")
def test_up_to_four_models_stand_side_by_side(client: Client) -> None:
    answer = client.get("/compare?m=acme/swift&m=acme/swift-2026&m=other/away&m=nobody/none")
    assert [row.model.id for row in answer.context["columns"]] == ["acme/swift", "other/away"]
    assert all(len(fact.cells) == 2 for fact in answer.context["facts"])
    assert "Nothing to compare yet" in client.get("/compare").content.decode()


def test_the_calculator_says_what_would_be_charged(catalog: Snapshot, client: Client) -> None:
    quote = calculator.quote(catalog, catalog.models["acme/swift"], Workload(1_000, 2_000, 500, 50), at=AT)
    assert [row.endpoint.id for row in quote.rows] == ["acme/swift@acme", "acme/swift@slowhost"]
    charged = cost(catalog.endpoints["acme/swift@acme"].price, quote.workload.usage, at=AT).nanos
    assert quote.rows[0].one_nanos == charged == 800_000
    assert quote.rows[0].total_nanos == 1_000 * charged
    fragment = client.get("/models/acme/swift?requests=10&prompt=1000000&output=0", headers={"HX-Request": "true", "HX-Target": "quote"})
    assert fragment.content.decode().lstrip().startswith('<section class="stack" aria-labelledby="quote-title"')
    assert "$2.50" in fragment.content.decode()
    odd = client.get("/models/acme/swift?requests=-5&prompt=lots&output=99999999999999999999&cached=900")
    assert odd.context["quote"].workload == Workload(cached_percent=100)


@pytest.mark.usefixtures("catalog")
def test_what_is_not_priced_by_token_has_no_quote(client: Client) -> None:
    assert "not priced by token" in client.get("/models/acme/painter").content.decode()


def test_the_plot_steps_where_the_price_changed(catalog: Snapshot) -> None:
    first = snapshots.make_price_version({"input_tokens": 500_000, "output_tokens": 1})
    card = {"rates": {"input_tokens": 250_000, "output_tokens": 1}}
    since = AT - dt.timedelta(days=10)
    PriceVersion.objects.create(
        endpoint=first.endpoint, effective_from=since, cost=card, price=card, listed={}, agreement_level="single"
    )  # fmt: skip
    plot = price_plot.draw(catalog, catalog.models["acme/swift"])
    assert plot is not None
    [line] = plot.lines
    assert line.path.count("H") == plot.changes + 1 == 2
    assert line.path.startswith("M84.0 14.0H")
    assert line.path.endswith("V119.0H1068.0")
    assert plot.rows[-1].text == "$0.5"


def test_similar_models_are_of_the_same_kind_and_not_itself(catalog: Snapshot) -> None:
    assert showcase.similar_models(catalog, catalog.models["acme/swift"]) == []  # the other chat model is not served
    assert showcase.similar_models(catalog, catalog.models["other/away"]) == []


@pytest.mark.usefixtures("catalog")
def test_a_provider_has_a_page_with_its_models(client: Client) -> None:
    answer = client.get("/providers/acme")
    assert {row.model.id for row in answer.context["rows"]} == {"acme/swift", "acme/painter"}
    assert "Not served here" in client.get("/providers/away").content.decode()
    assert client.get("/providers/nobody").status_code == 404


@pytest.mark.usefixtures("catalog")
def test_the_pricing_page_adds_up(client: Client, settings) -> None:
    settings.MARKUP_BASIS_POINTS = 275
    page = client.get("/pricing").content.decode()
    assert "2.75 % is added" in page
    settings.MARKUP_BASIS_POINTS = 0
    assert "Nothing is added" in client.get("/pricing").content.decode()


@pytest.mark.parametrize("path", ["/models", "/models/acme/swift", "/compare", "/pricing", "/providers/acme"])
@pytest.mark.usefixtures("catalog")
def test_feed_readers_find_the_price_changes_on_every_page_of_the_catalog(client: Client, path: str) -> None:
    head = client.get(path).content.decode().partition("</head>")[0]
    found = re.findall(r'<link rel="alternate" type="([^"]+)" title="[^"]+" href="([^"]+)">', head)
    assert found == [("application/feed+json", "/api/v1/feed.json"), ("application/rss+xml", "/feed.rss")]
    assert [client.get(address)["Content-Type"].partition(";")[0] for _, address in found] == [kind for kind, _ in found]


def test_the_worked_example_is_a_real_charge(catalog: Snapshot) -> None:
    cards = RateCard(rates={"input_tokens": 3_000_000, "output_tokens": 15_000_000, "cache_read_tokens": 300_000})
    endpoints = {**catalog.endpoints, "acme/swift@acme": msgspec.structs.replace(catalog.endpoints["acme/swift@acme"], price=cards)}
    example = calculator.worked_example(msgspec.structs.replace(catalog, endpoints=endpoints), at=AT)
    assert example is not None
    assert [label for label, _ in example.lines] == ["Input", "Cache read", "Output"]
    assert sum(line.picos for _, line in example.lines) == example.cost.picos
    assert calculator.worked_example(None) is None


def test_a_remembered_piece_is_never_that_of_another_catalog(catalog: Snapshot) -> None:
    older = msgspec.structs.replace(catalog, version=catalog.version - 1)
    made = [
        fragments.render_once("catalog/_data_policy.html", {"policy": policy}, snapshot=snapshot, key="same").strip()
        for snapshot, policy in ((older, {"zdr": True}), (older, {}), (catalog, {"retention_days": 30}), (older, {"retains_prompts": True}))
    ]
    assert made == ["Not kept", "Not kept", "Kept 30 days", "Kept"]


@pytest.mark.usefixtures("catalog")
def test_a_row_is_rendered_again_only_when_it_says_something_else(catalog: Snapshot) -> None:
    row = showcase.model_row(catalog, catalog.models["acme/swift"])
    html = fragments.render_row(row, is_comparable=True)

    assert fragments.render_row(row._replace(), is_comparable=True) is html
    dearer = fragments.render_row(row._replace(input_picos=9_000_000), is_comparable=True)
    assert "$9.00" in dearer
    assert "$9.00" not in html
    assert 'type="checkbox"' not in fragments.render_row(row, is_comparable=False)


def test_a_process_that_shows_the_list_is_ready_for_the_next_catalog_before_its_first_visitor(
    catalog: Snapshot, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.get("/models")
    newer = msgspec.structs.replace(catalog, version=catalog.version + 1_000_000)  # of nobody else

    list_page.prepare(newer)

    monkeypatch.setattr(fragments, "render_to_string", lambda *_: pytest.fail("something was left to render"))
    context = list_page.read_list(newer, QueryDict())
    assert "acme/swift" in list_page.render_results(newer, context)
    assert "Filters" in list_page.render_filters(newer, context)
