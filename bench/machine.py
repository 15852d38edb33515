"""What the figures were measured on, and the parts of the operating system that measuring needs: cores, memory, CPU time."""

import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_PACKAGES = ("gunicorn", "uvicorn", "uvloop", "httptools", "msgspec", "hiredis", "psycopg", "django", "celery")
_KIB = 1024
_SYNCS, _SYNCED_BYTES = 300, 600


def describe() -> str:
    """Return the machine in one line: cores, processor, memory, system."""
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _KIB**3
    return f"{os.cpu_count()} cores of {_processor()}, {memory_gib:.0f} GiB, {platform.system()} {platform.release()}"


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Return the versions of everything on the measured path."""
    found = {"Python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    for tool, flag in (("nginx", "-v"), ("wrk", "-v")):
        path = shutil.which(tool)
        if path:
            done = subprocess.run([path, flag], capture_output=True, text=True, check=False)  # noqa: S603 -- found on PATH
            words = (done.stderr + done.stdout).split()
            found[tool] = next((word.rpartition("/")[2] for word in words if any(c.isdigit() for c in word)), "?")
    return found


def commit() -> str:
    """Return the short commit of the tree, with '+' when it has changes, or '' outside a repository."""
    git = shutil.which("git")
    if git is None:
        return ""
    head = subprocess.run([git, "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603
    changed = subprocess.run([git, "diff", "--quiet", "HEAD", "--", "*.py"], cwd=ROOT, capture_output=True, check=False)  # noqa: S603
    return head.stdout.strip() + ("+" if changed.returncode else "") if head.returncode == 0 else ""


class Cores:
    """Which core the measured process has to itself, and which the rest shares. Both empty: nothing is pinned."""

    def __init__(self, *, pinned: bool) -> None:
        mine = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        can = pinned and len(mine) > 1
        self.measured: set[int] = {mine[0]} if can else set()
        self.rest: set[int] = set(mine[1:]) if can else set()

    def keep_rest(self) -> None:
        """Move this process, and so all that it starts from now on, off the measured core."""
        if self.rest:
            os.sched_setaffinity(0, self.rest)

    def give_measured(self, pid: int) -> None:
        """Put a process that has just been started onto the measured core, alone."""
        if self.measured:
            os.sched_setaffinity(pid, self.measured)

    def explain(self) -> str:
        """Return how the cores were shared, for the report."""
        if not self.measured:
            return "Nothing was pinned: all processes shared all cores."
        rest = ", ".join(map(str, sorted(self.rest)))
        return (
            f"Pinned: the measured process alone on core {min(self.measured)}; load generator, upstreams, nginx, Valkey, PostgreSQL, "
            f"Celery worker and beat together on {'cores' if len(self.rest) > 1 else 'core'} {rest}."
        )


def sync_s(folder: Path) -> float:
    """Return how long the disk takes to sync a few hundred bytes at the end of a file, as a store does with each write: the median."""
    waits_s = []
    with tempfile.NamedTemporaryFile(dir=folder, buffering=0) as file:
        for _ in range(_SYNCS):
            file.write(b"x" * _SYNCED_BYTES)
            began_s = time.perf_counter()
            os.fsync(file.fileno()) if sys.platform == "darwin" else os.fdatasync(file.fileno())
            waits_s.append(time.perf_counter() - began_s)
    return statistics.median(waits_s)


def rss_bytes(pid: int) -> int:
    """Return the resident memory of a process."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * _KIB
    except OSError:
        done = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=False)  # noqa: S603, S607
        return int(done.stdout.strip() or 0) * _KIB
    return 0


def cpu_s(pid: int) -> float:
    """Return the CPU seconds that a process has used in all its threads; 0 where the system does not say."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def children(pid: int) -> list[int]:
    """Return the process ids of a process's children."""
    if sys.platform == "linux":
        try:
            return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        except OSError:
            pass
    done = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)  # noqa: S603, S607
    return [int(word) for word in done.stdout.split()]
