"""What Django's settings say to the data plane, and the catalog as the data plane sees it, for pages that explain what it would do."""

from django.conf import settings

from catalog import showcase
from gateway.relay.catalog import CatalogView
from gateway.relay.config import RelayConfig


def relay_config() -> RelayConfig:
    """Return the data plane's configuration from Django's settings."""
    return RelayConfig(
        database_url=settings.DATABASE_URL,
        redis_url=settings.REDIS_URL,
        broker_redis_url=settings.BROKER_REDIS_URL,
        secret_keys=(settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS),
        provider_credentials=settings.PROVIDER_CREDENTIALS,
        public_url=settings.PUBLIC_URL,
        spool_dir=settings.SPOOL_DIR,
        simulator_url=settings.SIMULATOR_URL if settings.DEMO_MODE else "",
        body_max_bytes=settings.BODY_MAX_BYTES,
        leases=settings.LEASES,
    )


class _Cache:
    """The newest view that this process has built, which takes tens of milliseconds."""

    view: CatalogView | None = None


def published_view() -> CatalogView | None:
    """Return the catalog in force as the data plane sees it; None before the first publication."""
    snapshot = showcase.published()
    if snapshot is None:
        return None
    if _Cache.view is None or _Cache.view.snapshot is not snapshot:
        _Cache.view = CatalogView(snapshot, relay_config())
    return _Cache.view
