"""Taking and growing the hold of one request, and saying clearly why it was refused."""

from collections.abc import Iterator, Sequence
from functools import partial

from accounts.types import InvalidKey, KeyDisabled, KeyExpired
from billing.authorizer.connection import MoneyStoreDown
from billing.authorizer.holds import AdmissionFrozen, AmountOutOfRange, Holds, InsufficientCredit
from billing.authorizer.types import HoldContext
from billing.money import usd_text
from gateway.dialects.base import ChatRequest
from gateway.relay.attempts import prepare_ahead
from gateway.relay.catalog import Candidate
from gateway.relay.config import RelayConfig
from gateway.relay.errors import AccountFrozen, BadRequest, OutOfCredit, Unauthorized, Unavailable
from gateway.relay.estimate import plan_hold
from gateway.relay.generation import Generation
from gateway.relay.settlement import USER_MAX
from gateway.relay.types import HoldPlan

_FROZEN_RETRY_S = 60.0


class _Unaffordable(Exception):
    """No candidate can be paid. ``need_nanos`` is the smallest hold that was refused."""

    def __init__(self, refusal: InsufficientCredit, need_nanos: int) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal
        self.need_nanos = need_nanos


def refused_hold(error: InsufficientCredit, *, need_nanos: int, public_url: str) -> OutOfCredit:
    """Return what the caller is told when no hold fits; ``need_nanos`` is the smallest that was refused."""
    need, have = usd_text(need_nanos), usd_text(error.available_nanos)
    metadata = {"required_usd": need, "available_usd": have, "provider_name": None}
    if error.scope == "key":
        return OutOfCredit(
            f"Key limit exceeded: this request may cost up to ${need} and the key has ${have} left in its period.",
            metadata={**metadata, "limit_source": "key_limit"},
            remedy=f"Raise the key's limit at {public_url}/keys, wait for its reset, or send a smaller max_tokens.",
        )
    return OutOfCredit(
        f"Insufficient credits: this request may cost up to ${need} and ${have} is available. Add more using {public_url}/credits",
        metadata={**metadata, "limit_source": "credits"},
        remedy=f"Add credits at {public_url}/credits, send a smaller max_tokens, or wait for running requests to settle.",
    )


def disabled_key() -> Unauthorized:
    """Return what the caller is told whose key is switched off."""
    return Unauthorized("This API key is disabled.", remedy="Enable it, or use another key.")


def endless_answer() -> BadRequest:
    """Return what the caller is told when the bound is beyond all money."""
    return BadRequest(
        "max_tokens is so large that no balance could cover the answer",
        metadata={"param": "max_tokens"},
        remedy="Send a smaller max_tokens, or none.",
    )


def holds_to_try(
    request: ChatRequest, candidates: Sequence[Candidate], *, default_output_tokens: int
) -> Iterator[tuple[Candidate, HoldPlan]]:
    """Yield what to hold, in the order to ask for it: the first candidate, the cheapest, then both with a capped answer.

    One that needs no less than what was refused before is not worth asking for; the caller skips it.
    """
    for modest in (False, True):
        yield candidates[0], plan_hold(request, candidates[0].endpoint, default_output_tokens=default_output_tokens, modest=modest)
        cheapest = min(candidates, key=lambda one: one.blended_picos)
        yield cheapest, plan_hold(request, cheapest.endpoint, default_output_tokens=default_output_tokens, modest=modest)


