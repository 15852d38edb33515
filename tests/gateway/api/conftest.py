"""Clients of the management API, and money that is really held and settled through the live store."""

import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from psycopg_pool import AsyncConnectionPool

from accounts.api_keys import caller_of
from accounts.models import ApiKey, Organization
from billing.authorizer.connection import MoneyConnection
from billing.authorizer.holds import Holds
from billing.authorizer.loader import ScopeLoader
from billing.authorizer.spool import Spool
from billing.authorizer.types import HoldContext
from billing.books import rebuild, transfers
from billing.types import UsageEvent
from tests.factories.usage import make_event
from tests.gateway.api.client import ApiClient


@pytest.fixture
def management_key(make_key: Callable[..., tuple[ApiKey, str]]) -> tuple[ApiKey, str]:
    return make_key(name="Management", is_management=True)


@pytest.fixture
def api(management_key: tuple[ApiKey, str]) -> ApiClient:
    """Return a client with the management key of ``organization``."""
    return ApiClient(management_key[1])


@pytest.fixture
def stranger_api(stranger, make_key: Callable[..., tuple[ApiKey, str]]) -> ApiClient:
    """Return a client with a management key of another organization."""
    organization = stranger.memberships.get().organization
    return ApiClient(make_key(organization=organization, by=stranger, name="Theirs", is_management=True)[1])


@pytest.fixture
def funded(transactional_db: None, organization: Organization) -> Organization:
    """Return ``organization`` with $25 in an open money store."""
    rebuild.rebuild_shard(shard=organization.shard)
    transfers.grant(organization=organization, amount_nanos=25_000_000_000, reason="test", idempotency_key="test", by=None)
    return organization


@pytest.fixture
def spend(funded: Organization) -> Callable[..., UsageEvent]:
    """Return a spender: holds and settles one request on a key as the data plane does, and leaves it in the stream, not yet booked."""

    def run(api_key: ApiKey, **fields: Any) -> UsageEvent:
        event = make_event(api_key, **fields)
        asyncio.run(_hold_and_settle(api_key, event))
        return event

    return run


async def _hold_and_settle(api_key: ApiKey, event: UsageEvent) -> None:
    to = connection.get_connection_params()
    dsn = " ".join(f"{name}={to[name]}" for name in ("host", "port", "user", "password", "dbname") if to.get(name))
    money = MoneyConnection(settings.REDIS_URL)
    await money.start()
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncConnectionPool(dsn, min_size=1, max_size=1, open=False) as pool:
            holds = Holds(money, spool=Spool(Path(folder)), loader=ScopeLoader(pool, money))
            await holds.start()
            context = HoldContext(
                model=event.model, requested_model=event.requested_model, provider=event.provider, provider_name=event.provider_name,
                endpoint_id=event.endpoint_id, price_version_id=event.price_version_id, api_type=event.api_type,
                started_at_ms=event.started_at_ms,
            )  # fmt: skip
            hold = await holds.reserve(event_id=event.event_id, caller=caller_of(api_key), amount_nanos=event.hold_nanos, context=context)
            holds.settle(hold, event)
            while holds._spool.unsettled:  # noqa: ASYNC110 -- the spool has no event to wait for
                await asyncio.sleep(0.002)
            await holds.close()
    await money.close()
