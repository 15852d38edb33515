"""A model's endpoints in the order that the address asks for; margins are seen by those who run the service alone."""

import itertools
import re
from collections.abc import Callable, Mapping

import msgspec
import pytest
from django.test import Client

from accounts.models import User
from catalog import live_board
from catalog.measurements import Measurement
from catalog.types import RateCard
from tests.factories import snapshots
from tests.factories.people import OrganizationFactory, UserFactory

AsPerson = Callable[[User], Client]
_versions = itertools.count(2_000_000)
# Endpoint → our input, output and cache read rate, what of it is the provider's in percent, context, and what was measured.
_ENDPOINTS: Mapping[str, tuple[int, int, int | None, int, int, Measurement | None]] = {
    "cheap": (
        100,
        900,
        None,
        100,
        8_000,
        Measurement(requests=9, latency_ms=(300, 1, 1, 1), throughput_tps=(50, 1, 1, 1), uptime_30m=99.0),
    ),
    "middle": (
        200,
        500,
        20,
        90,
        128_000,
        Measurement(requests=9, latency_ms=(100, 1, 1, 1), throughput_tps=(20, 1, 1, 1), uptime_30m=100.0),
    ),
    "dear": (300, 700, 10, 50, 64_000, None),
}


@pytest.fixture(autouse=True)
def _shop(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoints = []
    for slug, (prompt, output, cached, cost_percent, context, _) in _ENDPOINTS.items():
        rates = {"input_tokens": prompt * 1_000, "output_tokens": output * 1_000}
        rates |= {"cache_read_tokens": cached * 1_000} if cached is not None else {}
        cost = RateCard(rates={meter: rate * cost_percent // 100 for meter, rate in rates.items()})
        endpoint = snapshots.make_endpoint(f"acme/swift@{slug}", rates=rates)
        endpoints.append(msgspec.structs.replace(endpoint, cost=cost, context_length=context))
    snapshots.publish(
        models=[snapshots.make_model("acme/swift", endpoints=tuple(one.id for one in endpoints))],
        endpoints=endpoints,
        providers=[snapshots.make_provider(slug) for slug in _ENDPOINTS],
        version=next(_versions),
    )
    board = {f"acme/swift@{slug}": row[-1] for slug, row in _ENDPOINTS.items() if row[-1] is not None}
    monkeypatch.setattr(live_board, "read_board", lambda: board)


def shown(client: Client, order: str, **headers: str) -> list[str]:
    answer = client.get("/models/acme/swift", {"order": order}, headers=headers)
    assert answer.status_code == 200
    return [row.endpoint.tag for row in answer.context["endpoints"]]


@pytest.mark.parametrize(
    ("order", "tags"),
    [
        ("", ["cheap", "middle", "dear"]),
        ("price", ["cheap", "middle", "dear"]),
        ("no-such-order", ["cheap", "middle", "dear"]),
        ("input", ["cheap", "middle", "dear"]),
        ("output", ["middle", "dear", "cheap"]),
        ("cached", ["dear", "middle", "cheap"]),  # what has no price of its own comes last
        ("context", ["middle", "dear", "cheap"]),
        ("latency", ["middle", "cheap", "dear"]),  # what nobody measured comes last
        ("throughput", ["cheap", "middle", "dear"]),
        ("uptime", ["middle", "cheap", "dear"]),
        ("provider", ["cheap", "dear", "middle"]),
        ("margin", ["cheap", "middle", "dear"]),  # no order of the public's
    ],
)
def test_every_order_is_in_the_address(client: Client, order: str, tags: list[str]) -> None:
    assert shown(client, order) == tags


def test_those_who_run_the_service_see_margins_and_sort_by_them(as_person: AsPerson) -> None:
    operator = UserFactory(is_staff=True)
    OrganizationFactory(owner=operator)
    browser = as_person(operator)

    assert shown(browser, "margin") == ["dear", "middle", "cheap"]
    assert shown(browser, "margin-low") == ["cheap", "middle", "dear"]
    page = browser.get("/models/acme/swift?order=margin").content.decode()
    assert re.findall(r'data-label="Margin[^>]*>([^<]*)<', page) == ["50.00", "10.00", "0.00"]
    assert re.search(r'<th [^>]*aria-sort="descending"[^>]*>\s*Margin', page)


def test_nobody_else_sees_a_margin(as_person: AsPerson, client: Client) -> None:
    member = UserFactory()
    OrganizationFactory(owner=member)
    for browser in (client, as_person(member)):
        assert "Margin" not in browser.get("/models/acme/swift?order=margin").content.decode()


def test_the_table_alone_is_sent_to_the_form_that_orders_it(client: Client) -> None:
    piece = client.get("/models/acme/swift?order=output", headers={"HX-Target": "endpoints"}).content.decode()
    assert piece.count("<h1") == 0
    assert piece.count("<table") == 2
    assert re.search(r'<th [^>]*aria-sort="ascending"[^>]*>\s*Output', piece)
    assert '<option value="output" selected>' in piece
