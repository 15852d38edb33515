"""The receipt of a purchase as PDF, which is also its invoice: who sold what to whom, and what of it was refunded."""

from collections.abc import Sequence
from io import BytesIO
from typing import Any, Final

from django.conf import settings
from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.pagesizes import A4
from reportlab.lib.units import mm
from reportlab.platypus import Flowable, SimpleDocTemplate, Spacer, Table, TableStyle

from billing.models import Purchase, PurchaseState
from billing.models.purchases import RefundState
from billing.typesetting import BAD, INK, LINE, SOFT, plain_style, register_fonts, text

_MARGIN: Final = 22 * mm
_PADDING: Final = 6  # points, of reportlab's frame


class NotPaid(Exception):
    """Only what was paid has a receipt."""


def render(purchase: Purchase) -> bytes:
    """Return the PDF. The same purchase gives the same bytes until something of it is refunded. Raises: NotPaid."""
    if purchase.state != PurchaseState.PAID or purchase.paid_at is None:
        raise NotPaid(purchase.state)
    register_fonts()
    buffer = BytesIO()
    document = SimpleDocTemplate(
        buffer,
        pagesize=A4,
        leftMargin=_MARGIN - _PADDING,
        rightMargin=_MARGIN - _PADDING,
        topMargin=_MARGIN - _PADDING,
        bottomMargin=_MARGIN - _PADDING,
        title=f"Receipt {purchase.receipt_number}",
        author=settings.SELLER_NAME,
        invariant=1,
        lang="en",
    )
    width = A4[0] - 2 * _MARGIN
    story = [
        *_head(purchase, width),
        *_parties(purchase, width),
        *_lines(purchase, width),
        *_refunds(purchase, width),
        *_foot(purchase),
    ]
    document.build(story)
    return buffer.getvalue()


def _head(purchase: Purchase, width: float) -> list[Flowable]:
    paid_on = f"{purchase.paid_at:%-d %B %Y}"
    facts = [("Number", purchase.receipt_number), ("Date", paid_on), ("Paid with", purchase.paid_with)]
    right = [text(f"{name} {value}", align=TA_RIGHT) for name, value in facts]
    table = Table([[[text("Invoice and receipt", size=18, strong=True)], right]], colWidths=[width * 0.55, width * 0.45])
    table.setStyle(plain_style())
    banners = [text(words, color=BAD, strong=True) for words in _banners(purchase)]
    return [table, Spacer(0, 4 * mm), *banners, Spacer(0, 6 * mm)]


def _banners(purchase: Purchase) -> list[str]:
    words = []
    if purchase.is_simulated:
        words.append("Simulation: no money was paid. This is not a tax document.")
    if purchase.refunded_cents:
        words.append("Refunded" if purchase.refunded_cents >= purchase.credit_cents else "Partly refunded")
    if any(dispute.status == "lost" for dispute in purchase.disputes.all()):
        words.append("Charged back by the cardholder's bank")
    return words


def _parties(purchase: Purchase, width: float) -> list[Flowable]:
    billed = purchase.billed_to
    seller = [settings.SELLER_NAME, *(line.strip() for line in settings.SELLER_ADDRESS.split("|")), _tax_line(settings.SELLER_TAX_ID)]
    buyer = [
        billed.get("name", ""),
        *billed.get("address", "").split("\n"),
        billed.get("country", ""),
        _tax_line(billed.get("tax_id", "")),
        billed.get("email", ""),
    ]
    columns = [
        [text(title, color=SOFT, size=8), *(text(line) for line in lines if line.strip())]
        for title, lines in (("From", seller), ("Billed to", buyer))
    ]
    table = Table([columns], colWidths=[width / 2, width / 2])
    table.setStyle(plain_style())
    return [table, Spacer(0, 10 * mm)]


def _tax_line(tax_id: str) -> str:
    return f"Tax id {tax_id}" if tax_id.strip() else ""


def _lines(purchase: Purchase, width: float) -> list[Flowable]:
    lines = [("Credit for language models", purchase.credit_cents), ("Processing fee", purchase.fee_cents)]
    extra = [("Discount", -purchase.discount_cents), ("Tax", purchase.tax_cents)]
    rows = [(name, cents) for name, cents in lines if cents] + [(name, cents) for name, cents in extra if cents]
    return [_money_table([*rows, ("Total, US dollars", purchase.total_cents)], width, head=("What", "Amount")), Spacer(0, 6 * mm)]


def _refunds(purchase: Purchase, width: float) -> list[Flowable]:
    kept = [refund for refund in purchase.refunds.all() if refund.state != RefundState.FAILED]
    if not kept:
        return []
    rows = [
        (f"{refund.created_at:%-d %B %Y}{', on its way' if refund.state == RefundState.ASKED else ''}", -refund.total_cents)
        for refund in kept
    ]
    left = purchase.total_cents - sum(refund.total_cents for refund in kept)
    return [_money_table([*rows, ("Paid after refunds, US dollars", left)], width, head=("Refunds", "Amount")), Spacer(0, 6 * mm)]


def _foot(purchase: Purchase) -> list[Flowable]:
    return [
        text(f"Paid in full on {purchase.paid_at:%-d %B %Y}. Nothing is due.", color=SOFT, size=8),
        text(f"Purchase {purchase.pk}, {settings.PUBLIC_URL}", color=SOFT, size=8),
    ]


def _money_table(rows: Sequence[tuple[str, int]], width: float, *, head: tuple[str, str]) -> Table:
    cells: list[list[Any]] = [[text(head[0], color=SOFT, size=8), text(head[1], color=SOFT, size=8, align=TA_RIGHT)]]
    for number, (name, cents) in enumerate(rows, start=1):
        is_sum = number == len(rows)
        cells.append([text(name, strong=is_sum), text(usd_text(cents), strong=is_sum, align=TA_RIGHT)])
    table = Table(cells, colWidths=[width * 0.72, width * 0.28])
    table.setStyle(
        TableStyle(
            [
                ("LINEBELOW", (0, 0), (-1, -3), 0.4, LINE),
                ("LINEABOVE", (0, -1), (-1, -1), 0.8, INK),
                ("LEFTPADDING", (0, 0), (0, -1), 0),
                ("RIGHTPADDING", (-1, 0), (-1, -1), 0),
                ("VALIGN", (0, 0), (-1, -1), "MIDDLE"),
            ]
        )
    )
    return table


def usd_text(cents: int) -> str:
    """Write cents as a receipt has them: $1,000.50, always with two decimals."""
    whole, part = divmod(abs(cents), 100)
    return f"{'−' if cents < 0 else ''}${whole:,}.{part:02d}"
