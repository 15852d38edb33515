"""Live statistics of every endpoint: recorded from real traffic, summed over all processes, read by routing.

A request appends one ``Sample`` to a list and is done. Once a second ``take`` folds the samples into a ``Bulletin``, which
``bulletins.py`` hands to every process, this one too; ``merge`` adds it to the windows and ``refresh`` works out the figures again of
what has changed. Reading is one look-up in a dictionary.

Windows: five minutes in slots of fifteen seconds for routing, thirty minutes in slots of five for quality and what is shown.
"""

import time
from collections.abc import Callable, Iterable
from typing import Final

from gateway.relay.figures import NORMAL, Figures, Percentile, figures_of
from gateway.relay.headroom import read_headroom
from gateway.relay.quality import UNKNOWN, grade_quality
from gateway.relay.samples import Bulletin, Headers, Sample
from gateway.relay.tallies import HEDGED, OK, Tally, bucket_of
from gateway.relay.tool_checks import find_fault, schemas_of
from gateway.relay.windows import Window

_SAMPLES_MAX: Final = 100_000  # between two folds; what comes after is not counted
SHORT_SLOT_S, SHORT_SLOTS = 15, 20
LONG_SLOT_S, LONG_SLOTS = 300, 6
_QUALITY_EVERY_S: Final = 10.0
_HEADROOM_TTL_S: Final = 60.0  # limits are by the minute; after that the headers say nothing any more


class _Endpoint:
    """The windows of one endpoint."""

    __slots__ = ("long", "short")

    def __init__(self) -> None:
        self.short = Window(slot_s=SHORT_SLOT_S, slots=SHORT_SLOTS)
        self.long = Window(slot_s=LONG_SLOT_S, slots=LONG_SLOTS)


