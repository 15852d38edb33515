"""Reads of purchases, all scoped to one organization. None of them asks Stripe."""

import uuid
from collections.abc import Sequence
from typing import NamedTuple

from django.db.models import Prefetch, QuerySet

from accounts.models import Organization
from billing import queries
from billing.books.chart import AccountCode
from billing.models import Account, Dispute, PaymentProfile, Purchase, Refund


class Composition(NamedTuple):
    """What a balance is made of, nanos: bought + granted - owed = available + held.

    Grants and debts are as booked; usage of the last second that is not booked yet counts as bought credit.
    """

    available_nanos: int
    held_nanos: int
    bought_nanos: int
    granted_nanos: int
    owed_nanos: int


def composition(organization: Organization) -> Composition:
    """Return the balance and its parts. Granted credit is spent first."""
    balance = queries.balance(organization)
    found = Account.objects.filter(org=organization, code__in=(AccountCode.CUSTOMER_PROMO, AccountCode.CUSTOMER_DEBT))
    booked = {account.code: account.balance_nanos for account in found}
    granted, owed = max(0, booked.get(AccountCode.CUSTOMER_PROMO, 0)), max(0, booked.get(AccountCode.CUSTOMER_DEBT, 0))
    return Composition(balance.available_nanos, balance.held_nanos, balance.remaining_nanos - granted + owed, granted, owed)


def purchase(organization: Organization, purchase_id: uuid.UUID) -> Purchase | None:
    """Return one purchase with its refunds, or None when the organization has no such purchase."""
    return _purchases(organization).filter(pk=purchase_id).first()


def purchases(organization: Organization, *, limit: int, before: uuid.UUID | None = None) -> Sequence[Purchase]:
    """Return purchases with their refunds, newest first; ``before`` goes on after the last of a page."""
    found = _purchases(organization).order_by("-pk")
    return list((found if before is None else found.filter(pk__lt=before))[:limit])


def profile(organization: Organization) -> PaymentProfile:
    """Return the payment profile; an unsaved empty one before the first purchase."""
    return PaymentProfile.objects.filter(organization=organization).first() or PaymentProfile(organization=organization)


def open_disputes(organization: Organization) -> Sequence[Dispute]:
    """Return disputes that are not decided yet, newest first."""
    return list(Dispute.objects.filter(purchase__organization=organization, is_open=True).select_related("purchase").order_by("-pk"))


def _purchases(organization: Organization) -> QuerySet[Purchase]:
    refunds = Prefetch("refunds", queryset=Refund.objects.order_by("pk"))
    return Purchase.objects.filter(organization=organization).select_related("organization").prefetch_related(refunds, "disputes")
