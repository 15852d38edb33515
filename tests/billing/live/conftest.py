import pytest
import redis

from tests.billing.authorizer.shard import Shard


@pytest.fixture
def shard(money_store: redis.Redis) -> Shard:
    """Return a shard of the empty money store, not yet open."""
    return Shard(money_store)
