"""A model of the books, small enough to be obviously right: what was granted, what was booked, by event id."""

import datetime as dt
import uuid
from collections.abc import Collection, Sequence

import msgspec

from billing import live
from billing.authorizer.connection import MoneyConnection
from billing.authorizer.keys import shard_keys
from billing.authorizer.loader import Batch, BooksDown, Compared
from billing.authorizer.periods import periods_at
from billing.authorizer.scripts import PUT_BALANCE, PUT_KEY_SCOPE
from billing.types import UsageEvent
from tests.billing.authorizer.shard import SHARD


class Books:
    """Grants, events and what the stream brought. ``is_down`` makes the data plane's questions fail."""

    def __init__(self) -> None:
        self.granted: dict[int, int] = {}
        self.rows: dict[tuple[uuid.UUID, int], tuple[int, int, int, str, str]] = {}  # (event, part) → org, key, amount, src, status
        self.is_down = False
        self.reads = 0

    def charged(self, event_id: uuid.UUID) -> int:
        return sum(row[2] for (event, _), row in self.rows.items() if event == event_id)

    def balance(self, org: int) -> int:
        return self.granted.get(org, 0) - sum(row[2] for row in self.rows.values() if row[0] == org)

    def spent(self, key: int) -> int:
        return sum(row[2] for row in self.rows.values() if row[1] == key)

    def settle(self, *, shard: int = SHARD, count: int = 2_000, acknowledged: int | None = None) -> int:
        """Book a batch and acknowledge it (or only its first few). Returns its size."""
        entries = live.read_batch(shard=shard, count=count)
        acks = [self._book(entry) for entry in entries]
        live.acknowledge(shard=shard, acks=acks[:acknowledged])
        return len(entries)

    def _book(self, entry: live.StreamEntry) -> live.Ack:
        event = msgspec.json.decode(entry.event, type=UsageEvent)
        amount, own = event.amount_nanos, [row for (known, _), row in self.rows.items() if known == event.event_id]
        charged = sum(row[2] for row in own if row[3] == entry.src)
        if not own:
            charged = amount
            self.rows[event.event_id, 0] = (event.org_id, event.key_id, amount, entry.src, event.status)
        elif [row[4] for row in own] == ["expired"] and event.status != "expired" and own[0][3] != entry.src:
            charged = amount - own[0][2]
            self.rows[event.event_id, 1] = (event.org_id, event.key_id, charged, entry.src, event.status)
        return live.Ack(entry.stream_id, event.org_id, event.key_id, amount, amount - charged)

    def drain(self, *, shard: int = SHARD) -> None:
        while self.settle(shard=shard):
            pass

    def rebuild(self, *, shard: int = SHARD) -> int:
        """Do what a rebuild does; organizations and keys load at first use."""
        self.drain(shard=shard)
        return live.begin_epoch(shard=shard, balances=[], key_scopes=[])

    def loader(self, connection: MoneyConnection) -> "ModelLoader":
        return ModelLoader(self, connection)


class ModelLoader:
    """What ScopeLoader reads from PostgreSQL, read from the model."""

    def __init__(self, books: Books, connection: MoneyConnection) -> None:
        self._books = books
        self._connection = connection

    async def load_balance(self, *, shard: int, org_id: int, epoch: int) -> None:
        self._ask()
        keys = shard_keys(shard)
        args = (self._connection.run_id, epoch, "absent", self._books.balance(org_id), 0, f"b:{org_id}")
        await self._connection.run_script(PUT_BALANCE, [keys.epoch, f"{keys.balance}{org_id}", keys.known], args)

    async def load_key(self, *, shard: int, org_id: int, key_id: int, epoch: int) -> None:  # noqa: ARG002 -- ScopeLoader's signature
        self._ask()
        keys, now = shard_keys(shard), periods_at(int((await self._connection.execute("TIME"))[0]))
        spent = self._books.spent(key_id)
        args = (self._connection.run_id, epoch, "absent", f"k:{key_id}", 1, "", "", 0, "", spent, now.day, 0, now.week, 0, now.month, 0)
        await self._connection.run_script(PUT_KEY_SCOPE, [keys.epoch, f"{keys.scope}{key_id}", keys.known], args)

    async def compare(self, events: Sequence[tuple[int, str]]) -> Compared:
        self._ask()
        wanted = {event for _, event in events}
        good = [event for (event, part), row in self._books.rows.items() if part == 1 or row[4] != "expired"]
        found = [event for event in good if event.hex in wanted]  # in the order in which they were booked, each a batch of its own
        return Compared(wanted - {event.hex for event in found}, {SHARD: _batch_of(found[-1])} if found else {})

    async def has_batches(self, batches: Collection[Batch]) -> bool:
        self._ask()
        return set(batches) <= {_batch_of(event) for event, _ in self._books.rows}

    def _ask(self) -> None:
        self._books.reads += 1
        if self._books.is_down:
            raise BooksDown


def _batch_of(event: uuid.UUID) -> Batch:
    return Batch(event.int, dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
