"""The attempts of one request: which endpoint next, with which credential, how long it may take, and what is noted of it.

One logical request has up to ``attempts_max`` attempts, all before its first byte and before its deadline. A key that is rate limited or
refused is replaced by another of the same provider before another endpoint is asked.
"""

import time
from typing import Final

from billing.types import AttemptRecord
from gateway.dialects.base import UpstreamFault
from gateway.relay.attempts import error_from, may_try_next
from gateway.relay.balancing import Balancer
from gateway.relay.catalog import Candidate
from gateway.relay.config import RelayConfig
from gateway.relay.errors import ApiError
from gateway.relay.generation import Generation
from gateway.relay.health import EndpointHealth
from gateway.relay.outcomes import name_outcome
from gateway.relay.samples import Sample
from gateway.relay.stalls import Stalls
from gateway.relay.statistics import Statistics
from gateway.relay.tallies import FAULTS, HEDGED, LIMITED, OK
from gateway.relay.types import Attempt

_NS_PER_S: Final = 1_000_000_000
_NS_PER_MS: Final = 1_000_000
_TIMEOUT_MIN_S: Final = 0.05
_REFUSED_REST_S: Final = 60.0  # of a credential that the provider does not accept, where there are others
_TOO_MANY_REQUESTS: Final = 429
# What another credential of the same provider may do better.
_THE_CREDENTIALS: Final = frozenset({LIMITED, "credential"})


def is_late(statistics: Statistics, endpoint_id: str, silent_ms: int, *, streamed: bool = True) -> bool:
    """Whether the loser of a race was silent for longer than 95 of 100 requests there are, or nobody knows how long they are."""
    figures = statistics.figures(endpoint_id)
    tail_ms = None if figures is None else figures.latency_ms("p95") if streamed else figures.whole_ms("p95")
    return tail_ms is None or silent_ms >= tail_ms


def lost_sample(statistics: Statistics, endpoint_id: str, silent_ms: int, *, streamed: bool = True) -> Sample:
    """Return what the loser of a race says of its endpoint. Without long silences the measured tail would shrink with every race; a
    short one says nothing of when it would have spoken.
    """
    if not is_late(statistics, endpoint_id, silent_ms, streamed=streamed):
        return Sample(endpoint_id, HEDGED)
    return Sample(endpoint_id, HEDGED, silent_ms) if streamed else Sample(endpoint_id, HEDGED, total_ms=silent_ms)


