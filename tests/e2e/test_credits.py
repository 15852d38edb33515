"""A purchase in a real browser: the dashboard's pages, the simulated Stripe's Checkout, and signed webhooks between the two."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from billing.models import Purchase, StripeEvent
from billing.purchases import disputes
from gateway.stripe_simulator.app import StripeSimulator
from tests.e2e.conftest import serve_pages
from tests.e2e.test_first_visit import AUDIT, CONTRAST, _sign_up
from tests.fakes.stripe import SECRET, FakeStripe, serve

pytestmark = pytest.mark.browser


@pytest.fixture
def stripe(settings: Any) -> Iterator[FakeStripe]:
    """Return a simulated Stripe of this test's own, which this process may ask too, as a worker would."""
    with serve(StripeSimulator()) as fake:
        settings.STRIPE_SECRET_KEY, settings.STRIPE_API_URL = "sk_test_fake", fake.url
        yield fake


@pytest.fixture
def shop(transactional_db: None, stripe: FakeStripe, tmp_path: Path) -> Iterator[str]:
    """Return the address of a server that sells through ``stripe``, which tells it of payments."""
    variables = {
        "STRIPE_SECRET_KEY": "sk_test_fake",
        "STRIPE_WEBHOOK_SECRET": SECRET,
        "STRIPE_API_URL": stripe.url,
        "STRIPE_PAGE_ORIGINS": stripe.url,
    }
    with serve_pages(tmp_path, variables) as url:
        stripe.simulator.webhooks.url, stripe.simulator.webhooks.secret = f"{url}/webhooks/stripe", SECRET
        yield url


def _choose(page: Page, shop: str, amount: str, *, total: str) -> None:
    page.goto(f"{shop}/credits")
    page.get_by_label("Amount").fill(amount)
    expect(page.locator("#quote-total")).to_have_text(total)


def test_a_newcomer_buys_credit_with_the_test_card(browser: Browser, shop: str, tmp_path: Path) -> None:
    page = browser.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    _sign_up(page, shop, "ada@example.com")
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Credits").click()

    expect(page.get_by_text("Simulated payments.")).to_be_visible()
    page.get_by_role("link", name="$100", exact=True).click()
    expect(page.locator("#quote-total")).to_have_text("$105.50")
    page.get_by_label("Amount").fill("40")
    expect(page.locator("#quote-total")).to_have_text("$42.20")
    page.get_by_role("button", name="Continue to payment").click()

    expect(page.get_by_text("This is a simulation.")).to_be_visible()
    expect(page.get_by_role("row", name="Total due")).to_contain_text("$42.20")
    page.get_by_label("Card number").fill("4242 4242 4242 4242")
    page.get_by_role("button", name="Pay $42.20").click()

    expect(page.get_by_text("The credit was added")).to_be_visible(timeout=10_000)
    with page.expect_download() as receipt:
        page.get_by_role("link", name="Receipt as PDF").click()
    assert receipt.value.suggested_filename == "tw-000001.pdf"
    assert receipt.value.path().read_bytes().startswith(b"%PDF-")
    page.get_by_role("main").get_by_role("link", name="Credits").last.click()
    expect(page.locator("#credit-available")).to_have_text("$40.00")
    assert complaints == []
    assert StripeEvent.objects.filter(type="checkout.session.completed").count() == 1


def test_a_declined_card_is_told_at_checkout_and_nothing_is_credited(browser: Browser, shop: str) -> None:
    page = browser.new_page()
    _sign_up(page, shop, "ada@example.com")
    _choose(page, shop, "20", total="$21.10")
    page.get_by_role("button", name="Continue to payment").click()
    page.get_by_label("Card number").fill("4000 0000 0000 0002")
    page.get_by_role("button", name="Pay $21.10").click()

    expect(page.get_by_role("alert")).to_have_text("Your card was declined.")
    page.get_by_role("link", name="Back").click()
    expect(page.get_by_label("Amount")).to_have_value("20")
    expect(page.locator("#credit-available")).to_have_text("$0.00")
    expect(page.get_by_text("Not paid yet")).to_be_visible()
    page.locator("tbody").get_by_role("link").first.click()
    page.get_by_role("button", name="Back to payment").click()
    page.get_by_role("button", name="Pay $21.10").click()
    expect(page.get_by_text("The credit was added")).to_be_visible(timeout=10_000)
    assert Purchase.objects.get().state == "paid"


