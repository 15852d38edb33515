"""Ticking models for comparison in a real browser: ticks outlive searches, and there are never more than four."""

import itertools

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.test_first_visit import AUDIT, CONTRAST
from tests.factories import snapshots

pytestmark = pytest.mark.browser

_versions = itertools.count(7_000)
_NAMES = ("ash", "beech", "cedar", "elm", "fir")


@pytest.fixture
def list_page(server: str) -> str:
    """Return the address of a list of five models, each at two providers."""
    tags = ("acme", "other")
    snapshots.publish(
        models=[snapshots.make_model(f"trees/{name}", endpoints=tuple(f"trees/{name}@{tag}" for tag in tags)) for name in _NAMES],
        endpoints=[
            snapshots.make_endpoint(f"trees/{name}@{tag}", rates={"input_tokens": 100_000 * place, "output_tokens": 400_000 // place})
            for name in _NAMES
            for place, tag in enumerate(tags, 1)
        ],
        providers=[snapshots.make_provider(tag) for tag in tags],
        version=next(_versions),
    )
    return f"{server}/models"


def _search(page: Page, words: str, count: int) -> None:
    page.get_by_role("searchbox").fill(words)
    expect(page.locator("#results [role=status]").first).to_contain_text(f"{count} model")


def _box(page: Page, name: str) -> object:
    return page.get_by_role("checkbox", name=f"Compare {name.title()}")


def test_four_models_of_several_searches_stand_side_by_side(browser: Browser, list_page: str) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(list_page)
    for name in ("ash", "beech"):
        _search(page, name, 1)
        _box(page, name).press("Space")
    _search(page, "", 5)
    expect(_box(page, "ash")).to_be_checked()
    for name in ("cedar", "elm"):
        _box(page, name).check()
    expect(page.locator("#compared")).to_have_text("4 of 4: Ash, Beech, Cedar, Elm")
    expect(_box(page, "fir")).to_be_disabled()
    _box(page, "elm").uncheck()
    expect(_box(page, "fir")).to_be_enabled()

    _search(page, "fir", 1)
    page.get_by_role("button", name="Compare up to four").press("Enter")

    expect(page.get_by_role("heading", name="Side by side")).to_be_visible()
    expect(page.get_by_role("columnheader").get_by_role("link")).to_have_text(["Ash", "Beech", "Cedar"])
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_table_of_endpoints_is_put_in_order_where_it_stands(browser: Browser, list_page: str, scheme: str) -> None:
    page = browser.new_context(color_scheme=scheme).new_page()
    page.goto(f"{list_page}/trees/ash")
    order = page.get_by_role("combobox", name="Order")
    expect(page.locator("#endpoints tbody th .mono")).to_have_text(["acme", "other"])

    order.focus()
    order.select_option("output")

    expect(page.locator("#endpoints tbody th .mono")).to_have_text(["other", "acme"])
    expect(page.locator("#endpoints th[aria-sort]")).to_contain_text("Output")
    assert page.evaluate("document.activeElement.id") == "order"
    assert page.evaluate(AUDIT) == []
    assert page.evaluate(CONTRAST) == []
