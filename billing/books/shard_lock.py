"""One consumer per shard: a PostgreSQL advisory lock, which a dead process cannot keep."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

# First of the two integers of every lock of ours; the second is the shard.
_LOCK_CLASS = 0x70_11_3A
_POLL_S = 0.01


class ShardBusy(Exception):
    """Another process holds the shard."""


@contextmanager
def hold_shard(shard: int, *, wait_s: float = 0.0) -> Iterator[None]:
    """Hold a shard. The same connection may hold it more than once. Raises: ShardBusy when it is not free within ``wait_s``."""
    deadline = time.monotonic() + wait_s
    while not _call("pg_try_advisory_lock", shard):
        if time.monotonic() >= deadline:
            msg = f"shard {shard} is being settled elsewhere"
            raise ShardBusy(msg)
        time.sleep(_POLL_S)
    try:
        yield
    finally:
        # A connection that broke has lost its locks with it.
        if connection.is_usable():
            _call("pg_advisory_unlock", shard)


def _call(function: str, shard: int) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {function}(%s, %s)", [_LOCK_CLASS, shard])
        return bool(cursor.fetchone()[0])
