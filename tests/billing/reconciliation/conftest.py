"""A Stripe of one's own and providers' cost APIs, both real servers."""

from tests.billing.purchases.conftest import begin, buy, buyer, deliver, organization, stripe, stripe_server  # noqa: F401 -- fixtures