class Cashier:
    """The data plane's side of the money store."""

    def __init__(self, holds: Holds, config: RelayConfig) -> None:
        self._holds = holds
        self._config = config

    async def reserve(self, generation: Generation) -> None:
        """Hold the upper bound for the first candidate that can be paid. Raises: OutOfCredit, BadRequest, Unauthorized, Unavailable."""
        try:
            await self._take_first_affordable(generation)
        except _Unaffordable as too_dear:
            raise refused_hold(too_dear.refusal, need_nanos=too_dear.need_nanos, public_url=self._config.public_url) from too_dear
        except AmountOutOfRange as out_of_range:
            raise endless_answer() from out_of_range
        except AdmissionFrozen as frozen:
            raise AccountFrozen(
                "New requests of this account are paused: a check found its balance in doubt, and we are looking into it."
                " Nothing was charged.",
                retry_after_s=_FROZEN_RETRY_S,
                metadata={"reason": "account_frozen"},
                remedy=f"Running requests go on. You need not do anything; what happens is told at {self._config.public_url}/dashboard.",
            ) from frozen
        except InvalidKey as invalid:
            raise Unauthorized("User not found.", remedy="Check the key; it may have been deleted.") from invalid
        except KeyDisabled as disabled:
            raise disabled_key() from disabled
        except KeyExpired as expired:
            raise Unauthorized("This API key has expired.", remedy="Create a new key.") from expired
        except MoneyStoreDown as down:
            raise Unavailable(
                "Balances cannot be checked at the moment; nothing was charged.",
                retry_after_s=down.retry_after_s,
                remedy="Send the request again after the time in Retry-After.",
            ) from down

    async def _take_first_affordable(self, generation: Generation) -> None:
        """Try the first candidate, then the cheapest, then both with a capped answer; each only if it needs less than what was refused."""
        candidates, tokens = generation.route.candidates, self._config.hold_output_tokens
        first = candidates[0]
        refusal: InsufficientCredit | None = None
        need_nanos = 0
        for candidate, plan in holds_to_try(generation.request, candidates, default_output_tokens=tokens):
            if refusal is not None and plan.amount_nanos >= need_nanos:
                continue
            try:
                await self._take(generation, candidate, plan)
            except InsufficientCredit as error:
                refusal, need_nanos = error, plan.amount_nanos
                continue
            if candidate is not first:
                candidates.remove(candidate)
                candidates.insert(0, candidate)
            return
        assert refusal is not None  # noqa: S101 -- the loop returned or was refused
        raise _Unaffordable(refusal, need_nanos)

    async def _take(self, generation: Generation, candidate: Candidate, plan: HoldPlan) -> None:
        endpoint, request = candidate.endpoint, generation.request
        context = HoldContext(
            model=endpoint.model,
            requested_model=request.model or endpoint.model,
            endpoint_id=endpoint.id,
            provider=endpoint.provider,
            provider_name=candidate.host.spec.name,
            price_version_id=endpoint.price_version_id,
            api_type=generation.dialect.api_type,
            streamed=request.stream,
            simulated=candidate.host.simulated,
            started_at_ms=generation.started_at_ms,
            external_user=request.user[:USER_MAX],
            session_id=request.session_id,
            app_referer=generation.client.referer,
            app_title=generation.client.title,
            user_agent=generation.client.user_agent,
        )
        generation.hold = await self._holds.reserve(
            event_id=generation.event_id,
            caller=generation.caller,
            amount_nanos=plan.amount_nanos,
            context=context,
            meanwhile=partial(prepare_ahead, generation, candidate, plan),
        )
        generation.plan = plan

    async def cover(self, generation: Generation, candidate: Candidate) -> bool:
        """Make the hold large enough for ``candidate``: a fallback that is dearer needs more. False: it cannot be afforded, skip it."""
        if candidate is generation.route.candidates[0]:
            return True
        hold = generation.hold
        assert hold is not None and generation.plan is not None  # noqa: S101, PT018 -- reserve() came first
        modest = generation.plan.cap_tokens is not None
        plan = plan_hold(generation.request, candidate.endpoint, default_output_tokens=self._config.hold_output_tokens, modest=modest)
        missing = plan.amount_nanos - hold.amount_nanos
        if missing > 0 and not await self.extend(generation, missing):
            return False
        generation.plan = plan
        return True

    async def extend(self, generation: Generation, by_nanos: int) -> bool:
        """Grow the hold. False when the balance or the key's limit does not allow it, or the money store is away."""
        assert generation.hold is not None  # noqa: S101 -- reserve() came first
        try:
            return await self._holds.extend(generation.hold, by_nanos=by_nanos)
        except MoneyStoreDown:
            return False
