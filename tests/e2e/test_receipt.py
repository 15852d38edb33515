"""The receipt page in a real browser: the price is explained, the file holds, and it fits wherever it is read."""

import itertools
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from accounts import api_keys
from accounts.models import User
from billing.types import AttemptRecord, generation_id
from tests.e2e.test_first_visit import AUDIT, CONTRAST, _sign_up
from tests.factories import snapshots
from tests.factories.usage import book

pytestmark = pytest.mark.browser

SCRIPT = Path(__file__).resolve().parents[2] / "docs/verify_receipt.py"
METERS = {"input_tokens": 12_345, "cache_read_tokens": 678, "output_tokens": 901, "requests": 1}
CARD = {
    "rates": {"input_tokens": 250_001, "cache_read_tokens": 25_000, "output_tokens": 600_003},
    "tiers": [{"min_prompt_tokens": 10_000, "rates": {"output_tokens": 900_007}}],
}
PICOS = 12_345 * 250_001 + 678 * 25_000 + 901 * 900_007


@pytest.fixture
def receipt_page(browser: Browser, server: str) -> Page:
    """Return the dashboard of somebody with one request, which took two attempts."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    _sign_up(page, server, "ada@example.com")
    person = User.objects.get(email="ada@example.com")
    key, _ = api_keys.create(organization=person.memberships.get().organization, name="website", by=person)
    version = snapshots.make_price_version({}, price=CARD, markup_basis_points=250)
    attempts = (
        AttemptRecord(endpoint_id="acme/swift@slowhost", provider="slowhost", status=503, latency_ms=1_204, reason="provider_unavailable"),
        AttemptRecord(endpoint_id="acme/swift@acme", provider="acme", status=200, latency_ms=240),
    )
    event = book(
        key, price_version_id=version.pk, meters=METERS, amount_picos=PICOS, attempts=attempts, streamed=True, finish_reason="stop",
        cost_nanos=987_654,
    )  # fmt: skip
    page.goto(f"{server}/requests")
    page.locator(f"#{generation_id(event.event_id)}").get_by_role("link").click()
    return page


def test_a_price_is_explained_and_its_file_can_be_checked(browser: Browser, receipt_page: Page, server: str, tmp_path: Path) -> None:
    page = receipt_page
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    explanation = page.locator(".explanation")
    expect(explanation.locator("table")).to_be_hidden()
    page.locator("summary", has_text="Explain this price").press("Enter")
    expect(explanation.locator("table")).to_be_visible()
    expect(explanation.locator("tfoot td").first).to_have_text("$0.003914118652")
    expect(explanation.locator("tfoot td").last).to_have_text("$0.003914119")
    expect(explanation).to_contain_text("prompts above 10,000 tokens")
    expect(explanation).to_contain_text("2.5 %")
    expect(page.locator(".timeline li").first).to_contain_text("failed: provider_unavailable (503)")
    assert "987,654" not in page.content()

    with page.expect_download() as download:
        page.get_by_role("link", name="Signed receipt").click()
    paper = tmp_path / "receipt.json"
    download.value.save_as(paper)
    keys = f"{server}/.well-known/jwks.json"
    told = subprocess.run([sys.executable, SCRIPT, "--keys", keys, paper], capture_output=True, text=True, timeout=60, check=False)
    assert (told.returncode, "recomputed from 3 lines" in told.stdout) == (0, True)

    found = {}
    for width, scheme in itertools.product((1280, 390), ("light", "dark")):
        seen = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, storage_state=page.context.storage_state()
        ).new_page()
        seen.goto(page.url)
        seen.locator("summary", has_text="Explain this price").click()
        seen.screenshot(path=tmp_path / f"receipt-{width}-{scheme}.png", full_page=True)
        if faults := seen.evaluate(AUDIT) + seen.evaluate(CONTRAST):
            found[width, scheme] = faults
    assert (found, complaints) == ({}, [])
