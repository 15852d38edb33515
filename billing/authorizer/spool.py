"""The spool: every settled event is in a file of this machine before its answer leaves, until the books have it.

``<directory>/<pid>-<start>/`` belongs to one process, which holds a lock on it for life; segments in it are allocated ahead, so that
a full disk is noticed while there is still room for the requests that are running. A line is the CRC-32 of the JSON, and the JSON.
"""

import asyncio
import contextlib
import errno
import fcntl
import logging
import math
import mmap
import os
import shutil
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from billing.authorizer.connection import MoneyStoreDown
from billing.authorizer.types import EventHead, Segment, SpoolRecord
from billing.types import UsageEvent

logger = logging.getLogger(__name__)

_CRC_LENGTH = 8
_ZEROS = bytes(64 * 1024)
_SUFFIX = ".seg"
_LOCK = "lock"
REJECTED = "rejected"


class SpoolFull(MoneyStoreDown):
    """The spool cannot take more events: disk full, its bound reached, or writes fail. No new paid request may begin."""


_decode_head = msgspec.json.Decoder(EventHead).decode


class Spool:
    """The spool of this process. ``max_bytes`` bounds it; ``min_free_bytes`` of the disk are left to others."""

    def __init__(
        self,
        directory: Path,
        *,
        segment_bytes: int = 4 * 1024 * 1024,
        max_bytes: int = 4 * 1024 * 1024 * 1024,
        min_free_bytes: int = 64 * 1024 * 1024,
        fsync_s: float = 0.05,
    ) -> None:
        self.directory = directory
        self.unsettled: dict[str, SpoolRecord] = {}
        self.closed: list[Segment] = []
        self._segment_bytes = segment_bytes
        self._max_bytes = max_bytes
        self._min_free_bytes = min_free_bytes
        self._fsync_s = fsync_s
        self._folder = directory
        self._lock_fd = -1
        self._adopted: dict[Path, int] = {}  # folder → descriptor of its lock, held until the folder goes
        self._current: Segment | None = None
        self._spare: Segment | None = None
        self._number = 0
        self._is_open = False
        self._problem = "the spool is not started"
        self._fsync_due = False
        self._unwritten: list[bytes] = []
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spool")

    async def start(self) -> None:
        """Make this process's folder and its first two segments. Raises: OSError."""
        name = f"{os.getpid()}-{time.time_ns() // 1_000_000}"
        hidden, self._folder = self.directory / f".{name}", self.directory / name
        hidden.mkdir(parents=True, mode=0o700)
        # Locked before it can be seen: an unlocked folder is taken for a dead process's.
        self._lock_fd = _lock(hidden)
        hidden.rename(self._folder)
        self._is_open, self._problem = True, ""
        self._rotate()

    async def close(self) -> None:
        """Close the files; the next process on this machine adopts what the books do not have."""
        if not self._is_open:
            return
        self._is_open, self._problem = False, "the spool is closed"
        for segment in (self._current, self._spare):
            if segment is not None:
                self._finish(segment)
        self._current = self._spare = None
        await asyncio.to_thread(self._executor.shutdown)
        if not any(self._folder.glob(f"*{_SUFFIX}")):
            shutil.rmtree(self._folder, ignore_errors=True)
        for fd in (self._lock_fd, *self._adopted.values()):
            os.close(fd)
        self._adopted.clear()

    def check_room(self) -> None:
        """Raises: SpoolFull."""
        if self._problem:
            raise SpoolFull(self._problem, retry_after_s=5.0)

    def append(self, event: UsageEvent, *, name: str = "") -> SpoolRecord:
        """Write an event; when this returns the operating system has it, and the disk has it within ``fsync_s``. ``name`` is its id in hex,
        where that is known.

        Never raises for a full disk: the event is then kept in memory and written later, and ``check_room`` stops new requests.
        """
        json = msgspec.json.encode(event)
        line = b"%08x %s\n" % (zlib.crc32(json), json)
        segment = self._write(line)
        record = SpoolRecord(
            name or event.event_id.hex, event.org_id, event.shard, event.key_id, event.amount_nanos, event.hold_nanos, json, segment
        )
        self.unsettled[record.event] = record
        return record

    def acknowledge(self, record: SpoolRecord, *, epoch: int) -> None:
        """The store has put the event on its stream, in this epoch."""
        self.unsettled.pop(record.event, None)
        segment = record.segment
        if segment is not None:
            known = segment.epochs.get(record.shard)
            if known is None or epoch < known:
                segment.epochs[record.shard] = epoch

    def claim(self, record: SpoolRecord, *, is_gone: bool) -> None:
        """Take an event read from a segment back among the unsettled. ``is_gone``: the store is known to have no hold of it."""
        record.sent_s = float("-inf")
        record.gone_s = float("-inf") if is_gone else None
        self.unsettled[record.event] = record

    def forget(self, event: str) -> None:
        """The books have the event."""
        self.unsettled.pop(event, None)

    # --- segments ---

    def keep_house(self, *, rotate_after_s: float, delete_after_s: float = math.inf) -> None:
        """Called every second or so: write what could not be written, close an old segment, delete booked ones, look at the disk."""
        if not self._is_open:
            return
        now_s = time.monotonic()
        self._make_spare()
        current = self._current
        if self._spare is not None and (current is None or (current.used and now_s - current.opened_s >= rotate_after_s)):
            self._rotate()
        while self._unwritten and self._write(self._unwritten[0], keep=False) is not None:
            self._unwritten.pop(0)
        for segment in self.expired(delete_after_s):
            self.delete(segment)

    def doubt_booked(self, *, due_within_s: float) -> None:
        """Have every closed segment reviewed again: now, and in turn. A review is due ``due_within_s`` after the last."""
        for segment in self.closed:
            segment.is_booked, segment.reviewed_s = False, segment.reviewed_s - due_within_s

    def expired(self, after_s: float) -> list[Segment]:
        """Return the segments that are booked and were opened so long ago."""
        now_s = time.monotonic()
        return [segment for segment in self.closed if segment.is_booked and now_s - segment.opened_s >= after_s]

    def delete(self, segment: Segment) -> None:
        """Delete a segment."""
        segment.path.unlink(missing_ok=True)
        self.closed.remove(segment)
        folder = segment.path.parent
        if folder in self._adopted and not any(folder.glob(f"*{_SUFFIX}")):
            shutil.rmtree(folder, ignore_errors=True)
            os.close(self._adopted.pop(folder))

    def adopt(self) -> int:
        """Take over the segments of processes that died on this machine. Returns how many segments."""
        count = 0
        for folder in sorted(self.directory.iterdir()):
            if folder == self._folder or folder in self._adopted or folder.name.startswith(".") or folder.name == REJECTED:
                continue
            try:
                fd = _lock(folder)
            except OSError:
                continue  # its process lives, or another one adopts it at this moment
            segments = sorted(folder.glob(f"*{_SUFFIX}"))
            if not segments:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(fd)
                continue
            self._adopted[folder] = fd
            for path in segments:
                size = path.stat().st_size
                self.closed.append(Segment(path, size, used=size, is_closed=True, is_adopted=True))
            count += len(segments)
            logger.warning("spool_adopted folder=%s segments=%s", folder.name, len(segments))
        return count

    async def read(self, segment: Segment) -> list[SpoolRecord]:
        """Return the events of a closed segment, in order; damaged lines are put aside (``rejected/``) and reported."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._read, segment)

    def _read(self, segment: Segment) -> list[SpoolRecord]:
        records = []
        for line, json in _lines(segment.path.read_bytes()):
            if json is None:
                self._reject(segment, line)
                continue
            try:
                head = _decode_head(json)
            except msgspec.DecodeError:
                self._reject(segment, line)
                continue
            records.append(
                SpoolRecord(head.event_id.hex, head.org_id, head.shard, head.key_id, head.amount_nanos, head.hold_nanos, json, segment)
            )
        return records

    def _reject(self, segment: Segment, line: bytes) -> None:
        folder = self.directory / REJECTED
        folder.mkdir(exist_ok=True)
        path = folder / f"{segment.path.parent.name}-{segment.path.stem}-{zlib.crc32(line):08x}"
        if not path.exists():
            logger.error("spool_line_damaged segment=%s bytes=%s kept=%s", segment.path, len(line), path)
            path.write_bytes(line)

    def _write(self, line: bytes, *, keep: bool = True) -> Segment | None:
        segment = self._current
        if segment is not None and segment.used + len(line) > segment.capacity:
            segment = self._rotate()
        try:
            if segment is None or segment.view is None:
                raise OSError(errno.ENOSPC, "no segment is open")
            end = segment.used + len(line)
            if end > segment.capacity:
                raise OSError(errno.EFBIG, "the event is larger than a segment")
            # A shared mapping: the system has the bytes as it would have those of a write, without a call to it per event.
            segment.view[segment.used : end] = line
        except OSError as error:
            self._stop(f"the spool cannot be written: {error.strerror}")
            if keep:
                self._unwritten.append(line)
            return None
        segment.used = end
        if not self._fsync_due:
            self._fsync_due = True
            asyncio.get_running_loop().call_later(self._fsync_s, self._sync_soon)
        return segment

    def _sync_soon(self) -> None:
        self._fsync_due = False
        if self._current is not None:
            self._executor.submit(self._sync, self._current)

    def _sync(self, segment: Segment) -> None:
        try:
            if segment.fd >= 0:
                os.fdatasync(segment.fd)
        except OSError as error:
            self._stop(f"the spool cannot be synced: {error.strerror}")

    def _rotate(self) -> Segment | None:
        if self._current is not None:
            self._finish(self._current)
        if self._spare is None:
            self._make_spare()
        self._current, self._spare = self._spare, None
        if self._current is not None:
            self._current.opened_s = time.monotonic()
        self._make_spare()
        return self._current

    def _finish(self, segment: Segment) -> None:
        segment.is_closed = True
        if segment.used:
            self.closed.append(segment)
        # Behind the syncs and in front of the readings of this segment: the executor has one thread.
        self._executor.submit(_shut, segment)

    def _make_spare(self) -> None:
        """Allocate the next segment; as long as that fails, no new request begins, and the present segment serves the running ones."""
        if self._spare is not None and not self._problem:
            return
        try:
            if sum(s.used for s in self.closed) + 2 * self._segment_bytes > self._max_bytes:
                raise OSError(errno.EDQUOT, f"{self._max_bytes} bytes of unbooked events are the bound")
            if self._spare is None:
                self._spare = self._allocate()
        except OSError as error:
            self._stop(f"the spool is full: {error.strerror}")
            return
        if self._problem and not self._unwritten:
            logger.warning("spool_has_room_again")
            self._problem = ""

    def _allocate(self) -> Segment:
        free = shutil.disk_usage(self._folder).free
        if free < self._min_free_bytes + self._segment_bytes:
            raise OSError(errno.ENOSPC, f"{free} bytes are free on the disk, {self._min_free_bytes} are to be left")
        self._number += 1
        path = self._folder / f"{self._number:08d}{_SUFFIX}"
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        try:
            # Zeros, and not space that is merely promised: a file system turns a promise into blocks at every sync, which cost more
            # than writing the events did.
            os.pwritev(fd, [_ZEROS] * (self._segment_bytes // len(_ZEROS)), 0)
            os.posix_fallocate(fd, 0, self._segment_bytes)
            view = mmap.mmap(fd, self._segment_bytes)
        except OSError:
            os.close(fd)
            path.unlink(missing_ok=True)
            raise
        return Segment(path, self._segment_bytes, fd, view)

    def _stop(self, problem: str) -> None:
        if problem != self._problem:
            logger.error("spool_stopped reason=%s", problem)
        self._problem = problem


def _shut(segment: Segment) -> None:
    fd, segment.fd = segment.fd, -1
    if segment.view is not None:
        segment.view.close()
        segment.view = None
    with contextlib.suppress(OSError):
        os.ftruncate(fd, segment.used)
        os.fdatasync(fd)
    os.close(fd)
    if not segment.used:
        segment.path.unlink(missing_ok=True)


def _lock(folder: Path) -> int:
    fd = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise
    return fd


def _lines(content: bytes) -> Iterator[tuple[bytes, bytes | None]]:
    """Yield each line with its JSON, or with None when the checksum does not fit. Space that was allocated and not used is skipped."""
    for line in content.rstrip(b"\0").split(b"\n"):
        if not line:
            continue
        json = line[_CRC_LENGTH + 1 :]
        is_sound = line[: _CRC_LENGTH + 1] == b"%08x " % zlib.crc32(json)
        yield line, json if is_sound else None
