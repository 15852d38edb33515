"""What every printed paper has in common: fonts that know most names, text that wraps, colours."""

from html import escape
from pathlib import Path
from typing import Final

from reportlab.lib.colors import HexColor
from reportlab.lib.styles import ParagraphStyle
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.platypus import Paragraph, TableStyle

INK, SOFT, LINE, BAD = HexColor("#1a1a1a"), HexColor("#5f5f5f"), HexColor("#d0d0d0"), HexColor("#a3160c")
_FONTS: Final = Path(__file__).parent / "fonts"
_PLAIN, _STRONG = "DejaVuSans", "DejaVuSans-Bold"
# Where Chinese, Japanese and Korean names come from: fonts that every viewer brings, by the first sign that decides.
_EAST_ASIAN: Final = (("぀", "ヿ", "HeiseiKakuGo-W5"), ("가", "힣", "HYGothic-Medium"), ("⺀", "鿿", "STSong-Light"))


def text(words: str, *, size: float = 9.5, strong: bool = False, color: HexColor = INK, align: int = 0) -> Paragraph:
    """Set words. Long names wrap, also without a blank in them; markup in a name is text."""
    style = ParagraphStyle(
        "text",
        fontName=_font_of(words, strong=strong),
        fontSize=size,
        leading=size * 1.45,
        textColor=color,
        alignment=align,
        splitLongWords=1,
    )
    return Paragraph(escape(words), style)


def plain_style() -> TableStyle:
    """Return the style of a table that only places things."""
    return TableStyle([("VALIGN", (0, 0), (-1, -1), "TOP"), ("LEFTPADDING", (0, 0), (-1, -1), 0), ("RIGHTPADDING", (0, 0), (-1, -1), 0)])


def register_fonts() -> None:
    """Make the fonts known; call it before a document is built."""
    known = set(pdfmetrics.getRegisteredFontNames())
    for name in {_PLAIN, _STRONG} - known:
        pdfmetrics.registerFont(TTFont(name, _FONTS / f"{name}.ttf"))
    for _, _, name in _EAST_ASIAN:
        if name not in known:
            pdfmetrics.registerFont(UnicodeCIDFont(name))


def _font_of(words: str, *, strong: bool) -> str:
    for first, last, font in _EAST_ASIAN:
        if any(first <= sign <= last for sign in words):
            return font
    return _STRONG if strong else _PLAIN
