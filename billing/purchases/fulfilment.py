"""Give the credit that was paid for. Called by webhooks, by the page that Checkout returns to and by the sweeper, in any order and any
number of times: what Stripe says at this moment decides, and a purchase is credited once.
"""

import datetime as dt
import logging
import uuid

from django.db import connection, transaction
from django.db.models import Max
from django.utils import timezone

from accounts.models import Organization
from billing.models import PaymentProfile, Purchase, PurchaseKind, PurchaseState
from billing.purchases import auto_failures, notices, postings, profiles, stripe_api
from billing.purchases.postings import Parts
from billing.purchases.shapes import BilledTo, CheckoutSession, Payment
from billing.signals import credit_changed

_NUMBER_LOCK = 0x72656370  # 'recp'
_PAID = ("paid", "no_payment_required")
# Open purchases are asked about again after this; Checkout Sessions end by themselves after a day.
_STALE = dt.timedelta(minutes=10)
_FORGOTTEN = dt.timedelta(days=7)
# A page that waits asks again and again; Stripe is asked no more often than this.
_ASK_EVERY = dt.timedelta(seconds=2)
# … and when it did not answer, not for a while: each look would keep a page waiting.
_ASK_AFTER_TROUBLE = dt.timedelta(seconds=20)

_log = logging.getLogger(__name__)


def fulfil_session(session_id: str, *, organization: Organization | None = None) -> Purchase | None:
    """Bring the purchase of a Checkout Session up to date and return it; None when it is not one of ours.

    With ``organization``, only a purchase of that organization is looked at. Raises: StripeDown, StripeRefused.
    """
    if organization is not None and not Purchase.objects.filter(session=session_id, organization=organization).exists():
        return None
    session = stripe_api.read_checkout(session_id)
    if session.mode == "setup":
        if session.status == "complete" and session.customer:
            profiles.refresh_card(stripe_customer=session.customer)
        return None
    purchase = _find(session.purchase)
    return None if purchase is None else _apply_session(purchase, session)


def fulfil_payment(intent_id: str) -> Purchase | None:
    """Bring the purchase of a payment up to date and return it; None when it is not one of ours. Raises: StripeDown, StripeRefused."""
    payment = stripe_api.read_payment(intent_id)
    purchase = _find(payment.purchase)
    if purchase is None:
        return None
    if purchase.kind == PurchaseKind.AUTO:
        return apply_payment(purchase, payment)
    session_id = purchase.session or stripe_api.find_checkout(intent=intent_id)
    return fulfil_session(session_id) if session_id else purchase


def fulfil_charge(charge_id: str) -> Purchase | None:
    """The same by the id of a charge."""
    intent = stripe_api.intent_of_charge(charge_id)
    return fulfil_payment(intent) if intent else None


def apply_payment(purchase: Purchase, payment: Payment) -> Purchase:
    """Bring a purchase with a saved card up to date."""
    # The tax was written down before the card was charged, perhaps after the caller had read the purchase.
    purchase.refresh_from_db(fields=["tax_cents", "discount_cents"])
    expected = purchase.total_cents
    if payment.status != "succeeded":
        return _note_unpaid(purchase, payment)
    return _credit(
        purchase, payment=payment, parts=_parts(purchase), paid_cents=payment.received_cents, expected_cents=expected, billed=BilledTo()
    )


def refresh(purchase: Purchase) -> Purchase:
    """Bring a purchase that is looked at up to date, asking Stripe every two seconds at most.

    When Stripe is away the purchase stays as it is, and Stripe is left alone for a while.
    """
    unsettled = purchase.state in {PurchaseState.OPEN, PurchaseState.PROCESSING} and purchase.session
    now = timezone.now()
    if not unsettled or not Purchase.objects.filter(pk=purchase.pk, updated_at__lt=now - _ASK_EVERY).update(updated_at=now):
        return purchase
    try:
        return fulfil_session(purchase.session or "", organization=purchase.organization) or purchase
    except (stripe_api.StripeDown, stripe_api.StripeRefused) as error:
        _log.warning("purchase %s could not be asked about: %s", purchase.pk, error)
        Purchase.objects.filter(pk=purchase.pk).update(updated_at=timezone.now() + _ASK_AFTER_TROUBLE - _ASK_EVERY)
        return purchase


def sweep(*, limit: int = 200) -> int:
    """Ask Stripe about purchases that have been unsettled for a while. Return how many."""
    now = timezone.now()
    waiting = Purchase.objects.filter(
        state__in=[PurchaseState.OPEN, PurchaseState.PROCESSING],
        session__isnull=False,
        updated_at__lt=now - _STALE,
        created_at__gt=now - _FORGOTTEN,
    )
    asked = 0
    for purchase in waiting.order_by("updated_at")[:limit]:
        Purchase.objects.filter(pk=purchase.pk).update(updated_at=now)  # so that the next sweep begins with others
        try:
            fulfil_session(purchase.session or "")
        except (stripe_api.StripeDown, stripe_api.StripeRefused) as error:
            _log.warning("purchase %s could not be asked about: %s", purchase.pk, error)
        asked += 1
    return asked


def _find(purchase_id: str) -> Purchase | None:
    try:
        return Purchase.objects.select_related("organization").filter(pk=uuid.UUID(purchase_id)).first()
    except ValueError:
        return None


def _parts(purchase: Purchase) -> Parts:
    return Parts(credit=purchase.credit_cents, fee=purchase.fee_cents, discount=purchase.discount_cents, tax=purchase.tax_cents)


