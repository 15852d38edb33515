"""The whole service as ``make run`` starts it, with its processes in reach of a killer, and traffic whose every answer is remembered."""

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import psycopg

from gateway.local.processes import spawn

ROOT = Path(__file__).resolve().parent.parent.parent
NANOS_PER_USD = 1_000_000_000
READY_WITHIN_S = 180.0
MODEL = "openai/gpt-4o-mini"


@dataclass
class Answered:
    """What a client knows of its requests. ``unknown`` counts those whose connection broke: they may or may not have been charged."""

    costs_nanos: dict[str, int] = field(default_factory=dict)  # by generation id
    refused: int = 0  # 503, which charges nothing
    unknown: int = 0
    other: list[str] = field(default_factory=list)


class Stack:
    """A running copy in a folder of its own. ``database_bytes`` gives its database a disk of that size."""

    def __init__(self, folder: Path, *, database_bytes: int = 0) -> None:
        self.folder = folder
        self.is_settled = True
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        environment = {**kept, "PORT": str(self.port), "TOLLWAY_DATA": str(folder), "LOCAL_MODEL": "0", "WEB_CONCURRENCY": "2"}
        command = [sys.executable, "-m", "gateway.local"]
        if database_bytes:
            (folder / "postgres").mkdir()
            command = [sys.executable, "-m", "tests.faults.small_disk", str(folder / "postgres"), str(database_bytes), *command]
        with (folder / "output.log").open("wb") as output:
            # Whatever ends the tests ends the copy.
            self.launcher = spawn(command, env=environment, cwd=ROOT, output=output, death_signal=signal.SIGINT)
        self._await_ready()
        self.settings = read_variables(folder / "service.env")
        self.demo = read_variables(folder / "demo.env")

    def _await_ready(self) -> None:
        deadline = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < deadline:
            assert self.launcher.poll() is None, (self.folder / "output.log").read_text()[-4000:]
            if self.is_ready():
                return
            time.sleep(0.2)
        raise AssertionError((self.folder / "output.log").read_text()[-4000:])

    def is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    def stop(self) -> None:
        self.launcher.send_signal(signal.SIGINT)
        self.launcher.wait(60)

    def processes(self, words: str) -> list[int]:
        """Return the processes below the launcher whose command line has ``words``, oldest first."""
        found = []
        for pid in self._descendants():
            try:
                command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
                # Not by number: those begin again at 1 when they have reached their bound.
                began = int(_stat(pid)[19])
            except OSError:
                continue
            if words in command:
                found.append((began, pid))
        return [pid for _, pid in sorted(found)]

    def _descendants(self) -> set[int]:
        parents = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    parents[int(entry.name)] = int(_stat(entry.name)[1])
                except OSError:
                    continue
        family = {self.launcher.pid}
        while more := {pid for pid, parent in parents.items() if parent in family and pid not in family}:
            family |= more
        return family - {self.launcher.pid}

    def web_workers(self) -> list[int]:
        """Return gunicorn's workers, without its master, whose children they are."""
        family = self.processes("gunicorn")
        return [pid for pid in family if _parent(pid) in family]

    def money_store(self) -> list[int]:
        """Return the money store's server. It names no folder on its command line, but stands in its own."""
        own = str(self.folder / "money")
        found = [pid for pid in self.processes("valkey-server") if str(Path(f"/proc/{pid}/cwd").readlink()) == own]
        assert found, "the money store is not running"
        return found

    def _database(self) -> psycopg.Connection[Any]:
        """Connect as soon as the database lets anybody in: one that was killed recovers first."""
        deadline = time.monotonic() + READY_WITHIN_S
        while True:
            try:
                return psycopg.connect(self.settings["DATABASE_URL"], connect_timeout=10)
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, "the database does not come back"
                time.sleep(0.2)

    def database_disk(self) -> Path:
        """Return the disk of the database, which only the copy's processes have under its name."""
        return Path(f"/proc/{self.launcher.pid}/root") / (self.folder / "postgres").relative_to("/")

    def database_answers(self) -> bool:
        try:
            with psycopg.connect(self.settings["DATABASE_URL"], connect_timeout=2) as connection:
                return connection.execute("SELECT 1").fetchone() == (1,)
        except psycopg.Error:
            return False

    def copy_database(self) -> Path:
        """Stop PostgreSQL, copy its files, and let the launcher start it again. Returns the copy."""
        copy = self.folder / "backup"
        with self._without_database(signal.SIGINT):
            copy_files(self.folder / "postgres" / "data", copy)
        return copy

    def restore_database(self, copy: Path) -> None:
        """Kill PostgreSQL and put a copy in the place of its files."""
        data = self.folder / "postgres" / "data"
        with self._without_database(signal.SIGKILL):
            shutil.rmtree(data)
            copy_files(copy, data)

    @contextmanager
    def _without_database(self, how: signal.Signals) -> Iterator[None]:
        """Have no PostgreSQL meanwhile: its guardian stands still."""
        os.kill(self.launcher.pid, signal.SIGSTOP)
        try:
            os.kill(self.processes("postgres -D")[0], how)
            deadline = time.monotonic() + 60
            while [pid for pid in self.processes("postgres") if _is_alive(pid)]:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield
        finally:
            os.kill(self.launcher.pid, signal.SIGCONT)

    def kill(self, *pids: int) -> None:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)

    def post(self, client: httpx.Client, text: str, **fields: Any) -> httpx.Response:
        body = {"model": MODEL, "max_tokens": 60, "messages": [{"role": "user", "content": text}], **fields}
        return client.post(
            f"{self.url}/api/v1/chat/completions", json=body, headers={"Authorization": f"Bearer {self.demo['TOLLWAY_API_KEY']}"}
        )

    @contextmanager
    def traffic(self, *, threads: int = 4) -> Iterator[Answered]:
        """Send requests all the while, from several threads; yields the record, complete when the block has ended."""
        self.is_settled = False
        record, lock, stopping = Answered(), threading.Lock(), threading.Event()

        def send(number: int) -> None:
            with httpx.Client(timeout=60) as client:
                count = 0
                while not stopping.is_set():
                    count += 1
                    self._send_one(client, f"thread {number}, request {count}", record, lock)

        self._await_the_first(record, lock)
        workers = [threading.Thread(target=send, args=(number,)) for number in range(threads)]
        for worker in workers:
            worker.start()
        try:
            yield record
        finally:
            stopping.set()
            for worker in workers:
                worker.join()

    def _await_the_first(self, record: Answered, lock: threading.Lock) -> None:
        """Send until one is answered: a test before this one may have left a shard that waits for its rebuild."""
        deadline = time.monotonic() + READY_WITHIN_S
        with httpx.Client(timeout=60) as client:
            while not record.costs_nanos:
                assert time.monotonic() < deadline, record
                self._send_one(client, "the first", record, lock)
        record.refused = 0

    def await_answers(self, record: Answered, more: int) -> None:
        """Wait until so many more requests were answered, however slow the machine is."""
        wanted, deadline = len(record.costs_nanos) + more, time.monotonic() + READY_WITHIN_S
        while len(record.costs_nanos) < wanted:
            assert time.monotonic() < deadline, f"{len(record.costs_nanos)} of {wanted} were answered, {record.refused} refused"
            time.sleep(0.05)

    def await_refusals(self, record: Answered, more: int) -> None:
        """Wait until so many more requests were refused."""
        wanted, deadline = record.refused + more, time.monotonic() + READY_WITHIN_S
        while record.refused < wanted:
            assert time.monotonic() < deadline, f"nobody was refused, {len(record.costs_nanos)} answered"
            time.sleep(0.01)

    def _send_one(self, client: httpx.Client, text: str, record: Answered, lock: threading.Lock) -> None:
        try:
            answer = self.post(client, text)
        except httpx.ConnectError:
            time.sleep(0.05)
            return  # nobody took it
        except httpx.HTTPError:
            with lock:
                record.unknown += 1
            return
        with lock:
            if answer.status_code == 200:
                record.costs_nanos[answer.json()["id"]] = int(Decimal(repr(answer.json()["usage"]["cost"])) * NANOS_PER_USD)
            elif answer.status_code == 503:
                record.refused += 1
            else:
                record.other.append(f"{answer.status_code} {answer.text[:300]}")
        if answer.status_code == 503:
            time.sleep(0.05)

    def earlier(self) -> set[str]:
        """Return the generations of before, for which a test does not answer; waits until what another one left is booked."""
        if not self.is_settled:
            self.settle()
        return set(self.receipts())

    def receipts(self) -> dict[str, list[tuple[int, str]]]:
        """Return (amount in nanos, status) of every usage row, by generation id."""
        with self._database() as connection:
            rows = connection.execute("SELECT event_id, amount_nanos, status FROM billing_usageevent ORDER BY event_id, part").fetchall()
        found: dict[str, list[tuple[int, str]]] = {}
        for event_id, amount_nanos, status in rows:
            found.setdefault(f"gen-{event_id.hex}", []).append((amount_nanos, status))
        return found

    def organization(self) -> str:
        """Return the public id of the organization whose key sends the traffic."""
        secret = self.demo["TOLLWAY_API_KEY"]
        with self._database() as connection:
            rows = connection.execute(
                "SELECT organization.public_id FROM accounts_organization organization JOIN accounts_apikey key"
                " ON key.organization_id = organization.id WHERE key.hash = %s",
                [hashlib.sha256(secret.encode()).hexdigest()],
            ).fetchall()
        return rows[0][0]

    def freezes(self) -> list[str]:
        """Return why any organization was kept from starting requests: no fault may look like books in doubt."""
        with self._database() as connection:
            return [row[0] for row in connection.execute("SELECT reason FROM billing_admissionfreeze ORDER BY id").fetchall()]

    def settle(self, *, within_s: float = 240.0) -> None:
        """Wait until nothing is held and everything settled is booked, as the invariants see it. Fails with their words.

        What is held is asked first: a hold that expires after the books were verified would leave its receipt on the way to them.
        """
        deadline = time.monotonic() + within_s
        told = "something is held"
        while True:
            if self.held_nanos() == 0:
                proof = self.manage("verify_ledger")
                if proof.returncode == 0:
                    self.is_settled = True
                    return
                told = proof.stdout + proof.stderr
            assert time.monotonic() < deadline, told
            time.sleep(0.3)

    def await_receipts(self, names: Iterable[str], *, within_s: float = 180.0) -> None:
        """Wait until every generation has a receipt: what a lost money store had not kept comes out of the gateways' spools, seconds later
        than the first proof of the books. Does not fail: whoever compares says what is missing.
        """
        deadline = time.monotonic() + within_s
        while not set(names) <= self.receipts().keys() and time.monotonic() < deadline:
            time.sleep(1)

    def held_nanos(self) -> int:
        import redis  # noqa: PLC0415 -- here alone

        with redis.Redis.from_url(self.settings["REDIS_URL"]) as store:
            return sum(int(store.hget(name, "held") or 0) for name in store.scan_iter("{s*}:b:*")) + sum(
                store.hlen(name) for name in store.scan_iter("{s*}:h:*")
            )

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            **self.settings,
            "TOLLWAY_DATA": str(self.folder),
        }
        return subprocess.run(
            [sys.executable, "manage.py", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False
        )


def read_variables(path: Path) -> dict[str, str]:
    """Return NAME=value lines of a file."""
    pairs = (line.partition("=") for line in path.read_text().splitlines() if "=" in line and not line.startswith("#"))
    return {name.removeprefix("export ").strip(): value.strip().strip("\"'") for name, _, value in pairs}


def copy_files(source: Path, target: Path) -> None:
    """Copy a folder with owners and modes: PostgreSQL runs as another user than root."""
    subprocess.run(["/bin/cp", "-a", source, target], check=True)


def _stat(pid: int | str) -> list[str]:
    """Return what the system says of a process: its state, its parent, … and in the 20th place when it began. Raises: OSError."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _parent(pid: int) -> int:
    try:
        return int(_stat(pid)[1])
    except OSError:
        return 0


def _is_alive(pid: int) -> bool:
    try:
        return _stat(pid)[0] != "Z"
    except OSError:
        return False
