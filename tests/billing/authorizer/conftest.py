import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import redis

from billing.authorizer.connection import MoneyConnection
from billing.authorizer.holds import Holds
from billing.authorizer.spool import Spool
from gateway.local.valkey import MONEY, Valkey
from tests.billing.authorizer.books import Books
from tests.billing.authorizer.shard import Shard


@pytest.fixture
def shard(money_store: redis.Redis) -> Shard:
    """Return a shard of the empty money store, not yet open."""
    return Shard(money_store)


@pytest.fixture
async def connection(money_store: redis.Redis) -> AsyncIterator[MoneyConnection]:
    """Return a connection to the money store."""
    connection = MoneyConnection(os.environ["REDIS_URL"], timeout_s=2.0)
    await connection.start()
    assert connection.connected
    yield connection
    await connection.close()


@pytest.fixture
def books() -> Books:
    """Return a small model of the books."""
    return Books()


@pytest.fixture
async def make_holds(tmp_path: Path, books: Books) -> AsyncIterator[Callable[..., Holds]]:
    """Return a maker of a data plane's money side, without leases unless told otherwise; all of them are closed at the end."""
    made: list[Holds] = []

    async def make(connection: MoneyConnection, *, folder: str = "spool", leases: bool = False, **options: float) -> Holds:
        spool, loader = Spool(tmp_path / folder, segment_bytes=64 * 1024), books.loader(connection)
        holds = Holds(connection, spool=spool, loader=loader, leases=leases, **options)
        await holds.start()
        made.append(holds)
        return holds

    yield make
    for holds in made:
        await holds.close()


class Server:
    """A money store that belongs to one test: it can be frozen, killed and started again."""

    def __init__(self, root: Path) -> None:
        self._valkey = Valkey(root, options=MONEY)
        running = self._valkey.start()
        self.url, self._pid = running.url, running.pid

    def freeze(self) -> None:
        os.kill(self._pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self._pid, signal.SIGCONT)

    def kill(self, *, lost_bytes: int = 0) -> None:
        """Kill it; a power cut also loses the end of the append-only file."""
        self._valkey.kill()
        if lost_bytes:
            [path] = (self._valkey.root / "appendonlydir").glob("*.incr.aof")
            os.truncate(path, max(path.stat().st_size - lost_bytes, 0))

    def start(self) -> None:
        self._pid = self._valkey.start(port=int(self.url.rpartition(":")[2].partition("/")[0])).pid

    def stop(self) -> None:
        self.thaw()
        self._valkey.stop()


@pytest.fixture
def server(tmp_path: Path, settings) -> Iterator[Server]:
    """Return a private money store; ``billing.live`` speaks to it too."""
    server = Server(tmp_path / "money")
    settings.REDIS_URL = server.url
    yield server
    server.stop()
