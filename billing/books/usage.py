"""Put events into the usage table, each exactly once, and say which stream entry carried which part of a charge.

PostgreSQL's primary key decides what is new. What is not new is one of three: the same entry again (``src`` is equal), another
entry of an event that is booked (its charge is to be given back), or the true figure of a request that the reaper had booked as
'expired' (the difference is booked as part 1).

Nearly always everything is new, so a batch is first copied straight into the table, and only if the key refuses it, sorted out.
"""

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

import msgspec
from django.db import connection, transaction
from psycopg import sql
from psycopg.errors import UniqueViolation

from billing.books import partitions, usage_lines
from billing.books.arrivals import Arrival
from billing.types import UsageEvent

_names = sql.SQL(", ").join(map(sql.Identifier, usage_lines.COLUMNS))
_COPY = sql.SQL("COPY billing_usageevent ({}) FROM STDIN").format(_names)
_BLOCK_COUNT = "SELECT pg_relation_size(%s::regclass) / current_setting('block_size')::bigint"
# No condition on the batch: the planner might then prefer its index of block ranges, whose last ones are not summarised for a while.
_LAST_BLOCKS = sql.SQL("""
SELECT org_id, count(*), sum(amount_nanos)::bigint
FROM (SELECT org_id, amount_nanos, batch_id, part FROM {} WHERE ctid >= %s::tid OFFSET 0) AS late
WHERE batch_id = %s AND part = 0 GROUP BY org_id
""")
# A page holds at least half as many bytes of rows as COPY was given for them.
_COPIED_BYTES_A_BLOCK = 4096
# How far before the end a batch's rows begin to be looked for: COPY fills up blocks that were taken in advance by those before it.
_BLOCKS_BEFORE = 192
# By the primary key, row by row: LIMIT keeps the planner from reading a whole day instead. The days are named once more, so that only
# their partitions are looked at.
_TAKEN_IN = """
SELECT wanted.org_id, (sum(found.amount_nanos) FILTER (WHERE found.batch_id = %s))::bigint
FROM unnest(%s::bigint[], %s::uuid[], %s::date[]) AS wanted (org_id, event_id, day)
CROSS JOIN LATERAL (
    SELECT row.amount_nanos, row.batch_id FROM billing_usageevent row
    WHERE row.org_id = wanted.org_id AND row.event_id = wanted.event_id AND row.day = wanted.day AND row.part = 0
    AND row.day = ANY(%s::date[])
    LIMIT 1
) found
GROUP BY wanted.org_id
"""
_STAGE = "CREATE TEMPORARY TABLE IF NOT EXISTS billing_usage_staging (LIKE billing_usageevent INCLUDING DEFAULTS) ON COMMIT DELETE ROWS"
_COPY_TO_STAGE = sql.SQL("COPY billing_usage_staging ({}) FROM STDIN").format(_names)
_INSERT = sql.SQL(
    "WITH added AS (INSERT INTO billing_usageevent ({0}) SELECT {0} FROM billing_usage_staging "
    "ON CONFLICT DO NOTHING RETURNING org_id, amount_nanos) "
    "SELECT org_id, count(*), sum(amount_nanos)::bigint FROM added GROUP BY org_id"
).format(_names)
_NEW = """
SELECT org_id, event_id FROM billing_usageevent
JOIN unnest(%s::bigint[], %s::uuid[], %s::date[]) AS wanted (org_id, event_id, day) USING (org_id, event_id, day)
WHERE batch_id = %s AND part = %s
"""
_BOOKED = """
SELECT org_id, event_id, src, part, status, amount_nanos, amount_picos, cost_nanos, meters
FROM billing_usageevent
JOIN unnest(%s::bigint[], %s::uuid[], %s::date[]) AS wanted (org_id, event_id, day) USING (org_id, event_id, day)
ORDER BY part
"""

EventKey = tuple[int, UUID]  # organization, event id


class UsageRow(NamedTuple):
    """A row that this batch adds. ``event`` carries the row's amounts: in part 1 they are differences, and so are ``meters_moved``."""

    event: UsageEvent
    part: int
    src: str
    created_ms: int
    day: dt.date
    meters_moved: dict[str, int]


class _Booked(NamedTuple):
    src: str
    part: int
    status: str
    amount_nanos: int
    amount_picos: int
    cost_nanos: int
    meters: dict[str, int]


