"""Disputes: flagged at once, money moved only by Stripe's balance transactions, each once.

While a dispute lasts its credit is taken, and the organization buys and refunds nothing. Won, the credit comes back and the freeze
ends. Lost, the freeze stays until an operator lifts it.
"""

import logging
from typing import Final

from django.db import transaction
from django.utils import timezone

from accounts.models import Organization, User
from accounts.permissions import NotPermitted
from billing.authorizer.connection import MoneyStoreDown
from billing.books import settlement
from billing.books.shard_lock import ShardBusy
from billing.models import Dispute, PaymentProfile, Purchase, PurchaseState
from billing.purchases import fulfilment, notices, postings, profiles, stripe_api
from billing.purchases.shapes import DisputeState
from billing.signals import credit_changed

_CLOSED: Final = {"won", "lost", "warning_closed", "prevented"}
_SETTLE_WAIT_S: Final = 2.0

_log = logging.getLogger(__name__)


def apply(dispute_id: str) -> Dispute | None:
    """Bring a dispute up to date with Stripe; None when it is not about a purchase. Raises: StripeDown, StripeRefused."""
    told = stripe_api.read_dispute(dispute_id)
    purchase = fulfilment.fulfil_payment(told.intent) if told.intent else None
    if purchase is None or purchase.state != PurchaseState.PAID:
        return None
    try:
        # What was spent must be known, so that only the rest is taken from the credit.
        settlement.settle_shard(shard=purchase.organization.shard, wait_s=_SETTLE_WAIT_S)
    except (ShardBusy, MoneyStoreDown) as error:
        _log.warning("dispute %s is booked before the latest usage: %s", dispute_id, error)
    with transaction.atomic():
        return _apply(purchase, told)


def lift_freeze(*, organization: Organization, by: User) -> None:
    """Let an organization buy again. Raises: NotPermitted for anyone but an operator."""
    if not (by.is_staff and by.is_active):
        raise NotPermitted("not permitted: lifting a freeze")
    PaymentProfile.objects.filter(organization=organization).update(frozen_at=None)


def _apply(purchase: Purchase, told: DisputeState) -> Dispute:
    locked = Purchase.objects.select_for_update(of=("self",)).select_related("organization").get(pk=purchase.pk)
    organization = locked.organization
    postings.lock_organization(organization)
    dispute, is_new = Dispute.objects.get_or_create(
        stripe_dispute=told.id,
        defaults={"purchase": locked, "status": told.status, "reason": told.reason, "amount_cents": told.amount_cents},
    )
    if told.lines and dispute.credit_cents == 0:
        dispute.credit_cents = _credit_share(locked, told.amount_cents)
    memo = f"Dispute {told.id} of purchase {locked.pk}"
    is_taken = False
    for line in told.lines:
        if line.amount_cents < 0:
            is_taken |= postings.post_withdrawal(organization=organization, line=line, credit_cents=dispute.credit_cents, memo=memo)
        else:
            postings.post_reinstatement(organization=organization, line=line, credit_cents=dispute.credit_cents, memo=memo)
    if told.status == "lost" and told.lines:
        tax = locked.tax_cents * told.amount_cents // locked.total_cents
        fee = told.amount_cents - dispute.credit_cents - tax
        postings.post_loss(organization=organization, key=told.id, fee_cents=fee, tax_cents=tax, memo=memo)
    was_open = dispute.is_open
    dispute.status, dispute.is_open = told.status, told.status not in _CLOSED
    dispute.save()
    _freeze(organization, is_taken=is_taken, status=told.status)
    if is_new:
        context = {"number": locked.receipt_number, "amount_cents": told.amount_cents, "is_warning": not told.lines}
        notices.write(organization=organization, kind="dispute_opened", key=told.id, context=context)
    if was_open and not dispute.is_open:
        context = {"number": locked.receipt_number, "amount_cents": told.amount_cents, "was_won": told.status != "lost"}
        notices.write(organization=organization, kind="dispute_closed", key=told.id, context=context)
    transaction.on_commit(lambda: credit_changed.send_robust(sender=Dispute, organization_id=organization.pk))
    return dispute


def _credit_share(purchase: Purchase, amount_cents: int) -> int:
    """The part of a disputed amount that is credit, as far as it was not refunded."""
    share = purchase.credit_cents * amount_cents // purchase.total_cents
    return min(share, purchase.credit_cents - purchase.refunded_cents)


def _freeze(organization: Organization, *, is_taken: bool, status: str) -> None:
    """Freeze when money has just been taken, also if all of it was heard of late; later news do not freeze what an operator let go."""
    profile = profiles.ensure_profile(organization)
    if status == "won":
        others = Dispute.objects.filter(purchase__organization=organization, is_open=True).exclude(status__startswith="warning_")
        if not others.exists():
            PaymentProfile.objects.filter(pk=profile.pk).update(frozen_at=None)
    elif is_taken and profile.frozen_at is None:
        PaymentProfile.objects.filter(pk=profile.pk).update(frozen_at=timezone.now())
