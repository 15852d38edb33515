"""Stripe's events: verified, stored once and answered; looked into afterwards by fetching what they tell of. Any order, any number."""

import datetime as dt
import logging
from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec
from django.db import connection, transaction
from django.db.models import F, Max
from django.utils import timezone

from billing.models import StripeEvent
from billing.purchases import disputes, fulfilment, profiles, refunds, stripe_api
from billing.purchases.shapes import EventNews

_TRIES_LOUD: Final = 8  # failures after which an operator should look
_PAUSE_MAX: Final = dt.timedelta(hours=1)
_PAUSE_FIRST: Final = dt.timedelta(seconds=15)
_LOOK_BACK: Final = dt.timedelta(hours=2)  # of the sweep, before the latest event that we have
_LOOK_BACK_FIRST: Final = dt.timedelta(days=3)
_ERROR_MAX: Final = 500
# What is known already, also from a copy that comes at the same moment, gives no row.
_STORE: Final = """
INSERT INTO billing_stripeevent (event_id, type, object_id, body, created_at, received_at, attempts, next_attempt_at, error)
VALUES (%s, %s, %s, %s::jsonb, %s, now(), 0, now(), '') ON CONFLICT (event_id) DO NOTHING RETURNING id
"""

_log = logging.getLogger(__name__)


def receive(*, body: bytes, signature: str) -> bool:
    """Store an event that Stripe has sent. True when it is new. Raises: BadSignature, and nothing is stored."""
    return _store([stripe_api.read_event(body, signature)]) > 0


def process(*, event_pk: int) -> bool:
    """Look into an event. False when it is done already or another worker has it.

    An error is kept with the event and tried again by the sweep, with growing pauses.
    """
    event = _claim(event_pk)
    if event is None:
        return False
    try:
        _handler_of(event.type)(event)
    except Exception as error:  # noqa: BLE001 -- whatever it was, it is kept, logged and tried again
        StripeEvent.objects.filter(pk=event.pk).update(error=f"{type(error).__name__}: {error}"[:_ERROR_MAX])
        level = logging.ERROR if event.attempts >= _TRIES_LOUD else logging.WARNING
        _log.log(level, "event %s (%s) failed, attempt %s: %s", event.event_id, event.type, event.attempts, error)
        return False
    StripeEvent.objects.filter(pk=event.pk).update(processed_at=timezone.now(), error="")
    return True


def process_due(*, limit: int = 500) -> int:
    """Look into every event that waits: those whose worker died or failed, or whose wake-up was lost. Return how many are done."""
    due = StripeEvent.objects.filter(processed_at=None, next_attempt_at__lte=timezone.now()).order_by("pk")
    return sum(process(event_pk=pk) for pk in list(due.values_list("pk", flat=True)[:limit]))


def catch_up() -> int:
    """Ask Stripe for events that never arrived, and store them. Return how many were missing. Raises: StripeDown."""
    latest = StripeEvent.objects.aggregate(latest=Max("created_at"))["latest"]
    since = latest - _LOOK_BACK if latest else timezone.now() - _LOOK_BACK_FIRST
    return _store(stripe_api.list_events(since=since))


def _store(news: list[EventNews]) -> int:
    """Store what is new, in one statement: Stripe waits for the answer. Return how many were."""
    fresh = []
    with connection.cursor() as cursor:
        for one in news:
            body = msgspec.json.encode(one.body).decode()
            cursor.execute(_STORE, [one.id, one.type, one.object_id, body, one.created_at])
            fresh += [row[0] for row in cursor.fetchall()]
    if fresh:
        transaction.on_commit(partial(_wake, fresh))
    return len(fresh)


def _wake(event_pks: list[int]) -> None:
    from billing.purchases import tasks  # noqa: PLC0415 -- tasks import this module

    for pk in event_pks:
        tasks.wake_soon(tasks.process_event, pk)


def _claim(event_pk: int) -> StripeEvent | None:
    """Take an event for one attempt: whoever moves its next attempt has it until then."""
    event = StripeEvent.objects.filter(pk=event_pk, processed_at=None, next_attempt_at__lte=timezone.now()).first()
    if event is None:
        return None
    pause = min(_PAUSE_FIRST * 2**event.attempts, _PAUSE_MAX)
    taken = StripeEvent.objects.filter(pk=event_pk, processed_at=None, attempts=event.attempts).update(
        attempts=F("attempts") + 1, next_attempt_at=timezone.now() + pause
    )
    if not taken:
        return None
    event.attempts += 1
    return event


def _handler_of(type_: str) -> Callable[[StripeEvent], object]:
    return next((handler for prefix, handler in _HANDLERS.items() if type_.startswith(prefix)), _ignore)


def _customer_of(event: StripeEvent) -> str:
    item = event.body["data"]["object"]
    before = event.body["data"].get("previous_attributes") or {}
    return str((item["id"] if item["object"] == "customer" else item.get("customer") or before.get("customer")) or "")


def _refresh_card(event: StripeEvent) -> None:
    if customer := _customer_of(event):
        profiles.refresh_card(stripe_customer=customer)
        return
    profiles.drop_card(card=event.object_id)  # a detached card names no customer any more


def _ignore(_event: StripeEvent) -> None:
    """Nothing of ours changes."""


# By the beginning of the type, the first that fits.
_HANDLERS: Final[dict[str, Callable[[StripeEvent], object]]] = {
    "checkout.session.": lambda event: fulfilment.fulfil_session(event.object_id),
    "payment_intent.": lambda event: fulfilment.fulfil_payment(event.object_id),
    "charge.dispute.": lambda event: disputes.apply(event.object_id),
    "charge.refund.": lambda event: refunds.apply(event.object_id),
    "charge.refunded": lambda event: refunds.apply_all(charge=event.object_id),
    "charge.": lambda event: fulfilment.fulfil_charge(event.object_id),
    "refund.": lambda event: refunds.apply(event.object_id),
    "payment_method.": _refresh_card,
    "customer.updated": _refresh_card,
}
