"""Auto top-up in a real browser: the card saved at Checkout, the settings, and a charge when the balance has fallen."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from accounts.models import Organization
from billing import queries
from billing.books import rebuild, settlement, transfers
from billing.models import Purchase
from billing.purchases import inbox, watch
from tests.billing import plane
from tests.e2e.test_credits import _choose, shop, stripe
from tests.e2e.test_first_visit import AUDIT, CONTRAST, _sign_up

__all__ = ["shop", "stripe"]
pytestmark = pytest.mark.browser
USD = 1_000_000_000


def test_a_saved_card_is_charged_when_little_is_left(browser: Browser, shop: str) -> None:
    page = browser.new_page()
    _sign_up(page, shop, "ada@example.com")
    organization = Organization.objects.get()
    _choose(page, shop, "20", total="$21.10")
    page.get_by_label("Save the card").check()
    page.get_by_role("button", name="Continue to payment").click()
    page.get_by_role("button", name="Pay $21.10").click()
    expect(page.get_by_text("The credit was added")).to_be_visible(timeout=10_000)
    inbox.process_due()

    page.goto(f"{shop}/credits")
    page.get_by_role("link", name="auto top-up, warnings and granted credit").click()
    page.get_by_label("When less is left than").fill("5")
    page.get_by_label("Buy credit of").fill("10")
    page.get_by_label("At most in a month").fill("9")
    page.get_by_label("Top up automatically").check()
    page.get_by_role("button", name="Save auto top-up").click()
    expect(page.get_by_text("The cap is at least one top-up ($10)")).to_be_visible()
    page.get_by_label("At most in a month").fill("50")
    page.get_by_role("button", name="Save auto top-up").click()
    expect(page.get_by_text("Visa ending in 4242 is charged $10.80 each time")).to_be_visible()

    rebuild.rebuild_shard(shard=organization.shard)
    plane.put_key(organization.shard)
    plane.spend(organization, 16 * USD)
    settlement.settle_shard(shard=organization.shard)
    watch.look(organization)

    assert Purchase.objects.get(kind="auto").state == "paid"
    assert queries.balance(organization).available_nanos == 14 * USD
    page.reload()
    expect(page.get_by_text("$10 bought so this month.")).to_be_visible()
    page.goto(f"{shop}/credits")
    expect(page.get_by_role("row").filter(has_text="Auto top-up")).to_contain_text("Paid")


@pytest.mark.parametrize("look", [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")])
def test_the_page_can_be_read_and_operated_by_everybody(browser: Browser, shop: str, look: tuple[int, str], tmp_path: Path) -> None:
    width, scheme = look
    page = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme).new_page()  # type: ignore[arg-type]
    _sign_up(page, shop, "ada@example.com")
    organization = Organization.objects.get()
    page.goto(f"{shop}/credits/automatic")
    expect(page.get_by_text("No granted credit.")).to_be_visible()
    transfers.grant(organization=organization, amount_nanos=5 * USD, reason="Spring campaign", idempotency_key="k", by=None)
    page.get_by_label("Warn by mail below").fill("50, ten")
    page.get_by_role("button", name="Save warnings").click()
    expect(page.get_by_text("Write amounts of dollars with commas between them")).to_be_visible()

    page.screenshot(path=str(tmp_path / "automatic.png"), full_page=True)
    assert page.evaluate(AUDIT) == []
    assert page.evaluate(CONTRAST) == []
