"""Read a stream entry into a usage event, or say why it cannot be booked."""

import datetime as dt
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from billing.books import usage_lines
from billing.live import StreamEntry
from billing.money import PICOS_PER_NANO
from billing.types import UsageEvent

# Spools may bring events this late; older days may have been exported and dropped.
DAYS_BACK = 35
# So long a day stays in the database: its events may arrive late, and their batch may be of a later day than they are.
KEPT_AT_LEAST_DAYS = 40
# Clocks of gateways may run ahead by this much; a stranger id would otherwise open a partition in the year 10889.
DAYS_AHEAD = 1


class BadEvent(ValueError):
    """The bytes are not a usage event that the books can take."""


class Arrival(NamedTuple):
    """A readable stream entry. ``src`` names the entry across restarts of the money store."""

    stream_id: str
    src: str
    event: UsageEvent
    created_ms: int  # the moment inside the event id, Unix milliseconds
    day: dt.date  # its day in UTC: the partition
    line: str  # its row, as usage_lines writes it

    @property
    def part(self) -> int:
        """The part of its row: an arrival is a whole one."""
        return 0

    @property
    def meters_moved(self) -> dict[str, int]:
        """What its row counts."""
        return self.event.meters


_decoder = msgspec.json.Decoder(UsageEvent)
_MS_PER_DAY = 86_400_000
_EPOCH_ORDINAL = dt.date(1970, 1, 1).toordinal()


def read(entry: StreamEntry, *, today: dt.date) -> Arrival:
    """Decode and check one entry. Raises: BadEvent with the reason."""
    stream_id, src, body, event_hex, org_id, key_id, amount_nanos = entry
    usage = _decode(body)
    if usage.amount_nanos != amount_nanos or usage.org_id != org_id or usage.key_id != key_id or usage.event_id.hex != event_hex:
        # The money store charged by the entry's fields; a row that says something else would leave the two apart.
        named = (event_hex, org_id, key_id, amount_nanos)
        inside = (usage.event_id.hex, usage.org_id, usage.key_id, usage.amount_nanos)
        msg = f"the entry charged {named}, the event inside says {inside}"
        raise BadEvent(msg)
    if event_hex[12] != "7" or event_hex[16] not in "89ab":
        msg = f"event id {usage.event_id} is not a UUIDv7"
        raise BadEvent(msg)
    created_ms = int(event_hex[:12], 16)
    day, is_near = _day_of(created_ms // _MS_PER_DAY, today)
    if day is None or not is_near:
        msg = f"event id {usage.event_id} is of {day}, too far from {today}" if day else f"event id {usage.event_id} has no calendar day"
        raise BadEvent(msg)
    if amount_nanos < 0 or usage.cost_nanos < 0:
        msg = f"amount {amount_nanos} n$, cost {usage.cost_nanos} n$: neither may be negative"
        raise BadEvent(msg)
    if 2 * abs(usage.amount_picos - amount_nanos * PICOS_PER_NANO) > PICOS_PER_NANO:
        msg = f"{usage.amount_picos} p$ do not round to {amount_nanos} n$"
        raise BadEvent(msg)
    return Arrival(stream_id, src, usage, created_ms, day, usage_lines.write_line(usage, day=day, src=src, created_ms=created_ms))


def receive(event: UsageEvent, *, stream_id: str, src: str, created_ms: int, day: dt.date) -> Arrival:
    """Make an event that was checked ready to be booked."""
    line = usage_lines.write_line(event, day=day, src=src, created_ms=created_ms)
    return Arrival(stream_id, src, event, created_ms, day, line)


def _decode(event: bytes) -> UsageEvent:
    try:
        if rb"\u0000" in event:
            # PostgreSQL's text cannot hold a zero character. A client may well send one; it must be charged all the same.
            return msgspec.convert(_without_zeros(msgspec.json.decode(event)), UsageEvent)
        return _decoder.decode(event)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        msg = f"not a usage event: {error}"
        raise BadEvent(msg) from error


def _without_zeros(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}")
    if isinstance(value, list):
        return [_without_zeros(item) for item in value]
    if isinstance(value, dict):
        return {_without_zeros(key): _without_zeros(item) for key, item in value.items()}
    return value


@lru_cache(maxsize=64)
def _day_of(days: int, today: dt.date) -> tuple[dt.date | None, bool]:
    """Return the day so many days after the epoch, None for none that a calendar has, and whether the books take events of it."""
    try:
        day = dt.date.fromordinal(_EPOCH_ORDINAL + days)
    except (OverflowError, ValueError):
        return None, False
    return day, -DAYS_BACK <= (day - today).days <= DAYS_AHEAD
