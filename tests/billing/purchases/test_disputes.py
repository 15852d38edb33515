import itertools

import pytest

from accounts.permissions import NotPermitted
from billing import live, queries
from billing.books import invariants, settlement
from billing.models import Dispute, Notice, PaymentProfile, StripeEvent
from billing.purchases import checkout, disputes, inbox, refunds
from billing.purchases.checkout import PurchasesFrozen
from tests.billing import plane
from tests.factories.people import UserFactory

USD = 1_000_000_000
CENT = 10_000_000
PAID = {"stripe_clearing": (2_110 - 92) * CENT, "customer_credit": 20 * USD, "revenue_purchase_fee": 110 * CENT, "stripe_fees": 92 * CENT}
# The bank took 21.10 and Stripe 15 for its trouble.
TAKEN = {
    **PAID, "stripe_clearing": (2_110 - 92 - 2_110 - 1_500) * CENT, "customer_credit": 0, "dispute_fees": 1_500 * CENT,
    "stripe_disputed": 110 * CENT,
}  # fmt: skip
WON = {**PAID, "stripe_clearing": (2_110 - 92 - 1_500) * CENT, "dispute_fees": 1_500 * CENT, "stripe_disputed": 0}
LOST = {**TAKEN, "stripe_disputed": 0, "revenue_purchase_fee": 0}


@pytest.fixture
def dispute(stripe):
    """Return what makes a cardholder dispute the latest charge, and returns the dispute's id."""
    return lambda **how: stripe.account.open_dispute(stripe.newest("charge")["id"], **how)["id"]


@pytest.fixture
def hear(stripe, deliver):
    """Return what delivers every event of disputes so far, each twice, in an order, and looks into them."""

    def deliver_all(order=None):
        events = [event for event in stripe.events() if event["type"].startswith("charge.dispute.")]
        for number in order or range(len(events)):
            deliver(events[number], events[number])
            inbox.process_due()
        return len(events)

    return deliver_all


@pytest.fixture
def is_frozen(organization):
    return lambda: PaymentProfile.objects.get(organization=organization).frozen_at is not None


def test_an_open_dispute_takes_the_credit_freezes_the_account_and_is_told_once(*, buy, dispute, hear, books, is_frozen, organization):
    buy(2_000)
    dispute()

    hear()
    hear()

    assert books() == TAKEN
    assert is_frozen()
    assert queries.balance(organization).available_nanos == 0
    assert live.read_balance(org_id=organization.pk, shard=organization.shard).avail_nanos == 0
    assert Notice.objects.filter(kind="dispute_opened").count() == 1
    assert invariants.verify(shards=[organization.shard]) == []


def test_while_it_lasts_nothing_is_bought_and_nothing_refunded(*, buy, buyer, dispute, hear, begin, stripe):
    first, second = buy(2_000), buy(1_000)
    dispute()
    hear()
    calls = len(stripe.calls)

    with pytest.raises(PurchasesFrozen):
        begin(2_000)
    for purchase in (first, second):
        with pytest.raises(PurchasesFrozen):
            refunds.ask(purchase=purchase, by=buyer, credit_cents=100)
    with pytest.raises(PurchasesFrozen):
        checkout.begin_card_setup(organization=first.organization, by=buyer, success_url="http://a", cancel_url="http://b")

    assert stripe.account.store.newest("refund") == []
    assert len(stripe.calls) == calls


@pytest.mark.parametrize("order", list(itertools.permutations(range(4)))[::5])  # each of the four comes first at least once
def test_a_won_dispute_gives_everything_back_but_its_fee_in_any_order_of_news(*, buy, stripe, dispute, hear, books, is_frozen, order):
    buy(2_000)
    stripe.account.close_dispute(dispute(), won=True)

    assert hear(order) == 4

    assert books() == WON
    assert not is_frozen()
    assert Dispute.objects.get().status == "won"


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_a_lost_dispute_keeps_the_freeze_and_costs_us_our_fee_in_any_order_of_news(*, buy, stripe, dispute, hear, books, is_frozen, order):
    buy(2_000)
    stripe.account.close_dispute(dispute(), won=False)

    assert hear(order) == 3

    assert books() == LOST
    assert is_frozen()
    assert Notice.objects.filter(kind="dispute_closed").count() == 1


@pytest.mark.parametrize("is_won", [True, False])
def test_each_step_as_it_happens_moves_money_with_its_balance_transaction_only(*, buy, stripe, dispute, hear, books, is_frozen, is_won):
    buy(2_000)
    opened = dispute()
    hear()
    assert (books(), is_frozen()) == (TAKEN, True)

    stripe.account.close_dispute(opened, won=is_won)
    hear()
    hear()

    assert (books(), is_frozen()) == ((WON, False) if is_won else (LOST, True))


def test_news_that_a_dispute_was_won_moves_nothing_before_the_money_has_moved(*, buy, stripe, dispute, hear, books, is_frozen):
    buy(2_000)
    found = stripe.account.store.get("dispute", dispute())
    found["status"] = "won"  # decided, the money is still on its way

    hear()

    assert books() == TAKEN
    found["balance_transactions"].append(
        stripe.account._line(2_110, 0, source=found["id"], type_="adjustment", category="dispute_reversal")
    )
    disputes.apply(found["id"])
    assert books() == WON


