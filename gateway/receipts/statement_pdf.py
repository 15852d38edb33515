"""A statement as PDF: for the files of people who keep accounts. The signed JSON says the same to machines."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any, Final

from django.conf import settings
from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.pagesizes import A4
from reportlab.lib.units import mm
from reportlab.platypus import Flowable, SimpleDocTemplate, Spacer, Table, TableStyle

from accounts.models import Organization
from billing.money import NANOS_PER_USD
from billing.receipts.statement import Statement
from billing.typesetting import BAD, INK, LINE, SOFT, plain_style, register_fonts, text
from gateway.receipts.statement import UsageSum, by_key, by_model

CREDIT_WORDS: Final = {"promo_credit": "promo credit", "credit": "credit"}
MOVEMENT_WORDS: Final = {
    "grant": "Credit granted",
    "purchase": "Credit bought",
    "refund": "Refund",
    "dispute": "Dispute",
    "expiry": "Granted credit expired",
    "correction": "Correction",
}


def render(statement: Statement, organization: Organization, key_names: Mapping[int, str]) -> bytes:
    """Return the PDF; the same statement gives the same bytes."""
    register_fonts()
    buffer = BytesIO()
    margins = {"leftMargin": 20 * mm, "rightMargin": 20 * mm, "topMargin": 20 * mm, "bottomMargin": 18 * mm}
    title = f"Statement {statement.since:%B %Y}"
    document = SimpleDocTemplate(buffer, pagesize=A4, title=title, author=settings.SELLER_NAME, invariant=1, lang="en", **margins)
    width = A4[0] - 40 * mm
    models = [(f"{model}, {provider}", total) for (model, provider), total in by_model(statement.usage)]
    keys = [(key_names.get(key_id, "a deleted key"), total) for key_id, total in by_key(statement.usage)]
    document.build(
        [
            *_head(statement, organization, title, width),
            *_balance(statement, width),
            *_usage("Usage by model and provider", models, width),
            *_usage("Usage by key", keys, width),
            _placed([[text(words, color=SOFT, size=8) for words in _foot()]], [width]),
        ]
    )
    return buffer.getvalue()


def exact_text(nanos: int) -> str:
    """Write an amount with all nine decimals, so that columns can be added up: $0.000214000."""
    whole, part = divmod(abs(nanos), NANOS_PER_USD)
    return f"{'−' if nanos < 0 else ''}${whole:,}.{part:09d}"


def _head(statement: Statement, organization: Organization, title: str, width: float) -> list[Flowable]:
    right = [text(line, align=TA_RIGHT) for line in (organization.name, organization.public_id)]
    left = [text(title, size=18, strong=True), Spacer(0, 1 * mm), text(settings.SELLER_NAME, color=SOFT)]
    interim = [] if statement.is_final else [_placed([[text("Interim: the month is not over.", color=BAD, strong=True)]], [width])]
    return [_placed([[left, right]], [width * 0.55, width * 0.45]), Spacer(0, 4 * mm), *interim, Spacer(0, 5 * mm)]


def _foot() -> list[str]:
    return [
        f"Amounts in US dollars, exact to a billionth. Times in UTC. Issued by {settings.PUBLIC_URL}.",
        "The signed JSON of this statement can be checked and recomputed offline.",
    ]


def _placed(cells: list[list[Any]], widths: list[float]) -> Table:
    table = Table(cells, colWidths=widths)
    table.setStyle(plain_style())
    return table


def _balance(statement: Statement, width: float) -> list[Flowable]:
    rows = [("", "Opening balance", exact_text(statement.opening_nanos))]
    rows += [
        (f"{one.at:%-d %b %H:%M}", MOVEMENT_WORDS.get(one.reason, one.reason.replace("_", " ").capitalize()), exact_text(one.amount_nanos))
        for one in statement.movements
    ]
    rows += [("", f"Usage, paid with {CREDIT_WORDS[credit]}", exact_text(-nanos)) for credit, nanos in sorted(statement.charged.items())]
    rows.append(("", "Closing balance", exact_text(statement.closing_nanos)))
    return [_table(("Date", "What", "Amount"), rows, [width * 0.18, width * 0.52, width * 0.3], has_sum=True), Spacer(0, 8 * mm)]


def _usage(title: str, lines: Sequence[tuple[str, UsageSum]], width: float) -> list[Flowable]:
    if not lines:
        return []
    rows = [(name, f"{one.requests:,}", f"{one.tokens_in:,}", f"{one.tokens_out:,}", exact_text(one.amount_nanos)) for name, one in lines]
    total = UsageSum(*map(sum, zip(*(one for _, one in lines), strict=True)))
    rows.append(("Total", f"{total.requests:,}", f"{total.tokens_in:,}", f"{total.tokens_out:,}", exact_text(total.amount_nanos)))
    widths = [width * share for share in (0.36, 0.12, 0.15, 0.13, 0.24)]
    return [_table((title, "Requests", "Tokens in", "Tokens out", "Amount"), rows, widths, has_sum=True), Spacer(0, 8 * mm)]


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]], widths: list[float], *, has_sum: bool) -> Table:
    first_number = 1 if len(head) > 3 else 2  # noqa: PLR2004 -- a date and words, or words, come first
    cells: list[list[Any]] = [
        [text(word, color=SOFT, size=8, align=TA_RIGHT if place >= first_number else 0) for place, word in enumerate(head)]
    ]
    for number, row in enumerate(rows, start=1):
        is_sum = has_sum and number == len(rows)
        cells.append(
            [text(word, size=8.5, strong=is_sum, align=TA_RIGHT if place >= first_number else 0) for place, word in enumerate(row)]
        )
    table = Table(cells, colWidths=widths, repeatRows=1)
    table.setStyle(
        TableStyle(
            [
                ("LINEBELOW", (0, 0), (-1, -3), 0.4, LINE),
                ("LINEABOVE", (0, -1), (-1, -1), 0.8, INK),
                ("LEFTPADDING", (0, 0), (0, -1), 0),
                ("RIGHTPADDING", (-1, 0), (-1, -1), 0),
                ("TOPPADDING", (0, 0), (-1, -1), 2),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 2),
                ("VALIGN", (0, 0), (-1, -1), "MIDDLE"),
            ]
        )
    )
    return table
