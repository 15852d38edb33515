"""What a gateway asks of the money store within one turn of its event loop, gathered into one script per shard.

Under load a turn has several requests of the same organization and key, whose sums the store then needs to move once. One alone takes
the script for one.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from accounts.types import Caller
from billing.authorizer.connection import Arg, MoneyConnection, MoneyStoreError
from billing.authorizer.keys import close_keys, hold_keys
from billing.authorizer.scripts import RESERVE, RESERVE_MANY, SETTLE, SETTLE_MANY
from billing.authorizer.types import SpoolRecord

if TYPE_CHECKING:
    import asyncio

# A script must end soon: nobody else is served meanwhile.
GATHERED_MAX = 100
_DONE_OR_REFUSED = frozenset((b"OK", b"LATE", b"GONE", b"NO_ORG", b"NO_KEY"))

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)
Told = Callable[[SpoolRecord, Any, Exception | None], None]


class Settlements:
    """Settlements on their way. ``told(record, reply, error)`` is called once for each, with the reply that SETTLE gives."""

    def __init__(self, connection: MoneyConnection, told: Told) -> None:
        self._connection = connection
        self._told = told
        self._waiting: list[SpoolRecord] = []
        connection.before_flush(self._send)

    def settle(self, record: SpoolRecord, *, late: bool) -> None:
        """Queue the settlement of a spooled event. ``late`` also charges when the store knows no such hold."""
        if late:
            self._send_one(record, late=True)
        else:
            self._waiting.append(record)
            self._connection.gather(is_awaited=False)

    def _send(self) -> None:
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        for part in _parts(waiting, lambda record: record.shard):
            if len(part) == 1:
                self._send_one(part[0], late=False)
            else:
                self._send_many(part)

    def _send_one(self, record: SpoolRecord, *, late: bool) -> None:
        self._connection.post_script(
            SETTLE,
            close_keys(record.shard, record.org_id, (record.key_id,)),
            (
                self._connection.run_id,
                record.org_id,
                record.event,
                record.amount_nanos,
                record.key_id,
                record.json,
                record.hold_nanos,
                record.hold_nanos - record.amount_nanos,
                1 if late else 0,
            ),
            lambda reply, error: self._told(record, reply, error),
        )

    def _send_many(self, records: list[SpoolRecord]) -> None:
        groups = _by(records, lambda record: (record.org_id, record.key_id))
        keys: list[str] = []
        args: list[Arg] = [self._connection.run_id]
        order: list[SpoolRecord] = []
        for (org_id, key_id), group in groups.items():
            epoch, balance, holds, deadlines, stream, scope = close_keys(group[0].shard, org_id, (key_id,))
            keys += (balance, holds, scope) if keys else (epoch, deadlines, stream, balance, holds, scope)
            held = sum(record.hold_nanos for record in group)
            amount = sum(record.amount_nanos for record in group)
            args += (org_id, key_id, len(group), held, amount, held - amount)
            for record in group:
                hold_nanos, amount_nanos = record.hold_nanos, record.amount_nanos
                args += (record.event, amount_nanos, record.json, hold_nanos, hold_nanos - amount_nanos)
            order += group

        def tell(reply: Any, error: Exception | None) -> None:
            if error is not None or reply[0] == b"EPOCH":
                for record in order:
                    self._told(record, reply, error)
                return
            epoch = reply[1]
            for record, status in zip(order, reply[2:], strict=True):
                if status in _DONE_OR_REFUSED:
                    self._told(record, (status, epoch), None)
                else:
                    self._told(record, None, MoneyStoreError(status.decode()))

        self._connection.post_script(SETTLE_MANY, keys, args, tell, requests=len(order))


class Reservation(NamedTuple):
    """A hold that is asked for: ``future`` gets the reply that RESERVE gives, or MoneyStoreDown or MoneyStoreError."""

    future: "asyncio.Future[Any]"
    caller: Caller
    event: str  # 32 hex digits
    amount_nanos: int
    context: bytes  # JSON for the reaper


class Reservations:
    """Holds on their way. Who has left before the flush is not sent for."""

    def __init__(self, connection: MoneyConnection, *, ttl_ms: int) -> None:
        self._connection = connection
        self._ttl_ms = ttl_ms
        self._waiting: list[Reservation] = []
        connection.before_flush(self._send)

    def reserve(self, caller: Caller, event: str, amount_nanos: int, context: bytes) -> "asyncio.Future[Any]":
        """Queue a hold that may be refused."""
        future = self._connection.new_future()
        self._waiting.append(Reservation(future, caller, event, amount_nanos, context))
        self._connection.gather(is_awaited=True)
        return future

    def _send(self) -> None:
        if not self._waiting:
            return
        waiting, self._waiting = [one for one in self._waiting if not one.future.done()], []
        for part in _parts(waiting, lambda one: one.caller.shard):
            if len(part) == 1:
                self._send_one(part[0])
            else:
                self._send_many(part)

    def _send_one(self, one: Reservation) -> None:
        caller = one.caller
        self._connection.post_script(
            RESERVE,
            hold_keys(caller.shard, caller.org_id, (caller.key_id,)),
            (self._connection.run_id, caller.org_id, one.event, one.amount_nanos, self._ttl_ms, 0, caller.key_id, one.context),
            lambda reply, error: _answer(one.future, reply, error),
        )

    def _send_many(self, waiting: list[Reservation]) -> None:
        keys: list[str] = []
        args: list[Arg] = [self._connection.run_id, self._ttl_ms]
        order: list[Reservation] = []
        for (org_id, key_id), group in _by(waiting, lambda one: (one.caller.org_id, one.caller.key_id)).items():
            epoch, balance, holds, deadlines, scope = hold_keys(group[0].caller.shard, org_id, (key_id,))
            keys += (balance, holds, scope) if keys else (epoch, deadlines, balance, holds, scope)
            args += (org_id, key_id, len(group), sum(one.amount_nanos for one in group))
            for one in group:
                args += (one.event, one.amount_nanos, one.context)
            order += group

        def tell(reply: Any, error: Exception | None) -> None:
            if error is not None or reply[0] == b"EPOCH":
                for one in order:
                    _answer(one.future, reply, error)
                return
            admitted = [b"OK", reply[1]]
            for one, said in zip(order, reply[2:], strict=True):
                if said == b"OK":
                    _answer(one.future, admitted, None)
                elif isinstance(said, list):
                    _answer(one.future, said, None)
                else:
                    _answer(one.future, None, MoneyStoreError(said.decode()))

        self._connection.post_script(RESERVE_MANY, keys, args, tell, requests=len(order))


def _answer(future: "asyncio.Future[Any]", reply: Any, error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(reply)
    else:
        future.set_exception(error)


def _by(items: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    groups: dict[K, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def _parts(items: Sequence[T], shard: Callable[[T], int]) -> list[list[T]]:
    """Return what goes together: of one shard, and not too much."""
    if len(items) == 1:
        return [list(items)]
    return [group[start : start + GATHERED_MAX] for group in _by(items, shard).values() for start in range(0, len(group), GATHERED_MAX)]
