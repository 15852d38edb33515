"""Buy credit with the saved card when little is left: at most one at a time, at most so much in a month, each charged once.

The purchase is written down before the card is charged. Whatever is lost on the way (the answer, the worker, the webhook), the sweep
asks Stripe what became of it and repeats the charge under the same key only if Stripe knows nothing.
"""

import datetime as dt
import logging
from typing import Final

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet, Sum
from django.utils import timezone

from accounts.models import Organization
from billing.models import AdmissionFreeze, PaymentProfile, Purchase, PurchaseKind, PurchaseState
from billing.purchases import auto_failures, forecast, fulfilment, notices, profiles, stripe_api, stripe_customers
from billing.purchases.attempts import new_id
from billing.purchases.fees import BadAmount, Quote, quote

RUNAWAY_COUNT: Final = 3
RUNAWAY_WITHIN: Final = dt.timedelta(minutes=10)
_UNSETTLED: Final = (PurchaseState.CHARGING, PurchaseState.PROCESSING)
_COUNTED: Final = (*_UNSETTLED, PurchaseState.PAID, PurchaseState.REVIEW)
_PATIENCE: Final = dt.timedelta(seconds=90)  # most calls are answered before; one that is not is asked after, under its key
# So long a charge that Stripe knows nothing of is repeated under its key. Then it is given up, because Stripe may have kept an error under
# the key; if it was charged after all, its webhook credits it all the same.
_REPEATED_FOR: Final = dt.timedelta(minutes=15)

_log = logging.getLogger(__name__)


def top_up(organization: Organization, *, now: dt.datetime | None = None) -> Purchase | None:
    """Buy credit if the organization wants it now, and return the purchase; None when there is nothing to do.

    May be called by anybody at any time, also many times at once. When Stripe cannot be reached the purchase stays at 'charging' for the
    sweep. Raises: stripe_api.NotConfigured.
    """
    moment = now or timezone.now()
    purchase = _begin(organization, moment)
    return None if purchase is None else _charge(purchase, moment)


def sweep(*, now: dt.datetime | None = None, limit: int = 200) -> int:
    """Find out what became of charges whose answer was lost. Return how many were looked at."""
    moment = now or timezone.now()
    waiting = Purchase.objects.filter(kind=PurchaseKind.AUTO, state__in=_UNSETTLED, updated_at__lt=moment - _PATIENCE)
    asked = 0
    for purchase in waiting.select_related("organization").order_by("updated_at")[:limit]:
        Purchase.objects.filter(pk=purchase.pk).update(updated_at=moment)  # so that the next sweep begins with others
        try:
            _find_out(purchase, moment)
        except (stripe_api.StripeDown, stripe_api.StripeRefused) as error:
            _log.warning("top-up %s could not be asked about: %s", purchase.pk, error)
        asked += 1
    return asked


