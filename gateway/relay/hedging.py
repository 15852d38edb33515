"""Hedged streams: when the first endpoint is silent for longer than it nearly ever is, a second one starts, and the first to speak answers.

The loser is cancelled at once. The customer pays the winner alone; what the loser probably charges us for the prompt stands on the
receipt's attempt and in the books as a cost of ours. Requests that do not ask for it never come here.
"""

import asyncio
import datetime as dt
from collections.abc import Sequence
from typing import Final

from gateway.dialects.base import UpstreamFault
from gateway.relay.catalog import Candidate
from gateway.relay.estimate import HoldPlan, estimated_prompt_tokens
from gateway.relay.generation import Generation
from gateway.relay.health import EndpointHealth
from gateway.relay.hold import Cashier
from gateway.relay.openings import Opening, open_stream
from gateway.relay.settlement import probable_cost_nanos
from gateway.relay.tries import Attempt, Dispatcher, Tries
from gateway.relay.upstream import UpstreamClient

# An endpoint that nobody has measured is given this long; a measured one at least the shortest, so that jitter is no reason. A 95th
# percentile of fewer streams is passed by far more than five of a hundred: in simulation the second endpoints tripled the extra spending.
UNMEASURED_S: Final = 5.0
MEASURED_MIN: Final = 20
_SHORTEST_S: Final = 0.1

_Runner = asyncio.Task[Opening | UpstreamFault]


def hedge_after_s(health: EndpointHealth, candidate: Candidate) -> float:
    """Return how long the endpoint may be silent before another one starts: the 95th percentile of its time to the first token."""
    figures = health.statistics.figures(candidate.endpoint.id)
    measured_ms = figures.latency_ms("p95") if figures is not None and figures.first_tokens >= MEASURED_MIN else None
    return UNMEASURED_S if measured_ms is None else max(measured_ms / 1000, _SHORTEST_S)


def second_of(candidates: Sequence[Candidate], health: EndpointHealth) -> Candidate | None:
    """Return the endpoint to start beside the first: the next that is up, of another provider if there is one, of the same model."""
    first = candidates[0].endpoint
    able = [one for one in candidates[1:] if one.endpoint.model == first.model and not health.is_down(one.endpoint.id)]
    return next((one for one in able if one.endpoint.provider != first.provider), able[0] if able else None)


class Hedger:
    """Runs races. One per process."""

    def __init__(self, *, client: UpstreamClient, cashier: Cashier, dispatcher: Dispatcher) -> None:
        self._client = client
        self._cashier = cashier
        self._dispatcher = dispatcher

    async def race(self, generation: Generation, tries: Tries) -> Opening | None:
        """Start the first endpoint, the second when that is silent for too long, and return the first to speak.

        None when neither did: their failures are in ``tries``, which go on with what is left. The caller ends the winner's attempt.
        """
        first, config = tries.candidate(), self._dispatcher.config
        if first is None or not await self._cashier.cover(generation, first):
            return None  # whoever goes on asks again, and passes over it
        attempt = tries.start(first, timeout_s=config.first_byte_timeout_s)
        if attempt is None:
            return None
        health = self._dispatcher.health
        second = second_of(generation.route.candidates[: config.attempts_max], health)
        race = _Race(self._client, generation, tries)
        race.start(attempt)
        try:
            winner = await race.wait(None if second is None else hedge_after_s(health, first))
            if winner is None and race.is_running and second is not None and await self._cashier.cover(generation, second):
                beside = tries.start_beside(second, timeout_s=config.first_byte_timeout_s)
                if beside is not None:
                    race.start(beside)
            while winner is None and race.is_running and not tries.is_over:
                winner = await race.wait(None)
        except BaseException:
            await race.stop(is_lost=False)
            raise
        await race.stop(is_lost=winner is not None)
        if winner is not None:
            generation.plan = race.plans[winner.attempt]
        return winner


class _Race:
    """The runners of one race."""

    def __init__(self, client: UpstreamClient, generation: Generation, tries: Tries) -> None:
        self._client = client
        self._generation = generation
        self._tries = tries
        self._runners: dict[_Runner, Attempt] = {}
        self.plans: dict[Attempt, HoldPlan | None] = {}  # what was held when each began

    @property
    def is_running(self) -> bool:
        """Whether anyone may still speak."""
        return bool(self._runners)

    def start(self, attempt: Attempt) -> None:
        """Let an attempt run."""
        self.plans[attempt] = self._generation.plan
        self._runners[asyncio.create_task(open_stream(self._client, self._generation, attempt))] = attempt

    async def wait(self, timeout_s: float | None) -> Opening | None:
        """Wait for somebody to speak or fail, at most so long; notes failures and returns who speaks."""
        done, _ = await asyncio.wait(self._runners, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        winner: Opening | None = None
        for runner in done:
            attempt, result = self._runners[runner], runner.result()
            if isinstance(result, Opening):
                if winner is None:
                    winner = result
                    del self._runners[runner]
            else:
                del self._runners[runner]
                self._tries.end(attempt)
                self._tries.failed(attempt, result)
        return winner

    async def stop(self, *, is_lost: bool) -> None:
        """Cancel who still runs, wait until its connection is closed, and note what it cost if somebody else won."""
        for runner in self._runners:
            runner.cancel()
        for runner, attempt in self._runners.items():
            await asyncio.wait((runner,))
            if not runner.cancelled() and runner.exception() is None and isinstance(opening := runner.result(), Opening):
                await opening.stack.aclose()
            self._tries.end(attempt)
            if is_lost:
                self._tries.lost(attempt, cost_nanos=self._lost_nanos(attempt))
        self._runners.clear()

    def _lost_nanos(self, attempt: Attempt) -> int:
        generation = self._generation
        at = dt.datetime.fromtimestamp(generation.started_at_ms / 1000, tz=dt.UTC)
        return probable_cost_nanos(attempt.candidate, prompt_tokens=estimated_prompt_tokens(generation.request), at=at)
