import datetime as dt
import itertools
import threading

import pytest
from django.db import connection
from django.utils import timezone

from accounts.permissions import NotPermitted
from billing import live, queries
from billing.books import invariants, settlement, transfers
from billing.models import Notice, Purchase, Refund, StripeEvent
from billing.purchases import attempts, fulfilment, inbox, refunds, stripe_api
from billing.purchases.refunds import NotRefundable
from tests.billing import plane
from tests.factories.people import MembershipFactory, UserFactory

USD = 1_000_000_000
CENT = 10_000_000
LATER = dt.timedelta(minutes=5)


@pytest.fixture
def spend(organization):
    """Return what spends credit as requests do."""
    plane.put_key(organization.shard)

    def spend_nanos(nanos):
        plane.spend(organization, nanos)
        settlement.settle_shard(shard=organization.shard)

    return spend_nanos


@pytest.fixture
def available(organization):
    """Return what tells the live balance, which must be the booked one."""

    def read():
        assert invariants.verify(shards=[organization.shard]) == []
        return live.read_balance(org_id=organization.pk, shard=organization.shard).avail_nanos

    return read


def test_a_part_is_taken_from_the_credit_and_its_money_sent_back(buy, buyer, stripe, books, available):
    purchase = buy(2_000)

    refund = refunds.ask(purchase=purchase, by=buyer, credit_cents=500)

    assert (refund.state, refund.credit_cents, refund.total_cents) == ("succeeded", 500, 500)
    assert [(sent["amount"], sent["metadata"]) for sent in stripe.account.store.newest("refund")] == [(500, {"refund": str(refund.pk)})]
    # The fee is kept: 21.10 paid, of which 0.92 went to Stripe, 5 back to the card.
    assert books() == {
        "stripe_clearing": (2_110 - 92 - 500) * CENT,
        "customer_credit": 15 * USD,
        "revenue_purchase_fee": 110 * CENT,
        "stripe_fees": 92 * CENT,
    }
    assert available() == 15 * USD
    assert Notice.objects.filter(kind="refunded").count() == 1


def test_parts_add_up_to_the_whole_and_then_there_is_nothing_left(buy, buyer, stripe, books):
    purchase = buy(2_000)

    for cents in (500, 1_499, None):
        refunds.ask(purchase=purchase, by=buyer, credit_cents=cents)
        purchase.refresh_from_db()

    assert (purchase.refunded_cents, purchase.state) == (2_000, "paid")
    assert [sent["amount"] for sent in stripe.account.store.newest("refund")] == [1, 1_499, 500]
    assert "customer_credit" not in {name for name, nanos in books().items() if nanos}
    with pytest.raises(NotRefundable, match="It was refunded"):
        refunds.ask(purchase=purchase, by=buyer, credit_cents=1)


def test_only_what_is_unused_is_refunded(buy, buyer, spend, stripe, available):
    purchase = buy(2_000)
    spend(5 * USD + 1)

    with pytest.raises(NotRefundable, match=r"At most \$14.99 can be refunded"):
        refunds.ask(purchase=purchase, by=buyer, credit_cents=1_500)
    assert (stripe.account.store.newest("refund"), Refund.objects.count()) == ([], 0)

    assert refunds.ask(purchase=purchase, by=buyer).credit_cents == 1_499
    assert available() == CENT - 1


def test_what_is_held_for_running_requests_is_not_unused(buy, buyer, organization, stripe):
    purchase = buy(2_000)
    plane.put_key(organization.shard)
    assert plane.reserve(organization, plane.new_id(), 15 * USD) == "OK"

    assert refunds.refundable(purchase).credit_cents == 500
    with pytest.raises(NotRefundable):
        refunds.ask(purchase=purchase, by=buyer, credit_cents=501)
    assert stripe.account.store.newest("refund") == []


def test_granted_credit_is_never_paid_out(buy, buyer, organization, spend):
    purchase = buy(2_000)
    transfers.grant(organization=organization, amount_nanos=10 * USD, reason="welcome", idempotency_key="one", by=None, promo=True)
    assert refunds.refundable(purchase).credit_cents == 2_000

    spend(12 * USD)  # ten of the grant, two of what was bought

    assert refunds.refundable(purchase).credit_cents == 1_800


@pytest.mark.parametrize("cents", [0, -1, -2_000, 2_001, 10**12])
def test_nothing_negative_and_nothing_beyond_the_purchase_is_refunded(buy, buyer, stripe, books, cents):
    purchase = buy(2_000)
    before = books()

    with pytest.raises(NotRefundable, match=r"At most \$20 can be refunded"):
        refunds.ask(purchase=purchase, by=buyer, credit_cents=cents)

    assert (stripe.account.store.newest("refund"), Refund.objects.count(), books()) == ([], 0, before)


