"""The stream of each shard: settled requests on their way to the books."""

import uuid
from collections.abc import Sequence
from typing import NamedTuple

from django.conf import settings

from billing.authorizer.keys import shard_keys
from billing.authorizer.scripts import ACKNOWLEDGE, ACKNOWLEDGE_PLAIN, ACKNOWLEDGE_RUN, FILLED
from billing.live.store import asks_store, run, store

_ACKS_PER_CALL = 500
_MS_PER_S = 1000
# How far a single event is looked for. A request enters the stream when it ends, so its entry is younger than its id by the time it ran.
_SOUGHT_PAGE = 500
_SOUGHT_PAGES = 6
_CLOCK_SKEW_MS = 60_000
# As the scripts write an entry.
_FIELDS = [b"id", b"org", b"key", b"amt", b"ep", b"d"]


class StreamEntry(NamedTuple):
    """One settled request. ``src`` names the entry for ever; ``event`` is a billing.types.UsageEvent as JSON."""

    stream_id: str
    src: str
    event: bytes
    event_hex: str  # the event's id, 32 hex digits
    org_id: int
    key_id: int
    amount_nanos: int

    @property
    def event_id(self) -> uuid.UUID:
        """The event's id. Raises: ValueError when it is none."""
        return uuid.UUID(hex=self.event_hex)


class Ack(NamedTuple):
    """A booked entry. ``refund_nanos`` is what the live balance was charged beyond what the books charge (may be negative)."""

    stream_id: str
    org_id: int
    key_id: int
    amount_nanos: int
    refund_nanos: int = 0


class StreamLag(NamedTuple):
    """How far the books are behind a shard: entries, and the age of the oldest in milliseconds."""

    entries: int
    oldest_ms: int


@asks_store
def read_batch(*, shard: int, after: str = "", count: int = 2000) -> list[StreamEntry]:
    """Return the oldest entries that are not acknowledged, to be booked, or the oldest behind one of them (``after``, a stream id).

    Hold the shard's lock: it makes sure that nobody else books them.

    A plain reading and no consumer group: the store would write down each delivery and each acknowledgement, which tripled its work.
    """
    rows = _read_rows(shard_keys(shard).stream, start=f"({after}" if after else "-", count=count)
    return [_entry(stream_id, fields) for stream_id, fields in rows]


@asks_store
def find_entry(*, shard: int, org_id: int, event_id: uuid.UUID) -> StreamEntry | None:
    """Return the entry of one request that is not booked yet. Looks at no more than 3,000 entries from the request's start on."""
    stream, wanted = shard_keys(shard).stream, event_id.hex.encode()
    start = str(max((event_id.int >> 80) - _CLOCK_SKEW_MS, 0))
    for _ in range(_SOUGHT_PAGES):
        rows = _read_rows(stream, start=start, count=_SOUGHT_PAGE)
        for stream_id, fields in rows:
            if wanted in fields and (entry := _entry(stream_id, fields)).org_id == org_id:
                return entry
        if len(rows) < _SOUGHT_PAGE:
            break
        start = f"({rows[-1][0].decode()}"
    return None


def _read_rows(stream: str, *, start: str, count: int) -> list[tuple[bytes, list[bytes]]]:
    # The name as bytes: for a name as text the client makes a dict of each entry, which took as long as all the rest of reading it.
    rows: list[tuple[bytes, list[bytes]]] = store().execute_command(b"XRANGE", stream, start, "+", b"COUNT", count)
    return rows


def _entry(stream_id: bytes, fields: list[bytes]) -> StreamEntry:
    if fields[::2] != _FIELDS:
        named = dict(zip(fields[::2], fields[1::2], strict=True))
        fields = [part for name in _FIELDS for part in (name, named[name])]
    _, event_hex, _, org_id, _, key_id, _, amount_nanos, _, epoch, _, event = fields
    sid = stream_id.decode()
    return StreamEntry(sid, f"{epoch.decode()}:{sid}", event, event_hex.decode(), int(org_id), int(key_id), int(amount_nanos))