class Insertion(NamedTuple):
    """What became of a batch. ``rows`` are what was added: the arrivals themselves where all of them are new.

    ``carried_nanos`` lists, by stream entry, how much of its charge is in the books under its name; ``used_nanos`` is what the table took
    in by organization, as the database tells it.
    """

    rows: Sequence[Arrival | UsageRow]
    carried_nanos: dict[str, int]
    used_nanos: Counter[int]


def insert(arrivals: Sequence[Arrival], *, batch_id: int) -> Insertion:
    """Add what is new among the arrivals. Needs a transaction."""
    try:
        with transaction.atomic():
            copied_bytes = _copy(arrivals, batch_id=batch_id)
    except UniqueViolation:
        rows = [UsageRow(arrival.event, 0, arrival.src, arrival.created_ms, arrival.day, arrival.event.meters) for arrival in arrivals]
        return _insert_new(arrivals, rows, batch_id=batch_id)
    used = _read_back(arrivals, copied_bytes=copied_bytes, batch_id=batch_id)
    return Insertion(arrivals, {arrival.src: arrival.event.amount_nanos for arrival in arrivals}, used)


def _copy(arrivals: Sequence[Arrival], *, batch_id: int) -> int:
    """Put all arrivals straight into the table. Return how many bytes of text that were.

    Raises: psycopg.errors.UniqueViolation when one of them is there.
    """
    end = usage_lines.end_of(part=0, batch_id=batch_id)
    text = (end.join([arrival.line for arrival in arrivals]) + end).encode("utf-8", "surrogatepass")
    with connection.cursor() as cursor, cursor.copy(_COPY) as copy:
        copy.write(text)
    return len(text)


def _read_back(arrivals: Sequence[Arrival], *, copied_bytes: int, batch_id: int) -> Counter[int]:
    """Return what the table has under the batch's number, by organization.

    The rows were written just now, so they stand at the end of their tables, where to read them all costs a fraction of finding each.
    Those of an organization that are not all there are looked up.
    """
    expected = Counter([arrival.event.org_id for arrival in arrivals])
    found: Counter[int] = Counter()
    used: Counter[int] = Counter()
    back = copied_bytes // _COPIED_BYTES_A_BLOCK + _BLOCKS_BEFORE
    with connection.cursor() as cursor:
        for day in {arrival.day for arrival in arrivals}:
            name = partitions.name_of(day)
            cursor.execute(_BLOCK_COUNT, [name])
            first = max(cursor.fetchone()[0] - back, 0)
            cursor.execute(_LAST_BLOCKS.format(sql.Identifier(name)), [f"({first},0)", batch_id])
            for org_id, count, nanos in cursor.fetchall():
                found[org_id] += count
                used[org_id] += nanos
    missed = {org_id for org_id, count in expected.items() if found[org_id] != count}
    if missed:
        used = Counter({org_id: nanos for org_id, nanos in used.items() if org_id not in missed})
        used.update(_look_up([arrival for arrival in arrivals if arrival.event.org_id in missed], batch_id=batch_id))
    return used


def _look_up(arrivals: Sequence[Arrival], *, batch_id: int) -> Counter[int]:
    """Return what the table has of these arrivals under the batch's number, by organization."""
    org_ids = ",".join([str(arrival.event.org_id) for arrival in arrivals])
    event_ids = ",".join([arrival.event.event_id.hex for arrival in arrivals])
    days = [arrival.day.isoformat() for arrival in arrivals]
    # Arrays as text: to adapt them value by value took longer than the query.
    wanted = [f"{{{values}}}" for values in (org_ids, event_ids, ",".join(days), ",".join(set(days)))]
    with connection.cursor() as cursor:
        cursor.execute(_TAKEN_IN, [batch_id, *wanted])
        return Counter({org_id: nanos or 0 for org_id, nanos in cursor.fetchall()})


