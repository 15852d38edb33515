"""Send money back. The credit is taken first, so that it cannot be spent meanwhile; if Stripe then refuses, it is given back.

Customers may do it themselves within 24 hours, for what they have not spent. Operators may do it for any purchase; what was spent
already becomes a debt of the organization. Our fee is kept, because Stripe keeps its own.
"""

import datetime as dt
import logging
import uuid
from contextlib import suppress
from typing import Final, NamedTuple

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from accounts import permissions
from accounts.audit import name_actor, record
from accounts.models import Organization, User
from accounts.permissions import NotPermitted
from billing import queries
from billing.authorizer.connection import MoneyStoreDown
from billing.books import settlement, transfers
from billing.books.chart import AccountCode
from billing.books.ledger import group_id_of
from billing.books.shard_lock import ShardBusy
from billing.models import Account, PaymentProfile, Purchase, PurchaseState, Refund
from billing.models.purchases import RefundState
from billing.money import NANOS_PER_CENT
from billing.purchases import fulfilment, notices, postings, profiles, stripe_api
from billing.purchases.attempts import new_id
from billing.purchases.checkout import require_not_frozen
from billing.purchases.fees import dollars
from billing.purchases.postings import Parts
from billing.signals import credit_changed

SELF_SERVICE: Final = dt.timedelta(hours=24)
_KEYS_KEPT: Final = dt.timedelta(hours=23)  # Stripe forgets idempotency keys after a day
_PATIENCE: Final = dt.timedelta(minutes=2)
_SETTLE_WAIT_S: Final = 2.0

_log = logging.getLogger(__name__)


class NotRefundable(Exception):
    """What was asked for cannot be refunded; the text tells why. Nothing was moved."""


class Refundable(NamedTuple):
    """What a customer may have back now. ``until`` is when the day is over; ``reason`` says why it is nothing."""

    credit_cents: int
    until: dt.datetime | None
    reason: str = ""


def refundable(purchase: Purchase, *, now: dt.datetime | None = None) -> Refundable:
    """Return how much of a purchase its customer may have back without asking anybody."""
    if purchase.state != PurchaseState.PAID or purchase.paid_at is None:
        return Refundable(0, None, "It was not paid.")
    until = purchase.paid_at + SELF_SERVICE
    if (now or timezone.now()) >= until:
        return Refundable(0, until, "Refunds of unused credit end after 24 hours; write to support.")
    left = left_cents(purchase)
    if left <= 0:
        return Refundable(0, until, "It was refunded.")
    if PaymentProfile.objects.filter(organization=purchase.organization_id, frozen_at__isnull=False).exists():
        return Refundable(0, until, "A payment is disputed; refunds are on hold until that is settled.")
    if any(dispute.status == "lost" for dispute in purchase.disputes.all()):
        return Refundable(0, until, "The cardholder's bank has taken the money back already.")
    unused = max(0, _unused_nanos(purchase.organization)) // NANOS_PER_CENT
    return Refundable(min(left, unused), until, "" if unused else "The credit is spent.")


def ask(
    *,
    purchase: Purchase,
    by: User,
    credit_cents: int | None = None,
    reason: str = "",
    as_operator: bool = False,
    attempt: uuid.UUID | None = None,
) -> Refund:
    """Refund credit of a purchase: what is asked for, or all that may be had.

    ``attempt`` becomes the refund's id: asked again with it, the same refund is returned and nothing is moved.
    Raises: NotPermitted, NotRefundable, checkout.PurchasesFrozen, stripe_api.NotConfigured. When Stripe cannot be reached the refund
    stays on its way and is repeated by the sweeper.
    """
    _require_permitted(purchase, by, as_operator=as_operator)
    if attempt is not None and (known := Refund.objects.filter(pk=attempt, purchase=purchase).first()) is not None:
        return known
    stripe_api.require_configured()
    with suppress(ShardBusy, MoneyStoreDown):
        settlement.settle_shard(shard=purchase.organization.shard, wait_s=_SETTLE_WAIT_S)
    refund_id = attempt or new_id()
    refund, is_new = _take_credit(purchase, refund_id, by=by, credit_cents=credit_cents, reason=reason, as_operator=as_operator)
    if not is_new:
        return refund
    if not as_operator and queries.balance(purchase.organization).available_nanos < 0:
        # A request was held between the look and the posting: the credit was not unused after all.
        _give_back(refund, failure="The credit was spent meanwhile.")
        raise NotRefundable("The credit was spent meanwhile. Try again with less.")
    return _send(refund)


