"""Periodic jobs of the catalog."""

import time
from typing import Final

from celery import shared_task

from catalog import publication
from catalog.sync import refresh

_REFUSED_FOR_S: Final = 30.0


class _Refusal:
    """Until when (monotonic seconds) this process leaves a broken catalog alone: to find out that it is broken is a second of work."""

    until_s = 0.0


@shared_task  # type: ignore[untyped-decorator]
def publish_due() -> None:
    """Bring prices into force whose moment has come."""
    if time.monotonic() < _Refusal.until_s:
        return
    try:
        publication.publish_due()
    except publication.BrokenCatalog:
        _Refusal.until_s = time.monotonic() + _REFUSED_FOR_S
        raise


@shared_task  # type: ignore[untyped-decorator]
def propose_prices() -> None:
    """Compare with fresh data and propose what differs; nothing is applied that no rule allows."""
    refresh.refresh_daily()
