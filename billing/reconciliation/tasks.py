"""The daily comparison with everybody who bills."""

import logging

from celery import shared_task

from billing.proof import watch
from billing.purchases import stripe_api
from billing.reconciliation import providers, stripe_balance

_log = logging.getLogger(__name__)


@shared_task(acks_late=False)  # type: ignore[untyped-decorator]
def reconcile_daily() -> int:
    """Compare Stripe and every provider whose costs can be asked for, then check I9, I10 and I12. Return the differences."""
    if stripe_api.is_configured():
        try:
            stripe_balance.reconcile()
        except (stripe_api.StripeDown, stripe_api.StripeRefused) as error:
            _log.error("Stripe's balance could not be compared: %s", error)
    providers.reconcile_all()
    return sum(len(watch.check(name)) for name in ("I9", "I10", "I12"))
