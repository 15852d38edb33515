"""The operator's switches: take a provider, model or endpoint out of service at once, and put it back."""

from django.db import transaction
from django.db.models import QuerySet

from catalog import publication
from catalog.models import CatalogRow


def switch(rows: QuerySet[CatalogRow], *, enabled: bool) -> publication.Publication:
    """Switch ``rows`` on or off and publish. Raises: BrokenCatalog; then nothing has changed."""
    with transaction.atomic():
        rows.update(enabled=enabled)
        return publication.publish()
