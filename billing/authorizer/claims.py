"""Claims: a name that a client gives to a request, so that repeating it is not charged twice. One per API key and name, for a day."""

import uuid
from typing import Literal, cast

import msgspec

from accounts.types import Caller
from billing.authorizer.connection import MoneyConnection, MoneyStoreDown
from billing.authorizer.keys import claim_keys
from billing.authorizer.scripts import CLAIM, END_CLAIM

# How long a name stands for its request, from its first use and again from its end.
CLAIM_TTL_S = 86_400
# A hold is missing for a moment between claim and reservation, and while a rebuilt store is told of what runs.
_PATIENCE_MS = 5_000
FIRST_TURN = "0"  # nobody has taken the request over


class Claim(msgspec.Struct, frozen=True):
    """What the store says of a name. ``event_id`` is the event of the request that the name stands for.

    ``turn`` counts how often the request was taken over from a gateway that was lost.
    """

    word: Literal["CLAIMED", "OTHER", "RUNNING", "DONE"]
    caller: Caller
    name: str  # digest of the client's name, hex
    event_id: uuid.UUID
    turn: str = ""


class Claims:
    """The data plane's claims in the money store, beside the holds they watch."""

    def __init__(self, connection: MoneyConnection, *, patience_ms: int = _PATIENCE_MS) -> None:
        self._connection = connection
        self._patience_ms = patience_ms

    async def claim(self, *, caller: Caller, name: str, request: str, event_id: uuid.UUID) -> Claim:
        """Take the name for a request, or say what it stands for. ``name`` and ``request`` are digests in hex. Raises: MoneyStoreDown.

        CLAIMED: run it under the claim's ``event_id``, which is not ``event_id`` when the request before lost its gateway.
        """
        keys = claim_keys(caller.shard, caller.org_id, caller.key_id, name)
        args = (self._connection.run_id, event_id.hex, request, CLAIM_TTL_S, self._patience_ms)
        reply = await self._connection.run_script(CLAIM, keys, args)
        if reply[0] == b"EPOCH":
            msg = "the live balances are being rebuilt"
            raise MoneyStoreDown(msg)
        word = cast('Literal["CLAIMED", "OTHER", "RUNNING", "DONE"]', reply[0].decode())
        return Claim(word, caller, name, uuid.UUID(hex=reply[1].decode()), reply[2].decode() if word == "CLAIMED" else "")

    async def close(self, claim: Claim) -> None:
        """The request was charged or answered: the name stands for it from now on. Raises: MoneyStoreDown."""
        await self._end(claim, CLAIM_TTL_S)

    async def release(self, claim: Claim) -> None:
        """The request was charged nothing: its name may be used again. Raises: MoneyStoreDown."""
        await self._end(claim, 0)

    async def _end(self, claim: Claim, ttl_s: int) -> None:
        # Repeating it is harmless, and after another gateway has taken the request over it does nothing.
        name = claim_keys(claim.caller.shard, claim.caller.org_id, claim.caller.key_id, claim.name)[-1]
        await self._connection.run_script(END_CLAIM, (name,), (claim.event_id.hex, claim.turn, ttl_s))
