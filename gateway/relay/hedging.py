"""Hedged requests: when the first endpoint is silent for longer than it nearly ever is, a second one starts, and the first to answer wins.

A stream speaks with its first chunk, any other answer when it is here. The loser is cancelled at once. The customer pays the winner alone;
what the loser probably charges us stands on the receipt's attempt and in the books as a cost of ours. Requests that do not ask for it never
come here.
"""

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Generic, TypeVar

from catalog.types import Usage
from gateway.dialects.base import Answer, ChatRequest, UpstreamFault
from gateway.relay.catalog import Candidate
from gateway.relay.estimate import estimated_prompt_tokens, estimated_tokens
from gateway.relay.generation import Generation
from gateway.relay.health import EndpointHealth
from gateway.relay.hold import Cashier
from gateway.relay.openings import Opening
from gateway.relay.settlement import probable_cost_nanos
from gateway.relay.tries import Dispatcher, Tries
from gateway.relay.types import Attempt, HoldPlan

# An endpoint that nobody has measured is given this long; a measured one at least the shortest, so that jitter is no reason. A 95th
# percentile of fewer streams is passed by far more than five of a hundred: in simulation the second endpoints tripled the extra spending.
UNMEASURED_S: Final = 5.0
UNMEASURED_WHOLE_S: Final = 30.0  # a whole answer of a thousand tokens takes so long at many hosts
MEASURED_MIN: Final = 20
_SHORTEST_S: Final = 0.1
# Kinds that are billed in tokens. A second picture or transcript costs as much as the first.
_HEDGED_KINDS: Final = frozenset({"chat", "embedding"})

Found = TypeVar("Found", Opening, Answer)
Ask = Callable[[Generation, Attempt], Awaitable[Found | UpstreamFault]]


def can_hedge(request: ChatRequest) -> bool:
    """Whether a second endpoint may start beside the first for a request of this kind."""
    return request.kind in _HEDGED_KINDS


def hedge_after_s(health: EndpointHealth, candidate: Candidate, *, streamed: bool = True) -> float:
    """Return how long the endpoint may be silent before another one starts: the 95th percentile of its time to the first token, or of its
    time to a whole answer.
    """
    figures = health.statistics.figures(candidate.endpoint.id)
    if figures is None:
        measured_ms = None
    elif streamed:
        measured_ms = figures.latency_ms("p95") if figures.first_tokens >= MEASURED_MIN else None
    else:
        measured_ms = figures.whole_ms("p95") if figures.whole_answers >= MEASURED_MIN else None
    if measured_ms is None:
        return UNMEASURED_S if streamed else UNMEASURED_WHOLE_S
    return max(measured_ms / 1000, _SHORTEST_S)


def second_of(candidates: Sequence[Candidate], health: EndpointHealth) -> Candidate | None:
    """Return the endpoint to start beside the first: the next that is up, of another provider if there is one, of the same model."""
    first = candidates[0].endpoint
    able = [one for one in candidates[1:] if one.endpoint.model == first.model and not health.is_down(one.endpoint.id)]
    return next((one for one in able if one.endpoint.provider != first.provider), able[0] if able else None)


