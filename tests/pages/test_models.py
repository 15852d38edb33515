import re
from typing import Any

import pytest
from django.test import Client

from catalog import live_board
from catalog.measurements import Measurement


@pytest.mark.usefixtures("catalog")
def test_the_list_shows_every_model_with_the_price_of_its_cheapest_endpoint(client: Client) -> None:
    answer = client.get("/models")

    rows = [(row.model.id, row.input_picos, row.provider_count) for row in answer.context["page"]]
    assert rows == [("acme/swift", 250_000, 2), ("acme/painter", None, 1), ("other/away", 250_000, 0)]
    assert "$0.25" in answer.content.decode()
    assert "$0.04" in answer.content.decode()
    assert "Not served here" in answer.content.decode()


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("q=SWIFT", ["acme/swift"]),
        ("q=acme+paint", ["acme/painter"]),
        ("type=image", ["acme/painter"]),
        ("q=nothing-like-it", []),
        ("sort=name", ["other/away", "acme/painter", "acme/swift"]),
        ("sort=nonsense", ["acme/swift", "acme/painter", "other/away"]),
        ("page=99", ["acme/swift", "acme/painter", "other/away"]),
    ],
)
@pytest.mark.usefixtures("catalog")
def test_search_type_and_order_are_in_the_address(client: Client, query: str, ids: list[str]) -> None:
    assert [row.model.id for row in client.get(f"/models?{query}").context["page"]] == ids


@pytest.mark.usefixtures("catalog")
def test_the_filter_bar_gets_the_results_alone(client: Client) -> None:
    fragment = client.get("/models?q=swift", headers={"HX-Request": "true", "HX-Target": "results"}).content.decode()

    assert fragment.lstrip().startswith('<div id="results"')


@pytest.mark.usefixtures("catalog")
def test_a_model_shows_its_endpoints_and_marks_the_simulated_one(client: Client) -> None:
    answer = client.get("/models/acme/swift")

    assert [row.endpoint.id for row in answer.context["endpoints"]] == ["acme/swift@acme", "acme/swift@slowhost"]
    assert answer.content.decode().count(">Simulated<") == 1


@pytest.mark.usefixtures("catalog")
def test_another_name_of_a_model_leads_to_it_and_an_unknown_one_to_404(client: Client) -> None:
    assert client.get("/models/acme/swift-2026")["Location"] == "/models/acme/swift"
    assert client.get("/models/acme/none").status_code == 404


@pytest.mark.django_db
def test_pages_say_what_to_do_before_a_catalog_is_published(client: Client) -> None:
    assert "manage.py load_catalog" in client.get("/models").content.decode()
    assert client.get("/models/acme/swift").status_code == 404
    assert client.get("/").status_code == 200


@pytest.mark.usefixtures("catalog")
def test_the_front_page_counts_what_is_published(client: Client) -> None:
    answer = client.get("/")

    counted = {name: answer.context[name] for name in ("model_count", "provider_count", "endpoint_count")}
    assert counted == {"model_count": 3, "provider_count": 3, "endpoint_count": 4}
    assert [row.model.id for row in answer.context["rows"]] == ["acme/swift"]


@pytest.mark.usefixtures("catalog")
def test_a_search_costs_one_query_once_the_catalog_is_decoded(client: Client, django_assert_num_queries: Any) -> None:
    client.get("/models")

    with django_assert_num_queries(1):
        client.get("/models?q=swift")


@pytest.mark.usefixtures("catalog")
def test_a_model_shows_how_its_endpoints_do_or_how_to_find_out(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    board: dict[str, Measurement] = {}
    monkeypatch.setattr(live_board, "read_board", lambda: board)
    assert "Nothing was measured in the last 30 minutes" in client.get("/models/acme/swift").content.decode()

    board["acme/swift@slowhost"] = Measurement(
        requests=250,
        uptime_30m=98.8,
        uptime_1d=99.93,
        latency_ms=(212, 300, 415, 900),
        throughput_tps=(81.5, 60, 40, 12.5),
        tool_fault_rate=0.012,
    )
    page = client.get("/models/acme/swift").content.decode()
    table = page[page.index("measured-title") :].partition("</table>")[0]
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", table)
    assert [cell.strip() for cell in cells] == ["98.8", "99.93", "212", "415", "81.5", "1.2", "250"]
    assert "Slowhost" in table
