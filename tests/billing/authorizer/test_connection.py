import asyncio
import os
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis

from billing.authorizer.address import BadStoreUrl
from billing.authorizer.connection import MoneyConnection, MoneyStoreDown, MoneyStoreError
from billing.authorizer.scripts import EVERY, RELEASE
from gateway.local.valkey import MONEY, Valkey
from tests.billing.authorizer.conftest import Server


async def wait_for(condition, *, within_s: float = 5.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)


async def test_replies_go_to_their_callers(connection: MoneyConnection) -> None:
    replies = await asyncio.gather(*(connection.execute("ECHO", number) for number in range(5_000)))
    assert replies == [b"%d" % number for number in range(5_000)]


async def test_commands_of_one_turn_leave_in_one_write(connection: MoneyConnection) -> None:
    writes: list[int] = []
    transport = connection._link.transport

    class Counting:
        def write(self, data: bytes) -> None:
            writes.append(len(data))
            transport.write(data)

    connection._link.transport = Counting()
    await asyncio.gather(*(connection.execute("PING") for _ in range(500)))
    connection._link.transport = transport
    assert len(writes) == 1


async def test_an_error_reaches_its_caller_alone(connection: MoneyConnection) -> None:
    good, bad, also_good = connection.execute("PING"), connection.execute("HINCRBY"), connection.execute("PING")
    assert await good == b"PONG"
    with pytest.raises(MoneyStoreError, match="wrong number of arguments"):
        await bad
    assert await also_good == b"PONG"


async def test_a_caller_that_left_does_not_shift_the_others(connection: MoneyConnection) -> None:
    first, second = connection.execute("ECHO", "1"), connection.execute("ECHO", "2")
    first.cancel()
    assert await second == b"2"


async def test_a_flushed_script_is_loaded_and_run_once(connection: MoneyConnection, money_store: redis.Redis) -> None:
    money_store.script_flush()
    keys = ["{s000}:epoch", "{s000}:b:1", "{s000}:h:1", "{s000}:dl", "{s000}:k:1"]
    calls = [connection.run_script(RELEASE, keys, (connection.run_id, 1, "ab")) for _ in range(20)]
    assert await asyncio.gather(*calls) == [[b"EPOCH"]] * 20


@pytest.mark.usefixtures("connection")
async def test_scripts_are_loaded_when_connecting(money_store: redis.Redis) -> None:
    assert money_store.script_exists(*(script.sha for script in EVERY[:7])) == [True] * 7


async def test_every_script_has_the_sha_that_the_server_gives_it(money_store: redis.Redis) -> None:
    assert [money_store.script_load(script.text) for script in EVERY] == [script.sha for script in EVERY]


async def test_a_call_without_connection_fails_at_once() -> None:
    connection = MoneyConnection("redis://127.0.0.1:1/0")
    await connection.start()
    started_s = time.monotonic()
    with pytest.raises(MoneyStoreDown) as caught:
        await connection.execute("PING")
    assert time.monotonic() - started_s < 0.05
    assert caught.value.retry_after_s == 1.0
    await connection.close()


async def test_a_frozen_server_fails_closed_within_half_a_second_and_comes_back(server: Server) -> None:
    connection = MoneyConnection(server.url)
    await connection.start()
    run_id = connection.run_id
    server.freeze()
    started_s = time.monotonic()
    calls = [connection.execute("PING") for _ in range(100)]
    for call in calls:
        with pytest.raises(MoneyStoreDown):
            await call
    assert time.monotonic() - started_s < 0.5
    with pytest.raises(MoneyStoreDown):
        await connection.execute("PING")
    server.thaw()
    await wait_for(lambda: connection.connected)
    assert await connection.execute("PING") == b"PONG"
    assert connection.run_id == run_id
    await connection.close()


async def test_a_busy_loop_is_not_taken_for_a_silent_server(connection: MoneyConnection) -> None:
    connection.timeout_s = 0.05
    call = connection.execute("PING")
    await asyncio.sleep(0)
    time.sleep(0.2)  # noqa: ASYNC251 -- the point
    assert await call == b"PONG"


async def test_a_restarted_server_is_a_new_run_and_pending_calls_fail(server: Server) -> None:
    connection, runs = MoneyConnection(server.url), list[str]()
    connection.on_new_run(runs.append)
    await connection.start()
    server.freeze()
    pending = connection.execute("PING")
    server.kill()
    with pytest.raises(MoneyStoreDown):
        await pending
    assert not connection.connected
    server.start()
    await wait_for(lambda: connection.connected)
    assert len(set(runs)) == len(runs) == 2
    assert connection.run_id == runs[1]
    await connection.close()


async def test_an_out_of_memory_server_is_down_and_not_wrong(server: Server) -> None:
    client = redis.Redis.from_url(server.url)
    connection = MoneyConnection(server.url)
    await connection.start()
    client.config_set("maxmemory", "1mb")
    client.config_set("maxmemory", "1")
    with pytest.raises(MoneyStoreDown, match="OOM"):
        await connection.run_script(RELEASE, ["a", "b", "c", "d"], ("", 1, "ab"))
    await connection.close()


async def test_a_wrong_password_is_not_a_connection() -> None:
    parts = urlsplit(os.environ["REDIS_URL"])
    connection = MoneyConnection(f"redis://:wrong@{parts.hostname}:{parts.port}/0")
    await connection.start()
    assert not connection.connected
    await connection.close()


async def test_unix_sockets_and_database_numbers(tmp_path: Path) -> None:
    path = Path("/tmp") / f"tollway-{os.getpid()}.sock"  # noqa: S108 -- a socket's path may be 107 bytes long
    server = Valkey(tmp_path / "store", options={**MONEY, "unixsocket": str(path)})
    password = urlsplit(server.start().url).password
    connection = MoneyConnection(f"unix://:{password}@{path}?db=2")
    await connection.start()
    await connection.execute("SET", "here", "1")
    assert redis.Redis(unix_socket_path=str(path), password=password, db=2).get("here") == b"1"
    await connection.close()
    server.stop()


@pytest.mark.parametrize("url", ["http://localhost", "localhost:6379", ""])
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(BadStoreUrl, match="redis://"):
        MoneyConnection(url)


async def test_closing_answers_those_who_wait() -> None:
    connection = MoneyConnection(os.environ["REDIS_URL"])
    await connection.start()
    answered, pending = connection.execute("PING"), connection.execute("BLPOP", "nothing", "60")
    await connection.close()
    assert await answered == b"PONG"
    with pytest.raises(MoneyStoreDown):
        await pending
