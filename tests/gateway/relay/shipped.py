"""A running plane with the shipped catalog in force. Import both fixtures where they are used."""

import time
from typing import Any

import httpx
import msgspec
import pytest
import redis
from django.conf import settings

from catalog.models import CatalogSnapshot
from catalog.reader import CHANNEL
from tests.catalog.conftest import RealCatalog, real_catalog
from tests.gateway.relay.conftest import Stack

__all__ = ["real_catalog", "shop"]


@pytest.fixture(scope="module")
def shop(stack: Stack, real_catalog: RealCatalog, django_db_blocker: Any) -> httpx.Client:
    """Return a client of the running plane after it has taken the shipped catalog into use."""
    snapshot = msgspec.structs.replace(real_catalog.snapshot, version=2)
    with django_db_blocker.unblock():
        CatalogSnapshot.objects.create(
            version=2,
            published_at=snapshot.published_at,
            body=msgspec.msgpack.encode(snapshot),
            digest="",
            environment_digest="",
            model_count=len(snapshot.models),
            endpoint_count=len(snapshot.endpoints),
            provider_count=len(snapshot.providers),
        )
    with redis.Redis.from_url(settings.BROKER_REDIS_URL) as broker:
        broker.publish(CHANNEL, "2")
    deadline = time.monotonic() + 10
    while stack.plane.app.view is None or stack.plane.app.view.version != 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return stack.client
