"""What tests that buy something ask for. Import the fixtures where they are used."""

from collections.abc import Iterator
from typing import Any

import pytest

from gateway.stripe_simulator.app import StripeSimulator
from tests.fakes.stripe import SECRET, FakeStripe, serve


@pytest.fixture(scope="session")
def stripe_server() -> Iterator[FakeStripe]:
    """Return one running simulator for all tests of a process."""
    with serve(StripeSimulator()) as fake:
        yield fake


@pytest.fixture
def stripe(stripe_server: FakeStripe, settings: Any) -> FakeStripe:
    """Return an empty Stripe that this test's settings point to; nothing is retried by the client, so that faults show."""
    fresh = StripeSimulator(page_url=stripe_server.url)
    stripe_server.simulator.__dict__.update(fresh.__dict__)
    settings.STRIPE_SECRET_KEY = "sk_test_fake"
    settings.STRIPE_WEBHOOK_SECRETS = [SECRET]
    settings.STRIPE_API_URL = stripe_server.url
    settings.STRIPE_RETRIES = 0
    settings.STRIPE_TIMEOUT_S = 5.0
    return stripe_server
