"""One writer of the catalog at a time, across all processes."""

from django.db import connection

_CATALOG_LOCK = 0x70_11_3A_4C  # any constant that nobody else uses


def hold_catalog_lock() -> None:
    """Wait until no other transaction loads or publishes, and keep others out until the end of this one. Call inside a transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_CATALOG_LOCK])
