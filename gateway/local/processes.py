"""Child processes of one machine: start them tied to their parent, know whether they live, find free ports."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class Owner(NamedTuple):
    """The user a child runs as when we are root and it must not be."""

    uid: int
    gid: int


def _tie_to_parent(death_signal: signal.Signals) -> Callable[[], None] | None:
    """Return what a child does between fork and exec so that the kernel signals it when its parent dies. Linux only.

    It runs after the change of user, because that change clears the setting.
    """
    libc, parent = _LIBC, os.getpid()
    if libc is None:
        return None

    def tie() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != parent:  # the parent died before the line above
            os.kill(os.getpid(), signal.SIGKILL)

    return tie


def spawn(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str],
    cwd: Path | str = "/",
    output: IO[bytes] | int = subprocess.DEVNULL,
    stdin: IO[bytes] | int = subprocess.DEVNULL,
    owner: Owner | None = None,
    death_signal: signal.Signals | None = None,
    pass_fds: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start ``command`` in a session of its own, so that a Ctrl-C at the terminal reaches only whoever supervises it.

    ``death_signal`` is what the child gets when the calling **thread** dies, by whatever cause (Linux only): call from the main
    thread. ``owner`` changes the user (needs root).
    """
    return subprocess.Popen(  # noqa: S603 -- our own commands, never a shell
        [str(part) for part in command],
        env=dict(env),
        cwd=cwd,
        stdin=stdin,
        stdout=output,
        stderr=subprocess.STDOUT if output is not subprocess.DEVNULL else output,
        start_new_session=True,
        pass_fds=pass_fds,
        user=owner.uid if owner else None,
        group=owner.gid if owner else None,
        extra_groups=[] if owner else None,
        preexec_fn=_tie_to_parent(death_signal) if death_signal else None,  # noqa: PLW1509 -- two system calls, no lock is taken
    )


def is_running(pid: int) -> bool:
    """Return whether ``pid`` runs. A zombie does not: in a container whose first process never reaps, they stay for ever."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    with suppress(OSError):
        state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
        return state not in {b"Z", b"X"}
    return True


def is_free(port: int) -> bool:
    """Return whether a server could listen on 127.0.0.1:``port`` now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            return False
        return True


def choose_port(preferred: int | None = None) -> int:
    """Return ``preferred`` if it is free on loopback, else a free port of the system's choice."""
    if preferred and is_free(preferred):
        return preferred
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_listening(port: int) -> bool:
    """Return whether something accepts connections on 127.0.0.1:``port``."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=0.5).close()
    except OSError:
        return False
    return True
