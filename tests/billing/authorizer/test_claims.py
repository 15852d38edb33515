"""A name that a client gives to a request, from its first use to its end, over the loss of a gateway."""

import asyncio

from billing.authorizer.claims import Claim, Claims
from billing.authorizer.connection import MoneyConnection
from tests.billing.authorizer.shard import CALLER, Shard, new_id


async def _claim(claims: Claims) -> Claim:
    return await claims.claim(caller=CALLER, name="n", request="r", event_id=new_id())


async def _take_over(claims: Claims) -> Claim:
    """Claim a name whose request has no hold: noted as lost at first, taken over a moment later."""
    assert (await _claim(claims)).word == "RUNNING"
    await asyncio.sleep(0.01)
    return await _claim(claims)


async def test_a_name_stands_for_its_request_until_that_is_freed(shard: Shard, connection: MoneyConnection) -> None:
    shard.open(1_000)
    claims = Claims(connection)
    first = await _claim(claims)
    assert (first.word, first.turn) == ("CLAIMED", "0")
    assert (await _claim(claims)).word == "RUNNING"
    await claims.close(first)
    await claims.close(first)
    assert (await _claim(claims)).word == "DONE"
    await claims.release(first)
    assert (await _claim(claims)).event_id != first.event_id


async def test_a_gateway_that_was_taken_for_dead_has_no_say_over_whoever_took_its_request_over(
    shard: Shard, connection: MoneyConnection
) -> None:
    shard.open(1_000)
    claims = Claims(connection, patience_ms=1)
    lost = await _claim(claims)
    second = await _take_over(claims)
    assert (second.word, second.event_id, second.turn) == ("CLAIMED", lost.event_id, "1")

    await claims.release(lost)
    await claims.close(lost)

    third = await _take_over(claims)
    assert (third.word, third.event_id, third.turn) == ("CLAIMED", lost.event_id, "2")
    await claims.close(third)
    assert (await _claim(claims)).word == "DONE"