def _at_once(count, work):
    """Run ``work(number)`` in threads at once and return what each returned or raised."""
    outcomes = [None] * count
    barrier = threading.Barrier(count)

    def run(number):
        barrier.wait()
        try:
            outcomes[number] = work(number)
        except Exception as error:  # noqa: BLE001 -- the outcome
            outcomes[number] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def test_of_refunds_at_once_that_exceed_the_credit_together_only_as_many_succeed_as_there_is_credit_for(buy, buyer, stripe, available):
    purchase = buy(2_000)

    outcomes = _at_once(6, lambda _: refunds.ask(purchase=Purchase.objects.get(pk=purchase.pk), by=buyer, credit_cents=900))

    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["NotRefundable"] * 4 + ["Refund"] * 2
    assert [sent["amount"] for sent in stripe.account.store.newest("refund")] == [900, 900]
    assert available() == 2 * USD


def test_the_same_page_sent_six_times_at_once_refunds_once(buy, buyer, stripe, available):
    purchase, attempt = buy(2_000), attempts.new_id()

    outcomes = _at_once(
        6, lambda _: refunds.ask(purchase=Purchase.objects.get(pk=purchase.pk), by=buyer, credit_cents=300, attempt=attempt)
    )

    assert {outcome.pk for outcome in outcomes} == {attempt}
    assert [sent["amount"] for sent in stripe.account.store.newest("refund")] == [300]
    assert available() == 17 * USD


def test_spending_and_refunding_at_once_never_gives_both(buy, buyer, organization, stripe, available):
    purchase = buy(2_000)
    plane.put_key(organization.shard)

    def work(number):
        if number % 2:
            return plane.reserve(organization, plane.new_id(), 15 * USD)
        return refunds.ask(purchase=Purchase.objects.get(pk=purchase.pk), by=buyer, credit_cents=1_500)

    outcomes = _at_once(2, work)

    refunded = sum(sent["amount"] for sent in stripe.account.store.newest("refund")) * CENT
    held = 15 * USD * outcomes.count("OK")
    assert refunded + held <= 20 * USD
    assert available() == 20 * USD - refunded - held


@pytest.mark.parametrize("order", list(itertools.permutations(range(2))))
def test_the_news_of_a_refund_in_any_order_and_doubled_change_nothing_more(*, buy, buyer, stripe, deliver, books, order):
    purchase = buy(2_000)
    refunds.ask(purchase=purchase, by=buyer, credit_cents=500)
    before = books()
    events = stripe.events("refund.created", "charge.refunded")
    assert len(events) == 2

    for number in order:
        deliver(events[number], events[number])
        inbox.process_due()

    assert books() == before
    assert (Refund.objects.count(), Notice.objects.filter(kind="refunded").count()) == (1, 1)
    assert StripeEvent.objects.filter(processed_at=None).count() == 0


def test_a_refund_that_the_bank_does_not_take_gives_the_credit_back(*, buy, buyer, deliver, stripe, books, available):
    purchase = buy(2_000, card="4000000000005126")

    refund = refunds.ask(purchase=purchase, by=buyer, credit_cents=500)
    before = len(stripe.events("refund.failed"))
    deliver(*stripe.events("refund.created", "refund.failed"))
    inbox.process_due()

    refund.refresh_from_db()
    purchase.refresh_from_db()
    assert before == 1
    assert (refund.state, refund.failure, purchase.refunded_cents) == ("failed", "expired or canceled card", 0)
    assert available() == 20 * USD
    assert books()["stripe_clearing"] == (2_110 - 92) * CENT


def test_a_refund_that_stripe_refuses_gives_the_credit_back_at_once(buy, buyer, stripe, available):
    purchase = buy(2_000)
    stripe.newest("charge")["disputed"] = True

    with pytest.raises(NotRefundable, match="Stripe refused"):
        refunds.ask(purchase=purchase, by=buyer, credit_cents=500)

    assert Refund.objects.get().state == "failed"
    assert available() == 20 * USD


@pytest.mark.parametrize("fault", ["lost_before", "lost_after", "429", "409"])
def test_a_lost_answer_leaves_the_refund_on_its_way_and_the_sweep_completes_it_once(buy, buyer, stripe, available, fault):
    purchase = buy(2_000)
    stripe.fail("POST /v1/refunds", fault)

    refund = refunds.ask(purchase=purchase, by=buyer, credit_cents=500)
    assert (refund.state, available()) == ("asked", 15 * USD)
    Refund.objects.update(updated_at=timezone.now() - LATER)
    assert refunds.sweep() == 1

    refund.refresh_from_db()
    assert (refund.state, len(stripe.account.store.newest("refund")), available()) == ("succeeded", 1, 15 * USD)


