"""The feed of price changes and new models, as JSON Feed 1.1 and as RSS, made once per catalog version."""

import datetime as dt
from typing import Any, Final

import msgspec
from django.conf import settings

from catalog import history, showcase
from catalog.history import Arrival, PriceChange
from catalog.listing import Body, make_body, pricing_body
from catalog.rss import FeedItem, write_rss
from catalog.types import Snapshot

_ITEMS: Final = 100
_TITLE: Final = "Tollway: prices and models"
_ABOUT: Final = "Price changes and new models, newest first"
_PERCENT_DIGITS: Final = 1
_METER_WORDS: Final = {"input_tokens": "input", "output_tokens": "output"}


class _Made:
    """The feed of the newest version that this process has made."""

    of: Snapshot | None = None
    is_made = False
    json = make_body(b"")
    rss = make_body(b"")


def json_feed() -> Body:
    """Return the feed as JSON Feed 1.1, https://www.jsonfeed.org/version/1.1/; each item has its facts under ``_tollway``."""
    _make()
    return _Made.json


def rss_feed() -> Body:
    """Return the feed as RSS 2.0."""
    _make()
    return _Made.rss


def _make() -> None:
    snapshot = showcase.published()
    if _Made.is_made and _Made.of is snapshot:
        return
    root = settings.PUBLIC_URL.rstrip("/")
    entries = _entries(snapshot, root) if snapshot else []
    feed = {
        "version": "https://jsonfeed.org/version/1.1",
        "title": _TITLE,
        "home_page_url": f"{root}/models",
        "feed_url": f"{root}/api/v1/feed.json",
        "description": _ABOUT,
        "items": [_json_item(item, facts) for item, facts in entries],
    }
    _Made.json = make_body(msgspec.json.encode(feed), content_type=b"application/feed+json")
    document = write_rss(title=_TITLE, link=f"{root}/models", description=_ABOUT, items=[item for item, _ in entries])
    _Made.rss = make_body(document, content_type=b"application/rss+xml; charset=utf-8")
    _Made.of, _Made.is_made = snapshot, True


def _json_item(item: FeedItem, facts: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": item.key,
        "url": item.link,
        "title": item.title,
        "content_text": item.text,
        "date_published": item.published_at.astimezone(dt.UTC).isoformat().replace("+00:00", "Z"),
        "tags": [facts["type"]],
        "_tollway": facts,
    }


def _entries(snapshot: Snapshot, root: str) -> list[tuple[FeedItem, dict[str, Any]]]:
    entries = [_change_entry(snapshot, change, root) for change in history.latest_changes(snapshot, count=_ITEMS)]
    entries += [_arrival_entry(snapshot, arrival, root) for arrival in history.latest_arrivals(snapshot, count=_ITEMS)]
    return sorted(entries, key=lambda entry: entry[0].published_at, reverse=True)[:_ITEMS]


def _change_entry(snapshot: Snapshot, change: PriceChange, root: str) -> tuple[FeedItem, dict[str, Any]]:
    endpoint = snapshot.endpoints[change.endpoint]
    model, provider = snapshot.models[endpoint.model], snapshot.providers[endpoint.provider]
    moves = [f"{word} {_percent(change, meter)}" for meter, word in _METER_WORDS.items() if _percent(change, meter)]
    item = FeedItem(
        key=f"price-{change.version_id}",
        title=f"{model.name} at {provider.name}: {', '.join(moves) or 'another price'}",
        link=f"{root}/models/{model.id}",
        text=f"The price of {endpoint.id} changed.",
        published_at=change.at,
    )
    facts = {
        "type": "price_change",
        "model": model.id,
        "endpoint": endpoint.id,
        "provider": provider.slug,
        "before": pricing_body(change.before, model.type),
        "after": pricing_body(change.after, model.type),
    }
    return item, facts


def _percent(change: PriceChange, meter: str) -> str:
    """Return the move of one rate in words, '' if it has not moved."""
    before, after = change.before.rates.get(meter), change.after.rates.get(meter)
    if before == after or before is None or after is None:
        return ""
    return f"{round((after - before) * 100 / before, _PERCENT_DIGITS):+g} %" if before else "no longer free"


def _arrival_entry(snapshot: Snapshot, arrival: Arrival, root: str) -> tuple[FeedItem, dict[str, Any]]:
    model = snapshot.models[arrival.model]
    item = FeedItem(
        key=f"model-{model.id}",
        title=f"New model: {model.name}",
        link=f"{root}/models/{model.id}",
        text=model.description or model.id,
        published_at=arrival.at,
    )
    return item, {"type": "new_model", "model": model.id}
