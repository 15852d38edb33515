"""The pages of one purchase: waiting for the payment, the receipt, refunds; and the list of all."""

import datetime as dt
import re
import uuid
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from django.core import mail
from django.db.models import F
from django.test import Client
from django.utils import timezone
from pypdf import PdfReader

from accounts.models import Organization, User
from billing.models import Notice, Purchase, Refund, Transfer
from billing.purchases import notices
from tests.factories.people import MembershipFactory
from tests.fakes.stripe import FakeStripe
from tests.pages.shop import browser, buying_form, purchase, refund_form, stripe, stripe_server

__all__ = ["browser", "purchase", "stripe", "stripe_server"]
AsPerson = Callable[[User], Client]


def test_the_page_that_checkout_returns_to_credits_at_once(browser: Client, stripe: FakeStripe) -> None:
    browser.post("/credits/buy", buying_form(browser))
    begun = Purchase.objects.get()
    Purchase.objects.update(updated_at=timezone.now() - dt.timedelta(seconds=5))
    stripe.pay(begun.session)

    page = browser.get(f"/credits/purchases/{begun.pk}").content.decode()

    assert "<strong>Paid.</strong>" in page
    assert "hx-trigger" not in page.partition("<main")[2]
    assert browser.get("/credits").context["composition"].bought_nanos == 20_000_000_000


def test_the_link_in_the_receipt_mail_downloads_the_receipt(browser: Client, purchase: Purchase, settings: Any) -> None:
    Notice.objects.update(created_at=timezone.now() - dt.timedelta(minutes=1))
    notices.send_waiting()
    link = re.search(r"The receipt as PDF: (\S+)", mail.outbox[0].body)[1]  # type: ignore[index]
    assert link.startswith(settings.PUBLIC_URL)

    answer = browser.get(link.removeprefix(settings.PUBLIC_URL))

    assert (answer.status_code, answer["Content-Type"]) == (200, "application/pdf")
    assert answer["Content-Disposition"] == 'attachment; filename="tw-000001.pdf"'
    assert "no-store" in answer["Cache-Control"]
    assert "TW-000001" in PdfReader(BytesIO(answer.content)).pages[0].extract_text()
    assert "in a simulation" in mail.outbox[0].body


def test_what_is_not_paid_has_no_receipt(browser: Client, stripe: FakeStripe) -> None:
    browser.post("/credits/buy", buying_form(browser))

    assert browser.get(f"/credits/purchases/{Purchase.objects.get().pk}/receipt.pdf").status_code == 404


def test_a_waiting_page_asks_again_and_stripe_hears_of_it_every_two_seconds_at_most(browser: Client, stripe: FakeStripe) -> None:
    browser.post("/credits/buy", buying_form(browser))
    path = f"/credits/purchases/{Purchase.objects.get().pk}"
    Purchase.objects.update(updated_at=timezone.now() - dt.timedelta(seconds=5))
    calls = len(stripe.calls)

    pages = [browser.get(f"{path}/state").content.decode() for _ in range(3)]

    assert all(f'hx-get="{path}/state"' in page and "Waiting for the payment" in page for page in pages)
    assert len(stripe.calls) == calls + 1


def test_when_stripe_does_not_answer_a_waiting_page_leaves_it_alone_for_a_while(browser: Client, stripe: FakeStripe) -> None:
    browser.post("/credits/buy", buying_form(browser))
    purchase = Purchase.objects.get()
    Purchase.objects.update(updated_at=timezone.now() - dt.timedelta(seconds=5))
    calls = len(stripe.calls)
    stripe.fail(f"GET /v1/checkout/sessions/{purchase.session}", "500_before")

    pages = [browser.get(f"/credits/purchases/{purchase.pk}/state") for _ in range(3)]
    Purchase.objects.update(updated_at=F("updated_at") - dt.timedelta(seconds=3))  # not yet
    pages.append(browser.get(f"/credits/purchases/{purchase.pk}/state"))

    assert [page.status_code for page in pages] == [200] * 4
    assert len(stripe.calls) == calls + 1
    Purchase.objects.update(updated_at=F("updated_at") - dt.timedelta(seconds=20))
    browser.get(f"/credits/purchases/{purchase.pk}/state")
    assert len(stripe.calls) == calls + 2


