"""Stream → one transaction → acknowledgement, shard by shard.

Every hop before this one is at-least-once; here each event becomes one row, and the money store is told what it had charged twice.
A call may die at any point: before the commit nothing happened, after it the same entries come again and are recognised.
"""

import datetime as dt
import logging
import random
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import psycopg
from django.db import DataError, IntegrityError, connection, transaction
from django.utils import timezone

from accounts import queries as accounts
from billing import live
from billing.books import arrivals, charges, dead_letters, partitions, restored, usage
from billing.books.arrivals import Arrival, BadEvent
from billing.books.ledger import UnknownOrganization
from billing.books.shard_lock import ShardBusy, hold_shard
from billing.models import UsageBatch
from billing.signals import usage_booked

BATCH_EVENTS = 2_000
# Nothing runs beside the reading of a call's first batch, so it is a small one.
FIRST_BATCH_EVENTS = 500
# Refusals of the data itself. Anything else (a lost connection, a full disk) is no fault of the events and is raised.
_REFUSALS = (DataError, IntegrityError, psycopg.DataError, psycopg.IntegrityError, UnknownOrganization)

_WRITE_BATCH = """
INSERT INTO billing_usagebatch (id, shard, events, duplicates, amount_nanos, cost_nanos, created_at)
VALUES (%s, %s, %s, %s, %s, %s, clock_timestamp()) RETURNING created_at
"""

_log = logging.getLogger(__name__)


class Settled(NamedTuple):
    """What a call has done. ``amount_nanos`` is the net charge booked; ``booked`` counts rows, the others stream entries."""

    entries: int = 0
    booked: int = 0
    duplicates: int = 0
    dead_lettered: int = 0
    amount_nanos: int = 0

    def plus(self, other: "Settled") -> "Settled":
        """Return the sum, field by field."""
        return Settled(*map(sum, zip(self, other, strict=True)))


class _Prepared(NamedTuple):
    """What arrivals move, and what the money store is to be told of them, if every one of them is new."""

    sums: charges.Sums
    acks: list[live.Ack]


class _Batch(NamedTuple):
    """Entries as they were read: those that can be understood, what was prepared of these, and the others with the reason."""

    entries: Sequence[live.StreamEntry]
    readable: list[Arrival]
    prepared: _Prepared
    unreadable: list[tuple[live.StreamEntry, str]]


def settle_due() -> int:
    """Book what every shard's stream has, and rebuild the shards of a money store that restarted. Return the entries booked.

    Shards that another worker holds are left to it, so workers that run this at once share the shards among them.
    Raises: what the last failing shard raised, after all others were served.
    """
    from billing.books import rebuild  # noqa: PLC0415 -- a rebuild drains by settling, so each needs the other

    stale = set(live.shards_with_stale_epochs())
    due = [*stale | set(live.shards_with_entries())]
    random.shuffle(due)  # spreads the workers
    if stale:
        # Of a store that knows nothing yet, the shards where somebody may be waiting come first.
        inhabited = accounts.inhabited(stale)
        due.sort(key=lambda shard: shard in stale and shard not in inhabited)
    entries = 0
    failure: Exception | None = None
    for shard in due:
        try:
            entries += (rebuild.rebuild_shard(shard=shard).settled if shard in stale else settle_shard(shard=shard)).entries
        except ShardBusy:
            continue
        except Exception as error:  # noqa: BLE001 -- one shard's trouble must not keep the others waiting
            _log.exception("settlement of shard %s failed", shard)
            failure = error
    if failure is not None:
        raise failure
    return entries


def settle_shard(*, shard: int, wait_s: float = 0.0) -> Settled:
    """Book everything that the shard's stream held when this was called.

    Raises: ShardBusy when another process is at it for longer than ``wait_s``, or (BooksBehind) the books have lost what was booked.
    """
    total = Settled()
    org_ids: set[int] = set()
    # Beside the transaction of a full batch the next one is read and the one before it is acknowledged, in this order of tasks.
    with hold_shard(shard, wait_s=wait_s), ThreadPoolExecutor(1) as beside:
        restored.check(shard)
        count = min(FIRST_BATCH_EVENTS, BATCH_EVENTS)
        batch = _read_batch(shard, count=count)
        acknowledged: list[tuple[Future[int], int]] = []  # how many were taken back, of how many
        while batch.entries:
            is_full = len(batch.entries) == count
            count = BATCH_EVENTS
            following = beside.submit(_read_batch, shard, count=count, after=batch.entries[-1].stream_id) if is_full else None
            acks, settled = _book_batch(shard, batch)
            # In the order of the stream and all of them, unless some were buried or refused.
            is_gapless = settled.booked == len(batch.entries)
            acknowledged.append((beside.submit(live.acknowledge, shard=shard, acks=acks, is_gapless=is_gapless), len(acks)))
            total = total.plus(settled)
            org_ids.update([entry.org_id for entry in batch.entries])
            # Fewer taken back than were given: somebody else works on it. None to follow: what has arrived since then is for the next
            # call, or under steady traffic this one would never end, a transaction for every few events.
            if following is None or any(taken.result() < given for taken, given in acknowledged[-2:-1]):
                break
            batch = following.result()
        total = total._replace(entries=sum(taken.result() for taken, _ in acknowledged))
    if org_ids:
        _announce(org_ids)
    return total


