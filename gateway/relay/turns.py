"""Endpoints asked in turn until one answers: what every kind of answer has in common before its first byte."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from gateway.dialects.base import UpstreamFault
from gateway.relay.generation import Generation
from gateway.relay.hold import Cashier
from gateway.relay.tries import Tries
from gateway.relay.types import Attempt

Result = TypeVar("Result")


async def ask_in_turn(
    tries: Tries,
    generation: Generation,
    cashier: Cashier,
    ask: Callable[[Generation, Attempt], Awaitable[Result | UpstreamFault]],
    *,
    timeout_s: float,
) -> tuple[Attempt, Result] | None:
    """Return the attempt that answered and what ``ask`` made of it, or None when all failed: ``tries`` know why.

    An endpoint that the balance does not cover is passed over.
    """
    while (candidate := tries.candidate()) is not None:
        if not await cashier.cover(generation, candidate):
            tries.skip()
            continue
        attempt = tries.start(candidate, timeout_s=timeout_s)
        if attempt is None:
            continue
        try:
            result = await ask(generation, attempt)
        finally:
            tries.end(attempt)
        if not isinstance(result, UpstreamFault):
            return attempt, result
        tries.failed(attempt, result)
    return None
