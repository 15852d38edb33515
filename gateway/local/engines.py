"""PostgreSQL and two Valkeys of one data folder, as a unit: for `make run` where no other is named, and for the tests."""

import json
import signal
from pathlib import Path
from typing import NamedTuple

from gateway.local.postgres import EngineError, Postgres, Running
from gateway.local.processes import is_running
from gateway.local.valkey import BROKER, MONEY, Valkey

__all__ = ["EngineError", "EngineUrls", "Engines"]


class EngineUrls(NamedTuple):
    """Where the engines answer, passwords included."""

    database_url: str
    redis_url: str
    broker_redis_url: str


class Engines:
    """The engines under ``root``: ``postgres/`` (the books), ``money/`` (live balances) and ``broker/`` (cache, Channels, Celery).

    Ports are free ones, chosen at the first start and kept in ``ports.json``, so that several copies live side by side. With
    ``die_with_parent`` they stop when the calling process dies, however it dies (Linux only); else they outlive it, and a later
    start attaches to them. ``durable=False`` trades safety for speed: for tests that never restart an engine.
    """

    def __init__(
        self,
        root: Path,
        *,
        die_with_parent: bool = True,
        durable: bool = True,
        postgres: bool = True,
        money: bool = True,
        broker: bool = True,
    ) -> None:
        self.root = root.resolve()
        options = {} if durable else {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        self.postgres = Postgres(self.root / "postgres", options=options)
        self.money = Valkey(self.root / "money", options=MONEY)
        self.broker = Valkey(self.root / "broker", options=BROKER)
        wanted: dict[str, tuple[bool, Postgres | Valkey]] = {
            "broker": (broker, self.broker),
            "money": (money, self.money),
            "postgres": (postgres, self.postgres),
        }
        self._servers: dict[str, Postgres | Valkey] = {name: server for name, (is_wanted, server) in wanted.items() if is_wanted}
        self._die_with_parent = die_with_parent
        self.running: dict[str, Running] = {}

    def start(self) -> EngineUrls:
        """Start or attach to every engine; those that were left out have an empty URL. Raises: EngineError, with nothing left running."""
        self.root.mkdir(parents=True, exist_ok=True)
        ports = self._read_ports()
        try:
            for name in self._servers:
                self.running[name] = self._start_one(name, ports.get(name))
                ports[name] = port_of(self.running[name].url)
        except BaseException:
            self.stop()
            raise
        (self.root / "ports.json").write_text(json.dumps(ports))
        urls = {name: running.url for name, running in self.running.items()}
        return EngineUrls(urls.get("postgres", ""), urls.get("money", ""), urls.get("broker", ""))

    def stop(self) -> None:
        """Stop every engine cleanly."""
        for name in list(self.running):
            self._servers[name].stop()
            del self.running[name]

    def revive(self) -> list[str]:
        """Start again, on its port, every engine that died; return their names. Raises: EngineError."""
        died = [name for name, running in self.running.items() if not _is_alive(running)]
        for name in died:
            before = self.running.pop(name)
            self.running[name] = self._start_one(name, port_of(before.url))
            if self.running[name].url != before.url:
                raise EngineError(f"The {name} engine died and another program has taken its port. Start again.")
        return died

    def _start_one(self, name: str, port: int | None) -> Running:
        fast_stop = signal.SIGINT if name == "postgres" else signal.SIGTERM
        return self._servers[name].start(port=port, death_signal=fast_stop if self._die_with_parent else None)

    def _read_ports(self) -> dict[str, int]:
        try:
            return {name: int(port) for name, port in json.loads((self.root / "ports.json").read_text()).items()}
        except (OSError, ValueError, AttributeError):
            return {}


def port_of(url: str) -> int:
    """Return the port in an engine's URL."""
    return int(url.rpartition(":")[2].partition("/")[0])


def _is_alive(running: Running) -> bool:
    return running.child.poll() is None if running.child else is_running(running.pid)
