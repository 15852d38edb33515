"""Notices endpoints that take requests and answer nothing: a connection that hangs would be no failure before its time-out, minutes later.

An endpoint is stalled when three streams have waited for their first token five times as long as its p99 of the last five minutes (two
seconds at least) and none that was sent after them has been answered. Only endpoints that were measured are judged: thinking for a minute
is no stall. Hedged requests do not wait so long: there, five losers in a row that were silent beyond the p95 are the sign.
"""

import asyncio
import time
from typing import Final, Protocol

from gateway.relay.health import EndpointHealth

_EVERY_S: Final = 0.5
_STALLED_MIN: Final = 3
_LOST_MIN: Final = 5  # by chance once in three million
_GRADED_MIN: Final = 20
_TIMES_P99: Final = 5
_WAIT_MIN_MS: Final = 2_000
_NS_PER_MS: Final = 1_000_000


class Waiting(Protocol):
    """An attempt that has not answered yet. ``began_ns`` is monotonic."""

    began_ns: int

    @property
    def endpoint_id(self) -> str:
        """Where it was sent."""
        ...


class Stalls:
    """Of one process. ``started`` and ``ended`` are on the request's path and cost a tenth of a microsecond each."""

    def __init__(self, health: EndpointHealth) -> None:
        self._health = health
        self._waiting: set[Waiting] = set()
        self._lost: dict[str, int] = {}  # endpoint → races lost by long silence since its last answer
        self._answered_ns: dict[str, int] = {}  # endpoint → when the newest request that it has answered was sent

    def started(self, attempt: Waiting) -> None:
        """A stream waits for its first token."""
        self._waiting.add(attempt)

    def answered(self, attempt: Waiting) -> None:
        """The first token, or the whole answer, has come."""
        if self._lost:
            self._lost.pop(attempt.endpoint_id, None)
        self._answered_ns[attempt.endpoint_id] = attempt.began_ns
        self._waiting.discard(attempt)

    def lost(self, attempt: Waiting) -> None:
        """The attempt was cancelled after a long silence, because another endpoint has answered."""
        endpoint_id = attempt.endpoint_id
        figures = self._health.statistics.figures(endpoint_id)
        if figures is None or max(figures.first_tokens, figures.whole_answers) < _GRADED_MIN:
            return
        self._lost[endpoint_id] = self._lost.get(endpoint_id, 0) + 1
        if self._lost[endpoint_id] >= _LOST_MIN:
            del self._lost[endpoint_id]
            self._health.stalled(endpoint_id)

    def ended(self, attempt: Waiting) -> None:
        """The attempt is over, however it ended."""
        self._waiting.discard(attempt)

    async def watch_forever(self) -> None:
        """Look twice a second, until cancelled."""
        while True:
            await asyncio.sleep(_EVERY_S)
            self.look(time.perf_counter_ns())

    def look(self, now_ns: int) -> None:
        """Open the breaker of every endpoint that is stalled at this moment."""
        if len(self._waiting) < _STALLED_MIN:
            return
        late: dict[str, list[int]] = {}
        for attempt in self._waiting:
            if now_ns - attempt.began_ns >= _WAIT_MIN_MS * _NS_PER_MS:
                late.setdefault(attempt.endpoint_id, []).append(attempt.began_ns)
        for endpoint_id, began in late.items():
            patience_ns = self._patience_ms(endpoint_id) * _NS_PER_MS
            stalled = [began_ns for began_ns in began if now_ns - began_ns > patience_ns]
            # One that was sent later than the first of them and has answered says that the endpoint is alive.
            if len(stalled) >= _STALLED_MIN and self._answered_ns.get(endpoint_id, 0) < min(stalled):
                self._health.stalled(endpoint_id)

    def _patience_ms(self, endpoint_id: str) -> float:
        figures = self._health.statistics.figures(endpoint_id)
        p99_ms = None if figures is None or figures.graded < _GRADED_MIN else figures.latency_ms("p99")
        return float("inf") if p99_ms is None else max(_WAIT_MIN_MS, _TIMES_P99 * p99_ms)
