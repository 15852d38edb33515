"""Wake-ups. Each makes one domain call; a lost, doubled or late message costs seconds, never money."""

import logging
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, Final

from celery import shared_task
from kombu.exceptions import OperationalError
from kombu.pools import ProducerPool

from accounts.models import Organization
from billing.purchases import auto_topups, expiry_mails, fulfilment, inbox, notices, profiles, refunds, stripe_api, watch

# One short attempt: a web request must not wait for a broker that is away, and kombu would try for ever.
_ONE_ATTEMPT: Final = {"max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0, "socket_connect_timeout": 0.5}
_CONNECTIONS_MAX: Final = 8

_log = logging.getLogger(__name__)


def wake(task: Any, *args: int | str) -> None:
    """Start a task now. When the broker is away the sweep finds the work instead; whoever calls must not wait for it."""
    try:
        with _producers(task.app).acquire() as producer:
            task.apply_async(args, producer=producer, retry=False)
    except OperationalError as error:
        _log.warning("%s waits for the sweep: %s", task.name, error)


def wake_soon(task: Any, *args: int | str) -> None:
    """Start a task from a thread beside: telling the broker takes longer than all that Stripe waits for."""
    _beside().submit(wake, task, *args)


@cache
def _beside() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="wake")


@cache
def _producers(app: Any) -> Any:
    """Keep connections to the broker open: making one anew takes longer than everything else that a webhook waits for."""
    connections = app.connection_for_write(transport_options=_ONE_ATTEMPT).Pool(_CONNECTIONS_MAX)
    return ProducerPool(connections, limit=_CONNECTIONS_MAX)  # type: ignore[no-untyped-call]  # kombu has no types


@shared_task  # type: ignore[untyped-decorator]
def process_event(event_pk: int) -> bool:
    """Look into one of Stripe's events."""
    return inbox.process(event_pk=event_pk)


@shared_task  # type: ignore[untyped-decorator]
def process_due_events() -> int:
    """Look into events that wait."""
    return inbox.process_due()


@shared_task  # type: ignore[untyped-decorator]
def catch_up() -> int:
    """Ask Stripe for events that never came."""
    return inbox.catch_up() if stripe_api.is_configured() else 0


@shared_task  # type: ignore[untyped-decorator]
def sweep_purchases() -> int:
    """Ask Stripe about what is unsettled."""
    if not stripe_api.is_configured():
        return 0
    return fulfilment.sweep() + refunds.sweep() + auto_topups.sweep() + profiles.tell_due()


@shared_task  # type: ignore[untyped-decorator]
def tell_stripe(organization_id: int) -> bool:
    """Tell Stripe of an organization's changed details."""
    return profiles.tell_stripe(Organization.objects.get(pk=organization_id)) if stripe_api.is_configured() else False


@shared_task  # type: ignore[untyped-decorator]
def watch_balance(organization_id: int) -> None:
    """Warn and top up one organization as its balance demands."""
    watch.look(Organization.objects.get(pk=organization_id))


@shared_task  # type: ignore[untyped-decorator]
def watch_balances() -> int:
    """The same for everybody who wants it."""
    return watch.sweep()


@shared_task  # type: ignore[untyped-decorator]
def remind_of_expiry() -> int:
    """Mail those whose granted credit ends within a week."""
    return expiry_mails.remind()


@shared_task  # type: ignore[untyped-decorator]
def send_notice(notice_id: int) -> bool:
    """Send one mail."""
    return notices.send(notice_id=notice_id)


@shared_task  # type: ignore[untyped-decorator]
def send_waiting_notices() -> int:
    """Send mails that are still unsent."""
    return notices.send_waiting()
