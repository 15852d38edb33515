"""Statements and exports in a real browser, from a real server: the files hold, and the pages fit wherever they are read."""

import itertools
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from accounts import api_keys
from accounts.models import User
from billing.books import transfers
from tests.e2e.test_first_visit import AUDIT, CONTRAST, _sign_up
from tests.factories import snapshots
from tests.factories.usage import book

pytestmark = pytest.mark.browser

SCRIPT = Path(__file__).resolve().parents[2] / "docs/verify_receipt.py"


@pytest.fixture
def month_page(browser: Browser, server: str) -> Page:
    """Return the statement of this month of somebody with credit and usage."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    _sign_up(page, server, "ada@example.com")
    person = User.objects.get(email="ada@example.com")
    organization = person.memberships.get().organization
    transfers.grant(organization=organization, amount_nanos=5_000_000_000, reason="Welcome", idempotency_key="a", by=None)
    version = snapshots.make_price_version(snapshots.RATES)
    for name in ("website", "nightly batch job of the accounting department"):
        key, _ = api_keys.create(organization=organization, name=name, by=person)
        book(key, price_version_id=version.pk)
        book(key, price_version_id=version.pk, model="somebody/a-model-with-a-name-of-more-than-sixty-characters-in-total-2026")
    page.goto(f"{server}/requests")
    page.get_by_role("link", name="Statements and exports").click()
    page.get_by_role("table").get_by_role("link").first.click()
    return page


def test_a_month_and_its_files(browser: Browser, month_page: Page, server: str, tmp_path: Path) -> None:
    page = month_page
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    expect(page.get_by_role("heading", name="Balance")).to_be_visible()
    expect(page.locator(".receipt tfoot td")).to_contain_text("$4.99")
    papers = [_saved(page, "Signed JSON", tmp_path / "statement.json")]
    assert _saved(page, "PDF", tmp_path / "statement.pdf").read_bytes()[:5] == b"%PDF-"
    found = _read_everywhere(browser, page, tmp_path / "month")

    page.get_by_role("navigation", name="Breadcrumb").get_by_role("link", name="Statements").click()
    for format_ in ("CSV", "JSON", "Parquet"):
        page.get_by_label("Format").select_option(label=format_)
        papers.append(_saved(page, "Download archive", tmp_path / f"usage-{format_}.zip", role="button"))
    found |= _read_everywhere(browser, page, tmp_path / "months")
    page.get_by_label("First day").fill("2999-01-01")
    page.get_by_role("button", name="Download archive").click()
    expect(page.get_by_role("alert")).to_contain_text("The last day must not be before from.")

    told = subprocess.run(
        [sys.executable, SCRIPT, "--keys", f"{server}/.well-known/jwks.json", *papers],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (told.returncode, told.stdout.count("4 rows, $0.000856000, recomputed row by row")) == (0, 3), told.stdout
    # The form that came back is a 422, which Chromium notes.
    assert (found, [one for one in complaints if "422" not in one]) == ({}, [])


def _saved(page: Page, name: str, path: Path, *, role: str = "link") -> Path:
    with page.expect_download() as download:
        page.get_by_role(role, name=name, exact=True).first.click()
    download.value.save_as(path)
    return path


def _read_everywhere(browser: Browser, page: Page, prefix: Path) -> dict[str, list[str]]:
    found = {}
    for width, scheme in itertools.product((1280, 390), ("light", "dark")):
        seen = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, storage_state=page.context.storage_state()
        ).new_page()
        seen.goto(page.url)
        seen.screenshot(path=f"{prefix}-{width}-{scheme}.png", full_page=True)
        if faults := seen.evaluate(AUDIT) + seen.evaluate(CONTRAST):
            found[f"{prefix.name} {width} {scheme}"] = faults
    return found
