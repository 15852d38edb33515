"""What purchases, refunds and disputes move in the books. Each group once, by Stripe's id of what moved the money.

An organization that owes (after a dispute or a refund of credit that was spent) pays that first out of whatever credits it. All need a
transaction that holds ``lock_organization``.
"""

from collections.abc import Sequence
from typing import NamedTuple

from django.db import connection
from django.db.models import Sum

from accounts.audit import Actor
from accounts.models import Organization
from billing.books import transfers
from billing.books.chart import AccountCode, AccountKey, TransferCode
from billing.books.ledger import group_id_of
from billing.books.transfers import Leg, TransferGroup
from billing.models import Account, Transfer
from billing.money import NANOS_PER_CENT
from billing.purchases.shapes import BalanceLine

_CLEARING = AccountKey(AccountCode.STRIPE_CLEARING)
_DISPUTED = AccountKey(AccountCode.STRIPE_DISPUTED)
_FEE = AccountKey(AccountCode.REVENUE_PURCHASE_FEE)
_TAX = AccountKey(AccountCode.TAX_PAYABLE)
_PROMO_EXPENSE = AccountKey(AccountCode.PROMO_EXPENSE)
_STRIPE_FEES = AccountKey(AccountCode.STRIPE_FEES)
_DISPUTE_FEES = AccountKey(AccountCode.DISPUTE_FEES)
_LOCK_SPACE = 0x70757263  # 'purc': our advisory locks, one per organization


class Parts(NamedTuple):
    """How a payment is divided, cents."""

    credit: int
    fee: int
    discount: int
    tax: int


def lock_organization(organization: Organization) -> None:
    """Let nobody else credit or take credit by purchases until the transaction ends: what is owed must not change meanwhile."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [_LOCK_SPACE, organization.pk % 2**31])


def post_payment(*, organization: Organization, key: str, parts: Parts, memo: str, by: Actor) -> TransferGroup:
    """Credit what was paid for. A discount comes off our fee first; what it takes of the credit is our promotion."""
    cash_credit = min(parts.credit, max(0, parts.credit + parts.fee - parts.discount))
    fee = parts.credit + parts.fee - parts.discount - cash_credit
    legs = [
        *_credit(organization, _CLEARING, cash_credit * NANOS_PER_CENT, owed=debt_nanos(organization)),
        Leg(_CLEARING, _FEE, fee * NANOS_PER_CENT),
        Leg(_CLEARING, _TAX, parts.tax * NANOS_PER_CENT),
        Leg(_PROMO_EXPENSE, _of(AccountCode.CUSTOMER_CREDIT, organization), (parts.credit - cash_credit) * NANOS_PER_CENT),
    ]
    return _post("purchase", key, legs, TransferCode.PURCHASE, organization, memo=memo, by=by)


def post_stripe_fee(line: BalanceLine) -> None:
    """Book what Stripe kept of a payment."""
    if line.fee_cents:
        leg = Leg(_STRIPE_FEES, _CLEARING, line.fee_cents * NANOS_PER_CENT)
        _post("stripe_fee", line.id, [leg], TransferCode.STRIPE_FEE, None, memo="Stripe's fee", by=None)


def post_refund(*, organization: Organization, key: str, parts: Parts, memo: str, by: Actor) -> TransferGroup:
    """Take credit back, and the money for it from what Stripe owes us. What was spent already becomes a debt."""
    legs = [
        *_take(organization, _CLEARING, parts.credit * NANOS_PER_CENT),
        Leg(_FEE, _CLEARING, parts.fee * NANOS_PER_CENT),
        Leg(_TAX, _CLEARING, parts.tax * NANOS_PER_CENT),
    ]
    return _post("refund", key, legs, TransferCode.REFUND, organization, memo=memo, by=by)


def post_withdrawal(*, organization: Organization, line: BalanceLine, credit_cents: int, memo: str) -> bool:
    """A bank took money for a dispute: it and the dispute's fee leave clearing, and the customer's credit for it is taken.

    False when it was posted before.
    """
    if _is_posted("dispute", line.id):
        return False
    legs = [
        Leg(_DISPUTED, _CLEARING, -line.amount_cents * NANOS_PER_CENT),
        Leg(_DISPUTE_FEES, _CLEARING, line.fee_cents * NANOS_PER_CENT),
        *_take(organization, _DISPUTED, credit_cents * NANOS_PER_CENT),
    ]
    _post("dispute", line.id, legs, TransferCode.DISPUTE, organization, memo=memo, by=None)
    return True


def post_reinstatement(*, organization: Organization, line: BalanceLine, credit_cents: int, memo: str) -> None:
    """The bank gave the money back, so the customer gets the credit back."""
    if _is_posted("dispute", line.id):
        return
    legs = [
        Leg(_CLEARING, _DISPUTED, line.amount_cents * NANOS_PER_CENT),
        Leg(_DISPUTE_FEES, _CLEARING, line.fee_cents * NANOS_PER_CENT),
        *_credit(organization, _DISPUTED, credit_cents * NANOS_PER_CENT, owed=debt_nanos(organization)),
    ]
    _post("dispute", line.id, legs, TransferCode.DISPUTE, organization, memo=memo, by=None)


def post_loss(*, organization: Organization, key: str, fee_cents: int, tax_cents: int, memo: str) -> None:
    """A dispute is lost: our fee and the tax inside the payment were never earned."""
    legs = [Leg(_FEE, _DISPUTED, fee_cents * NANOS_PER_CENT), Leg(_TAX, _DISPUTED, tax_cents * NANOS_PER_CENT)]
    if any(leg.amount_nanos for leg in legs):
        _post("dispute_lost", key, legs, TransferCode.DISPUTE, organization, memo=memo, by=None)


def debt_nanos(organization: Organization) -> int:
    """Return what the organization owes us, nanos."""
    return -_balance_nanos(organization, AccountCode.CUSTOMER_DEBT)


def _credit(organization: Organization, source: AccountKey, nanos: int, *, owed: int) -> list[Leg]:
    repaid = min(nanos, max(0, owed))
    return [
        Leg(source, _of(AccountCode.CUSTOMER_DEBT, organization), repaid),
        Leg(source, _of(AccountCode.CUSTOMER_CREDIT, organization), nanos - repaid),
    ]


def _take(organization: Organization, target: AccountKey, nanos: int) -> list[Leg]:
    there = min(nanos, max(0, _balance_nanos(organization, AccountCode.CUSTOMER_CREDIT)))
    return [
        Leg(_of(AccountCode.CUSTOMER_CREDIT, organization), target, there),
        Leg(_of(AccountCode.CUSTOMER_DEBT, organization), target, nanos - there),
    ]


def _post(
    kind: str, key: str, legs: Sequence[Leg], code: TransferCode, organization: Organization | None, *, memo: str, by: Actor
) -> TransferGroup:
    moving = [leg for leg in legs if leg.amount_nanos]
    return transfers.post(kind=kind, key=key, legs=moving, code=code, by=by, organization=organization, memo=memo)


def _is_posted(kind: str, key: str) -> bool:
    # What is owed has changed since, so the legs of a repeat would differ.
    return Transfer.objects.filter(group_id=group_id_of(kind, key)).exists()


def _of(code: AccountCode, organization: Organization) -> AccountKey:
    return AccountKey(code, organization.pk)


def _balance_nanos(organization: Organization, code: AccountCode) -> int:
    sums = Account.objects.filter(org=organization, code=code).aggregate(
        credits=Sum("credits_nanos", default=0), debits=Sum("debits_nanos", default=0)
    )
    return int(sums["credits"] - sums["debits"])
