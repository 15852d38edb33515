"""The operator's pages of load balancing: groups, strategies, keys with weights and limits; for operators alone."""

import html
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from accounts.models import AuditEvent, User
from catalog.balancing import balance_provider
from catalog.models import Provider
from tests.catalog.conftest import data_dir, publish_small  # noqa: F401 -- the fixtures
from tests.factories.people import UserFactory

AsPerson = Callable[[User], Client]
PAGE = "/operator/balancing"


@pytest.fixture
def acme(publish_small: Callable[..., Any]) -> Provider:  # noqa: F811
    publish_small()
    return Provider.objects.get(slug="acme")


@pytest.fixture
def office(acme: Provider, as_person: AsPerson) -> Client:
    operator: User = UserFactory(is_staff=True, is_superuser=True)
    return as_person(operator)


def words_of(answer: Any) -> str:
    return html.unescape(answer.content.decode())


def test_providers_are_put_into_a_group_with_a_strategy(office: Client) -> None:
    assert "No groups yet." in words_of(office.get(PAGE))

    answer = office.post(f"{PAGE}/acme", {"do": "share", "strategy": "least_busy", "group": "boxes", "cooldown_s": "9"})

    assert (answer.status_code, answer["Location"]) == (302, f"{PAGE}/acme")
    held = balance_provider(slug="acme")
    assert (held.strategy, held.group, held.cooldown_s) == ("least_busy", "boxes", 9)
    page = words_of(office.get(PAGE))
    assert "boxes" in page
    assert "Alone" in page
    assert AuditEvent.objects.filter(action="provider.updated", target="acme").exists()


def test_a_key_is_added_limited_and_removed_and_its_secret_is_never_shown(office: Client) -> None:
    added = {"do": "add", "name": "second", "api_key": "sk-very-secret", "weight": "2", "rpm": "500", "tpm": "0"}
    assert office.post(f"{PAGE}/acme", added).status_code == 302
    assert [(one.name, one.weight, one.rpm_limit, one.tpm_limit) for one in balance_provider(slug="acme").keys] == [("second", 2, 500, 0)]
    page = words_of(office.get(f"{PAGE}/acme"))
    assert "Save second" in page
    assert "sk-very-secret" not in page

    office.post(f"{PAGE}/acme", {"do": "limit", "key": "second", "weight": "3", "rpm": "0", "tpm": "90000"})
    assert [(one.weight, one.rpm_limit, one.tpm_limit) for one in balance_provider(slug="acme").keys] == [(3, 0, 90_000)]

    office.post(f"{PAGE}/acme", {"do": "add", "name": "second", "api_key": "sk-newer", "weight": "", "rpm": "", "tpm": ""})
    assert [(one.weight, one.rpm_limit, one.tpm_limit) for one in balance_provider(slug="acme").keys] == [(3, 0, 90_000)]

    assert "cannot be brought back" in words_of(office.get(f"{PAGE}/acme/keys/second/remove"))
    assert len(balance_provider(slug="acme").keys) == 1
    assert office.post(f"{PAGE}/acme/keys/second/remove").status_code == 302
    assert balance_provider(slug="acme").keys == ()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"do": "share", "strategy": "fastest", "group": "", "cooldown_s": "5"}, "fastest is not one of"),
        ({"do": "share", "strategy": "weighted", "group": "No Blanks", "cooldown_s": "5"}, "Group 'No Blanks'"),
        ({"do": "share", "strategy": "weighted", "group": "", "cooldown_s": "3601"}, "less than or equal to 3600"),
        ({"do": "add", "name": "a", "api_key": "two words", "weight": "1", "rpm": "0", "tpm": "0"}, "A key must not be empty"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_changes(office: Client, fields: dict[str, str], message: str) -> None:
    before = balance_provider(slug="acme")

    answer = office.post(f"{PAGE}/acme", fields)

    assert answer.status_code == 422
    assert message in words_of(answer)
    assert balance_provider(slug="acme") == before


def test_the_page_is_for_operators(acme: Provider, owner: User, as_person: AsPerson, client: Client) -> None:
    clerk: User = UserFactory(is_staff=True)
    for path in (PAGE, f"{PAGE}/acme"):
        assert client.get(path).status_code == 302
        assert as_person(owner).get(path).status_code == 404
        assert as_person(clerk).get(path).status_code == 200
    sharing = {"do": "share", "strategy": "least_busy", "group": "", "cooldown_s": "5"}
    assert as_person(clerk).post(f"{PAGE}/acme", sharing).status_code == 403
    assert as_person(owner).post(f"{PAGE}/acme", sharing).status_code == 404
    assert as_person(clerk).post(f"{PAGE}/acme/keys/main/remove").status_code == 403
    assert as_person(owner).post(f"{PAGE}/acme/keys/main/remove").status_code == 404
    assert balance_provider(slug="acme").strategy == "weighted"


def test_a_provider_that_nobody_knows_is_no_page(office: Client) -> None:
    assert office.get(f"{PAGE}/nobody").status_code == 404
    assert office.post(f"{PAGE}/nobody/keys/main/remove").status_code == 404


@pytest.mark.parametrize("fields", [{"do": "dance"}, {"do": "limit", "key": "nobody", "weight": "1", "rpm": "0", "tpm": "0"}])
def test_a_deed_or_key_that_nobody_knows_is_none(office: Client, fields: dict[str, str]) -> None:
    assert office.post(f"{PAGE}/acme", fields).status_code == 404


def test_a_key_that_cannot_be_removed_is_told(office: Client) -> None:
    answer = office.post(f"{PAGE}/acme/keys/nobody/remove", follow=True)

    assert "has no key called 'nobody'" in words_of(answer)
