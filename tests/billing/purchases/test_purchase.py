import itertools
import threading

import pytest
from django.core import mail
from django.db import connection

from accounts.permissions import NotPermitted
from billing import live, queries
from billing.books import invariants
from billing.models import BalanceChange, Notice, Purchase, StripeEvent, Transfer
from billing.purchases import checkout, fulfilment, inbox, notices, stripe_api
from billing.purchases.fees import BadAmount
from tests.factories.people import MembershipFactory, UserFactory

USD = 1_000_000_000
CENT = 10_000_000


def test_a_purchase_is_credited_with_its_fee_beside_it_and_reaches_the_live_balance(buy, organization, books):
    purchase = buy(2_000)

    # 21.10 paid; Stripe keeps 2.9 % and 30 cents of it.
    assert books() == {
        "stripe_clearing": (2_110 - 92) * CENT,
        "customer_credit": 20 * USD,
        "revenue_purchase_fee": 110 * CENT,
        "stripe_fees": 92 * CENT,
    }
    assert (purchase.state, purchase.number, purchase.paid_with) == ("paid", 1, "Visa ending in 4242")
    assert live.read_balance(org_id=organization.pk, shard=organization.shard).avail_nanos == 20 * USD
    assert queries.balance(organization).available_nanos == 20 * USD
    assert invariants.verify(shards=[organization.shard]) == []


def test_the_receipt_names_who_paid_and_is_mailed_once(buy):
    purchase = buy(2_000)

    notices.send(notice_id=Notice.objects.get().pk)
    notices.send(notice_id=Notice.objects.get().pk)

    assert purchase.billed_to == {"name": "Ada Payer", "address": "", "country": "US", "tax_id": "", "email": "payer@example.com"}
    assert [(sent.subject, sent.to) for sent in mail.outbox] == [("Tollway: Receipt TW-000001: $20 of credit", ["ada@example.com"])]
    assert f"/credits/purchases/{purchase.pk}/receipt.pdf" in mail.outbox[0].body
    assert "Paid: $21.10" in mail.outbox[0].body


def _news_of_one_payment(stripe):
    events = stripe.events("payment_intent.succeeded", "charge.succeeded", "checkout.session.completed")
    assert len(events) == 3
    return events


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_the_news_of_one_payment_in_any_order_and_doubled_give_one_credit(begin, stripe, deliver, books, order):
    purchase = begin(2_000)
    stripe.pay(purchase.session)
    events = _news_of_one_payment(stripe)

    for number in order:
        assert deliver(events[number], events[number]) == [200, 200]
        inbox.process_due()

    assert StripeEvent.objects.count() == 3
    assert books()["customer_credit"] == 20 * USD
    assert BalanceChange.objects.count() == 1


def test_the_page_that_checkout_returns_to_credits_before_any_webhook_and_again_changes_nothing(
    begin, stripe, organization, books, deliver
):
    purchase = begin(2_000)
    stripe.pay(purchase.session)

    for _ in range(3):
        assert fulfilment.fulfil_session(purchase.session, organization=organization).state == "paid"
    deliver(*stripe.events())
    inbox.process_due()

    assert books()["customer_credit"] == 20 * USD
    assert list(StripeEvent.objects.filter(processed_at=None)) == []


def test_a_session_of_another_organization_is_not_even_looked_at(begin, stripe, stranger):
    purchase = begin(2_000)
    stripe.pay(purchase.session)
    calls = len(stripe.calls)

    assert fulfilment.fulfil_session(purchase.session, organization=stranger.memberships.get().organization) is None
    assert len(stripe.calls) == calls


def test_eight_callers_at_once_credit_once_and_number_without_gaps(begin, stripe, books):
    purchases = [begin(1_000 + number) for number in range(2)]
    for purchase in purchases:
        stripe.pay(purchase.session)
    errors = []

    def ask(purchase):
        try:
            fulfilment.fulfil_session(purchase.session)
        except Exception as error:  # noqa: BLE001 -- the test asserts that there was none
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=ask, args=(purchases[number % 2],)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert books()["customer_credit"] == (1_000 + 1_001) * CENT
    assert sorted(Purchase.objects.values_list("number", flat=True)) == [1, 2]


def test_an_unpaid_an_expired_and_a_declined_checkout_give_nothing(begin, stripe, deliver, books):
    unpaid, expired, declined = begin(), begin(), begin()
    stripe.account.store.get("checkout.session", expired.session)["expires_at"] = 1
    assert stripe.pay(expired.session).status_code == 400
    assert stripe.pay(declined.session, card="4000 0000 0000 9995").status_code == 402

    deliver(*stripe.events())
    inbox.process_due()
    for purchase in (unpaid, expired, declined):
        fulfilment.fulfil_session(purchase.session)

    assert books() == {}
    assert set(Purchase.objects.values_list("state", flat=True)) == {"open", "expired"}


