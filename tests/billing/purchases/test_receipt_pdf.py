"""What a receipt says, read back from the PDF."""

from io import BytesIO

import pytest
from pypdf import PdfReader

from accounts.models import Organization, User
from billing.models import Purchase
from billing.purchases import disputes, profiles, receipt_pdf, refunds
from billing.purchases.receipt_pdf import NotPaid


def text_of(body: bytes) -> str:
    return "\n".join(page.extract_text() for page in PdfReader(BytesIO(body)).pages)


def read(purchase: Purchase) -> list[str]:
    fresh = Purchase.objects.get(pk=purchase.pk)
    return [line.strip() for line in text_of(receipt_pdf.render(fresh)).splitlines() if line.strip()]


@pytest.fixture
def seller(settings):
    settings.SELLER_NAME, settings.SELLER_ADDRESS, settings.SELLER_TAX_ID = "Tollway Inc.", "1 Road | 94107 San Francisco | US", "US-99"


def name_buyer(organization: Organization, by: User, **details: str) -> None:
    given = {"company_name": "Acme GmbH", "address": "Hauptstr. 1\n10115 Berlin", "country": "de", "tax_id": "DE123456789"}
    profiles.change_details(organization=organization, by=by, **({"billing_email": "bills@acme.example"} | given | details))


def test_a_receipt_names_number_seller_buyer_lines_fee_and_total(buy, organization, buyer, seller, settings):
    name_buyer(organization, buyer)
    purchase = buy(123_456)
    settings.STRIPE_API_URL = ""

    lines = read(purchase)

    paid_on = f"{purchase.paid_at:%-d %B %Y}"
    assert lines == [
        "Invoice and receipt", "Number TW-000001", f"Date {paid_on}", "Paid with Visa ending in 4242",
        "Simulation: no money was paid. This is not a tax document.",  # its Checkout Session was one of Stripe's test mode
        "From", "Tollway Inc.", "1 Road", "94107 San Francisco", "US", "Tax id US-99",
        "Billed to", "Acme GmbH", "Hauptstr. 1", "10115 Berlin", "DE", "Tax id DE123456789", "bills@acme.example",
        "What", "Amount", "Credit for language models", "$1,234.56", "Processing fee", "$67.90", "Total, US dollars", "$1,302.46",
        f"Paid in full on {paid_on}. Nothing is due.", f"Purchase {purchase.pk}, {settings.PUBLIC_URL}",
    ]  # fmt: skip


def test_discount_and_tax_are_lines_of_their_own(buy, settings):
    settings.STRIPE_AUTOMATIC_TAX = True
    lines = read(buy(2_000, promotion_code="WELCOME10"))

    sums = lines[lines.index("Amount") + 1 : lines.index("Total, US dollars") + 2]
    assert sums == [
        "Credit for language models", "$20.00", "Processing fee", "$1.10", "Discount", "−$2.11", "Tax", "$1.90",
        "Total, US dollars", "$20.89",
    ]  # fmt: skip


def test_refunds_and_lost_disputes_stand_on_it(buy, buyer, stripe):
    purchase = buy(2_000)
    assert "Refunds" not in read(purchase)

    refunds.ask(purchase=purchase, by=buyer, credit_cents=500)
    partly = read(purchase)
    refunds.ask(purchase=Purchase.objects.get(), by=buyer)
    wholly = read(purchase)

    assert ("Partly refunded" in partly, "Refunded" in wholly) == (True, True)
    assert partly[partly.index("Refunds") :][3:6] == ["−$5.00", "Paid after refunds, US dollars", "$16.10"]
    assert wholly[wholly.index("Paid after refunds, US dollars") + 1] == "$1.10"

    other = buy(1_000)
    opened = stripe.account.open_dispute(stripe.newest("charge")["id"])["id"]
    stripe.account.close_dispute(opened, won=False)
    disputes.apply(opened)
    assert "Charged back by the cardholder's bank" in read(other)


def test_a_failed_refund_does_not_stand_on_it(buy, buyer):
    purchase = buy(2_000, card="4000000000005126")
    refund = refunds.ask(purchase=purchase, by=buyer, credit_cents=500)
    refunds.apply(refund.stripe_refund)

    assert "Refunds" not in read(purchase)


def test_what_was_written_on_a_receipt_stays_though_the_details_change(buy, organization, buyer):
    name_buyer(organization, buyer)
    purchase = buy(2_000)
    first = receipt_pdf.render(Purchase.objects.get())

    name_buyer(organization, buyer, company_name="Other AG")

    assert receipt_pdf.render(Purchase.objects.get()) == first
    assert "Acme GmbH" in read(purchase)


@pytest.mark.parametrize(
    "name",
    [
        "Żółć & Söhne <b>bold</b>", "Ελληνική Εταιρεία", "ООО «Ромашка»", "Công ty Việt",
        "東京株式会社", "トルウェイ", "주식회사 예시", "x" * 200, "{{ 7 }} %s",
    ],
)  # fmt: skip
def test_names_of_the_world_and_names_with_markup_are_written_as_they_are(buy, organization, buyer, name):
    name_buyer(organization, buyer, company_name=name)

    text = "".join(read(buy(2_000)))

    assert name.replace(" ", "") in text.replace(" ", "")


def test_what_was_not_paid_has_no_receipt(begin):
    with pytest.raises(NotPaid):
        receipt_pdf.render(begin(2_000))
