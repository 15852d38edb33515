"""The environment (before Django reads it) and what every test may ask for: stores, engines of its own, people, keys."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import hypothesis
import pytest
import redis

from tests.session import start_session

SESSION = start_session()

from django.conf import settings
from django.db import connection
from django.test.utils import setup_databases, teardown_databases
from pytest_django import DjangoDbBlocker

from accounts import api_keys
from accounts.models import ApiKey, Organization, User
from billing.books import misses
from billing.purchases import tasks
from gateway.local.engines import Engines
from tests.database import empty_quickly
from tests.factories.people import MembershipFactory, OrganizationFactory, UserFactory
from tests.schedule import order_by_length

# How long an example takes says what else the machine does; no test is about that.
hypothesis.settings.register_profile("house", deadline=None)
hypothesis.settings.load_profile("house")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--forbid-skips", action="store_true", help="fail the run when a test was skipped")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes() -> None:
    """Let each worker name the settings itself: one that inherits the name would read them before it has stores of its own."""
    os.environ.pop("DJANGO_SETTINGS_MODULE", None)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if os.environ["COMPILED"] == "required":
        left_out = [item for item in items if item.get_closest_marker("interpreted")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    if hasattr(config, "workerinput"):
        order_by_length(items)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    skipped = len(terminalreporter.stats.get("skipped", []))
    if skipped:
        verdict = "and that is forbidden here" if config.option.forbid_skips else "the reasons are above"
        terminalreporter.section(f"{skipped} TESTS WERE SKIPPED: {verdict}", sep="!", red=True, bold=True)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if session.config.option.forbid_skips and reporter and reporter.stats.get("skipped") and session.exitstatus == 0:
        session.exitstatus = 1


@pytest.fixture(autouse=True)
def _nothing_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test wait for the pause that another's made-up id began."""
    monkeypatch.setattr(misses, "_shards", {})


@pytest.fixture(scope="session", autouse=True)
def _quick_settings() -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.STORAGES = {**settings.STORAGES, "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
    settings.WHITENOISE_USE_FINDERS = True
    settings.WHITENOISE_AUTOREFRESH = True


@pytest.fixture(scope="session")
def django_db_setup(
    django_test_environment: None, django_db_modify_db_settings: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[None]:
    """Make the test database, also for tests that use it without pytest-django's marks (those of a running stack).

    What reads DATABASE_URL instead of Django's connection (the data plane, child processes) sees it too. The database is left to its end
    with our own engine, which is quicker; a server of the caller's is left clean.
    """
    with django_db_blocker.unblock():
        made = setup_databases(verbosity=0, interactive=False, aliases={"default"}, serialized_aliases=set())
    empty_quickly()
    to = connection.settings_dict
    settings.DATABASE_URL = f"postgresql://{quote(to['USER'])}:{quote(to['PASSWORD'])}@{to['HOST']}:{to['PORT']}/{to['NAME']}"
    os.environ["DATABASE_URL"] = settings.DATABASE_URL
    yield
    if not SESSION.owns_database:
        with django_db_blocker.unblock():
            teardown_databases(made, verbosity=0)


@pytest.fixture(scope="session")
def _stores() -> Iterator[tuple[redis.Redis, redis.Redis]]:
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as money, redis.Redis.from_url(os.environ["BROKER_REDIS_URL"]) as broker:
        yield money, broker


@pytest.fixture
def money_store(_stores: tuple[redis.Redis, redis.Redis]) -> redis.Redis:
    """Return a client of the money store, which is empty."""
    _stores[0].flushdb()
    return _stores[0]


@pytest.fixture
def broker(_stores: tuple[redis.Redis, redis.Redis]) -> redis.Redis:
    """Return a client of the broker (cache, Channels, Celery), which is empty."""
    _stores[1].flushdb()
    return _stores[1]


@pytest.fixture(autouse=True)
def _empty_stores(request: pytest.FixtureRequest) -> None:
    """Give every test with a database empty stores, except those that watch a running stack."""
    uses_database = {"db", "transactional_db"} & set(request.fixturenames) or request.node.get_closest_marker("django_db")
    if uses_database and not any(request.node.get_closest_marker(name) for name in ("browser", "faults")):
        tasks._beside().submit(int).result()  # a wake-up of the test before comes no later than this
        for store in request.getfixturevalue("_stores"):
            store.flushdb()


@pytest.fixture
def private_engines(tmp_path: Path) -> Iterator[Engines]:
    """Return running engines that belong to this test alone, as durable as in production, to be killed and started again."""
    engines = Engines(tmp_path / "engines")
    engines.start()
    yield engines
    engines.stop()


@pytest.fixture
def owner(db: None) -> User:
    """Return a person who owns ``organization``."""
    return UserFactory()


@pytest.fixture
def organization(owner: User) -> Organization:
    """Return an organization owned by ``owner``."""
    return OrganizationFactory(owner=owner)


@pytest.fixture
def member(organization: Organization) -> User:
    """Return a plain member of ``organization``."""
    return MembershipFactory(organization=organization).user


@pytest.fixture
def stranger(db: None) -> User:
    """Return a person with an organization of their own and no part in ``organization``."""
    person = UserFactory()
    OrganizationFactory(owner=person)
    return person


@pytest.fixture
def operator(db: None) -> User:
    """Return a person who runs the service."""
    return UserFactory(is_staff=True, is_superuser=True)


@pytest.fixture
def make_key(organization: Organization, owner: User) -> Callable[..., tuple[ApiKey, str]]:
    """Return a maker of API keys of ``organization``: (key, secret), with the fields of ``accounts.api_keys.create``."""

    def make(**fields: object) -> tuple[ApiKey, str]:
        return api_keys.create(**{"organization": organization, "name": "Test", "by": owner, **fields})

    return make
