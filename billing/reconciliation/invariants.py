"""The invariants that need the bills of others: I9 Stripe, I10 providers, I12 the suspense account."""

import datetime as dt
from collections.abc import Iterator
from typing import Final

from django.db.models import QuerySet, Sum
from django.utils import timezone

from billing.books.chart import AccountCode
from billing.books.difference import Difference
from billing.models import Account, SuspenseItem
from billing.money import NANOS_PER_CENT
from billing.purchases import stripe_api
from billing.reconciliation import stripe_balance, suspense

AGE_MAX: Final = dt.timedelta(days=3)


def stripe_agrees() -> Iterator[Difference]:
    """I9: each movement at Stripe is booked to the cent, and its balance is our clearing account. Nothing to say without Stripe."""
    yield from _items(_open().filter(source=suspense.STRIPE), "I9")
    if stripe_api.is_configured():
        try:
            told_nanos = stripe_api.read_balance_cents() * NANOS_PER_CENT
        except stripe_api.StripeDown:
            return
        booked_nanos = stripe_balance.clearing_nanos()
        if told_nanos != booked_nanos:
            yield Difference("I9", "the balance at Stripe against the clearing account", booked_nanos, told_nanos)


def bills_agree() -> Iterator[Difference]:
    """I10: what providers bill is what the books say, within the tolerance."""
    yield from _items(_open().exclude(source=suspense.STRIPE), "I10")


def suspense_is_cleared() -> Iterator[Difference]:
    """I12: nothing stays in suspense for more than three days, and the account holds what its open items say."""
    yield from _items(_open().filter(opened_at__lt=timezone.now() - AGE_MAX), "I12")
    sums = Account.objects.filter(code=AccountCode.SUSPENSE).aggregate(
        debits=Sum("debits_nanos", default=0), credits=Sum("credits_nanos", default=0)
    )
    held_nanos = int(sums["credits"] - sums["debits"])
    expected_nanos = sum(item.off_nanos for item in _open().filter(source=suspense.STRIPE))
    if held_nanos != expected_nanos:
        yield Difference("I12", "the suspense account against its open items", expected_nanos, held_nanos)


def _open() -> QuerySet[SuspenseItem]:
    return SuspenseItem.objects.filter(closed_at=None).order_by("pk")


def _items(items: QuerySet[SuspenseItem], name: str) -> Iterator[Difference]:
    for item in items:
        yield Difference(name, f"{item.source}: {item.subject}", item.booked_nanos, item.billed_nanos)
