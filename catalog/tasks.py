"""Periodic jobs of the catalog."""

from celery import shared_task

from catalog import publication
from catalog.sync import refresh


@shared_task  # type: ignore[untyped-decorator]
def publish_due() -> None:
    """Bring prices into force whose day has come."""
    publication.publish_due()


@shared_task  # type: ignore[untyped-decorator]
def propose_prices() -> None:
    """Compare with fresh data and propose what differs; nothing is applied that no rule allows."""
    refresh.refresh_daily()
