"""An organization with prices of its own is held, charged and shown those; everybody else the public ones."""

import datetime as dt
from collections.abc import Callable, Iterator

import msgspec
import pytest

from catalog.types import CallerPrice, RateCard
from gateway.relay.catalog import CatalogView
from tests.gateway.relay.conftest import Customer, Stack, cost_nanos

_OWN = RateCard(rates={"input_tokens": 5_000_000, "output_tokens": 20_000_000})  # twice the public price
_VERSION = 4_711


@pytest.fixture
def favoured(stack: Stack, customer: Customer) -> Iterator[Customer]:
    """Return a customer whose organization has a price of its own for one endpoint."""
    app = stack.plane.app
    public = app.view
    assert public is not None
    book = msgspec.Raw(msgspec.msgpack.encode({"test/chat@alpha": CallerPrice(_VERSION, _OWN)}))
    snapshot = msgspec.structs.replace(
        public.snapshot,
        price_books={"plan:team": book},
        book_of=((customer.organization.pk, "plan:team"),),
        published_at=dt.datetime.now(dt.UTC),
    )
    app.view = CatalogView(snapshot, stack.plane._config)
    yield customer
    app.view = public


def test_a_request_is_charged_by_the_callers_own_price_and_its_receipt_names_the_version(
    favoured: Customer, new_customer: Callable[..., Customer]
) -> None:
    stranger = new_customer()
    paid, public = favoured.post().json()["usage"], stranger.post().json()["usage"]
    assert cost_nanos(paid) == 2 * cost_nanos(public) > 0
    receipt, other = favoured.receipts()[0], stranger.receipts()[0]
    assert (receipt.amount_nanos, receipt.price_version_id) == (cost_nanos(paid), _VERSION)
    assert (other.amount_nanos, other.price_version_id) == (cost_nanos(public), 1)
    assert receipt.cost_nanos == other.cost_nanos
    assert favoured.balance_nanos() == 10_000_000_000 - receipt.amount_nanos


def test_the_callers_list_of_models_shows_them_and_the_public_one_does_not(
    favoured: Customer, new_customer: Callable[..., Customer]
) -> None:
    def prompt_price(path: str, customer: Customer) -> str:
        answer = favoured.stack.client.get(path, headers=customer.headers).json()
        return str(next(one["pricing"]["prompt"] for one in answer["data"] if one["id"] == "test/chat"))

    assert prompt_price("/api/v1/models/user", favoured) == "0.000005"
    assert prompt_price("/api/v1/models", favoured) == "0.0000025"
    assert prompt_price("/api/v1/models/user", new_customer()) == "0.0000025"


def test_a_dry_run_holds_by_the_callers_own_price(favoured: Customer, new_customer: Callable[..., Customer]) -> None:
    def bound(customer: Customer) -> int:
        body = {"model": "test/chat", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 10, "provider": {"only": ["alpha"]}}
        answer = favoured.stack.client.post("/api/v1/route/explain", json=body, headers=customer.headers)
        return int(answer.json()["data"]["hold"]["amount"]["nanos"])

    assert bound(favoured) == 2 * bound(new_customer()) > 0
