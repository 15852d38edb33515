"""Against the real PostgreSQL and Redis. A small TCP proxy stands in for a network that breaks or falls silent."""

import asyncio
import datetime as dt
import time
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import connection, connections
from psycopg_pool import AsyncConnectionPool

from accounts import api_keys, key_format
from accounts.lookup import KeyLookup, LookupDown
from accounts.models import ApiKey
from accounts.types import InvalidKey, KeyExpired

pytestmark = pytest.mark.django_db(transaction=True)


def database_url() -> str:
    parameters = connection.get_connection_params()
    return " ".join(f"{name}={parameters[name]}" for name in ("host", "port", "user", "password", "dbname") if parameters.get(name))


@pytest.fixture
def owned(make_organization):
    return make_organization("ours")


@asynccontextmanager
async def started(*, broker_url: str | None = None, dsn: str | None = None, **options):
    pool = AsyncConnectionPool(dsn or database_url(), min_size=1, max_size=2, open=False)
    await pool.open()
    lookup = KeyLookup(pool, broker_url or settings.BROKER_REDIS_URL, **options)
    await lookup.start()
    try:
        yield lookup
    finally:
        await lookup.close()
        await pool.close()


async def until(condition, timeout_s: float = 5.0) -> float:
    """Wait for the condition; return how long it took, in seconds."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < timeout_s, "did not happen in time"
        await asyncio.sleep(0.005)
    return time.monotonic() - began


class BreakableNetwork:
    """A TCP proxy to Redis: ``cut`` drops every connection and refuses new ones, ``mute`` keeps them open and passes nothing."""

    def __init__(self) -> None:
        target = urlsplit(settings.BROKER_REDIS_URL)
        self._target = (target.hostname, target.port)
        self._url = target
        self._tasks: set[asyncio.Task] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._refusing = False
        self._flowing = asyncio.Event()
        self._flowing.set()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        login = self._url.netloc.rpartition("@")[0]
        self.url = urlunsplit(self._url._replace(netloc=f"{login + '@' if login else ''}127.0.0.1:{port}"))
        return self

    async def __aexit__(self, *_):
        self.cut()
        self._server.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        self._refusing = True
        for writer in self._writers:
            writer.transport.abort()
        for task in self._tasks:
            task.cancel()

    def mute(self) -> None:
        self._flowing.clear()

    def heal(self) -> None:
        self._refusing = False
        self._flowing.set()

    async def _serve(self, reader, writer):
        self._writers.add(writer)
        if self._refusing:
            writer.transport.abort()
            return
        there, back = await asyncio.open_connection(*self._target)
        self._writers.add(back)
        for source, sink in ((reader, back), (there, writer)):
            task = asyncio.create_task(self._pump(source, sink))
            self._tasks.add(task)

    async def _pump(self, source, sink):
        while data := await source.read(65536):
            await self._flowing.wait()
            sink.write(data)
            await sink.drain()
        sink.close()


async def in_thread(function, *args, **options):
    """Run what uses Django, and leave no connection behind in the thread that ran it."""

    def run():
        try:
            return function(*args, **options)
        finally:
            connections.close_all()

    return await sync_to_async(run)()


def make_key(owned, **options) -> tuple[ApiKey, str]:
    organization, owner = owned
    return api_keys.create(organization=organization, name="k", by=owner, **options)


async def test_a_key_is_found_first_by_asking_and_then_at_once(owned):
    api_key, secret = await in_thread(make_key, owned)
    async with started() as lookup:
        await until(lambda: lookup.watching)
        assert lookup.find(secret) is None
        caller = await lookup.resolve(secret)
        assert (caller.key_id, caller.org_id, caller.shard) == (api_key.pk, owned[0].pk, owned[0].shard)
        assert lookup.find(secret) == caller


async def test_a_random_string_is_refused_without_asking_anyone():
    async with started(broker_url="redis://127.0.0.1:1/0", dsn="host=127.0.0.1 port=1 connect_timeout=1") as lookup:
        for wrong in ["", "nonsense", "sk-tw-v1-" + "a" * 64]:
            with pytest.raises(InvalidKey):
                await lookup.resolve(wrong)


async def test_an_unknown_key_is_refused(broker):
    secret = key_format.mint_secret()
    async with started() as lookup:
        for _ in range(2):
            with pytest.raises(InvalidKey):
                await lookup.resolve(secret)
        assert lookup.find(secret) is None
    assert broker.get(f"key:{key_format.hash_secret(secret)}") is None


async def test_a_key_made_after_it_was_asked_for_works_at_once(owned):
    secret = key_format.mint_secret()
    async with started() as lookup:
        await until(lambda: lookup.watching)
        with pytest.raises(InvalidKey):
            await lookup.resolve(secret)
        api_key, _ = await in_thread(make_key, owned, secret=secret)
        found = []

        async def ask():
            while not found:
                try:
                    found.append(await lookup.resolve(secret))
                except InvalidKey:
                    await asyncio.sleep(0.005)

        await asyncio.wait_for(ask(), 1.0)
        assert found[0].key_id == api_key.pk


async def test_a_deleted_key_stops_within_the_time_of_one_message(owned):
    api_key, secret = await in_thread(make_key, owned)
    async with started() as lookup:
        await until(lambda: lookup.watching)
        await lookup.resolve(secret)
        await in_thread(api_keys.delete, api_key=api_key, by=owned[1])
        assert await until(lambda: lookup.find(secret) is None) < 1.0
        with pytest.raises(InvalidKey):
            await lookup.resolve(secret)


async def test_postgresql_answers_when_redis_has_forgotten_and_redis_learns_it_again(owned, broker):
    api_key, secret = await in_thread(make_key, owned)
    broker.delete(f"key:{api_key.hash}")
    async with started() as lookup:
        assert (await lookup.resolve(secret)).key_id == api_key.pk
    assert broker.get(f"key:{api_key.hash}") is not None


async def test_postgresql_answers_when_redis_is_away(owned):
    api_key, secret = await in_thread(make_key, owned, is_management=True)
    async with started(broker_url="redis://127.0.0.1:1/0") as lookup:
        caller = await lookup.resolve(secret)
        assert (caller.key_id, caller.is_management) == (api_key.pk, True)
        assert not lookup.watching


async def test_redis_answers_when_postgresql_is_away(owned):
    api_key, secret = await in_thread(make_key, owned)
    async with started(dsn="host=127.0.0.1 port=1 connect_timeout=1") as lookup:
        assert (await lookup.resolve(secret)).key_id == api_key.pk


async def test_with_both_away_it_says_so_instead_of_refusing_the_key(owned):
    _, secret = await in_thread(make_key, owned)
    async with started(broker_url="redis://127.0.0.1:1/0", dsn="host=127.0.0.1 port=1 connect_timeout=1") as lookup:
        with pytest.raises(LookupDown):
            await lookup.resolve(secret)


async def test_an_expired_key_is_told_apart_also_when_it_expires_in_the_cache(owned):
    api_key, secret = await in_thread(make_key, owned, expires_at=dt.datetime.now(dt.UTC) + dt.timedelta(seconds=2))
    async with started() as lookup:
        await until(lambda: lookup.watching)
        assert (await lookup.resolve(secret)).key_id == api_key.pk
        await until(lambda: lookup.find(secret) is None)
        with pytest.raises(KeyExpired):
            await lookup.resolve(secret)


async def test_a_tombstone_is_not_overwritten_by_a_look_up_that_read_the_row_before(owned, broker):
    """The row is read alive, the key is deleted, and only then the fill is sent."""
    api_key, secret = await in_thread(make_key, owned)
    async with started() as lookup:
        caller = await lookup.resolve(secret)
        await in_thread(api_keys.delete, api_key=api_key, by=owned[1])
        await lookup._fill_entry(caller)
        assert broker.get(f"key:{api_key.hash}") == b"deleted"


async def test_an_answer_from_before_a_revocation_is_not_kept(owned):
    _, secret = await in_thread(make_key, owned)
    async with started() as lookup:
        await until(lambda: lookup.watching)
        under_way = asyncio.create_task(lookup.resolve(secret))
        await asyncio.sleep(0)
        lookup.forget(key_format.hash_secret(secret))
        await under_way
        assert lookup.find(secret) is None


async def test_many_askers_of_one_key_make_one_question(owned, broker):
    _, secret = await in_thread(make_key, owned)
    async with started() as lookup:
        await until(lambda: lookup.watching)
        before = broker.info("commandstats")["cmdstat_get"]["calls"]
        callers = await asyncio.gather(*(lookup.resolve(secret) for _ in range(50)))
        assert len(set(callers)) == 1
        assert broker.info("commandstats")["cmdstat_get"]["calls"] - before < 10


async def test_the_cache_is_bounded_and_drops_the_oldest(owned):
    made = [await in_thread(make_key, owned) for _ in range(4)]
    async with started(cache_size=3) as lookup:
        await until(lambda: lookup.watching)
        for _, secret in made:
            await lookup.resolve(secret)
        assert [lookup.find(secret) is not None for _, secret in made] == [False, True, True, True]


async def test_a_caller_is_asked_for_again_after_its_time(owned):
    _, secret = await in_thread(make_key, owned)
    async with started(ttl_s=0.05) as lookup:
        await until(lambda: lookup.watching)
        await lookup.resolve(secret)
        await until(lambda: lookup.find(secret) is None)


async def test_a_revocation_missed_while_the_channel_was_cut_still_holds_after_it_heals(owned):
    api_key, secret = await in_thread(make_key, owned)
    async with BreakableNetwork() as network, started(broker_url=network.url) as lookup:
        await until(lambda: lookup.watching)
        await lookup.resolve(secret)
        network.cut()
        await until(lambda: not lookup.watching)
        assert lookup.find(secret) is None
        await in_thread(api_keys.delete, api_key=api_key, by=owned[1])
        network.heal()
        await until(lambda: lookup.watching)
        with pytest.raises(InvalidKey):
            await lookup.resolve(secret)


async def test_a_channel_that_falls_silent_without_an_error_is_noticed(owned):
    _, secret = await in_thread(make_key, owned)
    async with BreakableNetwork() as network, started(broker_url=network.url) as lookup:
        await until(lambda: lookup.watching)
        await lookup.resolve(secret)
        network.mute()
        await until(lambda: not lookup.watching, timeout_s=6.0)
        assert lookup.find(secret) is None


async def test_without_the_channel_a_caller_is_kept_for_a_second_only(owned):
    _, secret = await in_thread(make_key, owned)
    async with started(broker_url="redis://127.0.0.1:1/0", ttl_s=30.0) as lookup:
        while lookup.find(secret) is None:  # each failed attempt to listen empties the cache
            await lookup.resolve(secret)
            await asyncio.sleep(0.01)
        assert await until(lambda: lookup.find(secret) is None) < 1.5
