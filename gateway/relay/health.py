"""A circuit breaker per endpoint, and when rate limits end. In memory; what happens here is told to the other processes (bulletins.py).

An endpoint has an outage after three failures in a row, or when half of at least ten requests within ten seconds failed. It then goes
last until thirty seconds have passed since its last failure, as OpenRouter does. After that it is half open: one request at a time may
try it as if it were well; a success closes the breaker, a failure opens it for another thirty seconds.
"""

import time
from collections.abc import Callable
from typing import Final

from gateway.relay.statistics import Statistics

OUTAGE_WINDOW_S: Final = 30.0
PROBE_S: Final = 10.0  # how long a probe keeps others away; one that takes longer is no good sign
_FAILURES_FOR_OUTAGE: Final = 3  # in a row; fewer may be chance
_RATE_WINDOW_S: Final = 10.0
_RATE_REQUESTS_MIN: Final = 10
_COOLING_S: Final = 5.0  # after a 429 that does not say how long
_COOLING_MAX_S: Final = 3600.0
_COOLING_TABLE_MAX: Final = 50_000


class _Trouble:
    """What is known of an endpoint that has failed lately. Times are monotonic seconds."""

    __slots__ = ("failed_at", "failures", "in_a_row", "is_open", "is_open_by_rate", "probed_until", "requests", "since")

    def __init__(self, now: float) -> None:
        self.in_a_row = 0
        self.failures = 0
        self.requests = 0
        self.since = now  # of the two counts above
        self.failed_at = now
        self.is_open = False
        self.is_open_by_rate = False
        self.probed_until = 0.0


