"""Reads a source by name and proposes what differs: what the command and the daily job call."""

import datetime as dt
import logging
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from django.conf import settings
from django.utils import timezone

from accounts.audit import Actor
from accounts.secrets import CannotOpen, Sealer
from catalog.credentials import UnknownProvider, current_hosting
from catalog.models import Provider, SyncRun
from catalog.sync import proposals
from catalog.sync.genai_source import read_genai_prices
from catalog.sync.models_dev_source import read_models_dev
from catalog.sync.offers import Offer, UnreadableSource
from catalog.sync.provider_source import read_provider_list

_log = logging.getLogger(__name__)

GENAI: Final = "genai-prices"
MODELS_DEV: Final = "models-dev"
PROVIDER_PREFIX: Final = "provider:"
DAILY_THRESHOLD_PERCENT: Final = Decimal("0.5")
_ANTHROPIC_VERSION: Final = "2023-06-01"


def _credential(provider: Provider) -> str:
    sealed = provider.credentials.order_by("-id").values_list("sealed", flat=True).first()
    if sealed is None:
        return settings.PROVIDER_CREDENTIALS.get(provider.slug, "")
    try:
        return Sealer(settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS).open_sealed(bytes(sealed))
    except CannotOpen as error:
        raise UnreadableSource(str(error)) from error


def _headers(provider: Provider) -> dict[str, str]:
    key = _credential(provider)
    if not key:
        return {}
    match provider.auth:
        case "x-api-key":
            return {"x-api-key": key, "anthropic-version": _ANTHROPIC_VERSION}
        case "api-key":
            return {"api-key": key}
        case "query-key":
            return {"x-goog-api-key": key}
    return {"authorization": f"Bearer {key}"}


def _read_provider(slug: str) -> list[Offer]:
    provider = Provider.objects.filter(slug=slug).first()
    if provider is None:
        msg = f"there is no provider {slug!r}"
        raise UnknownProvider(msg)
    url = current_hosting(provider).base_url
    return read_provider_list(slug=slug, base_url=url, headers=_headers(provider), allow_private=provider.allow_private_address)


def read_source(source: str, *, path: Path | None = None, at: dt.datetime | None = None) -> list[Offer]:
    """Return what a source offers: 'genai-prices', 'models-dev' (with ``path``) or 'provider:<slug>'.

    Raises: UnreadableSource, UnknownProvider.
    """
    if source == GENAI:
        return read_genai_prices(at=at or timezone.now())
    if source == MODELS_DEV and path is not None:
        return read_models_dev(path)
    if source.startswith(PROVIDER_PREFIX):
        return _read_provider(source.removeprefix(PROVIDER_PREFIX))
    msg = f"{source!r} is not a source: say genai-prices, models-dev with --path, or provider:<slug>"
    raise UnreadableSource(msg)


def refresh(source: str, *, path: Path | None = None, threshold_percent: Decimal = Decimal(0), by: Actor = None) -> SyncRun:
    """Read a source and propose what differs. A source that cannot be read leaves a run with its error.

    Raises: UnknownProvider, BrokenCatalog.
    """
    try:
        offers = read_source(source, path=path)
    except UnreadableSource as error:
        _log.warning("source %s cannot be read: %s", source, error)
        return proposals.record_failure(source=source, error=error, by=by)
    return proposals.propose(source=source, offers=offers, threshold_percent=threshold_percent, by=by)


def daily_sources() -> list[str]:
    """Return what the daily job reads: the installed package, and the lists of providers that are called for real."""
    live = [one.slug for one in Provider.objects.filter(enabled=True, withdrawn_at=None).order_by("slug") if _is_called(one)]
    return [*([GENAI] if find_spec("genai_prices") else []), *(f"{PROVIDER_PREFIX}{slug}" for slug in live)]


def _is_called(provider: Provider) -> bool:
    return provider.kind != "own" and current_hosting(provider).mode == "live"


def refresh_daily() -> list[SyncRun]:
    """Propose from every source of the daily job."""
    return [refresh(source, threshold_percent=DAILY_THRESHOLD_PERCENT) for source in daily_sources()]
