"""One request's receipt: the usage event as it was settled, put together from its rows."""

from collections.abc import Iterable

import msgspec

from billing.models import UsageEvent as UsageRow
from billing.types import UsageEvent

_FIELDS = UsageEvent.__struct_fields__


def combine(rows: Iterable[UsageRow]) -> list[UsageEvent]:
    """Return one event per request, in the order of the rows; the latest part of each must come first.

    The latest part tells what happened, amounts are the sum of the parts.
    """
    receipts: dict[tuple[int, object], UsageEvent] = {}
    for row in rows:
        key = (row.org_id, row.event_id)
        event = receipts.get(key)
        receipts[key] = _read(row) if event is None else _add(event, row)
    return list(receipts.values())


def _read(row: UsageRow) -> UsageEvent:
    return msgspec.convert({name: getattr(row, name) for name in _FIELDS}, UsageEvent)


def _add(event: UsageEvent, earlier: UsageRow) -> UsageEvent:
    return msgspec.structs.replace(
        event,
        amount_nanos=event.amount_nanos + earlier.amount_nanos,
        amount_picos=event.amount_picos + earlier.amount_picos,
        cost_nanos=event.cost_nanos + earlier.cost_nanos,
    )
