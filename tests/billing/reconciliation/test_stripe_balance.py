"""Stripe's movements beside the clearing account: to the cent, or an item in suspense that names exactly what is off."""

import datetime as dt

import pytest
from django.utils import timezone

from billing.books import transfers
from billing.books.chart import AccountCode, AccountKey, TransferCode
from billing.books.transfers import Leg
from billing.models import Account, Reconciliation, SuspenseItem
from billing.money import NANOS_PER_CENT
from billing.proof import watch
from billing.purchases import inbox, stripe_api
from billing.reconciliation import invariants, stripe_balance


def _soon():
    return timezone.now() + dt.timedelta(hours=2)  # everything so far is older than the grace


def _compare() -> Reconciliation:
    return stripe_balance.reconcile(now=_soon())


def _open():
    return [(item.subject.split(" ")[0], item.booked_nanos // NANOS_PER_CENT, item.billed_nanos // NANOS_PER_CENT)
            for item in SuspenseItem.objects.filter(closed_at=None).order_by("pk")]  # fmt: skip


def _balance_cents(code):
    return sum(account.balance_nanos for account in Account.objects.filter(code=code)) // NANOS_PER_CENT


def _assert_clearing_is_stripes_balance():
    assert stripe_balance.clearing_nanos() == stripe_api.read_balance_cents() * NANOS_PER_CENT
    assert list(invariants.suspense_is_cleared()) == []


def test_purchases_their_fees_and_a_payout_are_booked_to_the_cent(buy, stripe):
    buy(2_000)
    buy(5_000)
    made = _compare()
    assert (made.off_count, made.booked_nanos) == (0, made.billed_nanos)
    assert made.line_count == 2
    _assert_clearing_is_stripes_balance()

    before = _balance_cents(AccountCode.STRIPE_CLEARING)
    stripe.simulator.account.pay_out()
    made = _compare()

    assert (made.line_count, made.off_count) == (3, 0)
    assert (_balance_cents(AccountCode.BANK), _balance_cents(AccountCode.STRIPE_CLEARING)) == (before, 0)
    _assert_clearing_is_stripes_balance()
    assert list(invariants.stripe_agrees()) == []


def test_a_movement_that_nobody_booked_stands_in_suspense_until_its_event_comes(begin, stripe, deliver):
    purchase = begin(2_000)
    before = len(stripe.events())
    stripe.pay(purchase.session)

    assert _compare().off_count == 1
    [(kind, booked, billed)] = _open()
    assert (kind, booked) == ("charge", 0)
    assert _balance_cents(AccountCode.SUSPENSE) == -billed  # grows on debit: we owe an explanation
    _assert_clearing_is_stripes_balance()
    assert [one.invariant for one in invariants.stripe_agrees()] == ["I9"]

    deliver(*stripe.events()[before:])
    inbox.process_due()
    assert _compare().off_count == 0

    assert _open() == []
    assert _balance_cents(AccountCode.SUSPENSE) == 0
    _assert_clearing_is_stripes_balance()


def test_a_booked_payment_that_stripe_does_not_know_is_named(buy, organization):
    buy(2_000)
    legs = [Leg(AccountKey(AccountCode.STRIPE_CLEARING), AccountKey(AccountCode.CUSTOMER_CREDIT, organization.pk), 700 * NANOS_PER_CENT)]
    extra = transfers.post(kind="purchase", key="pi_made_up", legs=legs, code=TransferCode.PURCHASE, by=None, organization=organization)

    _compare()

    assert _open() == [("purchase", 700, 0)]
    _assert_clearing_is_stripes_balance()
    transfers.reverse(group_id=extra.id, reason="never happened", by=None)


def test_an_amount_that_stripe_tells_otherwise_is_named_alone(buy, stripe):
    buy(2_000)
    buy(5_000)
    line = stripe.simulator.account.store.newest("balance_transaction")[0]
    stripe.simulator.account.store.put(line | {"amount": line["amount"] + 1, "net": line["net"] + 1})

    assert _compare().off_count == 1

    [(kind, booked, billed)] = _open()
    assert (kind, billed - booked) == ("charge", 1)


def test_what_happened_within_the_hour_is_no_difference_yet(begin, stripe):
    stripe.pay(begin(2_000).session)

    assert stripe_balance.reconcile().line_count == 0
    assert _open() == []


def test_comparing_again_changes_nothing(buy, stripe):
    buy(2_000)
    stripe.simulator.account.pay_out()
    _compare()
    before = {account.pk: (account.debits_nanos, account.credits_nanos) for account in Account.objects.all()}

    _compare()

    assert {account.pk: (account.debits_nanos, account.credits_nanos) for account in Account.objects.all()} == before


def test_an_item_older_than_three_days_breaks_i12(begin, stripe, settings):
    settings.OPERATOR_EMAILS = ["operator@example.com"]
    stripe.pay(begin(2_000).session)
    _compare()
    assert list(invariants.suspense_is_cleared()) == []
    SuspenseItem.objects.update(opened_at=timezone.now() - dt.timedelta(days=4))

    assert [one.invariant for one in watch.check("I12")] == ["I12"]


@pytest.mark.usefixtures("stripe", "organization")
def test_without_any_movement_everything_agrees():
    assert _compare().line_count == 0
    assert list(invariants.stripe_agrees()) == []
