"""What a reader looked for and the books do not have: perhaps it waits in the shard's stream, perhaps nobody ever made it.

Only booking the stream tells which, and anybody can make up ids. So a settlement that did not bring what was sought is not repeated
for a while; one that did was paid for by a request, and costs its reader nothing.
"""

import contextlib
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from billing.authorizer.connection import MoneyStoreDown
from billing.books import settlement
from billing.books.shard_lock import ShardBusy

PAUSE_S = 1.0
_WAIT_S = 2.0
# An answer may reach its reader a moment before its event reaches the stream.
_ON_THE_WAY_S = 0.02

T = TypeVar("T")


class _Shard:
    """When this process last settled a shard in vain, and the lock under which it does so."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._missed_at_s: float | None = None

    @property
    def pauses(self) -> bool:
        return self._missed_at_s is not None and time.monotonic() - self._missed_at_s < PAUSE_S

    def pause(self) -> None:
        self._missed_at_s = time.monotonic()


_shards: dict[int, _Shard] = {}


def find_or_settle(find: Callable[[], T | None], *, shard: int) -> T | None:
    """Return what ``find`` reads in the books; if that is None, book what the shard's stream holds and look again.

    After a settlement in vain, the books alone answer for a second (per shard and process); they are about as far behind anyway.
    """
    found = find()
    if found is not None:
        return found
    state = _shards.setdefault(shard, _Shard())
    if not state.lock.acquire(timeout=_WAIT_S):
        return find()
    try:
        if state.pauses:
            return find()  # the settlement that has just ended may have brought it
        try:
            time.sleep(_ON_THE_WAY_S)
            with contextlib.suppress(ShardBusy, MoneyStoreDown):
                settlement.settle_shard(shard=shard, wait_s=_WAIT_S)
            found = find()
        finally:
            if found is None:
                state.pause()
        return found
    finally:
        state.lock.release()