def test_an_inquiry_moves_and_freezes_nothing(*, buy, buyer, stripe, dispute, hear, books, is_frozen):
    purchase = buy(2_000)
    opened = dispute(is_inquiry=True)
    hear()
    assert (books(), is_frozen(), Dispute.objects.get().is_open) == (PAID, False, True)
    assert refunds.ask(purchase=purchase, by=buyer, credit_cents=100).state == "succeeded"

    stripe.account.close_dispute(opened, won=True)
    hear()

    assert (is_frozen(), Dispute.objects.get().is_open) == (False, False)


def test_credit_that_was_spent_becomes_a_debt_and_is_forgiven_when_the_dispute_is_won(*, buy, stripe, dispute, hear, books, organization):
    plane.put_key(organization.shard)
    buy(2_000)
    plane.spend(organization, 15 * USD)
    opened = dispute()
    hear()
    assert (books()["customer_debt"], books()["customer_credit"]) == (15 * USD, 0)
    assert queries.balance(organization).available_nanos == -15 * USD

    stripe.account.close_dispute(opened, won=True)
    hear()

    assert (books()["customer_debt"], books()["customer_credit"]) == (0, 5 * USD)
    settlement.settle_shard(shard=organization.shard)
    assert invariants.verify(shards=[organization.shard]) == []


def test_what_was_refunded_before_is_not_taken_again(*, buy, buyer, stripe, dispute, hear, books):
    purchase = buy(2_000)
    refunds.ask(purchase=purchase, by=buyer, credit_cents=1_500)

    dispute()
    hear()

    assert (books().get("customer_debt", 0), books()["customer_credit"]) == (0, 0)
    assert Dispute.objects.get().credit_cents == 500


def test_a_dispute_before_its_purchase_was_heard_of_credits_first(begin, stripe, hear, books, is_frozen):
    purchase = begin(2_000)
    stripe.pay(purchase.session, card="4000000000000259")

    hear()

    purchase.refresh_from_db()
    assert (purchase.state, books(), is_frozen()) == ("paid", TAKEN, True)


def test_news_of_a_dispute_that_never_came_are_swept_up(buy, stripe, dispute, books, is_frozen):
    buy(2_000)
    stripe.account.close_dispute(dispute(), won=False)

    assert inbox.catch_up() == 4  # the three of the dispute, and that of the customer's making
    inbox.process_due()

    assert (books(), is_frozen()) == (LOST, True)
    assert StripeEvent.objects.filter(processed_at=None).count() == 0


def test_with_two_disputes_the_freeze_ends_with_the_last(buy, stripe, hear, is_frozen):
    buy(2_000)
    first = stripe.account.open_dispute(stripe.newest("charge")["id"])["id"]
    hear()
    PaymentProfile.objects.update(frozen_at=None)  # an operator let it buy
    buy(1_000)
    second = stripe.account.open_dispute(stripe.newest("charge")["id"])["id"]
    hear()
    assert is_frozen()

    stripe.account.close_dispute(first, won=True)
    hear()
    assert is_frozen()
    stripe.account.close_dispute(second, won=True)
    hear()
    assert not is_frozen()


def test_only_an_operator_lifts_the_freeze_after_a_lost_dispute(*, buy, buyer, stripe, dispute, hear, begin, is_frozen, organization):
    buy(2_000)
    stripe.account.close_dispute(dispute(), won=False)
    hear()
    for person in (buyer, UserFactory(is_staff=True, is_active=False)):
        with pytest.raises(NotPermitted):
            disputes.lift_freeze(organization=organization, by=person)
    assert is_frozen()

    disputes.lift_freeze(organization=organization, by=UserFactory(is_staff=True))

    hear()  # old news again
    assert begin(2_000).state == "open"


def test_a_purchase_that_was_charged_back_is_not_refunded_too(buy, buyer, stripe, dispute, hear):
    purchase = buy(2_000)
    stripe.account.close_dispute(dispute(), won=False)
    hear()
    assert refunds.refundable(purchase).reason == "A payment is disputed; refunds are on hold until that is settled."
    disputes.lift_freeze(organization=purchase.organization, by=UserFactory(is_staff=True))
    buy(1_000)  # credit that is unused, of another purchase

    with pytest.raises(refunds.NotRefundable, match="has taken the money back already"):
        refunds.ask(purchase=purchase, by=buyer, credit_cents=100)
    assert stripe.account.store.newest("refund") == []


def test_a_dispute_of_what_is_not_ours_is_left_alone(stripe, organization, deliver, books):
    from gateway.stripe_simulator import objects  # noqa: PLC0415 -- Stripe's side, for once

    intent = stripe.account.store.put(
        objects.make_payment_intent(500, customer=None, metadata={}, description=None, setup_future_usage=None)
    )
    charge = stripe.account.settle(intent, None)
    stripe.account.open_dispute(charge["id"])

    deliver(*stripe.events())
    inbox.process_due()

    assert (books(), Dispute.objects.count()) == ({}, 0)
