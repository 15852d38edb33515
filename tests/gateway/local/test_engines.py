import json
import os
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
import redis

from gateway.local.engines import EngineError, Engines, port_of
from gateway.local.processes import is_running

ROOT = Path(__file__).resolve().parents[3]


def pids_of(engines: Engines) -> dict[str, int]:
    return {name: running.pid for name, running in engines.running.items()}


def await_end(pids: list[int], within_s: float = 30) -> list[int]:
    deadline = time.monotonic() + within_s
    while (alive := [pid for pid in pids if is_running(pid)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return alive


def test_cold_warm_and_after_power_cut_the_data_and_the_ports_are_the_same(tmp_path: Path) -> None:
    engines = Engines(tmp_path)
    first = engines.start()
    with psycopg.connect(first.database_url) as connection:
        connection.execute("CREATE TABLE note AS SELECT 'kept' AS text")
    with redis.Redis.from_url(first.redis_url) as money:
        money.set("note", "kept")
    engines.stop()
    assert engines.start() == first

    with redis.Redis.from_url(first.redis_url) as money:
        money.set("late", "kept")
        time.sleep(1.5)  # everysec: the file is synced by then
    engines.postgres.kill()
    engines.money.kill()
    engines.broker.kill()
    engines.running.clear()
    assert engines.start() == first
    with psycopg.connect(first.database_url) as connection, redis.Redis.from_url(first.redis_url) as money:
        assert connection.execute("SELECT text FROM note").fetchone() == ("kept",)
        assert money.mget("note", "late") == [b"kept", b"kept"]
    pids = list(pids_of(engines).values())
    engines.stop()
    assert await_end(pids) == []


def test_a_second_start_attaches_to_the_running_engines(private_engines: Engines) -> None:
    other = Engines(private_engines.root)
    other.start()
    assert {running.how for running in other.running.values()} == {"attached"}
    assert pids_of(other) == pids_of(private_engines)


def test_several_copies_run_side_by_side_and_do_not_share_data(private_engines: Engines, tmp_path: Path) -> None:
    other = Engines(tmp_path / "other", postgres=False)
    try:
        urls = other.start()
        with redis.Redis.from_url(urls.redis_url) as there, redis.Redis.from_url(private_engines.running["money"].url) as here:
            here.set("note", "here")
            assert there.get("note") is None
    finally:
        other.stop()


def test_a_port_that_another_program_took_is_replaced(tmp_path: Path) -> None:
    engines = Engines(tmp_path, postgres=False)
    taken = port_of(engines.start().redis_url)
    engines.stop()
    with socket.create_server(("127.0.0.1", taken)):
        now = port_of(engines.start().redis_url)
        engines.stop()
    assert now != taken
    assert json.loads((tmp_path / "ports.json").read_text())["money"] == now


def test_an_engine_that_dies_is_started_again_on_its_port(private_engines: Engines) -> None:
    url = private_engines.running["money"].url
    os.kill(private_engines.running["money"].pid, 9)
    private_engines.running["money"].child.wait()
    assert private_engines.revive() == ["money"]
    assert private_engines.revive() == []
    with redis.Redis.from_url(url) as money:
        assert money.ping()


def test_the_engines_ask_for_passwords_and_listen_on_loopback_only(private_engines: Engines) -> None:
    for name in ("money", "broker"):
        port = port_of(private_engines.running[name].url)
        with redis.Redis(port=port) as client, pytest.raises(redis.AuthenticationError):
            client.ping()
    with redis.Redis.from_url(private_engines.running["money"].url) as money:
        assert money.config_get("bind")["bind"] == "127.0.0.1"
    url = private_engines.running["postgres"].url
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(url.replace(url.split(":")[2].split("@")[0], "wrong"))
    with psycopg.connect(url) as connection:
        assert connection.execute("SHOW listen_addresses").fetchone() == ("127.0.0.1",)


def test_the_money_store_is_durable_and_never_evicts(private_engines: Engines) -> None:
    with redis.Redis.from_url(private_engines.running["money"].url) as money:
        wanted = {"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction"}
        assert {name: money.config_get(name)[name] for name in wanted} == wanted


def test_no_other_user_can_read_passwords_or_data(private_engines: Engines) -> None:
    for path in ("postgres/password", "money/password", "broker/password"):
        assert stat.S_IMODE((private_engines.root / path).stat().st_mode) == 0o600
    for path in ("postgres/data", "money", "broker"):
        assert stat.S_IMODE((private_engines.root / path).stat().st_mode) == 0o700


def test_a_closed_parent_folder_is_entered_and_stays_closed(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    engines = Engines(closed / "data", money=False, broker=False)
    try:
        with psycopg.connect(engines.start().database_url) as connection:
            assert connection.execute("SELECT lower('ÄÖ')").fetchone() == ("äö",)
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    finally:
        engines.stop()


def test_a_pidfile_that_names_a_foreign_process_does_not_block_the_start(tmp_path: Path) -> None:
    engines = Engines(tmp_path, money=False, broker=False)
    engines.start()
    pidfile = tmp_path / "postgres/data/postmaster.pid"
    left = pidfile.read_text().split("\n")
    engines.postgres.kill()
    engines.running.clear()
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as foreign:
        pidfile.write_text("\n".join([str(foreign.pid), *left[1:]]))
        assert engines.start().database_url
        engines.stop()
        foreign.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help is Linux only")
def test_engines_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from gateway.local.engines import Engines\n"
        "engines = Engines(Path(sys.argv[1])); engines.start()\n"
        "print(*[running.pid for running in engines.running.values()], flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        pids = [int(word) for word in parent.stdout.readline().split()]
        parent.kill()
    assert len(pids) == 3
    assert await_end(pids) == []


def test_a_broken_cluster_is_reported_with_the_servers_own_words(tmp_path: Path) -> None:
    engines = Engines(tmp_path, money=False, broker=False)
    engines.start()
    engines.stop()
    (tmp_path / "postgres/data/global/pg_control").write_bytes(b"")
    with pytest.raises(EngineError, match="pg_control"):
        engines.start()
    assert engines.running == {}