class Hedger(Generic[Found]):
    """Runs races. One per process and kind of answer; ``ask`` makes one attempt, to the first chunk or to the whole answer."""

    def __init__(
        self,
        ask: Ask[Found],
        *,
        cashier: Cashier,
        dispatcher: Dispatcher,
        timeout_s: float,
    ) -> None:
        self._ask: Ask[Found] = ask
        self._cashier = cashier
        self._dispatcher = dispatcher
        self._timeout_s = timeout_s

    async def race(self, generation: Generation, tries: Tries) -> tuple[Attempt, Found] | None:
        """Start the first endpoint, the second when that is silent for too long, and return the first to answer.

        None when neither did: their failures are in ``tries``, which go on with what is left. The caller ends the winner's attempt.
        """
        first, config = tries.candidate(), self._dispatcher.config
        if first is None or not await self._cashier.cover(generation, first):
            return None  # whoever goes on asks again, and passes over it
        attempt = tries.start(first, timeout_s=self._timeout_s)
        if attempt is None:
            return None
        health = self._dispatcher.health
        second = second_of(generation.route.candidates[: config.attempts_max], health)
        race = _Race(self._ask, generation, tries)
        race.start(attempt)
        try:
            after_s = None if second is None else hedge_after_s(health, first, streamed=generation.request.stream)
            winner = await race.wait(after_s)
            if winner is None and race.is_running and second is not None and await self._cashier.cover(generation, second):
                beside = tries.start_beside(second, timeout_s=self._timeout_s)
                if beside is not None:
                    race.start(beside)
            while winner is None and race.is_running and not tries.is_over:
                winner = await race.wait(None)
        except BaseException:
            await race.stop(None)
            raise
        await race.stop(winner)
        if winner is not None:
            generation.plan = race.plans[winner[0]]
        return winner


class _Race(Generic[Found]):
    """The runners of one race."""

    def __init__(self, ask: Ask[Found], generation: Generation, tries: Tries) -> None:
        self._ask: Ask[Found] = ask
        self._generation = generation
        self._tries = tries
        self._runners: dict[asyncio.Future[Found | UpstreamFault], Attempt] = {}
        self.plans: dict[Attempt, HoldPlan | None] = {}  # what was held when each began

    @property
    def is_running(self) -> bool:
        """Whether anyone may still answer."""
        return bool(self._runners)

    def start(self, attempt: Attempt) -> None:
        """Let an attempt run."""
        self.plans[attempt] = self._generation.plan
        self._runners[asyncio.ensure_future(self._ask(self._generation, attempt))] = attempt

    async def wait(self, timeout_s: float | None) -> tuple[Attempt, Found] | None:
        """Wait for somebody to answer or fail, at most so long; notes failures and returns who answers."""
        done, _ = await asyncio.wait(self._runners, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        winner: tuple[Attempt, Found] | None = None
        for runner in done:
            attempt, result = self._runners[runner], runner.result()
            if isinstance(result, UpstreamFault):
                del self._runners[runner]
                self._tries.end(attempt)
                self._tries.failed(attempt, result)
            elif winner is None:
                winner = attempt, result
                del self._runners[runner]
        return winner

    async def stop(self, winner: tuple[Attempt, Found] | None) -> None:
        """Cancel who still runs, wait until its connection is closed, and note what it cost if somebody else won."""
        for runner in self._runners:
            runner.cancel()
        for runner, attempt in self._runners.items():
            await asyncio.wait((runner,))
            late = runner.result() if not runner.cancelled() and runner.exception() is None else None
            if isinstance(late, Opening):
                await late.stack.aclose()
            self._tries.end(attempt)
            if winner is not None:
                usage = self._lost_usage(late if isinstance(late, Answer) else winner[1])
                self._tries.lost(attempt, cost_nanos=self._lost_nanos(attempt, usage))
        self._runners.clear()

    def _lost_usage(self, found: Any) -> Usage:
        """Return what the loser probably bills: the prompt, and where answers are whole, one as long as ``found``: it may be finished
        although nobody listens.
        """
        prompt_tokens = estimated_prompt_tokens(self._generation.request)
        if not isinstance(found, Answer):
            return Usage(input_tokens=prompt_tokens)
        if found.usage is None:
            return Usage(input_tokens=prompt_tokens, output_tokens=estimated_tokens(found.output_chars))
        return Usage(input_tokens=found.usage.prompt_tokens, output_tokens=found.usage.completion_tokens)

    def _lost_nanos(self, attempt: Attempt, usage: Usage) -> int:
        at = dt.datetime.fromtimestamp(self._generation.started_at_ms / 1000, tz=dt.UTC)
        return probable_cost_nanos(attempt.candidate, usage, at=at)
