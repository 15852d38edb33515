"""What a process writes to its connections within one turn of the event loop, written together at the turn's end.

A write to a peer that sleeps wakes it, and the kernel spends more on that than on the bytes. Between two writes of a busy turn the peer has
time to fall asleep again; when they follow each other, the first wakes it for all (docs/adr/0006-gathered-connection.md).
"""

import asyncio
import logging
from weakref import WeakKeyDictionary

logger = logging.getLogger(__name__)

# In a turn with fewer that go on nothing is kept, and no handle of the loop is spent on its end: little would come together, and what is
# done after a write would delay it.
_BUSY = 4
# Nothing waits for more than so many others: what a wake costs is shared by enough of them then.
_TOGETHER_MAX = 64


class Outbox:
    """The writes of one event loop. They leave in the order they came in, and before anything that is called in a later turn."""

    __slots__ = ("_expected", "_going", "_is_busy", "_waiting")

    def __init__(self) -> None:
        self._expected = 0  # what goes on in this turn or the next
        self._going = 0  # in this one, if it is busy
        self._is_busy = False  # this turn or the next
        self._waiting: list[tuple[asyncio.Transport, bytes]] = []

    def expect(self) -> None:
        """Note that something has arrived, with which a task goes on in the next turn: it will probably write."""
        self._expected += 1
        if self._expected >= _BUSY and not self._is_busy:
            self._is_busy = True
            asyncio.get_running_loop().call_soon(self._begin_turn)

    def write(self, transport: asyncio.Transport, data: bytes) -> None:
        """Write at the end of this turn, or at once where little goes on in it. Who closes a transport calls ``flush`` before."""
        waiting = self._waiting
        if not (self._is_busy or waiting):
            if self._expected:
                self._expected -= 1  # what does not write is counted until there is a busy turn
            transport.write(data)
            return
        waiting.append((transport, data))
        if len(waiting) >= _TOGETHER_MAX:
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

    def _begin_turn(self) -> None:
        """Called among the first tasks that go on: it was scheduled with them."""
        self._going = self._expected
        asyncio.get_running_loop().call_soon(self._end_turn)

    def _end_turn(self) -> None:
        """Called behind them."""
        if self._waiting:
            self.flush()
        self._expected -= self._going
        self._going = 0
        self._is_busy = self._expected >= _BUSY
        if self._is_busy:
            self._begin_turn()


_outboxes: WeakKeyDictionary[asyncio.AbstractEventLoop, Outbox] = WeakKeyDictionary()


def outbox_of(loop: asyncio.AbstractEventLoop) -> Outbox:
    """Return the one outbox of an event loop. Asked once per connection."""
    found = _outboxes.get(loop)
    if found is None:
        found = _outboxes[loop] = Outbox()
    return found
