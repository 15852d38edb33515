"""Holds: money set aside for requests that are running. Reserve before the provider is called, settle after the answer, exactly once."""

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from accounts.types import Caller, KeyDisabled, KeyExpired
from billing.authorizer.connection import MoneyConnection, MoneyStoreDown, MoneyStoreError
from billing.authorizer.gathering import Reservations, Settlements
from billing.authorizer.janitor import Janitor
from billing.authorizer.keys import hold_keys, shard_keys
from billing.authorizer.leases import Leases
from billing.authorizer.loader import ScopeLoader
from billing.authorizer.scripts import EXTEND, HEARTBEAT, RELEASE, RESERVE
from billing.authorizer.spool import Spool
from billing.authorizer.standing import Standing, read_standing
from billing.authorizer.types import Hold, HoldContext, SpoolRecord
from billing.types import UsageEvent

logger = logging.getLogger(__name__)

# Half of what 64 bits hold, so that a balance and a hold always fit into one sum.
AMOUNT_MAX_NANOS = 2**62
_HEARTBEAT_CHUNK = 200
_REASSERT_EVERY_S = 0.25
_TRIES = 6  # of one call, while what it needs is loaded, asserted or given back
_SHORT = frozenset((b"SHORT_BALANCE", b"SHORT_KEY"))


class InsufficientCredit(Exception):
    """The organization's balance or the key's limit does not cover the hold. ``available_nanos`` is what is left, never below zero."""

    def __init__(self, *, scope: Literal["balance", "key"], available_nanos: int) -> None:
        super().__init__(f"insufficient {scope}: {available_nanos} nanos available")
        self.scope = scope
        self.available_nanos = available_nanos


class AdmissionFrozen(Exception):
    """The books and the money store disagree about the organization's money: it starts nothing new until an operator has looked."""


class AmountOutOfRange(ValueError):
    """A hold must be between 0 and 2**62 nanos."""


