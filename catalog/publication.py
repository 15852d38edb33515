"""Publishing: the rows as they stand become an immutable, numbered snapshot that every data-plane process takes into use."""

import datetime as dt
import logging
from pathlib import Path
from typing import NamedTuple

import msgspec
import redis
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from catalog.caller_prices import append_books
from catalog.checks import Problem, find_problems
from catalog.files import DATA_DIR
from catalog.loader import LoadSummary, Progress, load_catalog
from catalog.locks import hold_catalog_lock
from catalog.markup_rules import read_book
from catalog.models import CatalogSnapshot, PriceVersion
from catalog.prices import reprice
from catalog.reader import CHANNEL
from catalog.snapshot import build_snapshot, decode_snapshot, digest_content, encode_snapshot, environment_from_settings, read_rows
from catalog.types import Snapshot

_log = logging.getLogger(__name__)


class BrokenCatalog(Exception):
    """The catalog has errors and was not published; the one before stays in force. ``problems`` has the errors."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("; ".join(f"{one.subject}: {one.message}" for one in problems))


class UnknownVersion(Exception):
    """There is no snapshot of this version."""


class Publication(NamedTuple):
    """The snapshot in force after a call. ``is_new`` is false when nothing had changed. Warnings and notes are in ``problems``."""

    version: int
    is_new: bool
    models: int
    endpoints: int
    providers: int
    problems: tuple[Problem, ...] = ()


def newest() -> CatalogSnapshot | None:
    """Return the snapshot in force without its body, or None."""
    return CatalogSnapshot.objects.defer("body").order_by("-version").first()


def _announce(version: int) -> None:
    """Tell the data plane. If Redis is away it will notice at its next poll."""
    try:
        with redis.Redis.from_url(settings.BROKER_REDIS_URL, socket_connect_timeout=1, socket_timeout=1) as client:
            client.publish(CHANNEL, str(version))
    except redis.RedisError as error:
        _log.warning("catalog version %s could not be announced and will be found by polling: %s", version, error)


def _store(snapshot: Snapshot, *, environment_digest: str, rolled_back_to: int | None = None) -> None:
    body = encode_snapshot(snapshot)
    decode_snapshot(body)  # what cannot be read back must not be published
    CatalogSnapshot.objects.create(
        version=snapshot.version,
        published_at=snapshot.published_at,
        body=body,
        digest=digest_content(snapshot),
        environment_digest=environment_digest,
        rolled_back_to=rolled_back_to,
        model_count=len(snapshot.models),
        endpoint_count=len(snapshot.endpoints),
        provider_count=len(snapshot.providers),
    )
    transaction.on_commit(lambda: _announce(snapshot.version))


def _describe(snapshot: Snapshot, *, version: int, is_new: bool, problems: list[Problem]) -> Publication:
    return Publication(version, is_new, len(snapshot.models), len(snapshot.endpoints), len(snapshot.providers), tuple(problems))


def publish(*, now: dt.datetime | None = None, even_if_same: bool = False) -> Publication:
    """Check the catalog and publish it if it differs from what is in force. Ends the hold of an earlier rollback.

    ``even_if_same`` makes a version whose content is that of the one before: proof that what was due has been looked at.
    Raises: BrokenCatalog; then nothing has changed.
    """
    moment = now or timezone.now()
    environment = environment_from_settings()
    with transaction.atomic():
        hold_catalog_lock()
        markups = read_book()
        reprice(markups=markups, now=moment)
        current = newest()
        version = current.version + 1 if current else 1
        rows = read_rows(at=moment, environment=environment)
        rows = rows._replace(books=append_books(rows.prices, markups=markups, now=moment))
        snapshot = build_snapshot(rows, version=version, published_at=moment)
        problems = find_problems(rows, snapshot, today=moment.date())
        errors = [one for one in problems if one.severity == "error"]
        if errors:
            raise BrokenCatalog(errors)
        # A rollback is ended by a version of its own even when the content is the same.
        is_same = current is not None and current.rolled_back_to is None and current.digest == digest_content(snapshot)
        is_same = is_same and not even_if_same
        if current is not None and is_same and current.environment_digest == environment.digest:
            return _describe(snapshot, version=current.version, is_new=False, problems=problems)
        _store(snapshot, environment_digest=environment.digest)
    return _describe(snapshot, version=version, is_new=True, problems=problems)


def check() -> list[Problem]:
    """Return what ``publish`` would find now, errors first."""
    moment = timezone.now()
    rows = read_rows(at=moment, environment=environment_from_settings())
    return find_problems(rows, build_snapshot(rows, version=1, published_at=moment), today=moment.date())


def rollback(*, version: int, now: dt.datetime | None = None) -> Publication:
    """Publish the content of an earlier version again, under a new number. Prices and providers are as they were then.

    Automatic publication (scheduled prices, the load at start) holds until somebody publishes explicitly. Raises: UnknownVersion.
    """
    moment = now or timezone.now()
    with transaction.atomic():
        hold_catalog_lock()
        earlier = CatalogSnapshot.objects.filter(version=version).first()
        current = newest()
        if earlier is None or current is None:
            msg = f"there is no catalog version {version}"
            raise UnknownVersion(msg)
        body = decode_snapshot(bytes(earlier.body))
        snapshot = msgspec.structs.replace(body, version=current.version + 1, published_at=moment)
        _store(snapshot, environment_digest=earlier.environment_digest, rolled_back_to=version)
    return _describe(snapshot, version=snapshot.version, is_new=True, problems=[])


def publish_due(*, now: dt.datetime | None = None) -> Publication | None:
    """Publish if a price or a markup has begun or ended since the last publication. Returns None when there was nothing to do.

    Raises: BrokenCatalog.
    """
    moment = now or timezone.now()
    if not _is_due(moment):
        return None
    with transaction.atomic():
        hold_catalog_lock()
        # Somebody else may have published while we waited. What changes nothing must not be due for ever: looking is a second of work.
        return publish(now=moment, even_if_same=True) if _is_due(moment) else None


def _is_due(moment: dt.datetime) -> bool:
    current = newest()
    if current is None or current.rolled_back_to is not None:
        return False
    begun = PriceVersion.objects.public().filter(effective_from__gt=current.published_at, effective_from__lte=moment)
    return begun.exists() or any(current.published_at < one <= moment for one in read_book().moments())


def load_and_publish(*, data_dir: Path = DATA_DIR, progress: Progress | None = None) -> tuple[LoadSummary, Publication]:
    """Bring the catalog in force up to date with the data files and the settings. Quick when nothing has changed.

    After a rollback it loads and does not publish. Raises: BadDataFiles, BrokenCatalog; then what is in force stays.
    """
    summary = load_catalog(data_dir=data_dir, progress=progress) if progress else load_catalog(data_dir=data_dir)
    current = newest()
    is_settled = summary.skipped and current is not None and current.environment_digest == environment_from_settings().digest
    if current is not None and (is_settled or current.rolled_back_to is not None):
        publish_due()
        current = newest() or current
        counts = (current.model_count, current.endpoint_count, current.provider_count)
        return summary, Publication(current.version, False, *counts)  # noqa: FBT003 -- a tuple's field
    return summary, publish()