def test_a_purchase_and_its_refund_work_without_script(browser: Browser, shop: str) -> None:
    page = browser.new_context(java_script_enabled=False).new_page()
    _sign_up(page, shop, "ada@example.com")
    _choose(page, shop, "50", total="$26.38")  # nothing looks at the field without script
    page.get_by_role("button", name="Continue to payment").click()
    expect(page.get_by_text("The total for this amount is $52.75.")).to_be_visible()
    page.get_by_role("button", name="Continue to payment").click()
    page.get_by_role("button", name="Pay $52.75").click()
    page.wait_for_timeout(2_000)
    if page.get_by_role("link", name="Look again").is_visible():
        page.get_by_role("link", name="Look again").click()

    page.get_by_role("link", name="Refund unused credit").click()
    page.get_by_label("Credit to refund").fill("20")
    page.get_by_role("button", name="Refund").click()

    expect(page.get_by_text("$20 is on its way back.")).to_be_visible()
    page.goto(f"{shop}/credits")
    expect(page.locator("#credit-available")).to_have_text("$30.00")


def test_a_saved_card_is_offered_and_hides_the_fields_of_a_new_one(browser: Browser, shop: str) -> None:
    page = browser.new_page()
    _sign_up(page, shop, "ada@example.com")
    for number in range(2):
        _choose(page, shop, "20", total="$21.10")
        page.get_by_label("Save the card").check()
        page.get_by_role("button", name="Continue to payment").click()
        if number:
            expect(page.get_by_label("Card number")).to_be_hidden()
            page.get_by_label("New card").check()
            expect(page.get_by_label("Card number")).to_be_visible()
            page.get_by_label("Visa ending in 4242").check()
        page.get_by_role("button", name="Pay $21.10").click()
        expect(page.get_by_text("The credit was added")).to_be_visible(timeout=10_000)

    assert list(Purchase.objects.values_list("state", "paid_with")) == [("paid", "Visa ending in 4242")] * 2


@pytest.mark.parametrize("look", [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")])
def test_the_pages_that_sell_fit_and_can_be_read(
    browser: Browser, shop: str, stripe: FakeStripe, tmp_path: Path, look: tuple[int, str]
) -> None:
    width, scheme = look
    page = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme).new_page()
    _sign_up(page, shop, "ada@example.com")
    page.goto(f"{shop}/credits/details")
    page.get_by_label("Company or name").fill("Zusammenfassungsnachtverarbeitungsdienstgesellschaft der Rechtsabteilung mbH")
    page.get_by_label("Address").fill("Donaudampfschifffahrtsgesellschaftskapitänsstraße 123\n1010 Wien")
    page.get_by_role("button", name="Save").click()
    _choose(page, shop, "25,000", total="$26,375.00")
    page.get_by_label("Save the card").check()
    page.get_by_role("button", name="Continue to payment").click()
    page.screenshot(path=tmp_path / f"checkout-{width}-{scheme}.png", full_page=True)
    page.get_by_role("button", name="Pay $26,375.00").click()
    expect(page.get_by_text("The credit was added")).to_be_visible(timeout=10_000)
    purchase = Purchase.objects.get()
    disputes.apply(stripe.account.open_dispute(stripe.newest("charge")["id"])["id"])

    faults = {}
    paths = (
        "/credits",
        "/credits?amount=1",
        "/credits/details",
        "/credits/purchases",
        f"/credits/purchases/{purchase.pk}",
        f"/credits/purchases/{purchase.pk}/refund",
    )
    for number, path in enumerate(paths):
        page.goto(f"{shop}{path}")
        page.screenshot(path=tmp_path / f"credits-{number}-{width}-{scheme}.png", full_page=True)
        found = page.evaluate(AUDIT) + page.evaluate(CONTRAST)
        if found:
            faults[path] = found

    assert faults == {}
