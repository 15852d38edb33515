"""The operator's switches: take a provider, model or endpoint out of service at once, and put it back."""

import logging

import redis
from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from catalog import publication
from catalog.models import CatalogRow
from catalog.publication import BrokenCatalog
from catalog.switch_reader import CHANNEL

_log = logging.getLogger(__name__)


def switch(rows: QuerySet[CatalogRow], *, enabled: bool) -> publication.Publication:
    """Switch ``rows`` on or off and publish. Raises: BrokenCatalog; then nothing has changed.

    What is off is not called from the first commit on; lists and pages follow with the publication, which takes longer.
    """
    changed = list(rows.exclude(enabled=enabled).values_list("pk", flat=True))
    changing = type(rows)(rows.model).filter(pk__in=changed)
    _set(changing, enabled=enabled)
    try:
        return publication.publish()
    except BrokenCatalog:
        _set(changing, enabled=not enabled)
        raise


def _set(rows: QuerySet[CatalogRow], *, enabled: bool) -> None:
    with transaction.atomic():
        rows.update(enabled=enabled)
        transaction.on_commit(_announce)


def _announce() -> None:
    """Tell the data plane. If Redis is away the publication will."""
    try:
        with redis.Redis.from_url(settings.BROKER_REDIS_URL, socket_connect_timeout=1, socket_timeout=1) as client:
            client.publish(CHANNEL, "")
    except redis.RedisError as error:
        _log.warning("a switch could not be announced; it takes effect with its publication: %s", error)
