"""The pages that sell credit: what they show, whom they let buy, and what they refuse with nothing booked."""

import re
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.core import signing
from django.test import Client

from accounts.models import Organization, User
from billing.books import transfers
from billing.models import PaymentProfile, Purchase, Refund
from billing.purchases import disputes
from tests.fakes.stripe import FakeStripe
from tests.pages.shop import browser, buying_form, purchase, refund_form, stripe, stripe_server

__all__ = ["browser", "purchase", "stripe", "stripe_server"]
AsPerson = Callable[[User], Client]
HOST = {"headers": {"Host": "localhost"}}


def test_fee_and_total_are_shown_before_anything_is_paid(browser: Client, stripe: FakeStripe) -> None:
    page = browser.get("/credits", {"amount": "$1,000.50"})

    quote = page.context["quote"]
    assert (quote.credit_cents, quote.fee_cents, quote.total_cents) == (100_050, 5_503, 105_553)
    assert "5.5 %, at least $0.80" in re.sub(r"<[^>]+>", "", page.content.decode())
    assert "$1,055.53" in page.content.decode()
    assert stripe.calls == []


def test_buying_leads_to_checkout_and_back_to_the_purchase(browser: Client, stripe: FakeStripe) -> None:
    answer = browser.post("/credits/buy", buying_form(browser))

    begun = Purchase.objects.get()
    session = stripe.newest("checkout.session")
    assert (answer.status_code, answer["Location"]) == (302, session["url"])
    assert session["success_url"] == f"http://testserver/credits/purchases/{begun.pk}"
    assert session["cancel_url"] == "http://testserver/credits?amount=20"
    assert [(line["name"], line["amount"]) for line in session["simulated_lines"]] == [
        ("Credit for models", 2_000),
        ("Processing fee", 110),
    ]


def test_customers_come_back_to_the_host_they_came_by(browser: Client, stripe: FakeStripe, settings: Any) -> None:
    settings.PUBLIC_URL, settings.ALLOWED_HOSTS = "https://tollway.example", ["*"]

    for host in ("tollway.example", "lab.local:8000"):
        browser.post("/credits/portal", headers={"Host": host})

    sessions = stripe.account.store.newest("billing_portal.session")
    assert [one["return_url"] for one in sessions] == [
        "http://lab.local:8000/credits/card/return",
        "https://tollway.example/credits/card/return",
    ]


def test_the_balance_tells_what_was_bought_and_what_was_granted(browser: Client, organization: Organization, purchase: Purchase) -> None:
    transfers.grant(organization=organization, amount_nanos=5_000_000_000, reason="welcome", idempotency_key="one", by=None, promo=True)

    parts = browser.get("/credits").context["composition"]

    assert parts == (25_000_000_000, 0, 20_000_000_000, 5_000_000_000, 0)


@pytest.mark.parametrize(
    ("amount", "message"),
    [
        ("4.99", "Choose an amount from $5 to $25,000."),
        ("25000.01", "Choose an amount from $5 to $25,000."),
        ("-20", "Choose an amount from $5 to $25,000."),
        ("0", "Choose an amount from $5 to $25,000."),
        ("20.005", "at most two decimals"),
        ("twenty", "Write an amount of dollars"),
        ("", "Write an amount of dollars"),
        ("1e9999", "Write an amount of dollars"),
        ("2\x000", "Write an amount of dollars"),
    ],
)
def test_a_bad_amount_is_refused_at_its_field_and_nothing_is_begun(browser: Client, stripe: FakeStripe, amount: str, message: str) -> None:
    answer = browser.post("/credits/buy", buying_form(browser) | {"amount": amount})

    assert answer.status_code == 422
    assert message in answer.content.decode()
    assert 'aria-invalid="true"' in answer.content.decode()
    assert message in browser.get("/credits/quote", {"amount": amount}).content.decode()
    assert (stripe.calls, Purchase.objects.count()) == ([], 0)


@pytest.mark.parametrize("total", ["2109", "1", "", "-1", "21.10", None])
def test_a_total_that_was_edited_or_is_old_is_shown_anew_before_anything_is_begun(
    browser: Client, stripe: FakeStripe, total: str | None
) -> None:
    form = buying_form(browser) | ({} if total is None else {"total": total})
    if total is None:
        del form["total"]

    answer = browser.post("/credits/buy", form)

    assert answer.status_code == 422
    assert "The total for this amount is $21.10." in answer.content.decode()
    assert stripe.calls == []


