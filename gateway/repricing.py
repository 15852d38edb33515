"""I11: the books know neither tokens nor prices, so whether yesterday's charges follow from them is checked where both are known."""

import datetime as dt
from collections.abc import Iterator
from typing import Final

from django.utils import timezone

from billing.books.difference import Difference
from billing.models import UsageEvent
from billing.proof.checks import Invariant, register
from billing.receipts.parts import combine
from gateway.receipts import explanation

# One request in a hundred, chosen by its id, so that the same day gives the same sample.
SAMPLE_PERCENT: Final = 1
_ROWS_MAX: Final = 20_000
_SAMPLED: Final = "('x' || right(event_id::text, 6))::bit(24)::int %% 100 < %s"


def differences(*, day: dt.date | None = None, percent: int = SAMPLE_PERCENT) -> Iterator[Difference]:
    """Price a sample of a day's requests (yesterday's if None) again with the price versions they name."""
    asked = day or timezone.now().astimezone(dt.UTC).date() - dt.timedelta(days=1)
    rows = UsageEvent.objects.filter(day=asked).extra(where=[_SAMPLED], params=[percent]).order_by("org_id", "event_id", "-part")  # noqa: S610 -- no input
    prices: dict[int, explanation.Price | None] = {}
    for event in combine(rows[:_ROWS_MAX]):
        if event.price_version_id not in prices:
            prices[event.price_version_id] = explanation.find_price(event.price_version_id)
        told = explanation.explain(event, prices[event.price_version_id])
        if told.rule == "unexplained" or (told.rule == "metered" and told.nanos != event.amount_nanos):
            subject = f"request gen-{event.event_id.hex} priced again with version {event.price_version_id}"
            yield Difference("I11", subject, told.nanos, event.amount_nanos, org_ids=(event.org_id,))


def register_invariant() -> None:
    """Put I11 on the list of invariants."""
    register(
        Invariant(
            "I11",
            "A sample of yesterday's charges follows from its counts and prices",
            lambda _shards: differences(),
            differences,
            freezes=False,
        )
    )
