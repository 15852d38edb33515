"""The other processes of the data plane, as far as balancing has to know of them: how many there are, and what each has on its way.

Every process says so with its bulletins (bulletins.py), at least every two seconds; one that is silent for five is taken to be gone.
"""

import time
from collections.abc import Callable
from typing import Final

_GONE_S: Final = 5.0


class Peers:
    """Of one process. ``clock`` returns Unix seconds. ``count`` is how many processes there are, this one too."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._seen: dict[bytes, tuple[float, dict[str, int]]] = {}  # process → when it was heard, deployment → requests on their way
        self.count = 1
        self.in_flight: dict[str, int] = {}  # deployment → requests that the others have on their way
        self.in_flight_by_endpoint: dict[str, int] = {}

    def hear(self, process: bytes, in_flight: dict[str, int], at_s: float) -> None:
        """Take over what a process had on its way at that moment, in place of what it said before. Old news is none."""
        if at_s > self._clock() - _GONE_S:
            self._seen[process] = at_s, in_flight
            self._add_up()

    def forget_silent(self) -> None:
        """Drop the processes that have not been heard for too long; for the background."""
        since_s = self._clock() - _GONE_S
        if any(at_s <= since_s for at_s, _ in self._seen.values()):
            self._seen = {process: entry for process, entry in self._seen.items() if entry[0] > since_s}
            self._add_up()

    def _add_up(self) -> None:
        self.count = 1 + len(self._seen)
        self.in_flight, self.in_flight_by_endpoint = {}, {}
        for _, in_flight in self._seen.values():
            for name, count in in_flight.items():
                endpoint_id = name.rpartition("|")[0]
                self.in_flight[name] = self.in_flight.get(name, 0) + count
                self.in_flight_by_endpoint[endpoint_id] = self.in_flight_by_endpoint.get(endpoint_id, 0) + count
