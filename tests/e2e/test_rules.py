"""Policies and presets in a real browser: by keyboard alone, without script, on desktop and phone, light and dark."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from accounts import presets
from accounts.models import User
from tests.e2e.test_first_visit import AUDIT, CONTRAST
from tests.e2e.test_routing import market, sign_up  # noqa: F401 -- the fixture

pytestmark = pytest.mark.browser


def test_a_policy_is_tried_saved_and_fits_everywhere(browser: Browser, market: str, tmp_path: Path) -> None:  # noqa: F811
    faults, complaints = {}, []
    for width, scheme in [(1280, "light"), (390, "dark")]:
        page = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme).new_page()
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)

        def look(name: str, page=page, width=width, scheme=scheme) -> None:
            page.screenshot(path=tmp_path / f"{name}-{width}-{scheme}.png", full_page=True)
            if found := page.evaluate(AUDIT) + page.evaluate(CONTRAST):
                faults[name, width, scheme] = found

        sign_up(page, market, f"ada-{width}@example.com")
        page.goto(f"{market}/requests")
        page.get_by_role("main").get_by_role("link", name="Policies and presets").click()
        look("empty")
        page.get_by_role("link", name="A ceiling on prices").click()
        page.get_by_role("button", name="Try on past requests").click()
        expect(page.get_by_role("heading", name="On your latest requests")).to_be_visible()
        look("tried")
        page.get_by_role("button", name="Save policy").click()
        expect(page.get_by_role("heading", name="capped", level=1)).to_be_visible()
        page.get_by_role("button", name="Use for every request").click()
        expect(page.get_by_text("Every request", exact=True)).to_be_visible()
        page.get_by_label("Provider preferences").fill('{"sort": "price"}')
        page.get_by_role("button", name="Save as version 2").click()
        page.get_by_text("Show version 1").click()
        look("policy")
        page.goto(f"{market}/routing/new/presets")
        page.get_by_label("Slug").fill("brief")
        page.get_by_role("button", name="Save preset").click()
        look("preset")
        page.goto(f"{market}/routing/rules")
        look("list")
        page.get_by_role("link", name="Delete brief").click()
        look("delete")

    assert faults == {}
    assert complaints == []


def test_a_policy_is_made_by_keyboard_and_without_script(browser: Browser, market: str) -> None:  # noqa: F811
    page = browser.new_context(java_script_enabled=False).new_page()
    sign_up(page, market, "ada@example.com")
    page.goto(f"{market}/routing/new/policies?start=private")
    page.get_by_label("Slug").focus()
    for _ in range(3):  # slug, name, preferences, save
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")

    expect(page.get_by_role("heading", name="private", level=1)).to_be_visible()
    organization = User.objects.get(email="ada@example.com").memberships.get().organization
    assert presets.rules_of(organization).policies["private"].provider == {"data_collection": "deny", "zdr": True}
