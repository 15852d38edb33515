"""How money, prices, times and icons are written on every page."""

import datetime as dt
from functools import lru_cache

from django import template
from django.forms import BoundField
from django.templatetags.static import static
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timezone import localtime

from billing.money import NANOS_PER_CENT, NANOS_PER_USD, usd_text
from catalog.fragments import render_row
from catalog.showcase import ModelRow

register = template.Library()

_PICOS_PER_USD = 10**12
_SIGNIFICANT_DIGITS = 3


def _digits(text: str, *, soft: bool, start: int) -> SafeString:
    """Return decimals in groups of three from the point; ``start`` is how many decimals stand before ``text``."""
    parts: list[tuple[str, str]] = []
    position = start
    while text:
        room = 3 - position % 3
        parts.append(("money-group" if position and position % 3 == 0 else "", text[:room]))
        position += len(text[:room])
        text = text[room:]
    body = format_html_join("", "{}", ((format_html('<span class="{}">{}</span>', css, run) if css else run,) for css, run in parts))
    return format_html('<span class="money-soft">{}</span>', body) if soft and body else body


@register.simple_tag
def money(nanos: int | None, *, show_nanos: bool = True) -> SafeString:
    """Write an amount with as many digits as it has, never fewer than two decimals; the exact value is in the title.

    From one cent up the cents are loud and the rest is soft; below, the zeros are soft and the first digits that say something loud.
    """
    if nanos is None:
        return format_html('<span class="soft">{}</span>', "–")
    sign = "−" if nanos < 0 else ""
    whole, part = divmod(abs(nanos), NANOS_PER_USD)
    decimals = f"{part:09d}".rstrip("0").ljust(2, "0")
    if whole or part >= NANOS_PER_CENT or part == 0:
        loud_from, loud_to = 0, 2
        head = format_html("{}${}.", sign, f"{whole:,}")
    else:
        loud_from = len(decimals) - len(decimals.lstrip("0"))
        loud_to = min(loud_from + _SIGNIFICANT_DIGITS, len(decimals))
        head = format_html('<span class="money-soft">{}$0.</span>', sign)
    return format_html(
        '<span class="money" title="{}">{}{}{}{}</span>',
        f"${usd_text(nanos)} ({nanos:,} nanos)" if show_nanos else f"${usd_text(nanos)}",
        head,
        _digits(decimals[:loud_from], soft=True, start=0),
        _digits(decimals[loud_from:loud_to], soft=False, start=loud_from),
        _digits(decimals[loud_to:], soft=True, start=loud_to),
    )


def _decimal_text(numerator: int, denominator: int) -> str:
    whole, part = divmod(numerator, denominator)
    width = len(str(denominator)) - 1
    return f"{whole:,}.{f'{part:0{width}d}'.rstrip('0').ljust(2, '0')}"


@register.simple_tag
def price(picos: int | None, *, per: int = 1_000_000) -> SafeString:
    """Write a rate (picos per unit) as dollars per ``per`` units, a million by default; the price of one unit is in the title."""
    if picos is None:
        return format_html('<span class="soft">{}</span>', "–")
    if picos == 0:
        return format_html('<span class="money">{}</span>', "Free")
    one = _decimal_text(picos, _PICOS_PER_USD)
    return format_html('<span class="money" title="{}">${}</span>', f"${one} each", _decimal_text(picos * per, _PICOS_PER_USD))


@register.simple_tag
def picos(amount: int | None) -> SafeString:
    """Write an unrounded cost (1e-12 USD) with all its digits, as a receipt's lines have it."""
    if amount is None:
        return format_html('<span class="soft">{}</span>', "–")
    return format_html('<span class="money" title="{}">${}</span>', f"{amount:,} picos", _decimal_text(amount, _PICOS_PER_USD))


@register.filter
def usd(nanos: int) -> str:
    """Write an amount plainly, as it is copied: 0.000214."""
    return usd_text(nanos)


@register.simple_tag
def icon(name: str, label: str = "") -> SafeString:
    """Draw an icon of the sprite. With a label it speaks to screen readers, without one it is decoration."""
    return _drawn(name, label)


@lru_cache(maxsize=512)
def _drawn(name: str, label: str) -> SafeString:
    # A page has hundreds of icons, and finding the sprite's address is most of the work.
    source = f"{static('vendor/lucide/icons.svg')}#{name}"
    if label:
        return format_html('<svg class="icon" role="img" aria-label="{}"><use href="{}"></use></svg>', label, source)
    return format_html('<svg class="icon" aria-hidden="true" focusable="false"><use href="{}"></use></svg>', source)


@register.simple_tag
def moment(at: dt.datetime | None, *, relative: bool = True) -> SafeString:
    """Write a time in UTC; the page's script makes it relative or local."""
    if at is None:
        return format_html('<span class="soft">{}</span>', "–")
    text = localtime(at, dt.UTC)
    marker = format_html(" {}", "data-relative") if relative else ""
    return format_html('<time datetime="{}"{}>{}</time>', text.isoformat(), marker, f"{text:%Y-%m-%d %H:%M} UTC")


@register.filter
def context_size(tokens: int) -> str:
    """Write a context length as people say it: 128K, 1M, 1.05M."""
    if not tokens:
        return "–"
    if tokens >= 1_000_000:  # noqa: PLR2004 -- a million is a million
        return f"{tokens / 1_000_000:.2f}".rstrip("0").rstrip(".") + "M"
    return f"{tokens / 1_000:.0f}K" if tokens >= 1_000 else str(tokens)  # noqa: PLR2004


@register.filter
def seconds(milliseconds: int | None) -> str:
    """Write a duration: 840 ms, 1.24 s."""
    if milliseconds is None:
        return "–"
    return f"{milliseconds:,} ms" if milliseconds < 1_000 else f"{milliseconds / 1_000:,.2f} s"  # noqa: PLR2004


@register.simple_tag
def model_row(row: ModelRow, is_comparable: object) -> SafeString:
    """Draw a model's row of a table, from the rows that were drawn before."""
    return render_row(row, is_comparable=bool(is_comparable))


@register.simple_tag
def control(field: BoundField) -> SafeString:
    """Draw a form field's control in the site's style; Django adds the ids of its help and its error for screen readers."""
    attrs: dict[str, str | bool] = {"class": "input"}
    placeholder = str(field.field.widget.attrs.get("placeholder", ""))
    if placeholder.casefold().startswith(str(field.label).casefold()):
        attrs["placeholder"] = ""  # says nothing that the label does not
    return field.as_widget(attrs=attrs)