class Statistics:
    """Of one process and event loop. ``clock`` returns Unix seconds."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._fresh: list[Sample] = []
        self._endpoints: dict[str, _Endpoint] = {}
        self._stale: set[str] = set()
        self._expired_slot = 0
        self._figures: dict[str, Figures] = {}
        self._grades: dict[str, int] = {}
        self._quality: dict[str, int] = {}
        self._quality_at_s = 0.0
        self._headroom: dict[str, tuple[float, float]] = {}  # deployment → share, until

    # --- the request's side ---

    def record(self, sample: Sample) -> None:
        """Note one attempt. A tenth of a microsecond."""
        if len(self._fresh) < _SAMPLES_MAX:
            self._fresh.append(sample)

    # --- reading ---

    def figures(self, endpoint_id: str) -> Figures | None:
        """Return what was measured in the last five minutes, all processes together; None when nothing was."""
        return self._figures.get(endpoint_id)

    def latency_ms(self, endpoint_id: str, percentile: Percentile = "p50") -> float | None:
        """Return the time to the first token that this share of the streams kept below, in milliseconds; None when not measured."""
        figures = self._figures.get(endpoint_id)
        return None if figures is None else figures.latency_ms(percentile)

    def throughput_tps(self, endpoint_id: str, percentile: Percentile = "p50") -> float | None:
        """Return the tokens a second that this share of the answers surpassed; None when not measured."""
        figures = self._figures.get(endpoint_id)
        return None if figures is None else figures.throughput_tps(percentile)

    def grade(self, endpoint_id: str) -> int:
        """Return NORMAL, DEGRADED or FALLBACK_ONLY (figures.py) by the uptime of the last five minutes."""
        return self._grades.get(endpoint_id, NORMAL)

    @property
    def has_grades(self) -> bool:
        """Whether any endpoint is less than NORMAL."""
        return bool(self._grades)

    def quality(self, endpoint_id: str) -> int:
        """Return GOOD, UNKNOWN or POOR (quality.py): how well it calls tools, beside the model's other endpoints."""
        return self._quality.get(endpoint_id, UNKNOWN)

    @property
    def has_quality(self) -> bool:
        """Whether any endpoint is known to be GOOD or POOR."""
        return bool(self._quality)

    def headroom(self, deployment: str) -> float | None:
        """Return the share of the deployment's rate limit that is left, 0 to 1, by its last answer; None when unknown."""
        share, until_s = self._headroom.get(deployment, (0.0, 0.0))
        return share if until_s > self._clock() else None

    def long_figures(self, endpoint_id: str) -> Figures | None:
        """Return what was measured in the last thirty minutes. Works it out: not for the request's path."""
        endpoint = self._endpoints.get(endpoint_id)
        return None if endpoint is None or endpoint.long.total.is_empty else figures_of(endpoint.long.total)

    @property
    def measured(self) -> Iterable[str]:
        """Endpoints with anything in a window."""
        return self._endpoints.keys()

    def long_slot(self, number: int) -> dict[str, Tally]:
        """Return every endpoint's tally of one slot of ``LONG_SLOT_S``."""
        found = ((name, one.long.slot(number)) for name, one in self._endpoints.items())
        return {name: tally for name, tally in found if tally is not None}

    # --- the background's side ---

    def take(self) -> Bulletin:
        """Fold what was recorded since the last call."""
        fresh, self._fresh = self._fresh, []
        bulletin = Bulletin()
        answered: dict[str, Headers] = {}
        for sample in fresh:
            tally = bulletin.tallies.get(sample.endpoint_id)
            if tally is None:
                tally = bulletin.tallies[sample.endpoint_id] = Tally()
            _fold(sample, tally)
            if sample.deployment and sample.headers is not None:
                answered[sample.deployment] = sample.headers  # the last one is the news
        for deployment, headers in answered.items():
            share = read_headroom(headers)
            if share is not None:
                bulletin.headroom[deployment] = share
        return bulletin

    def merge(self, bulletin: Bulletin, at_s: float, *, is_long: bool = True) -> None:
        """Take over a process's bulletin of that moment, in Unix seconds; ``is_long`` False leaves the long window alone."""
        for endpoint_id, tally in bulletin.tallies.items():
            endpoint = self._find(endpoint_id)
            endpoint.short.add(tally, at_s)
            if is_long:
                endpoint.long.add(tally, at_s)
            self._stale.add(endpoint_id)
        for deployment, share in bulletin.headroom.items():
            self._headroom[deployment] = share, at_s + _HEADROOM_TTL_S

    def restore(self, tallies: dict[str, Tally], at_s: float) -> None:
        """Take over a slot of the long window from before this process began."""
        for endpoint_id, tally in tallies.items():
            self._find(endpoint_id).long.add(tally, at_s)

    def refresh(self) -> None:
        """Work out the figures again of all endpoints whose windows have changed."""
        now_s = self._clock()
        if int(now_s) // SHORT_SLOT_S != self._expired_slot:
            self._expire(now_s)
        for endpoint_id in self._stale:
            self._work_out(endpoint_id)
        self._stale.clear()
        if now_s - self._quality_at_s >= _QUALITY_EVERY_S:
            self._quality_at_s = now_s
            self._quality = grade_quality({name: figures_of(one.long.total) for name, one in self._endpoints.items()})

    def _find(self, endpoint_id: str) -> _Endpoint:
        endpoint = self._endpoints.get(endpoint_id)
        if endpoint is None:
            endpoint = self._endpoints[endpoint_id] = _Endpoint()
        return endpoint

    def _work_out(self, endpoint_id: str) -> None:
        tally = self._endpoints[endpoint_id].short.total
        if tally.is_empty:
            self._figures.pop(endpoint_id, None)
            self._grades.pop(endpoint_id, None)
            return
        figures = self._figures[endpoint_id] = figures_of(tally)
        if figures.grade == NORMAL:
            self._grades.pop(endpoint_id, None)
        else:
            self._grades[endpoint_id] = figures.grade

    def _expire(self, now_s: float) -> None:
        self._expired_slot = int(now_s) // SHORT_SLOT_S
        for endpoint_id, endpoint in list(self._endpoints.items()):
            if endpoint.short.expire(now_s):
                self._stale.add(endpoint_id)
            endpoint.long.expire(now_s)
            if endpoint.long.total.is_empty and endpoint.short.total.is_empty:
                self._work_out(endpoint_id)
                self._stale.discard(endpoint_id)
                del self._endpoints[endpoint_id]
        self._headroom = {name: entry for name, entry in self._headroom.items() if entry[1] > now_s}


def _fold(sample: Sample, tally: Tally) -> None:
    tally.outcomes[sample.outcome] = tally.outcomes.get(sample.outcome, 0) + 1
    if sample.first_token_ms:
        bucket = bucket_of(sample.first_token_ms)
        tally.first_token_ms[bucket] = tally.first_token_ms.get(bucket, 0) + 1
    elif sample.total_ms and sample.outcome in (OK, HEDGED):
        bucket = bucket_of(sample.total_ms)
        tally.whole_ms[bucket] = tally.whole_ms.get(bucket, 0) + 1
    usage = sample.usage
    if usage is None or sample.outcome != OK:
        return
    output_tokens = usage.completion_tokens
    tally.answers += 1
    tally.prompt_tokens += usage.prompt_tokens
    tally.cached_tokens += usage.cache_read_tokens
    tally.output_tokens += output_tokens
    if output_tokens and sample.total_ms:
        bucket = bucket_of(output_tokens * 1000 / sample.total_ms)
        tally.tokens_per_s[bucket] = tally.tokens_per_s.get(bucket, 0) + 1
    if sample.calls:
        tally.tool_answers += 1
        if find_fault(sample.calls, schemas_of(sample.tools)):
            tally.tool_faults += 1
