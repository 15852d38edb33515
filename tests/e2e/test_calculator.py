"""The calculator of a model's page in a real browser: sliders and fields say the same, and the price is that of both."""

import itertools
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.test_first_visit import AUDIT, CONTRAST
from tests.factories import snapshots

pytestmark = pytest.mark.browser

_versions = itertools.count(6_000)


@pytest.fixture
def model_page(server: str) -> str:
    """Return the address of the page of a model with one endpoint, $0.25 in and $0.60 out per million tokens."""
    snapshots.publish(
        models=[snapshots.make_model("acme/swift", endpoints=("acme/swift@acme",))],
        endpoints=[snapshots.make_endpoint("acme/swift@acme")],
        providers=[snapshots.make_provider("acme")],
        version=next(_versions),
    )
    return f"{server}/models/acme/swift"


def _values(page: Page, label: str) -> tuple[str, str]:
    return page.get_by_role("spinbutton", name=label).input_value(), page.get_by_role("slider", name=label).input_value()


def test_sliders_and_fields_keep_in_step_and_price_the_same_workload(browser: Browser, model_page: str) -> None:
    page = browser.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(model_page)
    assert [_values(page, label) for label in ("Requests", "Input tokens each", "Output tokens each", "Of the input cached")] == [
        ("1000", "28"), ("2000", "29"), ("500", "23"), ("0", "0")
    ]  # fmt: skip

    page.get_by_role("slider", name="Requests").press("ArrowRight")
    assert _values(page, "Requests") == ("2000", "29")
    expect(page.get_by_role("slider", name="Requests")).to_have_attribute("aria-valuetext", "2,000")
    expect(page.locator("#quote td").last).to_have_text("$1.60")
    page.get_by_role("spinbutton", name="Input tokens each").fill("960000")
    assert _values(page, "Input tokens each") == ("960000", "55")
    expect(page.locator("#quote td").last).to_have_text("$480.60")
    assert page.evaluate("document.activeElement.id") == "prompt"
    page.get_by_role("slider", name="Output tokens each").press("Home")
    page.get_by_role("slider", name="Of the input cached").press("End")
    assert (_values(page, "Output tokens each"), _values(page, "Of the input cached")) == (("0", "0"), ("100", "100"))

    page.wait_for_url("**/models/acme/swift?requests=2000&prompt=960000&output=0&cached=100")
    page.reload()
    assert _values(page, "Requests") == ("2000", "29")
    assert complaints == []


def test_the_calculator_needs_no_script(browser: Browser, model_page: str) -> None:
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto(model_page)

    expect(page.locator("input[type=range]").first).to_be_hidden()
    page.get_by_role("spinbutton", name="Requests").fill("10")
    page.get_by_role("button", name="Work out").click()

    expect(page.locator("#quote td").last).to_have_text("$0.008")


def test_the_calculator_fits_and_can_be_read(browser: Browser, model_page: str, tmp_path: Path) -> None:
    faults = {}
    for width, scheme in [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")]:
        page = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme).new_page()
        page.goto(model_page)
        page.screenshot(path=tmp_path / f"calculator-{width}-{scheme}.png", full_page=True)
        if found := page.evaluate(AUDIT) + page.evaluate(CONTRAST):
            faults[width, scheme] = found

    assert faults == {}
