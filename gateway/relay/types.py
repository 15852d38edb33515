"""What passes between the parts of a request on its way through the relay."""

from typing import Any

import msgspec

from catalog.types import Usage
from gateway.dialects.client import Closing
from gateway.relay.balancing import Deployment
from gateway.relay.catalog import Candidate
from gateway.relay.samples import Headers


class HoldPlan(msgspec.Struct, frozen=True):
    """What to hold before calling an endpoint.

    ``output_tokens`` is what the amount covers; ``cap_tokens`` is sent upstream as max_tokens when the client set none and the answer
    cannot be watched while it grows (not streamed), so that the hold stays an upper bound.
    """

    amount_nanos: int
    prompt_tokens: int
    output_tokens: int
    cap_tokens: int | None = None


class Bill(msgspec.Struct, frozen=True):
    """What a request came to. ``amount_nanos`` is charged to the customer; ``cost_nanos`` is the provider's own price."""

    usage: Usage
    meters: dict[str, int]  # those of the usage that are not zero
    amount_nanos: int
    amount_picos: int
    prompt_nanos: int  # the part of amount_nanos that is for the prompt
    cost_nanos: int

    def closing(self, *, service_tier: str, stop_sequence: str | None, metadata: dict[str, Any] | None = None) -> Closing:
        """Return what the client is told of it."""
        return Closing(self.usage, self.amount_nanos, self.prompt_nanos, service_tier, stop_sequence, metadata)


class Attempt(msgspec.Struct, eq=False):
    """One try at one endpoint. ``deployment`` is None where the provider has one credential and no limits."""

    candidate: Candidate
    deployment: Deployment | None
    timeout_s: float
    began_ns: int
    headers: Headers | None = None  # of the provider's answer
    dropped: tuple[str, ...] = ()  # the client's parameters that the endpoint was not sent

    @property
    def endpoint_id(self) -> str:
        """The endpoint that is asked."""
        return self.candidate.endpoint.id

    @property
    def secret(self) -> str:
        """The credential to send."""
        return self.candidate.host.credential if self.deployment is None else self.deployment.credential.secret


class Home(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Where a conversation lives. ``until_s`` is Unix seconds, ``life_s`` how long each answer makes it last."""

    owner: tuple[int, str]  # organization, model as it was asked for
    endpoint_id: str
    until_s: int
    life_s: int

    @property
    def model(self) -> str:
        """The model that answers there."""
        return self.endpoint_id.partition("@")[0]
