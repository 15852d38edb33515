"""Which of a provider's credentials a request goes out with, and which the provider or the operator lets rest.

An endpoint with one credential is a deployment: its limits, its load and its cooling are its own. Strategies are LiteLLM's: by weight, the
least busy, the lowest latency, the most of its rate limit left. A provider with one credential and no limits costs one look-up.

A limit of requests is shared by all processes without asking anybody: what each has sent is told to the others once a second, and until it
is told, a process sends no more than a sixth of its part of what was left, or one. So a limit is passed by at most one request for each
other process: whatever two tellings of each process, in any order, take from what is left, the parts still untold fit into the rest.
Tokens are known when an answer ends; a limit of tokens is passed by the answers that are on their way.
"""

import random
import time
from collections.abc import Callable, Container
from typing import Final

from gateway.relay.catalog import Candidate, Credential
from gateway.relay.health import EndpointHealth
from gateway.relay.peers import Peers

_MINUTE_S: Final = 60
_LOADS_MAX: Final = 50_000
_UNKNOWN: Final = Credential("", "")  # of a deployment that only others have used so far
_SMOOTHING: Final = 0.2  # weight of the newest latency
_UNTOLD_PART: Final = 6  # of its part of what is left, a process sends one in so many before it tells
_SHARE_RESTS_S: Final = 1.0  # until it has told


class Deployment:
    """One credential at one endpoint, and what this process knows of it. ``name`` is what other processes know it by.

    ``untold_requests`` and ``untold_tokens`` are those of this process's, of this minute, that the others do not know yet.
    """

    __slots__ = (
        *("credential", "endpoint_id", "in_flight", "latency_ms", "minute", "name", "requests", "tokens"),
        *("untold_requests", "untold_tokens"),
    )

    def __init__(self, name: str, endpoint_id: str, credential: Credential) -> None:
        self.name = name
        self.endpoint_id = endpoint_id
        self.credential = credential
        self.in_flight = 0
        self.latency_ms = 0.0  # to the first byte, smoothed; 0: not measured
        self.minute = 0
        self.requests = 0  # of this minute, all processes
        self.tokens = 0
        self.untold_requests = 0
        self.untold_tokens = 0