class Holds:
    """The data plane's side of the money store. One per process."""

    def __init__(
        self,
        connection: MoneyConnection,
        *,
        spool: Spool,
        loader: ScopeLoader,
        heartbeat_s: float = 5.0,
        ttl_s: float = 30.0,
        leases: bool = True,
    ) -> None:
        self._connection = connection
        self._spool = spool
        self._loader = loader
        self._heartbeat_s = heartbeat_s
        self._ttl_ms = int(ttl_s * 1000)
        self._in_flight: dict[str, Hold] = {}
        self._epochs: dict[int, int] = {}
        self._wake = asyncio.Event()
        self._reservations = Reservations(connection, ttl_ms=self._ttl_ms)
        # Before the settlements: what has been drawn in a turn is held when it is settled in the same turn.
        self._leases = Leases(connection, ttl_ms=self._ttl_ms, lost=self._wake.set, note_epoch=self._note_epoch, is_on=leases)
        self._settlements = Settlements(connection, self._note_settled)
        self._janitor = Janitor(
            spool=spool, loader=loader, resend=self._settlements.settle, epochs=self._epochs, ask_epochs=self._ask_epochs
        )
        self._tasks: list[asyncio.Task[None]] = []
        connection.on_new_run(lambda _run_id: self._wake.set())

    @property
    def in_flight(self) -> int:
        """How many requests hold money now."""
        return len(self._in_flight)

    async def start(self) -> None:
        """Start the spool, the heartbeat and the janitor. The connection is started and closed by its owner."""
        await self._spool.start()
        self._tasks = [
            asyncio.create_task(self._beat(), name="hold-heartbeat"),
            asyncio.create_task(self._janitor.run(), name="spool-janitor"),
            asyncio.create_task(self._leases.run(), name="lease-sweeper"),
        ]

    async def close(self) -> None:
        """Stop. Holds still in flight are left to the reaper, unbooked events to the spool's next owner."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._tasks = []
        self._leases.close()
        await self._spool.close()

    # --- the life of a hold ---

    async def reserve(
        self,
        *,
        event_id: uuid.UUID,
        caller: Caller,
        amount_nanos: int,
        context: HoldContext,
        meanwhile: Callable[[], None] | None = None,
    ) -> Hold:
        """Set an upper bound of the cost aside, in every scope at once or in none. Repeating an ``event_id`` holds once. ``meanwhile`` is
        called once the store has been asked; it must not fail.

        Raises: InsufficientCredit, AdmissionFrozen, KeyDisabled, KeyExpired, InvalidKey, AmountOutOfRange; MoneyStoreDown (or its
        children SpoolFull and BooksDown): then no paid request may run.
        """
        if not 0 <= amount_nanos <= AMOUNT_MAX_NANOS:
            msg = f"a hold of {amount_nanos} nanos is out of range"
            raise AmountOutOfRange(msg)
        self._spool.check_room()
        hold = Hold(event_id=event_id, event=event_id.hex, caller=caller, amount_nanos=amount_nanos, context=context)
        if self._leases.draw(hold):
            if meanwhile is not None:
                meanwhile()
            self._in_flight[hold.event] = hold
            return hold
        try:
            await self._take(hold, force=False, meanwhile=meanwhile)
        except (asyncio.CancelledError, MoneyStoreDown):
            # The command may be on its way, or its answer was lost; this one is behind it.
            self._connection.run_script(RELEASE, self._keys(hold), (self._connection.run_id, caller.org_id, hold.event))
            raise
        self._in_flight[hold.event] = hold
        return hold

    async def extend(self, hold: Hold, *, by_nanos: int) -> bool:
        """Raise the hold. False when a scope does not cover it: stop the stream. Raises: MoneyStoreDown, AmountOutOfRange."""
        if by_nanos < 0 or hold.amount_nanos + by_nanos > AMOUNT_MAX_NANOS:
            msg = f"a hold of {hold.amount_nanos} nanos cannot be extended by {by_nanos}"
            raise AmountOutOfRange(msg)
        for _ in range(_TRIES):
            new, given_back = hold.amount_nanos + by_nanos, self._leases.given_back
            reply = await self._connection.run_script(
                EXTEND,
                self._keys(hold),
                (self._connection.run_id, hold.caller.org_id, hold.event, hold.amount_nanos, new, by_nanos, self._ttl_ms),
            )
            status = reply[0]
            if status == b"OK":
                hold.amount_nanos = new
                return True
            if status == b"CHANGED":  # an earlier extension whose reply was lost
                hold.amount_nanos = int(reply[2])
            elif status == b"GONE":  # a rebuild in between
                await self._hold_again(hold)
            elif status == b"EPOCH":
                raise MoneyStoreDown("the live balances are being rebuilt")
            elif not self._is_freed(hold.caller, status, since=given_back):
                return False
        return False

    def settle(self, hold: Hold, event: UsageEvent) -> None:
        """Close the hold and charge ``event.amount_nanos``. Synchronous: the event is in the spool file when this returns.

        The store is told in this turn of the loop; if that fails, the janitor repeats it until the books have the event.
        A second call for the same hold does nothing.
        """
        if hold.is_settled:
            return
        hold.is_settled = True
        self._in_flight.pop(hold.event, None)
        record = self._spool.append(event, name=hold.event)
        self._settlements.settle(record, late=False)

    async def standing(self, caller: Caller) -> Standing:
        """Return what the caller could spend now, taking nothing. Raises: MoneyStoreDown, InvalidKey."""
        return await read_standing(self._connection, self._loader, caller)

    # --- talking to the store ---

    def _keys(self, hold: Hold) -> tuple[str, ...]:
        return hold_keys(hold.caller.shard, hold.caller.org_id, (hold.caller.key_id,))

    async def _take(self, hold: Hold, *, force: bool, meanwhile: Callable[[], None] | None = None) -> None:
        caller, context = hold.caller, msgspec.json.encode(hold.context)
        for left in reversed(range(_TRIES)):
            given_back = self._leases.given_back
            if force:
                args = (self._connection.run_id, caller.org_id, hold.event, hold.amount_nanos, self._ttl_ms, 1, caller.key_id, context)
                asked = self._connection.run_script(RESERVE, self._keys(hold), args)
            else:
                asked = self._reservations.reserve(caller, hold.event, hold.amount_nanos, context)
            if meanwhile is not None:
                meanwhile()
                meanwhile = None
            reply = await asked
            status = reply[0]
            if status != b"EPOCH":
                self._note_epoch(caller.shard, reply[1])
            if status in (b"OK", b"HELD"):
                return
            if status == b"NO_ORG":
                await self._loader.load_balance(shard=caller.shard, org_id=caller.org_id, epoch=int(reply[1]))
            elif status == b"NO_KEY":
                await self._loader.load_key(shard=caller.shard, org_id=caller.org_id, key_id=caller.key_id, epoch=int(reply[1]))
            elif not (self._is_freed(caller, status, since=given_back) and left):
                raise _refusal(status, reply)
        msg = "the live balances are being rebuilt"
        raise MoneyStoreDown(msg)

    def _is_freed(self, caller: Caller, status: bytes, *, since: int) -> bool:
        """Give back what lies here for requests to come, where a refusal is about it. Whether money was freed since the store was asked."""
        self._leases.give_back(caller, key_only=b"KEY" in status)  # a refusal of one key says nothing of the organization's others
        return status in _SHORT and self._leases.given_back != since

    def _note_settled(self, record: SpoolRecord, reply: Any, error: Exception | None) -> None:
        if error is not None:
            if isinstance(error, MoneyStoreError):
                logger.error("settle_refused event=%s error=%s", record.event, error)
            self._janitor.wake()
            return
        status = reply[0]
        if status in (b"OK", b"LATE"):
            self._note_epoch(record.shard, reply[1])
            self._spool.acknowledge(record, epoch=int(reply[1]))
        else:
            self._janitor.note_refused(record, status)

    def _note_epoch(self, shard: int, epoch: bytes) -> None:
        number = int(epoch)
        known = self._epochs.get(shard)
        if known != number:
            self._epochs[shard] = number
            if known is not None:
                # A rebuild: what we hold there is forgotten, and what we sent may be.
                logger.warning("money_store_new_epoch shard=%s epoch=%s", shard, number)
                self._wake.set()
                self._janitor.note_new_epoch()

    async def _ask_epochs(self, shards: set[int]) -> None:
        numbers = [(shard, self._connection.execute("HGET", shard_keys(shard).epoch, "n")) for shard in shards]
        for shard, number in numbers:
            if epoch := await number:
                self._note_epoch(shard, epoch)

    # --- heartbeat ---

    async def _beat(self) -> None:
        pause_s = self._heartbeat_s
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._wake.wait()
            self._wake.clear()
            try:
                everyone_known = await self._renew()
            except Exception:
                # This loop must outlive any surprise: without it running requests would be reaped.
                logger.exception("hold_heartbeat_failed")
                everyone_known = False
            pause_s = self._heartbeat_s if everyone_known else min(_REASSERT_EVERY_S, self._heartbeat_s)

    async def _renew(self) -> bool:
        """Renew all holds in one pipeline; re-assert those the store has forgotten. False: some could not be told, try again soon."""
        by_shard: dict[int, list[Hold]] = {}
        for hold in self._in_flight.values():
            by_shard.setdefault(hold.caller.shard, []).append(hold)
        asked: list[tuple[list[Hold], asyncio.Future[Any]]] = []
        for shard, holds in by_shard.items():
            for start in range(0, len(holds), _HEARTBEAT_CHUNK):
                chunk = holds[start : start + _HEARTBEAT_CHUNK]
                asked.append((chunk, self._send_heartbeat(shard, chunk)))
        everyone_known = True
        for chunk, future in asked:
            try:
                reply = await future
            except (MoneyStoreDown, MoneyStoreError):
                everyone_known = False
                continue
            if reply[0] == b"EPOCH":
                everyone_known = False
                continue
            self._note_epoch(chunk[0].caller.shard, reply[1])
            for hold, is_known in zip(chunk, reply[2:], strict=True):
                if not is_known and not await self._reassert(hold):
                    everyone_known = False
        return everyone_known

    def _send_heartbeat(self, shard: int, holds: list[Hold]) -> "asyncio.Future[Any]":
        keys = shard_keys(shard)
        args: list[str | bytes | int] = [self._connection.run_id, self._ttl_ms]
        for hold in holds:
            args += (hold.caller.org_id, hold.event, hold.spent_nanos)
        return self._connection.run_script(
            HEARTBEAT, [keys.epoch, keys.deadlines, *(f"{keys.holds}{hold.caller.org_id}" for hold in holds)], args
        )

    async def _hold_again(self, hold: Hold) -> None:
        """Hold what a rebuilt store does not know of, and tell it what was spent: it had heard that, and would charge nothing if we died
        before the next heartbeat.
        """
        await self._take(hold, force=True)
        if hold.spent_nanos and not hold.is_settled:
            await self._send_heartbeat(hold.caller.shard, [hold])

    async def _reassert(self, hold: Hold) -> bool:
        if hold.is_settled:
            return True
        try:
            await self._hold_again(hold)
        except (MoneyStoreDown, MoneyStoreError) as error:
            logger.warning("hold_reassert_failed event=%s error=%s", hold.event, error)
            return False
        logger.info("hold_reasserted event=%s amount_nanos=%s", hold.event, hold.amount_nanos)
        if hold.is_settled:
            # Settled while we waited, by a call that was in front of ours and found nothing: the janitor repeats that one.
            self._janitor.wake()
        return True


def _refusal(status: bytes, reply: list[Any]) -> Exception:
    if status in _SHORT:
        scope: Literal["balance", "key"] = "balance" if status == b"SHORT_BALANCE" else "key"
        return InsufficientCredit(scope=scope, available_nanos=max(int(reply[2]), 0))
    if status == b"FROZEN":
        return AdmissionFrozen("new requests of the organization are refused while its balance is checked")
    if status == b"KEY_DISABLED":
        return KeyDisabled("the API key is disabled")
    if status == b"KEY_EXPIRED":
        return KeyExpired("the API key has expired")
    if status == b"MOVING":
        return MoneyStoreDown("the organization moves to another shard", retry_after_s=2.0)
    return MoneyStoreDown("the live balances are being rebuilt")
