"""What follows when a saved card was not charged: another try in an hour, another in a day, then a pause; a mail each time.

Who pauses and why stands on the profile: the customer (settings), or a paused reason, which saving the settings or another card clears.
"""

import datetime as dt
import logging
from typing import Final, Literal

from django.db import transaction
from django.utils import timezone

from billing.models import PaymentProfile, Purchase, PurchaseState
from billing.purchases import notices

Pause = Literal["declined", "needs_action", "runaway", "no_card", "amount", "no_place"]

BACK_OFF: Final = (dt.timedelta(hours=1), dt.timedelta(hours=24))
_UNSETTLED: Final = (PurchaseState.CHARGING, PurchaseState.PROCESSING)

_log = logging.getLogger(__name__)


def note(purchase: Purchase, *, wants_owner: bool, message: str, now: dt.datetime | None = None) -> Purchase:
    """Note that a top-up was declined, once, however many tell of it: the answer, a webhook, the sweep."""
    moment = now or timezone.now()
    with transaction.atomic():
        locked = Purchase.objects.select_for_update(of=("self",)).select_related("organization").get(pk=purchase.pk)
        if locked.state not in _UNSETTLED:
            return locked
        locked.state = PurchaseState.NEEDS_ACTION if wants_owner else PurchaseState.DECLINED
        locked.failure = message[:200]
        locked.save(update_fields=["state", "failure", "updated_at"])
        profile = PaymentProfile.objects.select_for_update().get(organization=locked.organization)
        profile.auto_failures += 1
        waits = BACK_OFF[profile.auto_failures - 1] if profile.auto_failures <= len(BACK_OFF) else None
        if wants_owner or waits is None:
            profile.auto_next_at = None
            profile.auto_paused_for = "needs_action" if wants_owner else "declined"
        else:
            profile.auto_next_at = moment + waits
        profile.save(update_fields=["auto_failures", "auto_next_at", "auto_paused_for"])
        context = {
            "total_cents": locked.total_cents,
            "credit_cents": locked.credit_cents,
            "card": _label(profile),
            "message": locked.failure,
            "hours": 0 if profile.auto_next_at is None or waits is None else int(waits.total_seconds()) // 3600,
        }
        kind = "topup_needs_action" if wants_owner else "topup_declined"
        notices.write(organization=locked.organization, kind=kind, key=str(locked.pk), context=context)
    return locked


def pause(profile: PaymentProfile, reason: Pause, *, key: str) -> None:
    """Stop top-ups until somebody looks, and mail why. Needs a transaction that holds the profile."""
    profile.auto_paused_for = reason
    profile.save(update_fields=["auto_paused_for"])
    notices.write(organization=profile.organization, kind="topup_paused", key=f"{reason}:{key}", context={"reason": reason})
    level = logging.ERROR if reason == "runaway" else logging.WARNING
    _log.log(level, "auto top-up of organization %s is paused: %s", profile.organization_id, reason)


def resume_with_place(profile: PaymentProfile) -> None:
    """Go on: Stripe knows now where the organization is taxed."""
    PaymentProfile.objects.filter(pk=profile.pk, auto_paused_for="no_place").update(auto_paused_for="")


def clear(profile: PaymentProfile) -> None:
    """Forget failures: a card was charged, or another one is there."""
    PaymentProfile.objects.filter(pk=profile.pk).update(auto_failures=0, auto_next_at=None)


def resume(profile: PaymentProfile) -> None:
    """Begin anew with another card: whatever was the matter with the old one is over. A runaway stays paused."""
    clear(profile)
    PaymentProfile.objects.filter(pk=profile.pk, auto_paused_for__in=["declined", "needs_action", "no_card"]).update(auto_paused_for="")


def _label(profile: PaymentProfile) -> str:
    return f"{profile.card_brand.title()} ending in {profile.card_last4}" if profile.card_last4 else "Your card"