@pytest.mark.parametrize(("fault", "exists"), [("lost_after", True), ("500_after", True), ("lost_before", False), ("500_before", False)])
def test_after_a_day_stripe_is_asked_what_there_is_instead_of_asking_for_it_again(*, buy, buyer, stripe, available, fault, exists):
    purchase = buy(2_000)
    stripe.fail("POST /v1/refunds", fault)
    refund = refunds.ask(purchase=purchase, by=buyer, credit_cents=500)
    Refund.objects.update(updated_at=timezone.now() - LATER, created_at=timezone.now() - dt.timedelta(hours=24))
    calls = stripe.calls.count("POST /v1/refunds")

    refunds.sweep()

    refund.refresh_from_db()
    assert (refund.state, available()) == (("succeeded", 15 * USD) if exists else ("failed", 20 * USD))
    assert stripe.calls.count("POST /v1/refunds") == calls


def test_a_refund_made_at_stripe_is_taken_into_the_books_once_its_fee_last(buy, stripe, deliver, books, available):
    purchase = buy(2_000)
    stripe.account.refund(stripe.newest("charge"), None, metadata={}, reason=None)

    for _ in range(2):
        deliver(*stripe.events("refund.created", "charge.refunded"))
        inbox.process_due()
        inbox.catch_up()
        inbox.process_due()

    purchase.refresh_from_db()
    assert (purchase.refunded_cents, Refund.objects.get().total_cents) == (2_000, 2_110)
    balances = books()
    assert (balances["customer_credit"], balances["revenue_purchase_fee"], balances["stripe_clearing"]) == (0, 0, -92 * CENT)
    assert available() == 0


def test_tax_goes_back_with_the_credit_it_was_paid_for(buy, buyer, stripe, books, settings):
    settings.STRIPE_AUTOMATIC_TAX = True
    purchase = buy(2_000)  # 20.00 credit, 1.10 fee, 2.11 tax

    refund = refunds.ask(purchase=purchase, by=buyer)

    assert (refund.credit_cents, refund.total_cents) == (2_000, 2_200)
    assert books()["tax_payable"] == 11 * CENT
    assert stripe.newest("refund")["amount"] == 2_200


def test_what_a_promotion_paid_for_is_not_refunded(buy, buyer, stripe):
    purchase = buy(2_000, promotion_code="WELCOME10")  # 18.99 paid

    assert refunds.refundable(purchase).credit_cents == 1_899
    assert refunds.ask(purchase=purchase, by=buyer).total_cents == 1_899
    assert stripe.newest("charge")["refunded"] is True


def test_after_a_day_only_an_operator_refunds_and_spent_credit_becomes_a_debt(buy, buyer, spend, organization, books):
    operator = UserFactory(is_staff=True)
    purchase = buy(2_000)
    spend(8 * USD)
    Purchase.objects.update(paid_at=timezone.now() - dt.timedelta(hours=24))
    purchase.refresh_from_db()
    with pytest.raises(NotRefundable, match="end after 24 hours"):
        refunds.ask(purchase=purchase, by=buyer)
    with pytest.raises(NotPermitted):
        refunds.ask(purchase=purchase, by=buyer, as_operator=True)

    refunds.ask(purchase=purchase, by=operator, as_operator=True, reason="goodwill")

    assert books()["customer_debt"] == 8 * USD
    assert queries.balance(organization).available_nanos == -8 * USD


def test_a_debt_is_paid_first_out_of_the_next_purchase(buy, spend, organization, books):
    purchase = buy(2_000)
    spend(8 * USD)
    refunds.ask(purchase=purchase, by=UserFactory(is_staff=True), as_operator=True)

    buy(1_000)

    assert (books()["customer_debt"], books()["customer_credit"]) == (0, 2 * USD)
    assert queries.balance(organization).available_nanos == 2 * USD
    assert invariants.verify(shards=[organization.shard]) == []


def test_members_and_strangers_refund_nothing(buy, stripe, organization):
    purchase = buy(2_000)

    for person in (MembershipFactory(organization=organization).user, UserFactory()):
        with pytest.raises(NotPermitted):
            refunds.ask(purchase=purchase, by=person, credit_cents=500)

    assert (stripe.account.store.newest("refund"), Refund.objects.count()) == ([], 0)


def test_what_was_not_paid_is_not_refunded(begin, buyer, stripe):
    with pytest.raises(NotRefundable, match="It was not paid"):
        refunds.ask(purchase=begin(2_000), by=buyer)

    assert "POST /v1/refunds" not in stripe.calls


def test_without_a_key_nothing_is_taken(buy, buyer, settings, available):
    purchase = buy(2_000)
    settings.STRIPE_SECRET_KEY = ""

    with pytest.raises(stripe_api.NotConfigured):
        refunds.ask(purchase=purchase, by=buyer, credit_cents=500)

    assert available() == 20 * USD


def test_a_refund_before_its_purchase_was_heard_of_credits_first(begin, stripe, deliver, books, available):
    purchase = begin(2_000)
    stripe.pay(purchase.session)
    stripe.account.refund(stripe.newest("charge"), 500, metadata={}, reason=None)

    deliver(*stripe.events("refund.created"))
    inbox.process_due()

    assert available() == 15 * USD
    assert fulfilment.fulfil_session(purchase.session).refunded_cents == 500
    assert books()["customer_credit"] == 15 * USD