def test_a_declined_card_can_be_followed_by_a_good_one(begin, stripe, books):
    purchase = begin()
    stripe.pay(purchase.session, card="4000000000000002")
    stripe.pay(purchase.session)

    assert fulfilment.fulfil_session(purchase.session).state == "paid"
    assert books()["customer_credit"] == 20 * USD


def test_a_bank_transfer_is_credited_when_it_arrives(begin, stripe, deliver, books):
    purchase = begin()
    stripe.pay(purchase.session, method="bank")
    deliver(*stripe.events())
    inbox.process_due()
    purchase.refresh_from_db()
    assert (purchase.state, books()) == ("processing", {})

    session = stripe.account.store.get("checkout.session", purchase.session)
    from gateway.stripe_simulator import checkout as stripe_checkout  # noqa: PLC0415 -- Stripe's side, for once

    stripe_checkout.arrive(stripe.account, session, succeeded=True)
    deliver(*stripe.events("checkout.session.async_payment_succeeded"))
    inbox.process_due()

    purchase.refresh_from_db()
    assert (purchase.state, purchase.paid_with) == ("paid", "Bank transfer")
    assert books()["customer_credit"] == 20 * USD


def test_a_promotion_code_comes_off_the_fee_first_and_the_rest_is_our_promotion(begin, stripe, books):
    purchase = begin(2_000)

    stripe.pay(purchase.session, promotion_code="welcome10")

    paid = fulfilment.fulfil_session(purchase.session)
    assert (paid.discount_cents, paid.total_cents) == (211, 1_899)
    balances = books()
    assert balances["customer_credit"] == 20 * USD
    assert balances["promo_expense"] == 101 * CENT
    assert "revenue_purchase_fee" not in balances


def test_automatic_tax_is_owed_to_the_state_and_gives_no_credit(begin, stripe, books, settings):
    settings.STRIPE_AUTOMATIC_TAX = True
    purchase = begin(2_000)

    stripe.pay(purchase.session)

    assert fulfilment.fulfil_session(purchase.session).tax_cents == 211
    assert books()["tax_payable"] == 211 * CENT
    assert books()["customer_credit"] == 20 * USD


def test_amounts_that_are_not_the_ones_we_asked_for_are_held_for_review(begin, stripe, books):
    purchase = begin(2_000)
    session = stripe.account.store.get("checkout.session", purchase.session)
    session["simulated_lines"][0]["amount"] = 1
    session |= {"amount_subtotal": 111, "amount_total": 111}
    stripe.pay(purchase.session)

    assert fulfilment.fulfil_session(purchase.session).state == "review"
    assert Transfer.objects.filter(ref_kind="purchase").count() == 0


def test_a_payment_by_another_customer_is_held_for_review(begin, stripe):
    purchase = begin(2_000)
    stripe.pay(purchase.session)
    stripe.newest("payment_intent")["customer"] = "cus_somebody"

    assert fulfilment.fulfil_session(purchase.session).state == "review"


@pytest.mark.parametrize("credit_cents", [499, -2_000, 0, 2_500_001, 12.5])
def test_an_amount_out_of_bounds_is_refused_before_stripe_hears_of_it(begin, stripe, credit_cents):
    with pytest.raises(BadAmount):
        begin(credit_cents)

    assert stripe.calls == []
    assert Purchase.objects.count() == 0


def test_members_and_strangers_buy_nothing(stripe, organization):
    for person in (MembershipFactory(organization=organization).user, UserFactory()):
        with pytest.raises(NotPermitted):
            checkout.begin(organization=organization, by=person, credit_cents=2_000, success_url="http://a", cancel_url="http://b")

    assert stripe.calls == []


@pytest.mark.parametrize("fault", ["500_before", "500_after", "429", "409", "lost_before", "lost_after"])
def test_when_stripe_fails_the_purchase_is_marked_and_the_customer_may_try_again(begin, stripe, fault, books):
    stripe.fail("POST /v1/checkout/sessions", fault)
    with pytest.raises(stripe_api.StripeDown):
        begin()

    again = begin()
    stripe.pay(again.session)

    assert fulfilment.fulfil_session(again.session).state == "paid"
    assert list(Purchase.objects.order_by("pk").values_list("state", flat=True)) == ["failed", "paid"]
    assert len(stripe.account.store.newest("customer")) == 1
    assert books()["customer_credit"] == 20 * USD


def test_a_customer_whose_making_was_answered_into_the_void_is_not_made_twice(begin, stripe):
    stripe.fail("POST /v1/customers", "lost_after")
    with pytest.raises(stripe_api.StripeDown):
        begin()

    begin()

    assert len(stripe.account.store.newest("customer")) == 1


def test_the_sweep_finds_what_no_webhook_told(begin, stripe, books):
    purchase = begin()
    stripe.pay(purchase.session)
    Purchase.objects.update(updated_at="2020-01-01T00:00:00Z")

    assert fulfilment.sweep() == 1
    assert fulfilment.sweep() == 0
    assert books()["customer_credit"] == 20 * USD