class AttemptLog:
    """Records each attempt on the receipt, in the endpoint's health and in its statistics."""

    def __init__(self, health: EndpointHealth, balancer: Balancer, stalls: Stalls) -> None:
        self._health = health
        self._stalls = stalls
        self._statistics = health.statistics
        self._balancer = balancer

    def failed(self, generation: Generation, attempt: Attempt, fault: UpstreamFault) -> None:
        """Note a failure before the first byte. outcomes.py says what counts against the endpoint."""
        self._fail(attempt, fault)
        self._note(generation, attempt, fault.upstream_status, fault.error_type)

    def answered(self, generation: Generation, attempt: Attempt) -> None:
        """Note the attempt that answers: its first token, or its whole answer, is here."""
        generation.candidate = attempt.candidate
        generation.first_byte_ns = time.perf_counter_ns()
        self._health.success(attempt.candidate.endpoint.id)
        self._stalls.answered(attempt)
        if attempt.deployment is not None:
            self._balancer.measured(attempt.deployment, latency_ms=(generation.first_byte_ns - attempt.began_ns) / _NS_PER_MS)
        self._note(generation, attempt, 200, "")

    def finished(
        self,
        generation: Generation,
        attempt: Attempt,
        *,
        fault: UpstreamFault | None = None,
        calls: list[tuple[str, str]] | None = None,
        ended_ns: int | None = None,
    ) -> None:
        """Note how the answer ended, when its outcome is known: ``fault`` broke it off, ``calls`` are its tool calls. It was whole at
        ``ended_ns``, else it is now.
        """
        if fault is not None:
            self._fail(attempt, fault)
            return
        outcome, endpoint_id = generation.outcome, attempt.candidate.endpoint.id
        word = OK if outcome.status == "ok" else outcome.status
        if outcome.finish_reason == "error":
            word = "server"
            self._health.failure(endpoint_id)
        request, usage, began_ns = generation.request, outcome.usage, attempt.began_ns
        if usage is not None and attempt.deployment is not None:
            self._balancer.used(attempt.deployment, tokens=usage.prompt_tokens + usage.completion_tokens)
        self._statistics.record(
            Sample(
                endpoint_id,
                word,
                # At least one: 0 is no measurement. A whole answer has no first token.
                max((generation.first_byte_ns - began_ns) // _NS_PER_MS, 1) if request.stream else 0,
                ((ended_ns or time.perf_counter_ns()) - began_ns) // _NS_PER_MS,
                None if usage is None or usage.is_estimate else usage,
                calls,
                request.body.get("tools") if calls else None,
                endpoint_id if attempt.deployment is None else attempt.deployment.name,
                attempt.headers,
            )
        )

    def _fail(self, attempt: Attempt, fault: UpstreamFault) -> None:
        word, candidate, deployment = name_outcome(fault), attempt.candidate, attempt.deployment
        endpoint_id = candidate.endpoint.id
        name = endpoint_id if deployment is None else deployment.name
        if fault.upstream_status == _TOO_MANY_REQUESTS:
            retry_after_s = fault.retry_after_s
            self._health.rate_limited(name, candidate.host.spec.cooldown_s if retry_after_s is None else retry_after_s)
        elif word == "credential" and deployment is not None:
            self._health.rate_limited(name, _REFUSED_REST_S)
        if deployment is not None and (rests_for_s := self._balancer.rests_for_s(candidate)) > 0:
            self._health.rate_limited(endpoint_id, rests_for_s)  # none of its credentials is left
        if word in FAULTS and not (word == "credential" and deployment is not None):
            self._health.failure(endpoint_id)
        self._statistics.record(Sample(endpoint_id, word, deployment=name, headers=attempt.headers))

    def lost(self, generation: Generation, attempt: Attempt, *, cost_nanos: int) -> None:
        """Note an attempt that was cancelled because another spoke first. No failure by itself; a long silence is measured, as a lower
        bound, and several in a row say that the endpoint hangs.
        """
        silent_ms = max((time.perf_counter_ns() - attempt.began_ns) // _NS_PER_MS, 1)
        sample = lost_sample(self._statistics, attempt.endpoint_id, silent_ms, streamed=generation.request.stream)
        self._statistics.record(sample)
        if sample.first_token_ms or sample.total_ms:
            self._stalls.lost(attempt)
        self._note(generation, attempt, 0, HEDGED, cost_nanos=cost_nanos)

    @staticmethod
    def _note(generation: Generation, attempt: Attempt, status: int, reason: str, *, cost_nanos: int = 0) -> None:
        endpoint = attempt.candidate.endpoint
        generation.attempts.append(
            AttemptRecord(
                endpoint_id=endpoint.id,
                provider=endpoint.provider,
                status=status,
                latency_ms=(time.perf_counter_ns() - attempt.began_ns) // _NS_PER_MS,
                reason=reason,
                cost_nanos=cost_nanos,
            ),
        )


class Dispatcher:
    """Starts the attempts of requests. One per process."""

    def __init__(self, health: EndpointHealth, balancer: Balancer, config: RelayConfig) -> None:
        self.health = health
        self.balancer = balancer
        self.config = config
        self.stalls = Stalls(health)
        self.log = AttemptLog(health, balancer, self.stalls)

    def begin(self, generation: Generation) -> "Tries":
        """Return the attempts of a request that has been routed and held."""
        return Tries(self, generation)


class Tries:
    """Hands out one attempt after the other: ``next``, then ``failed`` or ``answered`` or ``skipped``."""

    __slots__ = ("_beside", "_candidates", "_count", "_dispatcher", "_faults", "_generation", "_is_over", "_place", "_tried")

    def __init__(self, dispatcher: Dispatcher, generation: Generation) -> None:
        self._dispatcher = dispatcher
        self._generation = generation
        self._candidates = generation.route.candidates
        self._place = 0
        self._count = 0
        self._tried: set[str] = set()  # deployments of the candidate at hand
        self._faults: list[tuple[Candidate, UpstreamFault]] = []
        self._is_over = False
        self._beside: Candidate | None = None  # the endpoint of an attempt out of turn

    def candidate(self) -> Candidate | None:
        """Return the endpoint that would be asked next, or None when nothing is left: endpoints, attempts or time."""
        if self._is_over or self._place >= len(self._candidates) or self._count >= self._dispatcher.config.attempts_max:
            return None
        if self._count and self._left_s() <= 0:
            return None
        return self._candidates[self._place]

    def skip(self) -> None:
        """Pass over the endpoint; it counts as one of the attempts, so that a list cannot be walked without end."""
        self._place += 1
        self._count += 1
        self._tried.clear()

    def start(self, candidate: Candidate, *, timeout_s: float) -> Attempt | None:
        """Begin an attempt of at most ``timeout_s``, or pass over the endpoint (None) when none of its credentials may be called."""
        dispatcher, deployment = self._dispatcher, None
        if candidate.host.is_balanced:
            deployment = dispatcher.balancer.choose(candidate, self._tried)
            if deployment is None:
                self._rest(candidate)
                return None
            self._tried.add(deployment.name)
            dispatcher.balancer.began(deployment)
        self._count += 1
        dispatcher.health.started(candidate.endpoint.id)
        timeout_s = max(min(timeout_s, self._left_s()), _TIMEOUT_MIN_S)
        attempt = Attempt(candidate, deployment, timeout_s, time.perf_counter_ns())
        if self._generation.request.stream:
            dispatcher.stalls.started(attempt)
        return attempt

    def start_beside(self, candidate: Candidate, *, timeout_s: float) -> Attempt | None:
        """Begin an attempt beside the one that runs, out of turn: its endpoint has none later. None when it cannot be called now."""
        dispatcher, deployment = self._dispatcher, None
        if self._left_s() <= 0:
            return None
        if candidate.host.is_balanced:
            deployment = dispatcher.balancer.choose(candidate, set())
            if deployment is None:
                return None
            dispatcher.balancer.began(deployment)
        self._count += 1
        self._beside = candidate
        self._candidates = [one for one in self._candidates if one is not candidate]
        dispatcher.health.started(candidate.endpoint.id)
        attempt = Attempt(candidate, deployment, max(min(timeout_s, self._left_s()), _TIMEOUT_MIN_S), time.perf_counter_ns())
        if self._generation.request.stream:
            dispatcher.stalls.started(attempt)
        return attempt

    def lost(self, attempt: Attempt, *, cost_nanos: int) -> None:
        """Note an attempt that was cancelled because another spoke first, and what it probably cost us, nanos."""
        self._dispatcher.log.lost(self._generation, attempt, cost_nanos=cost_nanos)

    @property
    def is_over(self) -> bool:
        """Whether a failure was the request's own, so that nobody else can do better."""
        return self._is_over

    def end(self, attempt: Attempt) -> None:
        """Note that the attempt is over, however it ended."""
        self._dispatcher.stalls.ended(attempt)
        if attempt.deployment is not None:
            self._dispatcher.balancer.ended(attempt.deployment)

    def failed(self, attempt: Attempt, fault: UpstreamFault) -> None:
        """Note why the attempt failed, and go on to the next credential, the next endpoint, or nowhere."""
        self._faults.append((attempt.candidate, fault))
        self._dispatcher.log.failed(self._generation, attempt, fault)
        if not may_try_next(fault):
            self._is_over = True
        elif attempt.candidate is self._beside:
            return  # it had no turn that would be over
        elif attempt.deployment is None or name_outcome(fault) not in _THE_CREDENTIALS:
            self._next_candidate()

    @property
    def last(self) -> Candidate:
        """The endpoint that failed last."""
        return self._faults[-1][0]

    def error(self) -> ApiError:
        """Return what the caller is told when every attempt failed."""
        return error_from(self._faults)

    def _rest(self, candidate: Candidate) -> None:
        """Note that every credential of the endpoint rests. It was tried in vain already, or it is the operator's own limit."""
        dispatcher = self._dispatcher
        rests_for_s = max(dispatcher.balancer.rests_for_s(candidate), 1.0)
        dispatcher.health.rate_limited(candidate.endpoint.id, rests_for_s)
        if not self._tried:
            fault = UpstreamFault(
                status=_TOO_MANY_REQUESTS,
                message="every credential of this provider is at its rate limit",
                error_type="rate_limit_exceeded",
                retryable=True,
                retry_after_s=rests_for_s,
                upstream_status=_TOO_MANY_REQUESTS,
            )
            self._faults.append((candidate, fault))
            self._count += 1
        self._next_candidate()

    def _next_candidate(self) -> None:
        self._place += 1
        self._tried.clear()

    def _left_s(self) -> float:
        generation, config = self._generation, self._dispatcher.config
        deadline_s = config.first_byte_deadline_s if generation.request.stream else config.answer_deadline_s
        return deadline_s - (time.perf_counter_ns() - generation.started_ns) / _NS_PER_S
