"""What a gateway asks of the money store within one turn of its event loop, gathered into one script per shard.

Under load a turn has several requests of the same organization and key, whose sums the store then needs to move once. One alone takes
the script for one.
"""

from collections.abc import Callable
from typing import Any

from billing.authorizer.connection import Arg, MoneyConnection, MoneyStoreError
from billing.authorizer.keys import close_keys
from billing.authorizer.scripts import SETTLE, SETTLE_MANY
from billing.authorizer.spool import SpoolRecord

# A script must end soon: nobody else is served meanwhile.
GATHERED_MAX = 100
_DONE_OR_REFUSED = frozenset((b"OK", b"LATE", b"GONE", b"NO_ORG", b"NO_KEY"))

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
        if len(waiting) == 1:
            self._send_one(waiting[0], late=False)
            return
        shards: dict[int, list[SpoolRecord]] = {}
        for record in waiting:
            shards.setdefault(record.shard, []).append(record)
        for records in shards.values():
            for start in range(0, len(records), GATHERED_MAX):
                part = records[start : start + GATHERED_MAX]
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
        groups: dict[tuple[int, int], list[SpoolRecord]] = {}
        for record in records:
            groups.setdefault((record.org_id, record.key_id), []).append(record)
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