def _read_batch(shard: int, *, count: int, after: str = "") -> _Batch:
    """Read, decode and add up. Touches no database: it runs beside the transaction of the batch before."""
    today = timezone.now().date()
    entries = live.read_batch(shard=shard, after=after, count=count)
    readable, unreadable = [], []
    for entry in entries:
        try:
            readable.append(arrivals.read(entry, today=today))
        except BadEvent as error:
            unreadable.append((entry, str(error)))
    acks = [live.Ack(stream_id, event.org_id, event.key_id, event.amount_nanos) for stream_id, _, event, *_ in readable]
    return _Batch(entries, readable, _Prepared(charges.sum_up(readable), acks), unreadable)


def _book_batch(shard: int, batch: _Batch) -> tuple[list[live.Ack], Settled]:
    """Commit what can be booked of a batch and bury the rest. Return what the money store is to be told of it."""
    readable = batch.readable
    acks = [_bury(shard, entry, reason) for entry, reason in batch.unreadable]
    partitions.ensure({arrival.day for arrival in readable})
    dead = len(acks)
    by_stream_id = {entry.stream_id: entry for entry in batch.entries}
    settled = Settled()
    waiting = [readable] if readable else []
    while waiting:
        part = waiting.pop()
        try:
            booked, settled_part = _book(shard, part, prepared=batch.prepared if part is readable else None)
        except _REFUSALS as error:
            if len(part) > 1:
                # Halve until the refused event is alone; its neighbours are booked.
                waiting += [part[len(part) // 2 :], part[: len(part) // 2]]
                continue
            acks.append(_bury(shard, by_stream_id[part[0].stream_id], f"{type(error).__name__}: {error}"))
            dead += 1
            continue
        acks += booked
        settled = settled.plus(settled_part)
    return acks, settled._replace(dead_lettered=dead)


def _book(shard: int, batch: Sequence[Arrival], *, prepared: _Prepared | None = None) -> tuple[list[live.Ack], Settled]:
    """Commit a batch. Return what the money store is to be told."""
    with transaction.atomic():
        batch_id = _draw_batch_id()
        insertion = usage.insert(batch, batch_id=batch_id)
        rows = insertion.rows
        duplicates = len(batch) - len(rows)
        if rows is not batch:  # not all are new
            prepared = None
        sums = prepared.sums if prepared else charges.sum_up(rows)
        if rows:
            charged = charges.charge(sums, shard=shard, batch_id=batch_id)
            charges.roll_up(sums)
            created_at = _write_batch(batch_id, shard, len(rows), duplicates, *charged)
            charges.assert_balanced(insertion.used_nanos, batch_id=batch_id)
    if rows:
        restored.remember(shard, restored.Mark(batch_id, created_at))
    carried_nanos = insertion.carried_nanos
    acks = (
        prepared.acks
        if prepared
        else [
            live.Ack(stream_id, event.org_id, event.key_id, event.amount_nanos, event.amount_nanos - carried_nanos[src])
            for stream_id, src, event, *_ in batch
        ]
    )
    return acks, Settled(booked=len(rows), duplicates=duplicates, amount_nanos=sums.amount_nanos)


def _announce(org_ids: set[int]) -> None:
    # Who listens (open pages) must not be able to stop the books.
    for receiver, outcome in usage_booked.send_robust(sender=UsageBatch, org_ids=org_ids):
        if isinstance(outcome, Exception):
            _log.warning("%s could not be told of booked usage: %s", receiver, outcome)


def _draw_batch_id() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval(pg_get_serial_sequence('billing_usagebatch', 'id'))")
        return int(cursor.fetchone()[0])


def _write_batch(*values: int) -> dt.datetime:
    with connection.cursor() as cursor:
        cursor.execute(_WRITE_BATCH, values)
        created_at: dt.datetime = cursor.fetchone()[0]
        return created_at


def _bury(shard: int, entry: live.StreamEntry, reason: str) -> live.Ack:
    is_first = dead_letters.bury(shard=shard, entry=entry, reason=reason)
    _log.error("stream entry %s of shard %s cannot be booked: %s", entry.src, shard, reason)
    if is_first:
        return live.Ack(stream_id=entry.stream_id, org_id=0, key_id=0, amount_nanos=0, refund_nanos=0)
    amount_nanos = entry.amount_nanos
    return live.Ack(entry.stream_id, entry.org_id, entry.key_id, amount_nanos=amount_nanos, refund_nanos=amount_nanos)
