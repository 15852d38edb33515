"""Notice that little is left: right after usage was booked, and by a sweep. What follows is decided by a task, away from the books."""

import logging
from collections.abc import Collection
from typing import Any, Final

from django.core.cache import cache
from django.db import connection
from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts.models import Organization
from billing.authorizer.connection import MoneyStoreDown
from billing.models import LowBalance, PaymentProfile
from billing.purchases import auto_topups, forecast, low_balance, stripe_api

_PAUSE_S: Final = 3  # an organization that stays low is looked at no more often

# Asked for every batch of the books, so plainly: to build the whole question took longer than to answer it.
_MAY_BE_WATCHED: Final = """
SELECT organization_id FROM billing_paymentprofile
WHERE organization_id = ANY(%s) AND (auto_enabled OR alert_thresholds_nanos <> '[]')
"""

_log = logging.getLogger(__name__)


def on_usage_booked(*, org_ids: Collection[int], **_: Any) -> None:
    """Start a look at those organizations whose balance calls for one. Receiver of ``usage_booked``; cheap for all others."""
    from billing.purchases import tasks  # noqa: PLC0415 -- tasks import this module

    with connection.cursor() as cursor:
        cursor.execute(_MAY_BE_WATCHED, [list(org_ids)])
        org_ids = [org_id for (org_id,) in cursor.fetchall()]
    if not org_ids:
        return
    for profile in _watched().filter(organization_id__in=org_ids).select_related("organization"):
        if _calls(profile) and cache.add(f"balance-watch:{profile.organization_id}", 1, timeout=_PAUSE_S):
            tasks.wake(tasks.watch_balance, profile.organization_id)


def look(organization: Organization) -> None:
    """Mail and top up as the balance demands. Any number of times, by anybody. Raises: MoneyStoreDown."""
    low_balance.check(organization)
    if stripe_api.is_configured():
        auto_topups.top_up(organization)


def sweep(*, limit: int = 5_000) -> int:
    """Look at every organization that wants to be watched, for wake-ups that were lost. Return how many."""
    looked = 0
    for profile in _watched().select_related("organization").order_by("pk")[:limit]:
        try:
            look(profile.organization)
        except MoneyStoreDown:
            raise
        except Exception:  # noqa: BLE001 -- one organization's trouble must not keep the others waiting
            _log.exception("the balance of organization %s could not be looked at", profile.organization_id)
        looked += 1
    return looked


def _watched() -> QuerySet[PaymentProfile]:
    return PaymentProfile.objects.filter(Q(auto_enabled=True, auto_paused_for="", frozen_at=None) | ~Q(alert_thresholds_nanos=[]))


def _calls(profile: PaymentProfile) -> bool:
    left = forecast.left_nanos(profile.organization)
    may_top_up = profile.auto_enabled and not profile.auto_paused_for
    if may_top_up and left < profile.auto_threshold_nanos and (profile.auto_next_at is None or profile.auto_next_at <= timezone.now()):
        return True
    below = {threshold for threshold in profile.alert_thresholds_nanos if left < threshold}
    noted = LowBalance.objects.filter(organization=profile.organization).values_list("threshold_nanos", flat=True)
    return below != set(noted)