def test_a_fee_that_the_operator_has_just_changed_is_shown_first(browser: Client, stripe: FakeStripe, settings: Any) -> None:
    form = buying_form(browser)
    settings.PURCHASE_FEE_BASIS_POINTS = 1_000

    answer = browser.post("/credits/buy", form)

    assert (answer.status_code, "The total for this amount is $22." in answer.content.decode()) == (422, True)
    assert stripe.calls == []


def test_a_page_that_is_sent_twice_buys_once(browser: Client, stripe: FakeStripe) -> None:
    form = buying_form(browser)

    answers = [browser.post("/credits/buy", form) for _ in range(3)]

    begun = Purchase.objects.get()
    assert [answer["Location"] for answer in answers] == [stripe.newest("checkout.session")["url"], *[f"/credits/purchases/{begun.pk}"] * 2]
    assert len(stripe.account.store.newest("checkout.session")) == 1


def test_a_page_that_was_used_and_asks_for_another_amount_says_so(browser: Client, stripe: FakeStripe) -> None:
    form = buying_form(browser)
    browser.post("/credits/buy", form)

    answer = browser.post("/credits/buy", form | {"amount": "30", "total": "3165"})

    assert answer.status_code == 409
    assert "has begun a purchase before" in answer.content.decode()
    assert Purchase.objects.count() == 1


