"""A connection that runs at once what a gatherer sends, so that one call can be compared with the same requests one by one."""

import uuid
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
import redis

from billing.authorizer.connection import Arg, MoneyStoreError
from billing.authorizer.gathering import Settlements
from billing.authorizer.scripts import Script
from billing.authorizer.spool import SpoolRecord
from billing.live import EpochClosed
from billing.live.store import run
from tests.billing.authorizer.shard import KEY, ORG, SHARD, usage_event


class Charge(NamedTuple):
    """A settlement as its gateway sends it."""

    event_id: uuid.UUID
    amount: int
    held: int
    org: int = ORG
    key: int = KEY


class AtOnce:
    """Stands where a MoneyConnection stands. ``sent`` has the names of the scripts it ran."""

    run_id = ""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self._gatherers: list[Callable[[], None]] = []

    def before_flush(self, gatherer: Callable[[], None]) -> None:
        self._gatherers.append(gatherer)

    def gather(self, *, is_awaited: bool) -> None:
        """Nothing: the test says when the turn ends."""

    def end_turn(self) -> None:
        for gatherer in self._gatherers:
            gatherer()

    def post_script(
        self, script: Script, keys: Sequence[str], args: Sequence[Arg], tell: Callable[[Any, Exception | None], None], *, requests: int = 1
    ) -> None:
        self.sent.append(script.name)
        assert requests >= 1
        try:
            reply = run(script, keys, args)
        except EpochClosed:
            reply = [b"EPOCH"]
        except redis.ResponseError as error:
            tell(None, MoneyStoreError(str(error)))
            return
        tell(reply, None)


def settle_together(charges: Sequence[Charge], *, connection: AtOnce | None = None) -> list[str]:
    """Settle in one turn. Returns a word for each, in their order: the status, or the first word of the error."""
    words: dict[int, str] = {}
    connection = connection or AtOnce()

    def tell(record: SpoolRecord, reply: Any, error: Exception | None) -> None:
        assert id(record) not in words
        words[id(record)] = str(error).split()[0] if error else reply[0].decode()

    settlements = Settlements(connection, tell)  # type: ignore[arg-type]  # as much of one as it asks for
    records = [_record(charge) for charge in charges]
    for record in records:
        settlements.settle(record, late=False)
    connection.end_turn()
    return [words[id(record)] for record in records]


def _record(charge: Charge) -> SpoolRecord:
    event = usage_event(charge.event_id, charge.amount, held=charge.held, org=charge.org, key=charge.key)
    return SpoolRecord(charge.event_id.hex, charge.org, SHARD, charge.key, charge.amount, charge.held, msgspec.json.encode(event), None)