@asks_store
def acknowledge(*, shard: int, acks: Sequence[Ack], is_gapless: bool = False) -> int:
    """Forget booked entries: unposted shrinks, refunds go back. Repeating it is harmless. Returns how many were still there.

    ``is_gapless``: they are in the stream's order, and when they were read nothing stood between the first and the last of them.
    """
    if is_gapless and not any(ack.refund_nanos for ack in acks):
        done = _acknowledge_run(shard, acks)
        if done is not None:
            return done
    plain = [ack for ack in acks if not ack.refund_nanos]
    odd = [ack for ack in acks if ack.refund_nanos]
    return sum(
        acknowledge_some(shard, some[start : start + _ACKS_PER_CALL])
        for some, acknowledge_some in ((plain, _acknowledge_plain), (odd, _acknowledge_odd))
        for start in range(0, len(some), _ACKS_PER_CALL)
    )


def _acknowledge_run(shard: int, acks: Sequence[Ack]) -> int | None:
    """Acknowledge the stream's oldest entries by cutting them off, if they still are its oldest. None: they are not, nothing was done."""
    keys = shard_keys(shard)
    sums: dict[int, int] = {}
    for _, org_id, _, amount_nanos, _ in acks:
        sums[org_id] = sums.get(org_id, 0) + amount_nanos
    milliseconds, number = acks[-1].stream_id.split("-")
    names = [keys.stream, *(f"{keys.balance}{org_id}" for org_id in sums)]
    done = int(run(ACKNOWLEDGE_RUN, names, [acks[0].stream_id, f"{milliseconds}-{int(number) + 1}", len(acks), *sums.values()]))
    return None if done < 0 else done


def _acknowledge_plain(shard: int, acks: Sequence[Ack]) -> int:
    """Acknowledge entries that were charged as they are booked, which nearly all were: one sum per organization."""
    keys = shard_keys(shard)
    by_org: dict[int, list[Ack]] = {}
    for ack in acks:
        by_org.setdefault(ack.org_id, []).append(ack)
    args: list[str | int] = []
    for own in by_org.values():
        args += (len(own), sum([ack.amount_nanos for ack in own]))
        for ack in own:
            args += (ack.stream_id, ack.amount_nanos)
    return int(run(ACKNOWLEDGE_PLAIN, [keys.stream, *(f"{keys.balance}{org_id}" for org_id in by_org)], args))


def _acknowledge_odd(shard: int, acks: Sequence[Ack]) -> int:
    keys = shard_keys(shard)
    names: list[str] = [keys.stream]
    args: list[str | int] = []
    for ack in acks:
        names += (f"{keys.balance}{ack.org_id}", f"{keys.scope}{ack.key_id}")
        args += (ack.stream_id, ack.amount_nanos, ack.refund_nanos)
    return int(run(ACKNOWLEDGE, names, args))


@asks_store
def shards_with_entries() -> list[int]:
    """Return the shards whose streams hold something that is not booked."""
    shards = range(settings.LEDGER_SHARDS)
    return [shards[position - 1] for position in run(FILLED, [shard_keys(shard).stream for shard in shards], ["XLEN"])]


@asks_store
def stream_lag(*, shard: int) -> StreamLag:
    """Return how many entries are not booked and how old the oldest is, by the server's clock."""
    stream = shard_keys(shard).stream
    pipe = store().pipeline(transaction=False)
    pipe.time()
    pipe.xlen(stream)
    pipe.xrange(stream, count=1)
    (now_s, now_us), length, oldest = pipe.execute()
    age_ms = now_s * _MS_PER_S + now_us // _MS_PER_S - int(oldest[0][0].split(b"-")[0]) if oldest else 0
    return StreamLag(length, max(age_ms, 0))


@asks_store
def stream_lag_s() -> float:
    """Return the age of the oldest entry of any shard that is not booked, in seconds; 0 when all are."""
    return max((stream_lag(shard=shard).oldest_ms for shard in shards_with_entries()), default=0) / _MS_PER_S
