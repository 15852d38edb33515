"""What a dry run answers with, as the wire has it."""

import msgspec

from billing.money import usd_text
from gateway.dialects.base import Json


class Amount(msgspec.Struct, frozen=True):
    """Money on the wire: whole nanos (1e-9 USD) and dollars, both as text, so that no client rounds them."""

    nanos: str
    usd: str


class RankedEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint that may serve. ``reason`` is why it has its place; ``price_bound`` is the most the request can cost there."""

    rank: int
    endpoint_id: str
    model: str
    provider: str
    provider_name: str
    tag: str
    reason: str
    detail: str
    first_permille: int | None  # how often of a thousand times it is drawn as the first; None where nothing is drawn
    is_tried: bool  # false: only as many are tried as the service allows
    price_bound: Amount
    simulated: bool


class RejectedEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint that may not serve, and the rule that says so."""

    endpoint_id: str
    model: str
    provider: str
    provider_name: str
    tag: str
    rule: str
    detail: str


class PlannedHold(msgspec.Struct, frozen=True, kw_only=True):
    """What would be set aside before the provider is called; what is not spent comes back. Tokens are upper bounds.

    ``output_tokens_cap`` is what the provider would be told as its maximum where the client names none and the money covers no more.
    """

    endpoint_id: str
    amount: Amount
    prompt_tokens_max: int
    output_tokens_max: int
    output_tokens_cap: int | None


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """A limit that the hold is checked against. ``limit`` is None for a balance; ``covers`` says whether the hold fits."""

    scope: str  # organization, key
    remaining: Amount
    limit: Amount | None
    reset: str | None
    covers: bool


class PlannedHedge(msgspec.Struct, frozen=True, kw_only=True):
    """The endpoint that starts beside the first when that has been silent for so many milliseconds."""

    endpoint_id: str
    after_ms: int


class NamedModel(msgspec.Struct, frozen=True):
    """A name in the request, and the model and the routing suffix that it stands for."""

    requested: str
    model: str
    suffix: str


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """What would happen to a request. ``api`` is which one the body was read for.

    ``error`` is what it would be answered with if no endpoint may serve it or no hold fits.
    """

    api: str
    catalog_version: int
    models: list[NamedModel]
    prompt_tokens_estimate: int
    endpoints: list[RankedEndpoint]
    rejected: list[RejectedEndpoint]
    hold: PlannedHold | None
    hedge: PlannedHedge | None
    limits: list[Limit]
    error: Json | None


def amount(nanos: int) -> Amount:
    """Return an amount as the wire has it."""
    return Amount(str(nanos), usd_text(nanos))
