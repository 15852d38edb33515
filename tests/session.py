"""Engines and environment of one test process: one PostgreSQL per run, a Valkey pair per xdist worker, and nothing of the caller's.

Channels of pub/sub know no database numbers, hence a pair for each. TEST_DATABASE_URL and TEST_REDIS_URL put other servers in place
of ours.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

import certifi
import django

from gateway.compiled.finder import read_mode, use_compiled
from gateway.local.engines import Engines
from tests.network import allow_only_loopback

_ROOT = Path(__file__).resolve().parent.parent
# How the run's controller tells its workers where PostgreSQL is.
_HANDED_DOWN = "TOLLWAY_TEST_ENGINE"


class Session(NamedTuple):
    """``owns_database``: PostgreSQL is ours and ends with the run."""

    owns_database: bool


def start_session() -> Session:
    """Start what this process needs, set the environment, load Django. Everything ends with the process, however it ends."""
    # Before anything of it is imported. The processes that tests start run as this one does.
    is_compiled = not use_compiled(read_mode(os.environ.get("COMPILED", "off")))
    allow_only_loopback()
    scratch = Path(tempfile.mkdtemp(prefix="tollway-test-"))
    is_ours = not os.environ.get("TEST_DATABASE_URL")
    database_url = os.environ.get("TEST_DATABASE_URL") or os.environ.get(_HANDED_DOWN, "")
    redis_url = os.environ.get("TEST_REDIS_URL", "")
    engines = Engines(scratch / "engines", durable=False, postgres=not database_url, money=not redis_url, broker=not redis_url)
    atexit.register(_end_session, engines, scratch)
    urls = engines.start()
    os.environ[_HANDED_DOWN] = database_url or urls.database_url.removesuffix("/postgres") + "/tollway"
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    for name in _our_variables():
        os.environ.pop(name, None)
        os.environ.pop(f"{name}_FILE", None)
    os.environ.update(
        DJANGO_SETTINGS_MODULE="gateway.settings",
        SECRET_KEY="only-for-tests-" + "x" * 40,
        DATABASE_URL=os.environ[_HANDED_DOWN],
        REDIS_URL=urls.redis_url or _numbered(redis_url, 2 * worker),
        BROKER_REDIS_URL=urls.broker_redis_url or _numbered(redis_url, 2 * worker + 1),
        TOLLWAY_DATA=str(scratch / "data"),
        COMPILED="required" if is_compiled else "off",
        LOG_FORMAT="plain",
        SSL_CERT_FILE=_write_one_authority(scratch),
    )
    django.setup()
    return Session(owns_database=is_ours)


def _end_session(engines: Engines, scratch: Path) -> None:
    engines.stop()
    shutil.rmtree(scratch, ignore_errors=True)


def _write_one_authority(folder: Path) -> str:
    """Return a file with one authority of the web: reading all of them takes each new HTTP client 30 ms, and no test goes there."""
    path = folder / "authority.pem"
    path.write_text(Path(certifi.where()).read_text().partition("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----\n")
    return str(path)


def _our_variables() -> set[str]:
    """Return every variable of ours: tests must not know the keys and servers of whoever runs them."""
    names = (line.lstrip("#").partition("=")[0] for line in (_ROOT / "docker" / ".env.example").read_text().splitlines() if "=" in line)
    return {name for name in names if name.isidentifier() and name.isupper()}


def _numbered(redis_url: str, number: int) -> str:
    scheme, _, rest = redis_url.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}/{number}"
