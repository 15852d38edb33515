"""What an organization chooses: auto top-up, and the balances at which it is warned."""

from collections.abc import Sequence
from typing import Final

from django.db import transaction

from accounts import audit, permissions
from accounts.models import Organization, User
from billing.models import PaymentProfile
from billing.money import NANOS_PER_CENT
from billing.purchases import low_balance, profiles
from billing.purchases.checkout import require_not_frozen
from billing.purchases.fees import BadAmount, dollars, quote

ALERTS_MAX: Final = 5
_CAP_MAX_CENTS: Final = 100_000_000


class BadSetting(ValueError):
    """A setting that makes no sense; ``field`` names it and the text tells the customer why. Nothing was changed."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def change_topup(
    *, organization: Organization, by: User, enabled: bool, threshold_nanos: int, amount_cents: int, monthly_cap_cents: int
) -> PaymentProfile:
    """Set auto top-up. Saving it while it is on also ends a pause and forgets declines: a person has looked.

    Raises: NotPermitted, BadSetting, checkout.PurchasesFrozen (when it is switched on).
    """
    permissions.require(by=by, organization=organization, action="credit.buy")
    _check(threshold_nanos=threshold_nanos, amount_cents=amount_cents, monthly_cap_cents=monthly_cap_cents)
    profiles.ensure_profile(organization)
    with transaction.atomic():
        profile = PaymentProfile.objects.select_for_update().get(organization=organization)
        if enabled:
            require_not_frozen(profile)
            if not profile.payment_method:
                raise BadSetting("enabled", "Save a card first: auto top-up charges it.")
        profile.auto_enabled = enabled
        profile.auto_threshold_nanos = threshold_nanos
        profile.auto_amount_cents = amount_cents
        profile.auto_monthly_cap_cents = monthly_cap_cents
        profile.auto_failures, profile.auto_next_at, profile.auto_paused_for = 0, None, ""
        profile.save()
        detail = {
            "enabled": enabled,
            "threshold_nanos": threshold_nanos,
            "amount_cents": amount_cents,
            "monthly_cap_cents": monthly_cap_cents,
        }
        audit.record(organization_id=organization.pk, by=by, action="auto_topup.changed", target=organization.public_id, detail=detail)
    return profile


def change_alerts(*, organization: Organization, by: User, thresholds_nanos: Sequence[int]) -> PaymentProfile:
    """Set the balances at which the organization is warned by mail. Raises: NotPermitted, BadSetting, MoneyStoreDown."""
    permissions.require(by=by, organization=organization, action="credit.buy")
    chosen = sorted(set(thresholds_nanos), reverse=True)
    if len(chosen) > ALERTS_MAX:
        raise BadSetting("thresholds", f"At most {ALERTS_MAX} warnings.")
    if any(not NANOS_PER_CENT <= threshold <= _CAP_MAX_CENTS * NANOS_PER_CENT for threshold in chosen):
        raise BadSetting("thresholds", f"A warning is at an amount from $0.01 to {dollars(_CAP_MAX_CENTS)}.")
    profiles.ensure_profile(organization)
    with transaction.atomic():
        profile = PaymentProfile.objects.select_for_update(of=("self",)).select_related("organization").get(organization=organization)
        profile.alert_thresholds_nanos = chosen
        profile.save(update_fields=["alert_thresholds_nanos"])
        low_balance.settle_in(profile)
        detail = {"thresholds_nanos": chosen}
        audit.record(organization_id=organization.pk, by=by, action="balance_alerts.changed", target=organization.public_id, detail=detail)
    return profile


def _check(*, threshold_nanos: int, amount_cents: int, monthly_cap_cents: int) -> None:
    if type(threshold_nanos) is not int or not 0 < threshold_nanos <= _CAP_MAX_CENTS * NANOS_PER_CENT:
        raise BadSetting("threshold", f"Choose an amount above zero and up to {dollars(_CAP_MAX_CENTS)}.")
    try:
        quote(amount_cents)
    except BadAmount as bad:
        raise BadSetting("amount", str(bad)) from bad
    if type(monthly_cap_cents) is not int or not amount_cents <= monthly_cap_cents <= _CAP_MAX_CENTS:
        raise BadSetting("monthly_cap", f"The cap is at least one top-up ({dollars(amount_cents)}) and at most {dollars(_CAP_MAX_CENTS)}.")
