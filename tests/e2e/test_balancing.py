"""The operator's balancing pages in a real browser: desktop and phone, light and dark."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from accounts.models import User
from catalog.models import Provider
from tests.e2e.test_first_visit import AUDIT, CONTRAST
from tests.e2e.test_routing import market, sign_up  # noqa: F401 -- the fixture

pytestmark = pytest.mark.browser


def test_the_pages_fit_everywhere(browser: Browser, market: str, tmp_path: Path) -> None:  # noqa: F811
    for slug in ("box-1", "box-2"):
        Provider.objects.create(slug=slug, name=slug.title(), kind="own", base_url="https://box.example/v1", group="boxes")
    faults = {}
    for width, scheme in [(1280, "light"), (390, "dark")]:
        page = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme).new_page()
        sign_up(page, market, f"op-{width}@example.com")
        User.objects.filter(email=f"op-{width}@example.com").update(is_staff=True, is_superuser=True)
        page.goto(f"{market}/operator/balancing")
        page.screenshot(path=tmp_path / f"groups-{width}-{scheme}.png", full_page=True)
        faults["groups", width] = page.evaluate(AUDIT) + page.evaluate(CONTRAST)
        page.get_by_role("link", name="Box-1").first.click()
        expect(page.get_by_label("Group")).to_have_value("boxes")
        page.screenshot(path=tmp_path / f"provider-{width}-{scheme}.png", full_page=True)
        faults["provider", width] = page.evaluate(AUDIT) + page.evaluate(CONTRAST)

    assert {place: found for place, found in faults.items() if found} == {}
