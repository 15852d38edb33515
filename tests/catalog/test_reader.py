"""The data plane sees what is published, by announcement or by polling, and survives what goes wrong."""

import asyncio
import time
from collections.abc import AsyncIterator

import psycopg
import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from psycopg_pool import AsyncConnectionPool

from catalog import publication
from catalog.reader import NotPublished, Pool, SnapshotReader
from catalog.types import Snapshot
from tests.catalog.conftest import DataDir, newest_snapshot

pytestmark = pytest.mark.django_db(transaction=True)

NOWHERE = "redis://127.0.0.1:1/0"
DEARER = "{usd_per_million_tokens: {input: '0.6', output: '1.5'}}"


@pytest.fixture
async def pool(transactional_db: None) -> AsyncIterator[Pool]:
    async with AsyncConnectionPool[psycopg.AsyncConnection](settings.DATABASE_URL, min_size=1, max_size=2, open=False) as one:
        yield one


async def publish(data_dir: DataDir, **parts: str) -> None:
    await sync_to_async(publication.load_and_publish)(data_dir=data_dir.write(**parts))


class Watch:
    """A running watch that collects what it is given. The first ``refusals`` snapshots are refused."""

    def __init__(self, pool: Pool, broker_url: str, *, poll_s: float, refusals: int = 0) -> None:
        self.seen: list[Snapshot] = []
        self.refusals = refusals
        self._arrived = asyncio.Condition()
        self.task = asyncio.create_task(SnapshotReader(pool, broker_url, poll_s=poll_s).watch(self._take))

    async def _take(self, snapshot: Snapshot) -> None:
        if self.refusals:
            self.refusals -= 1
            raise RuntimeError("not this one")
        async with self._arrived:
            self.seen.append(snapshot)
            self._arrived.notify_all()

    async def until(self, version: int, *, timeout_s: float = 10) -> Snapshot:
        """Wait for this version or a newer one and return it."""
        async with asyncio.timeout(timeout_s), self._arrived:
            await self._arrived.wait_for(lambda: bool(self.seen) and self.seen[-1].version >= version)
        return self.seen[-1]

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def test_before_the_first_publication_there_is_nothing(pool: Pool) -> None:
    with pytest.raises(NotPublished):
        await SnapshotReader(pool, NOWHERE).load()


async def test_what_is_loaded_is_what_was_published(pool: Pool, data_dir: DataDir) -> None:
    await publish(data_dir)
    assert await SnapshotReader(pool, NOWHERE).load() == await sync_to_async(newest_snapshot)()


async def test_a_publication_arrives_by_announcement(pool: Pool, data_dir: DataDir) -> None:
    await publish(data_dir)
    watch = Watch(pool, settings.BROKER_REDIS_URL, poll_s=60)
    await watch.until(1)
    await asyncio.sleep(0.5)  # the channel is open by now
    started = time.monotonic()
    await publish(data_dir, price=DEARER)
    published_s = time.monotonic() - started
    snapshot = await watch.until(2)
    took_s = time.monotonic() - started - published_s
    await watch.stop()
    assert snapshot.endpoints["maker/small@acme"].price.rates["input_tokens"] == 600_000
    assert took_s < 2


async def test_a_publication_is_found_without_redis(pool: Pool, data_dir: DataDir) -> None:
    watch = Watch(pool, NOWHERE, poll_s=0.1)
    await publish(data_dir)
    await watch.until(1)
    await publish(data_dir, price=DEARER)
    await watch.until(2)
    await watch.stop()
    assert [one.version for one in watch.seen] == [1, 2]


async def test_an_unchanged_catalog_is_not_taken_twice(pool: Pool, data_dir: DataDir) -> None:
    watch = Watch(pool, NOWHERE, poll_s=0.02)
    await publish(data_dir)
    await watch.until(1)
    await asyncio.sleep(0.2)
    await watch.stop()
    assert len(watch.seen) == 1


async def test_a_snapshot_that_is_refused_is_tried_again(pool: Pool, data_dir: DataDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catalog.reader._RETRY_REFUSED_S", 0.05)
    await publish(data_dir)
    watch = Watch(pool, NOWHERE, poll_s=60, refusals=2)
    await watch.until(1)
    await watch.stop()
    assert watch.seen[0].version == 1


async def test_the_watch_outlives_a_database_that_is_away(data_dir: DataDir, pool: Pool) -> None:
    await publish(data_dir)
    broken: Pool = AsyncConnectionPool("postgresql://nobody@127.0.0.1:1/none", min_size=0, max_size=1, timeout=0.2, open=False)
    await broken.open()
    watch = Watch(broken, NOWHERE, poll_s=0.05)
    await asyncio.sleep(0.6)
    assert not watch.task.done()
    await watch.stop()
    await broken.close()
    assert pool.max_size == 2
