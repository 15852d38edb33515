"""Mails when the balance falls below what the organization chose, one per fall: it must rise above before the next is sent."""

from django.db import transaction

from accounts.models import Organization
from billing.models import LowBalance, PaymentProfile
from billing.money import NANOS_PER_CENT
from billing.purchases import fees, forecast, notices


def check(organization: Organization) -> int | None:
    """Note which thresholds the balance has crossed, and mail if it fell. Return the threshold that the mail names.

    Several crossed at once are one mail, about the lowest. May be called by anybody at any time. Raises: MoneyStoreDown.
    """
    with transaction.atomic():
        profile = PaymentProfile.objects.select_for_update().filter(organization=organization).first()
        if profile is None:
            return None
        left = forecast.left_nanos(organization)
        fallen = _follow(profile, left)
        if not fallen:
            return None
        lowest = min(fallen, key=lambda crossing: crossing.threshold_nanos)
        context = {
            "left": fees.dollars(left // NANOS_PER_CENT),
            "threshold": fees.dollars(lowest.threshold_nanos // NANOS_PER_CENT),
            "lasts": forecast.lasts(left, forecast.pace(organization)),
            "tops_up": profile.auto_enabled and not profile.auto_paused_for,
        }
        notices.write(organization=organization, kind="low_balance", key=f"{lowest.threshold_nanos}:{lowest.pk}", context=context)
        return lowest.threshold_nanos


def settle_in(profile: PaymentProfile) -> None:
    """Take thresholds that were just chosen as they are: what is below already is no news. Needs a transaction that holds the profile."""
    _follow(profile, forecast.left_nanos(profile.organization))


def _follow(profile: PaymentProfile, left: int) -> list[LowBalance]:
    """Forget thresholds that the balance is above again, and return those that it has newly fallen below."""
    chosen = set(profile.alert_thresholds_nanos)
    known = {crossing.threshold_nanos: crossing for crossing in LowBalance.objects.filter(organization=profile.organization)}
    over = [crossing.pk for threshold, crossing in known.items() if threshold <= left or threshold not in chosen]
    LowBalance.objects.filter(pk__in=over).delete()
    fresh = sorted(threshold for threshold in chosen if left < threshold and threshold not in known)
    return [LowBalance.objects.create(organization=profile.organization, threshold_nanos=threshold) for threshold in fresh]
