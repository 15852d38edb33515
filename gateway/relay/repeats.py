"""Requests that are sent again under one Idempotency-Key: answered again, and charged once.

The money store says whether the key is new (``billing/authorizer/claims.py``); the answer is kept in the broker for a day, sealed so that
only the same API key and Idempotency-Key open it. Requests without the header pass none of this.
"""

import asyncio
import hashlib
import logging
import os
import uuid

import msgspec
import redis.asyncio
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from accounts.types import Caller
from billing.authorizer.claims import CLAIM_TTL_S, FIRST_TURN, Claim, Claims
from billing.authorizer.connection import MoneyStoreDown, MoneyStoreError
from billing.authorizer.loader import ScopeLoader
from gateway.relay.errors import BadRequest, Repeated, Unavailable
from gateway.relay.exchange import Exchange, Kept
from gateway.relay.generation import Generation, new_event_id
from gateway.relay.settlement import Settler

IDEMPOTENCY_KEY = b"idempotency-key"
_NAME_MAX = 255
_NONCE_BYTES = 12
_TIMEOUT_S = 0.5
# A store that is away for longer than these together is being rebuilt, or the request's gateway is cut off.
_TELL_AGAIN_S = (0.1, 0.5, 2.0, 5.0, 10.0, 20.0)
_CLOSE_WITHIN_S = 2.0
_REPLAYED = (b"idempotent-replayed", b"true")
# The official clients repeat a 409 by themselves unless they are told not to.
_DO_NOT_RETRY = (b"x-should-retry", b"false")
_log = logging.getLogger(__name__)


class _KeptAnswer(msgspec.Struct, array_like=True):
    content_type: bytes
    body: bytes


class Repeat:
    """A request under a name, while it runs. ``seal`` is the key of its answer."""

    __slots__ = ("claim", "generation", "seal")

    def __init__(self, claim: Claim, seal: bytes) -> None:
        self.claim = claim
        self.seal = seal
        self.generation: Generation | None = None