def month_cents(organization: Organization, *, now: dt.datetime) -> int:
    """Return the credit that top-ups have bought in the present UTC month, those on their way included."""
    begin = now.astimezone(dt.UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    bought = _of(organization).filter(state__in=_COUNTED, created_at__gte=begin)
    return int(bought.aggregate(total=Sum("credit_cents", default=0))["total"])


def _of(organization: Organization) -> QuerySet[Purchase]:
    return Purchase.objects.filter(organization=organization, kind=PurchaseKind.AUTO)


def _begin(organization: Organization, moment: dt.datetime) -> Purchase | None:
    """Write a purchase down if one is due. The profile is locked, so of callers at once one finds it due."""
    with transaction.atomic():
        profile = (
            PaymentProfile.objects.select_for_update(of=("self",)).select_related("organization").filter(organization=organization).first()
        )
        if profile is None or not _is_on(profile, moment) or _of(organization).filter(state__in=_UNSETTLED).exists():
            return None
        if forecast.left_nanos(organization) >= profile.auto_threshold_nanos:
            return None
        price = _price(profile, moment)
        if price is None:
            return None
        return Purchase.objects.create(
            id=new_id(),
            organization=organization,
            kind=PurchaseKind.AUTO,
            state=PurchaseState.CHARGING,
            credit_cents=price.credit_cents,
            fee_cents=price.fee_cents,
            card=profile.payment_method,
            asked_by="system",
        )


def _price(profile: PaymentProfile, moment: dt.datetime) -> Quote | None:
    """Return what is to be bought, or None after saying by mail why nothing is."""
    recent = _of(profile.organization).filter(state=PurchaseState.PAID, paid_at__gt=moment - RUNAWAY_WITHIN)
    reason: auto_failures.Pause | None = None
    price: Quote | None = None
    if not profile.payment_method or not profile.stripe_customer:
        reason = "no_card"
    elif recent.count() >= RUNAWAY_COUNT:
        reason = "runaway"
    else:
        try:
            price = quote(profile.auto_amount_cents)
        except BadAmount:  # the operator has moved the bounds
            reason = "amount"
    if reason is not None:
        auto_failures.pause(profile, reason, key=moment.isoformat())
    elif price is not None and month_cents(profile.organization, now=moment) + price.credit_cents > profile.auto_monthly_cap_cents:
        context = {"cap_cents": profile.auto_monthly_cap_cents, "month": f"{moment:%B %Y}"}
        notices.write(organization=profile.organization, kind="topup_capped", key=f"{moment:%Y-%m}", context=context)
        return None
    return price


def _is_on(profile: PaymentProfile, moment: dt.datetime) -> bool:
    return (
        profile.auto_enabled
        and not profile.auto_paused_for
        and profile.frozen_at is None
        and (profile.auto_next_at is None or profile.auto_next_at <= moment)
        and not AdmissionFreeze.objects.filter(organization=profile.organization, lifted_at=None).exists()
    )


def _charge(purchase: Purchase, moment: dt.datetime) -> Purchase:
    profile = profiles.ensure_profile(purchase.organization)
    try:
        taxed = _with_tax(purchase, profile)
        if taxed is None:
            return purchase
        payment = stripe_api.charge_card(
            purchase=str(purchase.pk),
            customer=profile.stripe_customer or "",
            card=purchase.card,
            cents=taxed.total_cents,
            idempotency_key=f"auto:{purchase.pk}",
            calculation=taxed.tax_calculation,
        )
    except stripe_api.CardDeclined as declined:
        return auto_failures.note(purchase, wants_owner=declined.wants_owner, message=str(declined), now=moment)
    except stripe_api.StripeRefused as refused:
        # Such as a card that its owner has removed at Stripe: nothing was charged, and nothing will be with this card.
        return auto_failures.note(purchase, wants_owner=False, message=str(refused), now=moment)
    except stripe_api.StripeDown as error:
        _log.warning("top-up %s waits for Stripe: %s", purchase.pk, error)
        return purchase
    return fulfilment.apply_payment(taxed, payment)


def _with_tax(purchase: Purchase, profile: PaymentProfile) -> Purchase | None:
    """Write down the tax that comes on top before the card is charged: a repeat charges the same. None when it cannot be known.

    Nothing is ever charged without the tax that is due. Raises: StripeDown, StripeRefused.
    """
    if not settings.STRIPE_AUTOMATIC_TAX or purchase.tax_calculation:
        return purchase
    lines = [("credit", purchase.credit_cents), ("fee", purchase.fee_cents)]
    try:
        tax = stripe_customers.calculate_tax(customer=profile.stripe_customer or "", lines=lines, idempotency_key=f"tax:{purchase.pk}")
    except stripe_customers.NoPlace as unknown:
        with transaction.atomic():
            locked = PaymentProfile.objects.select_for_update(of=("self",)).select_related("organization").get(pk=profile.pk)
            _give_up(purchase, "Stripe does not know where you are taxed. Write your country and postal code into the billing details.")
            auto_failures.pause(locked, "no_place", key=str(purchase.pk))
        _log.warning("top-up %s is not charged: %s", purchase.pk, unknown)
        purchase.refresh_from_db()
        return None
    Purchase.objects.filter(pk=purchase.pk, tax_calculation="").update(tax_cents=tax.cents, tax_calculation=tax.calculation)
    purchase.refresh_from_db()
    return purchase


def _find_out(purchase: Purchase, moment: dt.datetime) -> None:
    profile = profiles.ensure_profile(purchase.organization)
    known = stripe_api.find_payment(customer=profile.stripe_customer or "", purchase=str(purchase.pk))
    is_young = moment - purchase.created_at < _REPEATED_FOR
    if known is not None and fulfilment.apply_payment(purchase, known).state not in _UNSETTLED:
        return
    if known is not None:
        if known.status != "processing" and not is_young:
            _give_up(purchase, "The payment was not finished.")
    elif is_young and profile.auto_enabled and profile.frozen_at is None:
        _charge(purchase, moment)
    else:
        _give_up(purchase, "The card was never charged.")


def _give_up(purchase: Purchase, why: str) -> None:
    Purchase.objects.filter(pk=purchase.pk, state__in=_UNSETTLED).update(state=PurchaseState.FAILED, failure=why, updated_at=timezone.now())
