"""What a process writes to its connections within one turn of the event loop, written together at the turn's end.

A write to a peer that sleeps wakes it, and the kernel spends more on that than on the bytes. Between two writes of a busy turn the peer has
time to fall asleep again; when they follow each other, the first wakes it for all (docs/adr/0006-gathered-connection.md).
"""

import asyncio
import logging
from weakref import WeakKeyDictionary

logger = logging.getLogger(__name__)

# With no more providers asked than this nothing is kept: little would come together, and what is done after a write would delay it.
_FEW_ASKED = 4
# Nothing waits for more than so many others: what a wake costs is shared by enough of them then.
_TOGETHER_MAX = 64


class Outbox:
    """The writes of one event loop. They leave in the order they came in, and before anything that is called in a later turn."""

    __slots__ = ("_is_due", "_waiting", "asked")

    def __init__(self) -> None:
        self.asked = 0  # how many providers have been sent a request that they have not begun to answer
        self._waiting: list[tuple[asyncio.Transport, bytes]] = []
        self._is_due = False

    def write(self, transport: asyncio.Transport, data: bytes) -> None:
        """Write in this turn of the loop, or at once where little goes on. Who closes a transport calls ``flush`` before."""
        if self.asked <= _FEW_ASKED and not self._waiting:
            transport.write(data)
            return
        self._waiting.append((transport, data))
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._flush_in_turn)
        elif len(self._waiting) >= _TOGETHER_MAX:
            self.flush()

    def flush(self) -> None:
        """Write everything now. What is for a connection that has been closed is dropped, as a transport would."""
        waiting, self._waiting = self._waiting, []
        for transport, data in waiting:
            if not transport.is_closing():
                try:
                    transport.write(data)
                except Exception:  # the others' answers must not be lost with it
                    logger.exception("write_failed")
                    transport.abort()

    def _flush_in_turn(self) -> None:
        self._is_due = False
        self.flush()


_outboxes: WeakKeyDictionary[asyncio.AbstractEventLoop, Outbox] = WeakKeyDictionary()


def outbox_of(loop: asyncio.AbstractEventLoop) -> Outbox:
    """Return the one outbox of an event loop. Asked once per connection."""
    found = _outboxes.get(loop)
    if found is None:
        found = _outboxes[loop] = Outbox()
    return found