def test_a_page_of_yesterday_of_another_organization_or_with_a_made_up_id_buys_nothing(
    browser: Client, stripe: FakeStripe, stranger: User, as_person: AsPerson, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = buying_form(browser)
    others = buying_form(as_person(stranger))["attempt"]
    made_up = signing.dumps([str(uuid.uuid4()), 1, "buy"], salt="of my own")

    statuses = [browser.post("/credits/buy", form | {"attempt": attempt}).status_code for attempt in (others, made_up, "", "x")]
    monkeypatch.setattr("billing.purchases.attempts._LIFE_S", -1)
    stale = browser.post("/credits/buy", form)

    assert statuses == [422] * 4
    assert (stale.status_code, "open for too long" in stale.content.decode()) == (422, True)
    assert (stripe.calls, Purchase.objects.count()) == ([], 0)


def test_when_stripe_is_away_the_page_says_that_nothing_was_bought(browser: Client, stripe: FakeStripe) -> None:
    stripe.fail("POST /v1/checkout/sessions", "500_before")

    answer = browser.post("/credits/buy", buying_form(browser))

    assert (answer.status_code, "nothing was moved" in answer.content.decode()) == (503, True)
    assert browser.post("/credits/buy", buying_form(browser)).status_code == 302


def test_a_page_waits_for_stripe_for_seconds_and_asks_once(browser: Client, stripe: FakeStripe, settings: Any) -> None:
    settings.STRIPE_TIMEOUT_S, settings.STRIPE_RETRIES, settings.STRIPE_PAGE_TIMEOUT_S = 20.0, 2, 0.2
    form = buying_form(browser)
    stripe.fail("POST /v1/customers", "hang_before", "hang_before")

    answer = browser.post("/credits/buy", form)

    assert (answer.status_code, "nothing was moved" in answer.content.decode()) == (503, True)
    assert (stripe.calls, Purchase.objects.count()) == (["POST /v1/customers"], 0)


def test_without_a_key_the_page_says_who_has_to_do_what(browser: Client, settings: Any) -> None:
    settings.STRIPE_SECRET_KEY = ""

    page = browser.get("/credits").content.decode()

    assert "STRIPE_SECRET_KEY" in page
    assert 'action="/credits/buy"' not in page
    assert browser.post("/credits/buy", {"amount": "20", "total": "2110", "attempt": "x"}).status_code == 422


def test_a_simulation_says_so_and_stripe_itself_does_not(browser: Client, stripe: FakeStripe, settings: Any) -> None:
    paths = ("/credits", "/credits/details", "/credits/purchases")
    simulated = [browser.get(path).content.decode() for path in paths]
    settings.STRIPE_API_URL = ""

    assert all("Simulated payments." in page for page in simulated)
    assert not any("imulat" in browser.get(path).content.decode() for path in paths)


def test_members_see_everything_and_can_buy_refund_and_change_nothing(
    member: User, browser: Client, purchase: Purchase, as_person: AsPerson, stripe: FakeStripe
) -> None:
    form, members = buying_form(browser), as_person(member)
    attempt = re.search(r'name="attempt" value="([^"]*)"', browser.get(f"/credits/purchases/{purchase.pk}/refund").content.decode())[1]  # type: ignore[index]
    before = len(stripe.calls)

    seen = [members.get(path).status_code for path in ("/credits", "/credits/purchases", f"/credits/purchases/{purchase.pk}")]
    refused = [
        members.post("/credits/buy", form).status_code,
        members.post(f"/credits/purchases/{purchase.pk}/refund", {"amount": "5", "attempt": attempt}).status_code,
        members.post(f"/credits/purchases/{purchase.pk}/resume").status_code,
        members.post("/credits/details", {"company_name": "Mine"}).status_code,
        members.get("/credits/details").status_code,
        members.post("/credits/portal").status_code,
        members.post("/credits/card").status_code,
        members.post("/credits/card/forget").status_code,
    ]

    assert (seen, refused) == ([200] * 3, [403] * 8)
    assert 'action="/credits/buy"' not in members.get("/credits").content.decode()
    assert (len(stripe.calls), Purchase.objects.count(), Refund.objects.count()) == (before, 1, 0)


def test_a_dispute_is_shown_and_stops_buying_and_refunding(browser: Client, purchase: Purchase, stripe: FakeStripe) -> None:
    buying, refunding = buying_form(browser), refund_form(browser, purchase, "5")
    disputes.apply(stripe.account.open_dispute(stripe.newest("charge")["id"])["id"])

    page = browser.get("/credits").content.decode()

    assert "A payment is disputed." in page
    assert 'action="/credits/buy"' not in page
    assert "Disputed" in page
    assert [browser.post("/credits/buy", buying).status_code, Purchase.objects.count()] == [409, 1]
    assert [browser.post(f"/credits/purchases/{purchase.pk}/refund", refunding).status_code, Refund.objects.count()] == [409, 0]


def test_billing_details_are_kept_and_mistakes_named(browser: Client, organization: Organization) -> None:
    details = {
        "company_name": "Acme GmbH", "address": "Hauptstr. 1\r\n10115 Berlin", "country": "de", "tax_id": "DE123456789",
        "billing_email": "Billing@example.com",
    }  # fmt: skip

    bad = browser.post("/credits/details", details | {"country": "Germany", "billing_email": "nobody"})
    good = browser.post("/credits/details", details)

    assert (bad.status_code, sorted(bad.context["form"].errors)) == (422, ["billing_email", "country"])
    assert good["Location"] == "/credits"
    kept = PaymentProfile.objects.get(organization=organization)
    assert (kept.company_name, kept.address, kept.country, kept.tax_id, kept.billing_email) == (
        "Acme GmbH", "Hauptstr. 1\n10115 Berlin", "DE", "DE123456789", "billing@example.com",
    )  # fmt: skip
    assert "Acme GmbH" in browser.get("/credits").content.decode()


def test_a_card_is_saved_at_stripe_shown_and_removed(browser: Client, stripe: FakeStripe) -> None:
    assert browser.post("/credits/card")["Location"] == stripe.newest("checkout.session")["url"]
    stripe.pay(stripe.newest("checkout.session")["id"])
    browser.get("/credits/card/return")
    assert "Visa ending in 4242" in browser.get("/credits").content.decode()

    browser.post("/credits/card/forget")

    assert "Visa ending in 4242" not in browser.get("/credits").content.decode()
    assert stripe.newest("payment_method")["customer"] is None
    assert browser.post("/credits/portal")["Location"] == stripe.newest("billing_portal.session")["url"]


def test_only_pages_that_sell_may_send_people_to_stripe(browser: Client, settings: Any) -> None:
    settings.STRIPE_PAGE_ORIGINS = ["https://checkout.stripe.com", "https://billing.stripe.com"]

    policies = [browser.get(path, **HOST)["Content-Security-Policy"] for path in ("/credits", "/credits/details", "/dashboard", "/keys")]

    assert [policy.partition("form-action ")[2].partition(";")[0] for policy in policies] == [
        *["'self' https://checkout.stripe.com https://billing.stripe.com"] * 2,
        *["'self'"] * 2,
    ]
