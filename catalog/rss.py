"""RSS 2.0 documents. Pure."""

import datetime as dt
from collections.abc import Iterable
from email.utils import format_datetime
from typing import NamedTuple
from xml.sax.saxutils import escape


class FeedItem(NamedTuple):
    """One entry. ``key`` never changes: readers use it to tell what they have seen."""

    key: str
    title: str
    link: str
    text: str
    published_at: dt.datetime


def write_rss(*, title: str, link: str, description: str, items: Iterable[FeedItem]) -> bytes:
    """Return the document, UTF-8."""
    entries = "".join(
        f'<item><guid isPermaLink="false">{escape(one.key)}</guid><title>{escape(one.title)}</title><link>{escape(one.link)}</link>'
        f"<description>{escape(one.text)}</description><pubDate>{format_datetime(one.published_at)}</pubDate></item>"
        for one in items
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<rss version="2.0"><channel>'
        f"<title>{escape(title)}</title><link>{escape(link)}</link><description>{escape(description)}</description>{entries}</channel></rss>"
    ).encode()