class Repeats:
    """Begins and ends requests that have a name. One per process and event loop."""

    def __init__(self, claims: Claims, settler: Settler, broker_url: str, books: ScopeLoader) -> None:
        self._claims = claims
        self._books = books
        self._settler = settler
        self._broker_url = broker_url
        self._broker: redis.asyncio.Redis | None = None
        self._ending: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Wait a moment for what is being kept, then close the connection."""
        if self._ending:
            await asyncio.wait(self._ending, timeout=_CLOSE_WITHIN_S)
        for task in self._ending:
            task.cancel()
        if self._broker is not None:
            await self._broker.aclose()
            self._broker = None

    async def begin(self, exchange: Exchange, caller: Caller, body: bytes) -> Repeat | None:
        """Claim the name, or answer as before and return None. Raises: BadRequest, Repeated, Unavailable."""
        given = exchange.header(IDEMPOTENCY_KEY).strip()
        if not 1 <= len(given) <= _NAME_MAX or not given.isprintable():
            raise BadRequest(
                f"Idempotency-Key must have 1 to {_NAME_MAX} printable characters",
                metadata={"param": "Idempotency-Key"},
                remedy="Send one random name per request, such as a UUID, and the same one when you send the request again.",
            )
        name, request = _digest(given.encode()), _digest(exchange.path.encode(), body)
        try:
            claim = await self._claim(caller, name, request)
        except (MoneyStoreDown, MoneyStoreError) as error:
            raise Unavailable("Requests cannot be told apart at the moment; nothing was charged.", retry_after_s=1) from error
        seal = hashlib.sha256(b"\0".join((b"tollway kept answer", _secret(exchange), given.encode()))).digest()
        if claim.word == "CLAIMED":
            exchange.kept = Kept()
            return Repeat(claim, seal)
        await self._answer_again(exchange, claim, seal)
        return None

    async def _claim(self, caller: Caller, name: str, request: str) -> Claim:
        """Claim the name. A request whose end nobody could tell is not run again: what the books say of it is told now.

        Raises: MoneyStoreDown (also for the books), MoneyStoreError.
        """
        claim = await self._claims.claim(caller=caller, name=name, request=request, event_id=new_event_id())
        if claim.word != "CLAIMED" or claim.turn == FIRST_TURN:
            return claim
        ended = await self._books.ended(org_id=caller.org_id, event=claim.event_id.hex)
        if ended == "over":
            await self._claims.close(claim)
            return msgspec.structs.replace(claim, word="DONE")
        if ended == "free":
            # Under its event nothing more would be charged.
            await self._claims.release(claim)
            return await self._claims.claim(caller=caller, name=name, request=request, event_id=new_event_id())
        return claim

    async def _answer_again(self, exchange: Exchange, claim: Claim, seal: bytes) -> None:
        generation_id = f"gen-{claim.event_id.hex}"
        if claim.word == "OTHER":
            exchange.extra_headers.append(_DO_NOT_RETRY)
            raise Repeated(
                "This Idempotency-Key was used with another request; nothing was charged.",
                metadata={"reason": "idempotency_conflict", "param": "Idempotency-Key", "generation_id": generation_id},
                remedy="Use a new Idempotency-Key for each request.",
            )
        if claim.word == "RUNNING":
            raise Repeated(
                "The request with this Idempotency-Key is still running; it is charged once.",
                retryable=True,
                retry_after_s=1,
                metadata={"reason": "idempotency_in_progress", "generation_id": generation_id},
                remedy="Send it again after the time in Retry-After: the answer is given again, without a charge.",
            )
        kept = await self._find(claim, seal)
        if kept is None:
            exchange.extra_headers.append(_DO_NOT_RETRY)
            raise Repeated(
                "The request with this Idempotency-Key has ended and was charged once; its answer is not kept.",
                metadata={"reason": "idempotency_ended", "generation_id": generation_id},
                remedy=f"Its receipt is at /api/v1/generation?id={generation_id}. Use a new Idempotency-Key to ask again.",
            )
        exchange.generation_id = generation_id
        exchange.extra_headers += ((b"x-generation-id", generation_id.encode()), _REPLAYED)
        await exchange.respond(200, kept.body, content_type=(b"content-type", kept.content_type))

    def end(self, repeat: Repeat, exchange: Exchange) -> None:
        """Free the name if nothing was charged, else keep the answer. Waits for nothing: a request that is cancelled ends here too."""
        generation, kept = repeat.generation, exchange.kept
        exchange.kept = None
        is_answered = generation is not None and generation.outcome.status == "ok" and generation.outcome.finish_reason != "error"
        # A second pricing of what is settled, which moves nothing.
        charged = generation is not None and generation.settled and self._settler.settle(generation).amount_nanos > 0
        whole = kept if is_answered and kept is not None and kept.is_whole else None
        task = asyncio.create_task(self._end(repeat, whole, is_over=charged or is_answered))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _end(self, repeat: Repeat, kept: Kept | None, *, is_over: bool) -> None:
        if is_over and kept is not None:
            await self._keep(repeat, kept)
        tell = self._claims.close if is_over else self._claims.release
        for wait_s in _TELL_AGAIN_S:
            try:
                await tell(repeat.claim)
            except (MoneyStoreDown, MoneyStoreError):
                await asyncio.sleep(wait_s)
            else:
                return
        # Whoever repeats the request takes its event over, and asks the books first how it ended.
        _log.warning("claim_left_open event=%s", repeat.claim.event_id.hex)

    async def _keep(self, repeat: Repeat, kept: Kept) -> None:
        nonce = os.urandom(_NONCE_BYTES)
        answer = msgspec.msgpack.encode(_KeptAnswer(kept.content_type, b"".join(kept.pieces)))
        sealed = nonce + AESGCM(repeat.seal).encrypt(nonce, answer, _name_of(repeat.claim.event_id))
        try:
            await self._connection().set(_name_of(repeat.claim.event_id), sealed, ex=CLAIM_TTL_S)
        except (RedisError, OSError) as error:
            _log.warning("answer_not_kept event=%s error=%s", repeat.claim.event_id.hex, error)

    async def _find(self, claim: Claim, seal: bytes) -> _KeptAnswer | None:
        """Return the answer that was kept, or None if there is none. Raises: Unavailable when that cannot be told now."""
        try:
            sealed = await self._connection().get(_name_of(claim.event_id))
        except (RedisError, OSError) as error:
            raise Unavailable(
                "The request with this Idempotency-Key has ended and was charged once; its answer cannot be read at the moment.",
                retry_after_s=1,
                metadata={"generation_id": f"gen-{claim.event_id.hex}"},
                remedy="Send it again after the time in Retry-After: the answer is given again, without a charge.",
            ) from error
        if not isinstance(sealed, bytes):
            return None
        try:
            opened = AESGCM(seal).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _name_of(claim.event_id))
        except InvalidTag:
            return None
        return msgspec.msgpack.decode(opened, type=_KeptAnswer)

    def _connection(self) -> redis.asyncio.Redis:
        if self._broker is None:
            self._broker = redis.asyncio.Redis.from_url(
                self._broker_url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S, retry=Retry(NoBackoff(), 0)
            )
        return self._broker


def _name_of(event_id: uuid.UUID) -> bytes:
    return b"kept:" + event_id.hex.encode()


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _secret(exchange: Exchange) -> bytes:
    """Return what the caller authenticated with, which nobody but the caller has."""
    bearer = exchange.header(b"authorization").partition(" ")[2].strip()
    return (bearer or exchange.header(b"x-api-key").strip()).encode()
