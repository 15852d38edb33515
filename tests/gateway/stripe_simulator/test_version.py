"""One version of Stripe's API, named by every request."""

import httpx
import pytest
import stripe as client

from billing.purchases import stripe_api
from gateway.stripe_simulator.account import API_VERSION
from tests.fakes.stripe import FakeStripe
from tests.fakes.stripe.fixture import stripe, stripe_server

__all__ = ["stripe", "stripe_server"]


def test_the_client_the_product_and_the_simulator_speak_one_version() -> None:
    assert {stripe_api.API_VERSION, client.api_version} == {API_VERSION}


def test_every_request_names_the_version_whatever_the_clients_default_is(stripe: FakeStripe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "api_version", "2099-01-01.other")

    stripe_api.read_balance_cents()

    other = {"Authorization": "Bearer sk_test_x", "Stripe-Version": "2099-01-01.other"}
    assert httpx.get(f"{stripe.url}/v1/balance", headers=other, trust_env=False).status_code == 400
