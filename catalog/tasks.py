"""Periodic jobs of the catalog."""

from celery import shared_task

from catalog import publication


@shared_task  # type: ignore[untyped-decorator]
def publish_due() -> None:
    """Bring prices into force whose day has come."""
    publication.publish_due()
