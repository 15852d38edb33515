"""Organizations whose shard is open for spending, and the figures of the books by name."""

from collections.abc import Callable

import pytest
import redis

from accounts import organizations
from accounts.models import Organization
from billing.books import outbox, rebuild, transfers
from billing.books.chart import AccountCode
from billing.live.store import store
from billing.models import Account
from tests.billing import plane
from tests.factories.people import UserFactory

USD = 1_000_000_000


@pytest.fixture
def make_organization(transactional_db: None, money_store: object) -> Callable[..., Organization]:
    """Return a maker of organizations with credit, ready to spend with key 1."""

    def make(credit_nanos: int = 0, *, shard: int = 7, promo: bool = False) -> Organization:
        organization = organizations.create(name="Acme", owner=UserFactory(), shard=shard)
        if credit_nanos:
            transfers.grant(
                organization=organization, amount_nanos=credit_nanos, reason="test", idempotency_key="start", by=None, promo=promo
            )
        rebuild.rebuild_shard(shard=shard)
        outbox.publish(organization)
        plane.put_key(shard)
        return organization

    return make


@pytest.fixture
def books() -> Callable[..., dict[str, int]]:
    """Return a reader of every account that ever moved: name → balance on its own side, nanos."""

    def read() -> dict[str, int]:
        balances: dict[str, int] = {}
        for account in Account.objects.order_by("id"):
            if account.debits_nanos or account.credits_nanos:
                name = AccountCode(account.code).name.lower()
                balances[name] = balances.get(name, 0) + account.balance_nanos
        return balances

    return read


@pytest.fixture
def money_store_client() -> redis.Redis:
    """Return a client of the money store as it is, for tests that tamper with it."""
    return store()