def test_strangers_find_no_purchase_and_visitors_are_asked_to_log_in(
    purchase: Purchase, stranger: User, as_person: AsPerson, client: Client
) -> None:
    path = f"/credits/purchases/{purchase.pk}"
    paths = [path, f"{path}/state", f"{path}/refund", f"{path}/receipt.pdf"]

    assert [as_person(stranger).get(one).status_code for one in paths] == [404] * 4
    assert [as_person(stranger).post(one).status_code for one in (f"{path}/refund", f"{path}/resume")] == [404] * 2
    assert str(purchase.pk) not in as_person(stranger).get("/credits/purchases").content.decode()
    assert [client.get(one).status_code for one in ["/credits", *paths]] == [302] * 5
    assert as_person(stranger).get(f"/credits/purchases/{uuid.uuid4()}").status_code == 404


def test_unused_credit_is_sent_back_once_however_often_the_form_is_sent(browser: Client, purchase: Purchase, stripe: FakeStripe) -> None:
    form = refund_form(browser, purchase, "5")

    for _ in range(3):
        assert browser.post(f"/credits/purchases/{purchase.pk}/refund", form)["Location"] == f"/credits/purchases/{purchase.pk}"

    assert [refund["amount"] for refund in stripe.account.store.newest("refund")] == [500]
    assert browser.get("/credits").context["composition"].bought_nanos == 15_000_000_000
    assert "Partly refunded" in browser.get("/credits").content.decode()


@pytest.mark.parametrize(
    ("amount", "refusal"),
    [
        ("20.01", (409, "At most $20 can be refunded.")),
        ("-5", (409, "At most $20 can be refunded.")),
        ("0", (409, "At most $20 can be refunded.")),
        ("0.005", (422, "at most two decimals")),
        ("all", (422, "Write an amount of dollars")),
    ],
)
def test_a_bad_refund_is_refused_and_nothing_is_moved(
    browser: Client, purchase: Purchase, stripe: FakeStripe, amount: str, refusal: tuple[int, str]
) -> None:
    booked = Transfer.objects.count()

    answer = browser.post(f"/credits/purchases/{purchase.pk}/refund", refund_form(browser, purchase, amount))

    assert (answer.status_code, refusal[1] in answer.content.decode()) == (refusal[0], True)
    assert (stripe.account.store.newest("refund"), Transfer.objects.count()) == ([], booked)


def test_after_a_day_the_page_says_whom_to_ask(browser: Client, purchase: Purchase) -> None:
    form = refund_form(browser, purchase, "5")
    Purchase.objects.update(paid_at=timezone.now() - dt.timedelta(hours=24))

    answer = browser.post(f"/credits/purchases/{purchase.pk}/refund", form)

    assert (answer.status_code, "end after 24 hours" in answer.content.decode()) == (409, True)
    assert Refund.objects.count() == 0


def test_an_unpaid_purchase_leads_back_to_checkout_until_it_is_closed(browser: Client, stripe: FakeStripe) -> None:
    browser.post("/credits/buy", buying_form(browser))
    begun = Purchase.objects.get()
    url = stripe.newest("checkout.session")["url"]

    assert browser.post(f"/credits/purchases/{begun.pk}/resume")["Location"] == url

    stripe.pay(begun.session)
    assert browser.post(f"/credits/purchases/{begun.pk}/resume")["Location"] == f"/credits/purchases/{begun.pk}"


def test_purchases_are_listed_a_page_at_a_time(browser: Client, organization: Organization, stripe: FakeStripe) -> None:
    made = [
        Purchase.objects.create(
            id=uuid.UUID(int=number),
            organization=organization,
            kind="checkout",
            state="expired",
            credit_cents=500,
            fee_cents=80,
            asked_by="a",
        )
        for number in range(1, 28)
    ]
    MembershipFactory()

    first = browser.get("/credits/purchases")
    second = browser.get("/credits/purchases", {"before": first.context["next"]})

    assert [len(page.context["rows"]) for page in (first, second)] == [25, 2]
    assert [row.purchase.pk for row in second.context["rows"]] == [made[1].pk, made[0].pk]
    assert second.context["next"] is None
    assert browser.get("/credits/purchases", {"before": "x"}).status_code == 404
