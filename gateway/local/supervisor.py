"""Runs several processes as one: starts, restarts with back-off, prefixes and keeps their output, and stops them all together.

On Linux the kernel ends the children when the supervisor dies by whatever cause. Everything happens in one thread, because that
promise is bound to the thread that started the child.
"""

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Self

from gateway.local.processes import spawn

_BACKOFF_FIRST_S = 0.5
_BACKOFF_MAX_S = 30.0
_STEADY_S = 60.0  # a child that lived this long starts its back-off anew
_TICK_S = 0.1
_LOG_MAX_BYTES = 20_000_000
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What to run. ``stop_within_s``: how long it may take to end by itself before it is killed."""

    name: str
    command: Sequence[str | Path]
    environment: Mapping[str, str]
    folder: Path
    stop_within_s: float = 15.0


@dataclass(slots=True)
class _Child:
    program: Program
    process: subprocess.Popen[bytes] | None = None
    started_at_s: float = 0.0
    start_again_at_s: float = 0.0
    backoff_s: float = _BACKOFF_FIRST_S
    rest: bytes = b""
    log: IO[bytes] | None = None
    tail: list[bytes] = field(default_factory=list)


class Supervisor:
    """Use as a context: signals are caught inside, and leaving it stops every child. All times are monotonic seconds."""

    def __init__(self, *, log_folder: Path) -> None:
        self._log_folder = log_folder
        self._children: dict[str, _Child] = {}
        self._selector = selectors.DefaultSelector()
        self._old_handlers: dict[int, object] = {}
        self.stop_signals = 0
        # Gets (name, line) of everything that is also written to the log folder.
        self.echo: Callable[[str, bytes], None] | None = None

    def __enter__(self) -> Self:
        self._log_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for number in _SIGNALS:
            self._old_handlers[number] = signal.signal(number, self._note_signal)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        for number, handler in self._old_handlers.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._selector.close()

    @property
    def is_stopping(self) -> bool:
        """Whether a signal asked us to stop."""
        return self.stop_signals > 0

    def start(self, program: Program) -> None:
        """Start a child and keep it running until ``stop``."""
        child = _Child(program, log=self._open_log(program.name))
        self._children[program.name] = child
        self._spawn(child)

    def serve(self, *, until: Callable[[], bool], timeout_s: float = float("inf")) -> bool:
        """Pass output on and restart what dies, until ``until()`` (True), a signal or the time limit (False)."""
        deadline = time.monotonic() + timeout_s
        while not self.is_stopping:
            if until():
                return True
            if time.monotonic() > deadline:
                return False
            self._pump(_TICK_S)
            self._revive()
        return False

    def tail(self, name: str) -> str:
        """Return the last lines that a child wrote."""
        return b"".join(line + b"\n" for line in self._children[name].tail).decode(errors="replace")

    def stop(self) -> None:
        """Ask every child to end, wait for each as long as its program allows (a second signal cuts that short), kill the rest."""
        begun_s, patience = time.monotonic(), self.stop_signals
        for child in self._children.values():
            if child.process:
                child.process.send_signal(signal.SIGTERM)
        while alive := [child for child in self._children.values() if child.process]:
            self._pump(_TICK_S)
            waited_s = time.monotonic() - begun_s
            for child in alive:
                if child.process and child.process.poll() is not None:
                    self._bury(child)
                elif waited_s > child.program.stop_within_s or self.stop_signals > patience:
                    self._kill_group(child)
        for child in self._children.values():
            if child.log:
                child.log.close()
        self._children.clear()

    def _note_signal(self, _number: int, _frame: object) -> None:
        self.stop_signals += 1

    def _spawn(self, child: _Child) -> None:
        program = child.program
        process = spawn(program.command, env=program.environment, cwd=program.folder, output=subprocess.PIPE, death_signal=signal.SIGTERM)
        child.process, child.started_at_s = process, time.monotonic()
        if process.stdout:
            os.set_blocking(process.stdout.fileno(), False)
            self._selector.register(process.stdout, selectors.EVENT_READ, child)

    def _revive(self) -> None:
        now_s = time.monotonic()
        for child in self._children.values():
            if child.process is None:
                if now_s >= child.start_again_at_s:
                    self._spawn(child)
            elif child.process.poll() is not None:
                if now_s - child.started_at_s > _STEADY_S:
                    child.backoff_s = _BACKOFF_FIRST_S
                note = f"ended with {child.process.returncode}; starts again in {child.backoff_s:g} s"
                self._bury(child)
                self._write(child, note.encode())
                child.start_again_at_s = now_s + child.backoff_s
                child.backoff_s = min(2 * child.backoff_s, _BACKOFF_MAX_S)

    def _bury(self, child: _Child) -> None:
        """Take the last words of a child that ended, and end what it left in its group: orphans would hold its port and its queue."""
        self._kill_group(child)
        self._drain(child)
        child.process = None

    def _pump(self, timeout_s: float) -> None:
        if not self._selector.get_map():
            time.sleep(timeout_s)
            return
        for key, _ in self._selector.select(timeout_s):
            self._read(key.data)

    def _read(self, child: _Child) -> bool:
        """Take what the child wrote; return whether there may be more."""
        stream = child.process.stdout if child.process else None
        if stream is None:
            return False
        try:
            chunk = os.read(stream.fileno(), 65_536)
        except BlockingIOError:
            return False
        except (OSError, ValueError):
            chunk = b""
        if not chunk:
            with suppress(KeyError, ValueError):
                self._selector.unregister(stream)
            stream.close()
            if child.rest:
                self._write(child, child.rest)
                child.rest = b""
            return False
        *lines, child.rest = (child.rest + chunk).split(b"\n")
        for line in lines:
            self._write(child, line)
        return True

    def _drain(self, child: _Child) -> None:
        stream = child.process.stdout if child.process else None
        while stream and not stream.closed and self._read(child):
            pass
        if stream and not stream.closed:  # a grandchild still holds the other end
            with suppress(KeyError, ValueError):
                self._selector.unregister(stream)
            stream.close()

    def _write(self, child: _Child, line: bytes) -> None:
        child.tail = [*child.tail[-39:], line]
        if child.log:
            child.log.write(line + b"\n")
            child.log.flush()
            if child.log.tell() > _LOG_MAX_BYTES:
                child.log.close()
                path = self._log_folder / f"{child.program.name}.log"
                path.replace(path.with_suffix(".log.1"))
                child.log = self._open_log(child.program.name)
        if self.echo:
            self.echo(child.program.name, line)

    def _open_log(self, name: str) -> IO[bytes]:
        return (self._log_folder / f"{name}.log").open("ab")

    @staticmethod
    def _kill_group(child: _Child) -> None:
        if child.process:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(child.process.pid, signal.SIGKILL)


def echo_to_terminal(name: str, line: bytes) -> None:
    """Write a child's line to standard output, its name before it. A closed terminal is no reason to stop."""
    with suppress(OSError):
        sys.stdout.buffer.write(f"{name:<9} | ".encode() + line + b"\n")
        sys.stdout.buffer.flush()
