import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from accounts.models import ApiKey
from gateway import live
from tests.factories.usage import book

pytestmark = pytest.mark.browser

PASSWORD = "a long enough phrase"

_HERE = Path(__file__).parent
AUDIT = (_HERE / "audit.js").read_text(encoding="utf-8")
CONTRAST = (_HERE / "contrast.js").read_text(encoding="utf-8")


def _sign_up(page: Page, server: str, email: str) -> None:
    page.goto(f"{server}/accounts/signup/")
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("main").get_by_role("button", name="Sign up").click()
    page.wait_for_url("**/dashboard")


def test_from_sign_up_to_the_first_receipt(browser: Browser, server: str) -> None:
    page = browser.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    _sign_up(page, server, "ada@example.com")
    expect(page.locator("#steps").get_by_text("Create a key")).to_be_visible()
    expect(page.locator("[data-live]")).to_have_text("Live")

    page.locator("#steps").get_by_role("link", name="Create key").click()
    drawer = page.get_by_role("dialog")
    drawer.get_by_label("Name").fill("website")
    drawer.get_by_label(re.compile("Limit \\(")).fill("25")
    drawer.get_by_role("button", name="Create key").click()
    secret = drawer.locator("#secret").text_content() or ""

    assert re.fullmatch(r"sk-tw-v1-[0-9a-f]{64}", secret)
    expect(drawer.get_by_text("from openai import OpenAI")).to_be_hidden()
    drawer.get_by_text("Python", exact=True).click()
    expect(drawer.get_by_text("from openai import OpenAI")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#keys").get_by_text("website")).to_be_visible()
    assert secret not in page.content()

    key = ApiKey.objects.select_related("organization").get()
    book(key, model="acme/swift", simulated=True)
    with ThreadPoolExecutor() as pool:  # this thread runs Playwright's event loop
        pool.submit(live.notify, [key.organization_id]).result()
    expect(page.locator("#requests").get_by_role("link", name="acme/swift")).to_be_visible(timeout=5_000)
    expect(page.locator("#steps")).to_be_hidden()
    page.locator("#requests").get_by_role("link", name="acme/swift").click()
    expect(page.get_by_text("Simulated provider.")).to_be_visible()
    assert complaints == []


def test_a_key_is_disabled_and_deleted_in_place(browser: Browser, server: str) -> None:
    page = browser.new_page()
    _sign_up(page, server, "ada@example.com")
    page.goto(f"{server}/keys/new")
    page.get_by_label("Name").fill("website")
    page.get_by_role("main").get_by_role("button", name="Create key").click()
    page.goto(f"{server}/keys")

    page.get_by_role("button", name="Disable website").click()
    expect(page.locator("#keys").get_by_text("Disabled", exact=True)).to_be_visible()
    page.get_by_role("link", name="Delete website").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete key").click()

    expect(page.get_by_text("No keys yet.")).to_be_visible()
    assert [key.deleted_at is not None for key in ApiKey.objects.all()] == [True]


def test_everything_works_without_script(browser: Browser, server: str) -> None:
    page = browser.new_context(java_script_enabled=False).new_page()
    _sign_up(page, server, "ada@example.com")

    page.locator("#steps").get_by_role("link", name="Create key").click()
    page.get_by_label("Name").fill("website")
    page.get_by_role("main").get_by_role("button", name="Create key").click()
    expect(page.locator("#secret")).to_have_text(re.compile("sk-tw-v1-"))
    page.goto(f"{server}/keys")
    page.get_by_role("button", name="Disable website").click()

    expect(page.get_by_text("Disabled", exact=True)).to_be_visible()
    page.get_by_role("button", name="Switch between light and dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_the_theme_is_remembered(browser: Browser, server: str) -> None:
    page = browser.new_context(color_scheme="light").new_page()
    page.goto(server)

    page.get_by_role("button", name="Switch between light and dark").click()
    page.goto(f"{server}/models")

    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_pages_fit_and_can_be_read(browser: Browser, server: str, tmp_path: Path, width: int, scheme: str) -> None:
    page = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme).new_page()
    _sign_up(page, server, "ada@example.com")
    page.goto(f"{server}/keys/new")
    page.get_by_label("Name").fill("Zusammenfassungsnachtverarbeitungsdienstschlüssel der Rechtsabteilung")
    page.get_by_role("main").get_by_role("button", name="Create key").click()
    key = ApiKey.objects.select_related("organization").get()
    event = book(
        key, model="somebody/a-model-with-a-name-of-more-than-sixty-characters-in-total-2026", amount_picos=123_456_789_012_345_678
    )

    faults = {}
    paths = ("/", "/models", "/dashboard", "/keys", "/keys/new", "/requests", f"/requests/gen-{event.event_id.hex}", "/_design")
    for path in paths:
        page.goto(f"{server}{path}")
        page.screenshot(path=tmp_path / f"{path.strip('/').replace('/', '-') or 'landing'}-{width}-{scheme}.png", full_page=True)
        found = page.evaluate(AUDIT) + page.evaluate(CONTRAST)
        if found:
            faults[path] = found

    assert faults == {}
