"""The header in a real browser."""

import pytest
from playwright.sync_api import Browser

from tests.e2e.test_first_visit import _sign_up

pytestmark = pytest.mark.browser


def test_all_links_of_the_header_fit_on_a_phone(browser: Browser, server: str) -> None:
    page = browser.new_context(viewport={"width": 390, "height": 844}).new_page()
    _sign_up(page, server, "ada@example.com")

    links = page.get_by_role("navigation", name="Main").get_by_role("link")

    assert links.all_inner_texts() == ["Dashboard", "Keys", "Requests", "Credits", "Models", "Pricing"]
    assert page.evaluate("(({scrollWidth, clientWidth}) => scrollWidth - clientWidth)(document.querySelector('.nav'))") == 0
