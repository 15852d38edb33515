import re

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone

from accounts.models import AuditEvent
from billing.models import PaymentProfile, Purchase, Refund
from billing.purchases import disputes, refunds
from tests.factories.people import UserFactory

USD = 1_000_000_000
PURCHASES, PROFILES = "/operator/billing/purchase/", "/operator/billing/paymentprofile/"


def _browser(person):
    browser = Client()
    browser.force_login(person, backend="django.contrib.auth.backends.ModelBackend")
    return browser


@pytest.fixture
def operators(transactional_db):
    return _browser(UserFactory(is_staff=True, is_superuser=True))


def _act(browser, path, action, item):
    return browser.post(path, {"action": action, "_selected_action": str(item.pk)}, follow=True)


def test_an_operator_refunds_what_a_customer_cannot(buy, buyer, operators, books, stripe):
    purchase = buy(2_000)
    refunds.ask(purchase=purchase, by=buyer, credit_cents=500)
    Purchase.objects.update(paid_at=timezone.now() - refunds.SELF_SERVICE)

    page = _act(operators, PURCHASES, "refund_rest", purchase).content.decode()

    assert "$15 refunded." in page
    assert [sent["amount"] for sent in stripe.account.store.newest("refund")] == [1_500, 500]
    assert books()["customer_credit"] == 0
    assert "It was refunded." in _act(operators, PURCHASES, "refund_rest", purchase).content.decode()


def _part(operators, purchase, **fields):
    page = operators.post(PURCHASES, {"action": "refund_part", "_selected_action": str(purchase.pk)}).content.decode()
    attempt = re.search(r'name="attempt" value="([^"]*)"', page)[1]
    form = {"action": "refund_part", "_selected_action": str(purchase.pk), "apply": "Refund", "attempt": attempt, "reason": "Kind"}
    return form | fields


def test_an_operator_refunds_a_part_once_however_often_the_form_is_sent(buy, operators, books, stripe):
    purchase = buy(2_000)
    form = _part(operators, purchase, amount="5.25")

    pages = [operators.post(PURCHASES, form, follow=True).content.decode() for _ in range(2)]

    assert ["$5.25 refunded." in page for page in pages] == [True, True]
    assert [(refund.credit_cents, refund.reason) for refund in Refund.objects.all()] == [(525, "Kind")]
    assert [sent["amount"] for sent in stripe.account.store.newest("refund")] == [525]
    assert books()["customer_credit"] == 1_475 * USD // 100
    assert AuditEvent.objects.get(action="refund.asked").detail == {"purchase": str(purchase.pk), "credit_cents": 525, "reason": "Kind"}


@pytest.mark.parametrize("amount", ["", "0", "-5", "5.255", "20.01", "NaN", "1e3"])
def test_an_operators_amount_that_cannot_be_refunded_is_refused_on_the_form(buy, operators, books, amount):
    purchase = buy(2_000)
    before = books()

    answer = operators.post(PURCHASES, _part(operators, purchase, amount=amount))

    assert (answer.status_code, "errorlist" in answer.content.decode()) == (422, True)
    assert (Refund.objects.count(), books()) == (0, before)


def _sent_again(operators, form, page):
    attempt = re.search(r'name="attempt" value="([^"]*)"', page)[1]
    return operators.post(PURCHASES, form | {"attempt": attempt}, follow=True).content.decode()


def test_after_a_refusal_of_stripe_the_corrected_form_is_another_attempt(buy, operators, stripe):
    purchase = buy(2_000)
    form = _part(operators, purchase, amount="5.25")
    stripe.newest("charge")["disputed"] = True
    refused = operators.post(PURCHASES, form).content.decode()
    stripe.newest("charge")["disputed"] = False
    again = operators.post(PURCHASES, form).content.decode()  # the same page, sent twice

    assert "errorlist" in refused
    assert "errorlist" in again
    assert "$4 refunded." in _sent_again(operators, form | {"amount": "4"}, refused)
    assert sorted((refund.credit_cents, refund.state) for refund in Refund.objects.all()) == [(400, "succeeded"), (525, "failed")]


def test_a_part_is_of_one_purchase(buy, operators):
    chosen = [str(buy(2_000).pk), str(buy(2_000).pk)]

    page = operators.post(PURCHASES, {"action": "refund_part", "_selected_action": chosen}, follow=True).content.decode()

    assert "Choose one purchase" in page


def test_an_operator_asks_stripe_what_became_of_a_purchase(begin, operators, stripe):
    purchase = begin(2_000)
    stripe.pay(purchase.session)

    _act(operators, PURCHASES, "ask_stripe", purchase)

    purchase.refresh_from_db()
    assert purchase.state == "paid"


def test_an_operator_lets_an_organization_buy_again(buy, begin, operators, stripe):
    buy(2_000)
    opened = stripe.account.open_dispute(stripe.newest("charge")["id"])["id"]
    stripe.account.close_dispute(opened, won=False)
    disputes.apply(opened)

    _act(operators, PROFILES, "lift_freeze", PaymentProfile.objects.get())

    assert begin(2_000).state == "open"


def test_staff_who_may_only_look_and_everybody_else_change_nothing(buy, buyer):
    purchase = buy(2_000)
    looker = UserFactory(is_staff=True)
    looker.user_permissions.add(*Permission.objects.filter(codename__in=("view_purchase", "view_paymentprofile")))

    assert _browser(looker).get(PURCHASES).status_code == 200
    _act(_browser(looker), PURCHASES, "refund_rest", purchase)
    assert _browser(buyer).post(PURCHASES, {"action": "refund_rest", "_selected_action": str(purchase.pk)}).status_code in {302, 403}
    assert Refund.objects.count() == 0


@pytest.mark.parametrize("name", ["purchase", "refund", "dispute", "paymentprofile", "stripeevent"])
def test_every_table_can_be_read_and_no_row_edited(buy, buyer, operators, stripe, name):
    purchase = buy(2_000)
    refunds.ask(purchase=purchase, by=buyer, credit_cents=500)
    disputes.apply(stripe.account.open_dispute(stripe.newest("charge")["id"])["id"])

    assert operators.get(f"/operator/billing/{name}/").status_code == 200
    assert operators.get(f"/operator/billing/{name}/add/").status_code == 403
