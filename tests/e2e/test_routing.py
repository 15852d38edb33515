"""The page that explains a request, in a real browser: with and without script, on desktop and phone, light and dark."""

import itertools
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from accounts.models import User
from billing.books import transfers
from tests.e2e.test_first_visit import AUDIT, CONTRAST, PASSWORD
from tests.factories import snapshots

pytestmark = pytest.mark.browser

_versions = itertools.count(8_000)


@pytest.fixture
def market(server: str) -> str:
    """Publish a model with two endpoints and return the server's address."""
    snapshots.publish(
        models=[snapshots.make_model("acme/swift", endpoints=("acme/swift@acme", "acme/swift@best"))],
        endpoints=[
            snapshots.make_endpoint("acme/swift@acme"),
            snapshots.make_endpoint("acme/swift@best", rates={"input_tokens": 500_000, "output_tokens": 1_200_000}),
        ],
        providers=[snapshots.make_provider("acme"), snapshots.make_provider("best")],
        version=next(_versions),
    )
    return server


def sign_up(page: Page, server: str, email: str) -> None:
    page.goto(f"{server}/accounts/signup/")
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("main").get_by_role("button", name="Sign up").click()
    page.wait_for_url("**/dashboard")
    organization = User.objects.get(email=email).memberships.get().organization
    transfers.grant(organization=organization, amount_nanos=10_000_000_000, reason="test", idempotency_key=email, by=None)


BODY = '{"model": "acme/swift", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 100, "provider": {"ignore": ["best"]}}'


def explain(page: Page) -> None:
    page.get_by_label("Request body").fill(BODY)
    page.get_by_role("button", name="Explain").click()


def test_an_explanation_appears_in_place_and_fits_everywhere(browser: Browser, market: str, tmp_path: Path) -> None:
    faults, complaints = {}, []
    for width, scheme in [(1280, "light"), (390, "dark")]:
        page = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme).new_page()
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        sign_up(page, market, f"ada-{width}@example.com")
        page.goto(f"{market}/routing")
        explain(page)
        expect(page.get_by_role("heading", name="May not serve it")).to_be_visible()
        expect(page.locator("#explanation")).to_contain_text("provider.ignore names it")
        expect(page.locator("#explanation")).to_contain_text("Covered")
        assert page.get_by_label("Request body").input_value() == BODY
        page.screenshot(path=tmp_path / f"routing-{width}-{scheme}.png", full_page=True)
        if found := page.evaluate(AUDIT) + page.evaluate(CONTRAST):
            faults[width, scheme] = found

    assert faults == {}
    assert complaints == []


def test_the_page_needs_no_script(browser: Browser, market: str) -> None:
    page = browser.new_context(java_script_enabled=False).new_page()
    sign_up(page, market, "ada@example.com")
    page.goto(f"{market}/routing")
    explain(page)

    expect(page.get_by_role("heading", name="Order")).to_be_visible()
    expect(page.locator("#explanation")).to_contain_text("ignored_providers")
