"""One running copy for all tests of bad days; each leaves it whole."""

from collections.abc import Iterator

import pytest

from tests.billing.authorizer.conftest import books, connection, make_holds, shard  # noqa: F401 -- fixtures
from tests.billing.conftest import make_organization, money_store_client  # noqa: F401
from tests.faults.scale import takes_long_ones
from tests.faults.stack import Stack


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave what takes minutes to ``make faults``."""
    if takes_long_ones():
        return
    long = [item for item in items if item.get_closest_marker("long")]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    running = Stack(tmp_path_factory.mktemp("bad-days"))
    yield running
    running.stop()