def _apply_session(purchase: Purchase, session: CheckoutSession) -> Purchase:
    if session.status == "expired":
        return _set_unpaid(purchase, PurchaseState.EXPIRED, "")
    if session.status != "complete" or session.payment_status not in _PAID:
        if session.status == "complete" and session.payment is not None:
            return _note_unpaid(purchase, session.payment)
        return purchase
    parts = Parts(purchase.credit_cents, purchase.fee_cents, session.discount_cents, session.tax_cents)
    paid = session.payment.received_cents if session.payment else 0
    if session.subtotal_cents != purchase.credit_cents + purchase.fee_cents:
        paid = -1  # the lines are not the ones we asked for
    return _credit(
        purchase,
        payment=session.payment,
        parts=parts,
        paid_cents=paid,
        expected_cents=session.total_cents,
        billed=session.billed_to,
        session=session,
    )


def _note_unpaid(purchase: Purchase, payment: Payment) -> Purchase:
    match payment.status:
        case "processing":
            return _set_unpaid(purchase, PurchaseState.PROCESSING, "")
        case "canceled":
            return _set_unpaid(purchase, PurchaseState.FAILED, "The payment was cancelled.")
        case "requires_payment_method" | "requires_action" if purchase.kind == PurchaseKind.AUTO:
            if not payment.failure and not payment.wants_owner:
                return purchase  # made, and not tried yet
            return auto_failures.note(purchase, wants_owner=payment.wants_owner, message=payment.failure)
        case "requires_payment_method":
            return _set_unpaid(purchase, PurchaseState.FAILED, payment.failure or "The payment did not arrive.")
        case _:
            return purchase


def _set_unpaid(purchase: Purchase, state: PurchaseState, failure: str) -> Purchase:
    """Note a state other than paid. What was paid stays paid."""
    Purchase.objects.filter(pk=purchase.pk).exclude(state=PurchaseState.PAID).update(
        state=state, failure=failure[:200], updated_at=timezone.now()
    )
    purchase.refresh_from_db()
    return purchase


def _credit(
    purchase: Purchase,
    *,
    payment: Payment | None,
    parts: Parts,
    paid_cents: int,
    expected_cents: int,
    billed: BilledTo,
    session: CheckoutSession | None = None,
) -> Purchase:
    organization = purchase.organization
    profile = profiles.ensure_profile(organization)
    with transaction.atomic():
        locked = Purchase.objects.select_for_update(of=("self",)).select_related("organization").get(pk=purchase.pk)
        postings.lock_organization(organization)
        if payment is not None and payment.line is not None:
            postings.post_stripe_fee(payment.line)
        if locked.state == PurchaseState.PAID:
            return locked
        wrong = _difference(profile, payment=payment, session=session, parts=parts, paid_cents=paid_cents, expected_cents=expected_cents)
        if wrong:
            _log.error("purchase %s is not credited: %s", locked.pk, wrong)
            Purchase.objects.filter(pk=locked.pk).update(state=PurchaseState.REVIEW, failure=wrong[:200])
            locked.refresh_from_db()
            return locked
        postings.post_payment(
            organization=organization,
            key=payment.id if payment else (session.id if session else str(locked.pk)),
            parts=parts,
            memo=f"Purchase {locked.pk}",
            by=None,
        )
        _mark_paid(locked, payment=payment, parts=parts, billed_to=profiles.billed_to(profile, billed))
        if locked.kind == PurchaseKind.AUTO:
            auto_failures.clear(profile)
        notices.write(organization=organization, kind="receipt", key=str(locked.pk), context=_receipt_context(locked))
        transaction.on_commit(lambda: credit_changed.send_robust(sender=Purchase, organization_id=organization.pk))
    if payment is not None and payment.saves_card and payment.card is not None:
        profiles.keep_card(profile=profile, card=payment.card)
    return locked


def _difference(
    profile: PaymentProfile,
    *,
    payment: Payment | None,
    session: CheckoutSession | None,
    parts: Parts,
    paid_cents: int,
    expected_cents: int,
) -> str:
    """Return what Stripe says otherwise than we do, '' when all agrees."""
    currency = payment.currency if payment else session.currency if session else ""
    customer = payment.customer if payment else session.customer if session else ""
    total = parts.credit + parts.fee - parts.discount + parts.tax
    if currency != "usd":
        return f"paid in {currency!r}"
    if customer != (profile.stripe_customer or ""):
        return "paid by another customer"
    if not paid_cents == expected_cents == total:
        return f"paid {paid_cents} cents, Checkout asked for {expected_cents}, we for {total}"
    return ""


def _mark_paid(purchase: Purchase, *, payment: Payment | None, parts: Parts, billed_to: dict[str, str]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_NUMBER_LOCK])  # receipts are numbered without gaps
    latest = Purchase.objects.aggregate(latest=Max("number"))["latest"] or 0
    purchase.state = PurchaseState.PAID
    purchase.number = latest + 1
    purchase.paid_at = timezone.now()
    purchase.discount_cents, purchase.tax_cents = parts.discount, parts.tax
    purchase.billed_to = billed_to
    purchase.failure = ""
    if payment is not None:
        purchase.payment_intent, purchase.charge = payment.id, payment.charge
        purchase.paid_with = payment.card.label if payment.card else "Bank transfer"
    else:
        purchase.paid_with = "Promotion code"
    purchase.save()


def _receipt_context(purchase: Purchase) -> dict[str, object]:
    return {
        "purchase": str(purchase.pk),
        "number": purchase.receipt_number,
        "credit_cents": purchase.credit_cents,
        "total_cents": purchase.total_cents,
        "is_auto": purchase.kind == PurchaseKind.AUTO,
        "is_simulated": purchase.is_simulated,
    }