def _insert_new(arrivals: Sequence[Arrival], rows: list[UsageRow], *, batch_id: int) -> Insertion:
    """Add what is new where something is not, by way of a staging table."""
    first: dict[EventKey, Arrival] = {}
    again = [arrival for arrival in arrivals if first.setdefault(_key(arrival), arrival) is not arrival]
    candidates = [row for row, arrival in zip(rows, arrivals, strict=True) if first[_key(arrival)] is arrival]
    used: Counter[int] = Counter()
    new = _add(candidates, batch_id=batch_id, used=used)
    rows = [row for row in candidates if (row.event.org_id, row.event.event_id) in new]
    carried = {row.src: row.event.amount_nanos for row in rows}
    again = [arrival for key, arrival in first.items() if key not in new] + again
    if again:
        late = _late_rows(again, carried)
        _add(late, batch_id=batch_id, used=used)
        rows += late
    return Insertion(rows, carried, used)


def _late_rows(again: list[Arrival], carried: dict[str, int]) -> list[UsageRow]:
    """Sort out arrivals whose event is booked; fill ``carried`` and return the differences that are to be booked."""
    booked = _find(again)
    late: list[UsageRow] = []
    for arrival in again:
        event, parts = arrival.event, booked[_key(arrival)]
        same = next((part for part in parts if part.src == arrival.src), None)
        if same is not None:
            carried[arrival.src] = same.amount_nanos
        elif len(parts) == 1 and parts[0].status == "expired" and event.status != "expired":
            row = _difference(arrival, parts[0])
            late.append(row)
            carried[arrival.src] = row.event.amount_nanos
            charge = row.event
            parts.append(_Booked(row.src, 1, event.status, charge.amount_nanos, charge.amount_picos, charge.cost_nanos, event.meters))
        else:
            carried[arrival.src] = 0
    return late


def _difference(arrival: Arrival, expired: _Booked) -> UsageRow:
    event = msgspec.structs.replace(
        arrival.event,
        amount_nanos=arrival.event.amount_nanos - expired.amount_nanos,
        amount_picos=arrival.event.amount_picos - expired.amount_picos,
        cost_nanos=arrival.event.cost_nanos - expired.cost_nanos,
    )
    moved = {name: event.meters.get(name, 0) - expired.meters.get(name, 0) for name in event.meters.keys() | expired.meters.keys()}
    return UsageRow(event, 1, arrival.src, arrival.created_ms, arrival.day, moved)


def _key(arrival: Arrival) -> EventKey:
    return arrival.event.org_id, arrival.event.event_id


def _find(arrivals: list[Arrival]) -> defaultdict[EventKey, list[_Booked]]:
    with connection.cursor() as cursor:
        cursor.execute(_BOOKED, [[a.event.org_id for a in arrivals], [a.event.event_id for a in arrivals], [a.day for a in arrivals]])
        booked: defaultdict[EventKey, list[_Booked]] = defaultdict(list)
        for org_id, event_id, src, part_number, status, amount, picos, cost, meters in cursor.fetchall():
            part = _Booked(
                src, part_number, status, amount, picos, cost, msgspec.json.decode(meters)
            )  # Django leaves jsonb as text in raw cursors
            if part not in booked[org_id, event_id]:
                booked[org_id, event_id].append(part)
        return booked


def _add(rows: list[UsageRow], *, batch_id: int, used: Counter[int]) -> set[EventKey]:
    """Insert rows, add what went in to ``used`` by organization, and return whose rows were new."""
    if not rows:
        return set()
    with connection.cursor() as cursor:
        cursor.execute(_STAGE)
        cursor.execute("TRUNCATE billing_usage_staging")
        with cursor.copy(_COPY_TO_STAGE) as copy:
            copy.write("".join([_line(row, batch_id) for row in rows]).encode("utf-8", "surrogatepass"))
        cursor.execute(_INSERT)
        inserted = 0
        for org_id, count, amount_nanos in cursor.fetchall():
            inserted += count
            used[org_id] += amount_nanos
        keys = [(row.event.org_id, row.event.event_id) for row in rows]
        if inserted == len(rows):
            return set(keys)
        cursor.execute(_NEW, [*map(list, zip(*keys, strict=True)), [row.day for row in rows], batch_id, rows[0].part])
        return {(org_id, event_id) for org_id, event_id in cursor.fetchall()}


def _line(row: UsageRow, batch_id: int) -> str:
    line = usage_lines.write_line(row.event, day=row.day, src=row.src, created_ms=row.created_ms)
    return line + usage_lines.end_of(part=row.part, batch_id=batch_id)
