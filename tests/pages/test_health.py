"""Whether the service is ready, as load balancers ask."""

import threading
from collections.abc import Callable

import pytest
from django.db import connection
from django.test import Client

from gateway.pages import health


@pytest.fixture(autouse=True)
def _nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_readiness", health._Readiness())


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the checks that ran, as they ran."""
    ran: list[str] = []

    def note(name: str, check: Callable[[], None]) -> Callable[[], None]:
        def noted() -> None:
            ran.append(name)
            check()

        return noted

    monkeypatch.setattr(health, "CHECKS", {name: note(name, check) for name, check in health.CHECKS.items()})
    return ran


@pytest.mark.usefixtures("organization")
def test_readiness_names_what_is_missing(client: Client) -> None:
    answer = client.get("/readyz")

    checks = answer.json()["checks"]
    assert (client.get("/healthz").status_code, answer.status_code) == (200, 503)
    assert {name: checks[name] for name in ("database", "money_store", "broker", "migrations", "settlement")} == dict.fromkeys(
        ["database", "money_store", "broker", "migrations", "settlement"], "ok"
    )
    assert checks["catalog"] == "no catalog is published; run manage.py load_catalog"
    assert checks["shards"] == "1 of 256 ledger shards wait for a rebuild; is a Celery worker running?"


@pytest.mark.usefixtures("catalog")
def test_readiness_reports_a_store_that_is_away_without_its_address(client: Client, settings: object) -> None:
    settings.BROKER_REDIS_URL = "redis://:password@127.0.0.1:9/0"  # type: ignore[attr-defined]

    answer = client.get("/readyz")

    assert answer.status_code == 503
    assert answer.json()["checks"]["broker"] == "does not answer"
    assert "password" not in answer.content.decode()


@pytest.mark.usefixtures("catalog")
def test_an_answer_is_kept_for_a_second_and_then_looked_up_anew(
    client: Client, settings: object, looks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "KEPT_S", float("inf"))
    first = client.get("/readyz").json()
    settings.BROKER_REDIS_URL = "redis://127.0.0.1:9/0"  # type: ignore[attr-defined]

    assert client.get("/readyz").json() == first
    assert looks == list(health.CHECKS)

    monkeypatch.setattr(health, "KEPT_S", 0.0)
    assert client.get("/readyz").json()["checks"]["broker"] == "does not answer"
    assert looks == 2 * list(health.CHECKS)


@pytest.mark.usefixtures("transactional_db")
def test_many_who_ask_at_once_make_one_look(looks: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "KEPT_S", float("inf"))
    start = threading.Barrier(4)
    answers: list[object] = []

    def ask() -> None:
        start.wait()
        answers.append(Client().get("/readyz").json())
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert looks == list(health.CHECKS)
    assert answers == 4 * answers[:1]
    assert len(answers) == 4
