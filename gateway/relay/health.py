"""What this process has seen of each endpoint lately: outages of the last 30 seconds, and when a rate limit ends. In memory."""

import time
from collections.abc import Callable

OUTAGE_WINDOW_S = 30.0
_FAILURES_FOR_OUTAGE = 3  # fewer may be chance; a success in between clears the count


class EndpointHealth:
    """Counts consecutive failures per endpoint. ``clock`` returns monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: dict[str, tuple[int, float]] = {}  # endpoint → (in a row, last at)
        self._cooling: dict[str, float] = {}  # endpoint → until

    def success(self, endpoint_id: str) -> None:
        """An answer came."""
        if self._failures:
            self._failures.pop(endpoint_id, None)

    def failure(self, endpoint_id: str) -> None:
        """The provider failed (connect, time-out, 401, 402, 404, 5xx), not the user."""
        count, _ = self._failures.get(endpoint_id, (0, 0.0))
        self._failures[endpoint_id] = (count + 1, self._clock())

    def rate_limited(self, endpoint_id: str, retry_after_s: float | None) -> None:
        """The provider said 429; leave it alone for as long as it asked, at most a minute."""
        self._cooling[endpoint_id] = self._clock() + min(retry_after_s or 5.0, 60.0)

    def is_down(self, endpoint_id: str) -> bool:
        """Whether the endpoint had an outage in the last 30 seconds or is cooling down after a rate limit."""
        if not self._failures and not self._cooling:
            return False
        until = self._cooling.get(endpoint_id)
        if until is not None:
            if until > self._clock():
                return True
            del self._cooling[endpoint_id]
        count, at = self._failures.get(endpoint_id, (0, 0.0))
        return count >= _FAILURES_FOR_OUTAGE and self._clock() - at < OUTAGE_WINDOW_S
