"""An empty database after each test that commits, in milliseconds.

Django's flush makes the files of every table and index anew, however few rows there were.
"""

from functools import cache

from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import connection, models, transaction
from django.test import TransactionTestCase

# What Django writes itself after a migration, and would have to write again.
_KEPT: tuple[type[models.Model], ...] = (Permission, ContentType)


def empty_database() -> None:
    """Delete every row but Django's own ones, past the triggers that refuse it. Sequences go on, as after a flush."""
    if not _may_pass_triggers():
        call_command("flush", interactive=False, verbosity=0)
        return
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_deletion())


def empty_quickly() -> None:
    """Let Django's test cases, which are pytest-django's too, end this way."""
    TransactionTestCase._fixture_teardown = lambda _: empty_database()


@cache
def _may_pass_triggers() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT usesuper FROM pg_user WHERE usename = current_user")
        return bool(cursor.fetchone()[0])


@cache
def _deletion() -> str:
    kept = {model._meta.db_table for model in _KEPT}
    tables = sorted(set(connection.introspection.django_table_names(only_existing=True, include_views=False)) - kept)
    return "; ".join(["SET LOCAL session_replication_role = replica", *(f'DELETE FROM "{table}"' for table in tables)])  # noqa: S608 -- Django's own names