def apply(refund_id: str) -> Refund | None:
    """Bring a refund up to date with Stripe; one that was made at Stripe is taken into the books. None when it is not of a purchase."""
    told = stripe_api.read_refund(refund_id)
    refund = Refund.objects.filter(stripe_refund=told.id).first() or _find(told.refund)
    if refund is None:
        purchase = fulfilment.fulfil_payment(told.intent) if told.intent else None
        if purchase is None or purchase.state != PurchaseState.PAID or told.status in {"failed", "canceled"}:
            return None
        refund = _adopt(purchase, stripe_refund=told.id, total_cents=told.amount_cents)
    if refund.stripe_refund is None:
        Refund.objects.filter(pk=refund.pk, stripe_refund=None).update(stripe_refund=told.id)
    if told.status == "succeeded":
        _mark_succeeded(refund)
    elif told.status in {"failed", "canceled"}:
        _give_back(refund, failure=told.failure or "The bank did not take it.")
    refund.refresh_from_db()
    return refund


def apply_all(*, charge: str) -> int:
    """Bring every refund of a charge up to date."""
    intent = stripe_api.intent_of_charge(charge)
    told = stripe_api.list_refunds(intent=intent) if intent else []
    return sum(apply(one.id) is not None for one in told)


def sweep() -> int:
    """Ask again for refunds whose answer was lost. Return how many."""
    now = timezone.now()
    waiting = list(Refund.objects.filter(state=RefundState.ASKED, updated_at__lt=now - _PATIENCE).select_related("purchase__organization"))
    for refund in waiting:
        try:
            if refund.stripe_refund:
                apply(refund.stripe_refund)
            elif now - refund.created_at < _KEYS_KEPT:
                _send(refund)
            else:
                _look_up(refund)
        except (stripe_api.StripeDown, stripe_api.StripeRefused, NotRefundable) as error:
            _log.warning("refund %s is still on its way: %s", refund.pk, error)
    return len(waiting)


def _require_permitted(purchase: Purchase, by: User, *, as_operator: bool) -> None:
    if as_operator:
        if not (by.is_staff and by.is_active):
            raise NotPermitted("not permitted: refunds of operators")
        return
    permissions.require(by=by, organization=purchase.organization, action="credit.buy")


def _take_credit(
    purchase: Purchase, refund_id: uuid.UUID, *, by: User, credit_cents: int | None, reason: str, as_operator: bool
) -> tuple[Refund, bool]:
    """Take the credit and return (refund, True), or (refund, False) when this very refund was asked for before."""
    with transaction.atomic():
        locked = Purchase.objects.select_for_update(of=("self",)).select_related("organization").get(pk=purchase.pk)
        postings.lock_organization(locked.organization)
        if (known := Refund.objects.filter(pk=refund_id, purchase=locked).first()) is not None:
            return known, False
        if locked.state != PurchaseState.PAID:
            raise NotRefundable("It was not paid.")
        if not as_operator:
            require_not_frozen(profiles.ensure_profile(locked.organization))
        may = Refundable(left_cents(locked), None, "It was refunded.") if as_operator else refundable(locked)
        asked = may.credit_cents if credit_cents is None else credit_cents
        if may.credit_cents <= 0:
            raise NotRefundable(may.reason)
        if not 0 < asked <= may.credit_cents:
            msg = f"At most {dollars(may.credit_cents)} can be refunded."
            raise NotRefundable(msg)
        paid = locked.total_cents - locked.tax_cents
        tax = locked.tax_cents * asked // paid if paid else 0
        key = str(refund_id)
        postings.post_refund(
            organization=locked.organization, key=key, parts=Parts(asked, 0, 0, tax), memo=f"Refund of purchase {locked.pk}", by=by
        )
        Purchase.objects.filter(pk=locked.pk).update(refunded_cents=F("refunded_cents") + asked)
        refund = Refund.objects.create(
            id=refund_id,
            purchase=locked,
            state=RefundState.ASKED,
            credit_cents=asked,
            total_cents=asked + tax,
            group_id=group_id_of("refund", key),
            reason=reason[:200],
            asked_by=name_actor(by),
        )
        if as_operator:
            detail = {"purchase": str(locked.pk), "credit_cents": asked, "reason": refund.reason}
            record(organization_id=locked.organization_id, by=by, action="refund.asked", target=key, detail=detail)
        return refund, True


