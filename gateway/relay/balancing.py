"""Which of a provider's credentials a request goes out with, and which the provider or the operator lets rest.

An endpoint with one credential is a deployment: its limits, its load and its cooling are its own. Strategies are LiteLLM's: by weight, the
least busy, the lowest latency, the most of its rate limit left. A provider with one credential and no limits costs one look-up.
"""

import random
import time
from collections.abc import Callable, Container
from typing import Final

from gateway.relay.catalog import Candidate, Credential
from gateway.relay.health import EndpointHealth

_MINUTE_S: Final = 60
_LOADS_MAX: Final = 50_000
_SMOOTHING: Final = 0.2  # weight of the newest latency


class Deployment:
    """One credential at one endpoint, and what this process knows of it. ``name`` is what other processes know it by."""

    __slots__ = ("credential", "endpoint_id", "in_flight", "latency_ms", "minute", "name", "requests", "tokens")

    def __init__(self, name: str, endpoint_id: str, credential: Credential) -> None:
        self.name = name
        self.endpoint_id = endpoint_id
        self.credential = credential
        self.in_flight = 0
        self.latency_ms = 0.0  # to the first byte, smoothed; 0: not measured
        self.minute = 0
        self.requests = 0  # of this minute, all processes
        self.tokens = 0


class Balancer:
    """Of one process. ``clock`` returns Unix seconds: limits are by the minute of the clock, as LiteLLM counts them."""

    def __init__(self, health: EndpointHealth, *, clock: Callable[[], float] = time.time, rng: random.Random | None = None) -> None:
        self._health = health
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311 -- load balancing, not secrecy
        self._deployments: dict[str, Deployment] = {}

    def choose(self, candidate: Candidate, tried: Container[str] = ()) -> Deployment | None:
        """Return the deployment to call, or None when all of them rest, are at their limit or are among ``tried``.

        Call it for hosts that are balanced alone (``Host.is_balanced``).
        """
        able = [one for one in self._all(candidate) if one.name not in tried and self._may_be_called(one)]
        if len(able) < 2:  # noqa: PLR2004 -- one is no choice
            return able[0] if able else None
        match candidate.host.spec.balancing:
            case "least_busy":
                return min(able, key=lambda one: one.in_flight / one.credential.weight)
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

    def ended(self, deployment: Deployment) -> None:
        """Note that a request is over, however it ended."""
        deployment.in_flight -= 1
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

    def hear(self, loads: dict[str, tuple[int, int]]) -> None:
        """Add what another process has sent to these deployments: requests and tokens."""
        for name, (requests, tokens) in loads.items():
            deployment = self._deployments.get(name)
            if deployment is not None:
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
                if len(known) >= _LOADS_MAX:
                    known.clear()
                deployment = known[name] = Deployment(name, endpoint_id, credential)
            deployment.credential = credential  # a new version of the catalog may have other limits
            found.append(deployment)
        return found

    def _may_be_called(self, deployment: Deployment) -> bool:
        return not self._health.is_cooling(deployment.name) and not self._is_at_limit(deployment)

    def _is_at_limit(self, deployment: Deployment) -> bool:
        credential = deployment.credential
        if not (credential.rpm_limit or credential.tpm_limit):
            return False
        self._turn_minute(deployment)
        return bool(
            (credential.rpm_limit and deployment.requests >= credential.rpm_limit)
            or (credential.tpm_limit and deployment.tokens >= credential.tpm_limit)
        )

    def _rest_s(self, deployment: Deployment) -> float:
        rest_s = self._health.cooling_ends_in_s(deployment.name)
        return max(rest_s, _MINUTE_S - self._clock() % _MINUTE_S) if self._is_at_limit(deployment) else rest_s

    def _turn_minute(self, deployment: Deployment) -> None:
        minute = int(self._clock()) // _MINUTE_S
        if deployment.minute != minute:
            deployment.minute, deployment.requests, deployment.tokens = minute, 0, 0
