"""What is wrong with the catalog, or needs a look. An error keeps it from being published."""

import datetime as dt
from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

from catalog.models import AgreementLevel
from catalog.snapshot import Rows, is_sold
from catalog.types import RateCard, Snapshot

_STALE_AFTER: Final = dt.timedelta(days=60)
_RETIRES_SOON: Final = dt.timedelta(days=30)


class Problem(NamedTuple):
    """``subject`` is the slug of a provider, model or endpoint, '' for the catalog itself."""

    severity: Literal["error", "warning", "note"]
    code: str
    subject: str
    message: str


def _rates(card: RateCard) -> Iterable[int]:
    yield from card.rates.values()
    for tier in card.tiers:
        yield from tier.rates.values()
    for window in card.time_prices:
        yield from window.rates.values()
    for service in card.service_tiers.values():
        yield from _rates(service)


def _find_errors(rows: Rows, snapshot: Snapshot) -> Iterable[Problem]:
    if not snapshot.endpoints:
        yield Problem("error", "empty", "", "no endpoint has a price: run load_catalog")
    for row in rows.endpoints:
        price = rows.prices.get(row.pk)
        if price is None:
            yield Problem("error", "no_price_version", row.slug, "it has no price version in force")
            continue
        if any(rate < 0 for card in (price.cost, price.price) for rate in _rates(card)):
            yield Problem("error", "negative_price", row.slug, f"price version {price.id} has a negative rate")
        if is_sold(row, rows.prices) and not row.is_free and not any(_rates(price.price)):
            yield Problem("error", "zero_price", row.slug, "every rate is 0 and it is not marked free")
        if row.is_free and any(_rates(price.price)):
            yield Problem("error", "free_with_price", row.slug, "it is marked free and has a price")


def _find_dangling(snapshot: Snapshot) -> Iterable[Problem]:
    for endpoint in snapshot.endpoints.values():
        if endpoint.provider not in snapshot.providers or endpoint.model not in snapshot.models:
            yield Problem("error", "dangling", endpoint.id, "its provider or model is missing")
    for alias, target in snapshot.aliases.items():
        if target not in snapshot.models:
            yield Problem("error", "dangling", alias, f"the alias leads to {target!r}, which does not exist")


def _find_warnings(rows: Rows, today: dt.date) -> Iterable[Problem]:
    for row in rows.endpoints:
        price = rows.prices.get(row.pk)
        if price is not None and not is_sold(row, rows.prices):
            yield Problem("warning", "unpriced", row.slug, "not sold: what it always uses has no price that can be billed")
        notice = row.price_notice or {}
        if notice and notice["until"] < today.isoformat():
            yield Problem("warning", "notice_passed", row.slug, f"{notice['text']} (until {notice['until']})")
        if row.last_seen < today - _STALE_AFTER:
            yield Problem("warning", "stale", row.slug, f"no source has confirmed it since {row.last_seen}")
        if row.deprecation_date and row.deprecation_date < today:
            yield Problem("warning", "retired", row.slug, f"its provider retired it on {row.deprecation_date}")
        elif row.deprecation_date and row.deprecation_date < today + _RETIRES_SOON:
            yield Problem("warning", "retires_soon", row.slug, f"its provider retires it on {row.deprecation_date}")
        if row.agreement.get("level") == AgreementLevel.DISPUTED:
            yield Problem("warning", "disputed", row.slug, "each source says something else")


def _find_duplicates(rows: Rows) -> Iterable[Problem]:
    """Find endpoints that send the same request to the same place: whoever compares prices would count one offer twice."""
    known: dict[tuple[str, ...], str] = {}
    for row in rows.endpoints:
        place = (row.provider.slug, row.provider_model_id, row.model.slug, row.region, row.variant, row.quantization)
        first = known.setdefault(place, row.slug)
        if first != row.slug:
            yield Problem("warning", "duplicate", row.slug, f"it is the same as {first}")


def _find_deprecated(rows: Rows) -> Iterable[Problem]:
    for row in rows.endpoints:
        if row.deprecated and row.deprecation_date is None:
            yield Problem("note", "deprecated", row.slug, "its provider calls it deprecated and names no day")


def _find_notes(rows: Rows, snapshot: Snapshot) -> Iterable[Problem]:
    for provider in rows.providers:
        hosting = rows.hosting[provider.pk]
        if hosting.mode == "off":
            has_key = bool(rows.sealed.get(provider.pk))
            yield Problem("warning" if has_key else "note", "provider_off", provider.slug, f"off: {hosting.reason}")
    for model in snapshot.models.values():
        if not model.endpoints:
            yield Problem("note", "no_endpoint", model.id, "no endpoint sells it")


def find_problems(rows: Rows, snapshot: Snapshot, *, today: dt.date) -> list[Problem]:
    """Return everything found, errors first."""
    errors = [*_find_errors(rows, snapshot), *_find_dangling(snapshot)]
    warnings = [*_find_warnings(rows, today), *_find_duplicates(rows)]
    return [*errors, *warnings, *_find_notes(rows, snapshot), *_find_deprecated(rows)]
