"""Is the process alive, and is everything there that it needs? For load balancers and for the launcher."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

import redis
from django.conf import settings
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts import queries as accounts
from billing import live
from catalog import showcase

logger = logging.getLogger(__name__)

_TIMEOUT_S: Final = 1.0
_LAG_S_MAX: Final = 60.0
KEPT_S: Final = 1.0


class NotReady(Exception):
    """Something that serving needs is missing; the message says what and is shown to whoever asks."""


def _check_database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def _ping(url: str) -> None:
    client = redis.Redis.from_url(url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S)
    try:
        client.ping()
    finally:
        client.close()


def _check_money_store() -> None:
    _ping(settings.REDIS_URL)


def _check_broker() -> None:
    _ping(settings.BROKER_REDIS_URL)


def _check_migrations() -> None:
    executor = MigrationExecutor(connection)
    missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if missing:
        msg = f"{len(missing)} migrations are not applied; run manage.py migrate"
        raise NotReady(msg)


def _check_catalog() -> None:
    if showcase.published_version() is None:
        msg = "no catalog is published; run manage.py load_catalog"
        raise NotReady(msg)


def _check_shards() -> None:
    # Shards where nobody lives keep nobody waiting; they follow within seconds.
    waiting = len(accounts.inhabited(live.shards_with_stale_epochs()))
    if waiting:
        msg = f"{waiting} of {settings.LEDGER_SHARDS} ledger shards wait for a rebuild; is a Celery worker running?"
        raise NotReady(msg)


def _check_settlement() -> None:
    lag_s = live.stream_lag_s()
    if lag_s > _LAG_S_MAX:
        msg = f"settlement is {lag_s:.0f} s behind; is a Celery worker running?"
        raise NotReady(msg)


CHECKS: Final[dict[str, Callable[[], None]]] = {
    "database": _check_database,
    "money_store": _check_money_store,
    "broker": _check_broker,
    "migrations": _check_migrations,
    "catalog": _check_catalog,
    "shards": _check_shards,
    "settlement": _check_settlement,
}


def _result(name: str, check: Callable[[], None]) -> str:
    try:
        check()
    except NotReady as missing:
        return str(missing)
    except Exception:
        # Whatever broke, the answer is 503; addresses and credentials in the text belong in the log only.
        logger.exception("readiness check %s failed", name)
        return "does not answer"
    return "ok"


class _Readiness:
    """The checks' results, at most ``KEPT_S`` old: anybody may ask, and asking often must not cost anybody else anything."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._results: dict[str, str] = {}
        self._checked_at_s = float("-inf")

    def results(self) -> dict[str, str]:
        # Those who ask meanwhile wait for the one that checks and take what it found.
        with self._lock:
            if time.monotonic() - self._checked_at_s >= KEPT_S:
                self._results = {name: _result(name, check) for name, check in CHECKS.items()}
                self._checked_at_s = time.monotonic()
            return self._results


_readiness = _Readiness()


@never_cache
@require_safe
def alive(_request: HttpRequest) -> JsonResponse:
    """Answer 200 whenever the process can answer at all."""
    return JsonResponse({"status": "ok"})


@never_cache
@require_safe
def ready(_request: HttpRequest) -> JsonResponse:
    """Answer 200 when every check passes, else 503; the body names each check and what is missing. One look a second and process."""
    checks = _readiness.results()
    is_ready = all(result == "ok" for result in checks.values())
    return JsonResponse({"status": "ready" if is_ready else "not ready", "checks": checks}, status=200 if is_ready else 503)