def _send(refund: Refund) -> Refund:
    purchase = refund.purchase
    try:
        told = stripe_api.create_refund(
            refund=str(refund.pk), intent=purchase.payment_intent or "", cents=refund.total_cents, idempotency_key=f"refund:{refund.pk}"
        )
    except stripe_api.StripeRefused as error:
        _give_back(refund, failure=str(error))
        raise NotRefundable(f"Stripe refused: {error}") from error
    except stripe_api.StripeDown as error:
        _log.warning("refund %s waits for Stripe: %s", refund.pk, error)
        return refund
    Refund.objects.filter(pk=refund.pk).update(stripe_refund=told.id)
    if told.status == "succeeded":
        _mark_succeeded(refund)
    elif told.status in {"failed", "canceled"}:
        _give_back(refund, failure=told.failure or "The bank did not take it.")
    refund.refresh_from_db()
    return refund


def _look_up(refund: Refund) -> None:
    """After a day the key is forgotten: ask what there is, and take the credit back only if there is nothing."""
    for told in stripe_api.list_refunds(intent=refund.purchase.payment_intent or ""):
        if told.refund == str(refund.pk):
            apply(told.id)
            return
    _give_back(refund, failure="Stripe has no such refund.")


def _mark_succeeded(refund: Refund) -> None:
    with transaction.atomic():
        moved = Refund.objects.filter(pk=refund.pk, state=RefundState.ASKED).update(state=RefundState.SUCCEEDED, updated_at=timezone.now())
        if moved:
            organization = refund.purchase.organization
            context = {
                "total_cents": refund.total_cents,
                "number": refund.purchase.receipt_number,
                "is_simulated": refund.purchase.is_simulated,
            }
            notices.write(organization=organization, kind="refunded", key=str(refund.pk), context=context)
            transaction.on_commit(lambda: credit_changed.send_robust(sender=Refund, organization_id=organization.pk))


def _give_back(refund: Refund, *, failure: str) -> None:
    with transaction.atomic():
        locked = Refund.objects.select_for_update(of=("self",)).select_related("purchase__organization").get(pk=refund.pk)
        if locked.state == RefundState.FAILED:
            return
        organization = locked.purchase.organization
        postings.lock_organization(organization)
        transfers.reverse(group_id=locked.group_id, reason=f"refund {locked.pk} failed: {failure}"[:500], by=None)
        Purchase.objects.filter(pk=locked.purchase_id).update(refunded_cents=F("refunded_cents") - locked.credit_cents)
        locked.state, locked.failure = RefundState.FAILED, failure[:200]
        locked.save(update_fields=["state", "failure", "updated_at"])
        transaction.on_commit(lambda: credit_changed.send_robust(sender=Refund, organization_id=organization.pk))


def _adopt(purchase: Purchase, *, stripe_refund: str, total_cents: int) -> Refund:
    """Take a refund that somebody made at Stripe into the books: credit first, then our fee, tax by its share."""
    with transaction.atomic():
        locked = Purchase.objects.select_for_update(of=("self",)).select_related("organization").get(pk=purchase.pk)
        postings.lock_organization(locked.organization)
        known = Refund.objects.filter(stripe_refund=stripe_refund).first()
        if known is not None:
            return known
        tax = locked.tax_cents * total_cents // locked.total_cents
        credit = min(total_cents - tax, locked.credit_cents - locked.refunded_cents)
        parts = Parts(credit, total_cents - tax - credit, 0, tax)
        postings.post_refund(
            organization=locked.organization, key=stripe_refund, parts=parts, memo=f"Refund of purchase {locked.pk}", by=None
        )
        Purchase.objects.filter(pk=locked.pk).update(refunded_cents=F("refunded_cents") + credit)
        return Refund.objects.create(
            id=new_id(),
            purchase=locked,
            stripe_refund=stripe_refund,
            state=RefundState.ASKED,
            credit_cents=credit,
            total_cents=total_cents,
            group_id=group_id_of("refund", stripe_refund),
            reason="made at Stripe",
            asked_by="system",
        )


def _find(refund_id: str) -> Refund | None:
    try:
        return Refund.objects.filter(pk=uuid.UUID(refund_id)).first()
    except ValueError:
        return None


def left_cents(purchase: Purchase) -> int:
    """Return what of the credit was paid for and not given back yet, spent or not."""
    paid_for = min(purchase.credit_cents, max(0, purchase.credit_cents + purchase.fee_cents - purchase.discount_cents))
    return paid_for - purchase.refunded_cents


def _unused_nanos(organization: Organization) -> int:
    """What is free to spend and was bought: granted credit is not money."""
    promo = Account.objects.filter(org=organization, code=AccountCode.CUSTOMER_PROMO).first()
    granted = max(0, promo.balance_nanos) if promo else 0
    return queries.balance(organization).available_nanos - granted