class Balancer:
    """Of one process. ``clock`` returns Unix seconds: limits are by the minute of the clock, as LiteLLM counts them."""

    def __init__(self, health: EndpointHealth, *, clock: Callable[[], float] = time.time, rng: random.Random | None = None) -> None:
        self._health = health
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311 -- load balancing, not secrecy
        self._deployments: dict[str, Deployment] = {}
        self._untold: dict[str, Deployment] = {}
        self._busy: dict[str, Deployment] = {}
        self._telling: tuple[int, dict[str, tuple[int, int]]] = 0, {}
        self.peers = Peers(clock)
        health.in_flight_elsewhere = self.peers.in_flight_by_endpoint

    def choose(self, candidate: Candidate, tried: Container[str] = ()) -> Deployment | None:
        """Return the deployment to call, or None when all of them rest, are at their limit or are among ``tried``.

        Call it for hosts that are balanced alone (``Host.is_balanced``).
        """
        able = [one for one in self._all(candidate) if one.name not in tried and self._may_be_called(one)]
        if len(able) < 2:  # noqa: PLR2004 -- one is no choice
            return able[0] if able else None
        match candidate.host.spec.balancing:
            case "least_busy":
                elsewhere = self.peers.in_flight
                return min(able, key=lambda one: (one.in_flight + elsewhere.get(one.name, 0)) / one.credential.weight)
            case "lowest_latency":
                return min(able, key=lambda one: one.latency_ms)  # one that was not measured is measured
            case "headroom":
                return max(able, key=self.headroom)
        return self._rng.choices(able, [one.credential.weight for one in able])[0]

    def rests_for_s(self, candidate: Candidate) -> float:
        """Return in how many seconds the first deployment may be called again; 0 when one may now."""
        return min(self._rest_s(one) for one in self._all(candidate))

    def headroom(self, deployment: Deployment) -> float:
        """Return the share of the tightest limit that is left: the provider's, as its answers say, and the operator's. Unknown is all."""
        share = self._health.statistics.headroom(deployment.name)
        found = 1.0 if share is None else share
        self._turn_minute(deployment)
        credential = deployment.credential
        if credential.rpm_limit:
            found = min(found, 1 - deployment.requests / credential.rpm_limit)
        if credential.tpm_limit:
            found = min(found, 1 - deployment.tokens / credential.tpm_limit)
        return found

    def began(self, deployment: Deployment) -> None:
        """Note that a request goes out."""
        self._turn_minute(deployment)
        deployment.in_flight += 1
        in_flight = self._health.in_flight
        in_flight[deployment.endpoint_id] = in_flight.get(deployment.endpoint_id, 0) + 1
        deployment.requests += 1
        deployment.untold_requests += 1
        self._untold[deployment.name] = self._busy[deployment.name] = deployment

    def ended(self, deployment: Deployment) -> None:
        """Note that a request is over, however it ended."""
        deployment.in_flight -= 1
        if not deployment.in_flight:
            self._busy.pop(deployment.name, None)
        in_flight = self._health.in_flight
        in_flight[deployment.endpoint_id] -= 1
        if not in_flight[deployment.endpoint_id]:
            del in_flight[deployment.endpoint_id]

    def measured(self, deployment: Deployment, *, latency_ms: float) -> None:
        """Note how long the first byte took."""
        held = deployment.latency_ms
        deployment.latency_ms = latency_ms if not held else held + _SMOOTHING * (latency_ms - held)

    def used(self, deployment: Deployment, *, tokens: int) -> None:
        """Note how many tokens a request took."""
        self._turn_minute(deployment)
        deployment.tokens += tokens
        deployment.untold_tokens += tokens
        self._untold[deployment.name] = deployment

    # --- between processes ---

    def take_news(self) -> tuple[dict[str, tuple[int, int]], dict[str, int]]:
        """Return what the others do not know yet: requests and tokens of this minute by deployment, and what is on its way now.

        It stays unknown until ``told``.
        """
        for deployment in self._untold.values():
            self._turn_minute(deployment)
        loads = {
            name: (one.untold_requests, one.untold_tokens) for name, one in self._untold.items() if one.untold_requests or one.untold_tokens
        }
        self._telling = int(self._clock()) // _MINUTE_S, loads
        return loads, {name: one.in_flight for name, one in self._busy.items()}

    def told(self) -> None:
        """Note that the others know the last news by now."""
        minute, loads = self._telling
        for name, (requests, tokens) in loads.items():
            deployment = self._untold[name]
            if deployment.minute == minute:
                deployment.untold_requests -= requests
                deployment.untold_tokens -= tokens
        self._untold = {name: one for name, one in self._untold.items() if one.untold_requests or one.untold_tokens}

    def hear(self, process: bytes, loads: dict[str, tuple[int, int]], in_flight: dict[str, int], at_s: float) -> None:
        """Take over what another process told at that moment, Unix seconds: what it has sent, and what it has on its way."""
        self.peers.hear(process, in_flight, at_s)
        self._health.in_flight_elsewhere = self.peers.in_flight_by_endpoint
        if at_s < self._clock() // _MINUTE_S * _MINUTE_S:
            return
        for name, (requests, tokens) in loads.items():
            # Also of a deployment that was not needed here yet: when it is, what the others sent must be known.
            deployment = self._deployments.get(name) or self._remember(Deployment(name, name.rpartition("|")[0], _UNKNOWN))
            self._turn_minute(deployment)
            deployment.requests += requests
            deployment.tokens += tokens

    def _all(self, candidate: Candidate) -> list[Deployment]:
        known, endpoint_id = self._deployments, candidate.endpoint.id
        found = []
        for credential in candidate.host.credentials:
            name = f"{endpoint_id}|{credential.name}"
            deployment = known.get(name)
            if deployment is None:
                deployment = self._remember(Deployment(name, endpoint_id, credential))
            deployment.credential = credential  # a new version of the catalog may have other limits
            found.append(deployment)
        return found

    def _remember(self, deployment: Deployment) -> Deployment:
        if len(self._deployments) >= _LOADS_MAX:
            self._deployments.clear()
        self._deployments[deployment.name] = deployment
        return deployment

    def _may_be_called(self, deployment: Deployment) -> bool:
        return not self._health.is_cooling(deployment.name) and not self._is_at_limit(deployment)

    def _is_at_limit(self, deployment: Deployment) -> bool:
        credential = deployment.credential
        if not (credential.rpm_limit or credential.tpm_limit):
            return False
        self._turn_minute(deployment)
        if credential.tpm_limit and deployment.tokens >= credential.tpm_limit:
            return True
        if not credential.rpm_limit:
            return False
        left, untold, processes = credential.rpm_limit - deployment.requests, deployment.untold_requests, self.peers.count
        if left <= 0 or processes == 1 or not untold:
            return left <= 0
        return untold * processes * _UNTOLD_PART >= left + untold

    def _rest_s(self, deployment: Deployment) -> float:
        rest_s = self._health.cooling_ends_in_s(deployment.name)
        if not self._is_at_limit(deployment):
            return rest_s
        credential, until_minute_s = deployment.credential, _MINUTE_S - self._clock() % _MINUTE_S
        is_spent = (credential.rpm_limit and deployment.requests >= credential.rpm_limit) or (
            credential.tpm_limit and deployment.tokens >= credential.tpm_limit
        )
        return max(rest_s, until_minute_s if is_spent else min(until_minute_s, _SHARE_RESTS_S))

    def _turn_minute(self, deployment: Deployment) -> None:
        minute = int(self._clock()) // _MINUTE_S
        if deployment.minute != minute:
            deployment.minute, deployment.requests, deployment.tokens = minute, 0, 0
            deployment.untold_requests = deployment.untold_tokens = 0