class EndpointHealth:
    """Of one process. ``clock`` returns monotonic seconds. A deployment is an endpoint with one of its provider's credentials; where
    there is only one, it is called as the endpoint. ``statistics`` are what else is known of the endpoints.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, statistics: Statistics | None = None) -> None:
        self._clock = clock
        self.statistics = Statistics() if statistics is None else statistics
        self.in_flight: dict[str, int] = {}  # endpoint → requests on their way, of hosts that are balanced
        self.in_flight_elsewhere: dict[str, int] = {}  # the same of the other processes, as of their last bulletins
        self._troubles: dict[str, _Trouble] = {}
        self._cooling: dict[str, float] = {}  # deployment, or endpoint when all of its are → until
        self._outage_news: dict[str, float] = {}  # endpoint → when it last failed; 0: it answers
        self._cooling_news: dict[str, float] = {}

    # --- what happens ---

    def success(self, endpoint_id: str) -> None:
        """An answer came."""
        if not self._troubles:
            return
        trouble = self._troubles.get(endpoint_id)
        if trouble is None:
            return
        now = self._clock()
        trouble.in_a_row = 0
        self._count(trouble, now)
        is_over = now - trouble.failed_at >= OUTAGE_WINDOW_S
        if trouble.is_open and (is_over or not trouble.is_open_by_rate):
            del self._troubles[endpoint_id]
            self._outage_news[endpoint_id] = 0.0
        elif is_over:
            del self._troubles[endpoint_id]

    def failure(self, endpoint_id: str) -> None:
        """The provider failed (connect, time-out, 401, 402, 404, 5xx, a broken answer), not the user."""
        now = self._clock()
        trouble = self._troubles.get(endpoint_id)
        if trouble is None:
            trouble = self._troubles[endpoint_id] = _Trouble(now)
        self._count(trouble, now)
        trouble.in_a_row += 1
        trouble.failures += 1
        trouble.failed_at = now
        trouble.probed_until = 0.0
        by_rate = trouble.requests >= _RATE_REQUESTS_MIN and trouble.failures * 2 >= trouble.requests
        if trouble.is_open or by_rate or trouble.in_a_row >= _FAILURES_FOR_OUTAGE:
            trouble.is_open_by_rate = by_rate if not trouble.is_open else trouble.is_open_by_rate
            trouble.is_open = True
            self._outage_news[endpoint_id] = now

    def stalled(self, endpoint_id: str) -> None:
        """The provider takes requests and answers none of them (stalls.py): an outage as of now."""
        now = self._clock()
        trouble = self._troubles.get(endpoint_id)
        if trouble is None:
            trouble = self._troubles[endpoint_id] = _Trouble(now)
        trouble.is_open = True
        trouble.failed_at = now
        self._outage_news[endpoint_id] = now

    def rate_limited(self, deployment: str, retry_after_s: float | None) -> None:
        """The provider said 429; leave it alone for as long as it asked, at most an hour."""
        until = self._clock() + min(_COOLING_S if retry_after_s is None else retry_after_s, _COOLING_MAX_S)
        if len(self._cooling) >= _COOLING_TABLE_MAX:
            self._forget_cool(self._clock())
        self._cooling[deployment] = self._cooling_news[deployment] = until

    def started(self, endpoint_id: str) -> None:
        """A request goes out to the endpoint: if it is half open, this is its probe."""
        if not self._troubles:
            return
        trouble = self._troubles.get(endpoint_id)
        if trouble is not None and trouble.is_open:
            now = self._clock()
            if now - trouble.failed_at >= OUTAGE_WINDOW_S:
                trouble.probed_until = now + PROBE_S

    # --- reading ---

    def load_of(self, endpoint_id: str) -> int:
        """Return how many requests are on their way to the endpoint, all processes together; the others' are a second old."""
        return self.in_flight.get(endpoint_id, 0) + self.in_flight_elsewhere.get(endpoint_id, 0)

    @property
    def has_trouble(self) -> bool:
        """Whether any endpoint may be down; False saves asking for each."""
        return bool(self._troubles or self._cooling)

    def is_down(self, endpoint_id: str) -> bool:
        """Whether the endpoint goes last: an outage in the last 30 seconds, a probe on its way, or a rate limit that has not ended."""
        if self._cooling and self.is_cooling(endpoint_id):
            return True
        trouble = self._troubles.get(endpoint_id)
        if trouble is None or not trouble.is_open:
            return False
        now = self._clock()
        return now - trouble.failed_at < OUTAGE_WINDOW_S or trouble.probed_until > now

    def is_cooling(self, deployment: str) -> bool:
        """Whether the deployment's rate limit has not ended yet."""
        until = self._cooling.get(deployment)
        if until is None:
            return False
        if until > self._clock():
            return True
        del self._cooling[deployment]
        return False

    def cooling_ends_in_s(self, deployment: str) -> float:
        """Return in how many seconds the deployment's rate limit ends; 0 when it has."""
        return max(0.0, self._cooling.get(deployment, 0.0) - self._clock())

    # --- between processes ---

    def take_news(self) -> tuple[dict[str, int], dict[str, int]]:
        """Return outages (endpoint → when it last failed, 0: it answers again) and cooling (deployment → until) since the last call, in
        Unix milliseconds.
        """
        if not (self._outage_news or self._cooling_news):
            return {}, {}
        offset = time.time() - self._clock()
        outages = {name: int((at + offset) * 1000) if at else 0 for name, at in self._outage_news.items()}
        cooling = {name: int((until + offset) * 1000) for name, until in self._cooling_news.items()}
        self._outage_news, self._cooling_news = {}, {}
        return outages, cooling

    def hear(self, outages: dict[str, int], cooling: dict[str, int]) -> None:
        """Take over another process's news."""
        now = self._clock()
        offset = time.time() - now
        for name, at_ms in outages.items():
            failed_at = at_ms / 1000 - offset
            trouble = self._troubles.get(name)
            if not at_ms:
                if trouble is not None and trouble.is_open:
                    del self._troubles[name]
            elif now - failed_at < OUTAGE_WINDOW_S:
                if trouble is None:
                    trouble = self._troubles[name] = _Trouble(now)
                trouble.is_open = True
                trouble.failed_at = min(failed_at, now)
        for name, until_ms in cooling.items():
            until = min(until_ms / 1000 - offset, now + _COOLING_MAX_S)
            if until > now:
                self._cooling[name] = max(until, self._cooling.get(name, 0.0))

    def forget_old(self) -> None:
        """Drop what no longer says anything; for the background."""
        now = self._clock()
        self._forget_cool(now)
        for name in [name for name, one in self._troubles.items() if not one.is_open and now - one.failed_at >= OUTAGE_WINDOW_S]:
            del self._troubles[name]

    def _forget_cool(self, now: float) -> None:
        self._cooling = {name: until for name, until in self._cooling.items() if until > now}

    @staticmethod
    def _count(trouble: _Trouble, now: float) -> None:
        if now - trouble.since > _RATE_WINDOW_S:
            trouble.since, trouble.failures, trouble.requests = now, 0, 0
        trouble.requests += 1
