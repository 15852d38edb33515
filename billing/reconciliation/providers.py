"""A provider's bill beside what our books say that it will be: by model and UTC day, with a tolerance, and items for what is beyond it."""

import datetime as dt
import logging
from collections.abc import Iterable
from typing import Final

from django.db import connection, transaction
from django.utils import timezone

from accounts.audit import Actor, name_actor
from billing.models import Reconciliation, ReconciliationLine
from billing.money import NANOS_PER_USD
from billing.reconciliation import provider_apis, suspense
from billing.reconciliation.bills import Bill, Charge, match_models, sum_up
from billing.reconciliation.provider_apis import BillUnavailable

# A line may be off by a thousandth of the bill or a dollar, whichever is more.
TOLERANCE_NANOS: Final = NANOS_PER_USD
TOLERANCE_PARTS: Final = 1_000
# Providers go on adding to yesterday for a while.
DAYS_BACK: Final = 3

_BOOKED = """
SELECT (hour AT TIME ZONE 'UTC')::date AS day, model, sum(cost_nanos)::bigint FROM billing_usagerollup
WHERE provider = %s AND hour >= %s::date::timestamp AT TIME ZONE 'UTC' AND hour < (%s::date + 1)::timestamp AT TIME ZONE 'UTC'
GROUP BY 1, 2 HAVING sum(cost_nanos) <> 0
"""

_log = logging.getLogger(__name__)


class NothingToCompare(ValueError):
    """The bill has no days."""


def reconcile_charges(
    *, provider: str, charges: Iterable[Charge], way: str, by: Actor, days: tuple[dt.date, dt.date] | None = None
) -> Reconciliation:
    """Compare a bill with the books over ``days`` (those of the bill itself if None). Raises: BadBill, NothingToCompare."""
    bill = sum_up(charges)
    since, until = days or _span(bill)
    booked = booked_costs(provider, since=since, until=until)
    names = match_models({model for _, model in bill}, {model for _, model in booked})
    billed: Bill = {}
    for (day, model), nanos in bill.items():
        billed[day, names[model]] = billed.get((day, names[model]), 0) + nanos
    with transaction.atomic():
        made = Reconciliation.objects.create(
            source=provider,
            way=way,
            since=since,
            until=until,
            made_by=name_actor(by),
            booked_nanos=sum(booked.values()),
            billed_nanos=sum(billed.values()),
            line_count=len(booked.keys() | billed.keys()),
            off_count=0,
        )
        ReconciliationLine.objects.filter(source=provider, day__range=(since, until)).delete()
        off = sum(_compare(made, day, model, booked.get((day, model), 0), billed.get((day, model), 0))
                  for day, model in sorted(booked.keys() | billed.keys()))  # fmt: skip
        Reconciliation.objects.filter(pk=made.pk).update(off_count=off)
        made.off_count = off
    return made


def reconcile_by_api(*, provider: str, by: Actor = None, today: dt.date | None = None, days: int = DAYS_BACK) -> Reconciliation:
    """Ask a provider for its costs of the last full days and compare. Raises: NoCredential, BillUnavailable, BadBill."""
    until = (today or timezone.now().astimezone(dt.UTC).date()) - dt.timedelta(days=1)
    since = until - dt.timedelta(days=days - 1)
    charges = provider_apis.read_charges(provider, since=since, until=until)
    return reconcile_charges(provider=provider, charges=charges, way="api", by=by, days=(since, until))


def reconcile_all() -> int:
    """Compare every provider whose costs can be asked for; one that cannot answer stops no other. Return how many were compared."""
    done = 0
    for provider in provider_apis.configured():
        try:
            reconcile_by_api(provider=provider)
        except (BillUnavailable, ValueError) as error:
            _log.error("the costs of %s could not be compared: %s", provider, error)
            continue
        done += 1
    return done


def booked_costs(provider: str, *, since: dt.date, until: dt.date) -> Bill:
    """Return what we owe a provider for each day and model: usage, and what operators accepted of earlier bills. Nanos."""
    with connection.cursor() as cursor:
        cursor.execute(_BOOKED, [provider, since, until])
        booked: Bill = {(day, model): int(nanos) for day, model, nanos in cursor.fetchall()}
    for key, nanos in suspense.accepted_by_key(provider).items():
        day_text, _, model = key.partition(" ")
        day = dt.date.fromisoformat(day_text)
        if since <= day <= until:
            booked[day, model] = booked.get((day, model), 0) + nanos
    return booked


def is_tolerated(*, booked_nanos: int, billed_nanos: int) -> bool:
    """Tell whether a difference is small enough to be rounding of prices, time zones and late usage."""
    return abs(billed_nanos - booked_nanos) <= max(abs(billed_nanos) // TOLERANCE_PARTS, TOLERANCE_NANOS)


def _compare(made: Reconciliation, day: dt.date, model: str, booked_nanos: int, billed_nanos: int) -> bool:
    is_off = not is_tolerated(booked_nanos=booked_nanos, billed_nanos=billed_nanos)
    ReconciliationLine.objects.create(
        source=made.source, day=day, model=model, booked_nanos=booked_nanos, billed_nanos=billed_nanos, is_off=is_off, reconciliation=made
    )
    key = f"{day} {model}"[:300]
    if is_off:
        subject = f"{model} on {day}"
        suspense.open_item(source=made.source, key=key, subject=subject, booked_nanos=booked_nanos, billed_nanos=billed_nanos)
    else:
        suspense.close_agreed(source=made.source, key=key)
    return is_off


def _span(bill: Bill) -> tuple[dt.date, dt.date]:
    days = {day for day, _ in bill}
    if not days:
        raise NothingToCompare("the bill has no days")
    return min(days), max(days)
