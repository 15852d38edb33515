import datetime as dt
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from accounts import key_format
from accounts.models import ApiKey, Organization, User
from tests.factories.usage import book

AsPerson = Callable[[User], Client]
MakeKey = Callable[..., tuple[ApiKey, str]]

SECRET = re.compile(r"sk-tw-v1-[0-9a-f]{64}")


@pytest.mark.usefixtures("organization")
def test_a_key_is_made_with_its_limit_and_its_secret_is_shown_once(owner: User, as_person: AsPerson) -> None:
    browser = as_person(owner)

    answer = browser.post(
        "/keys/new", {"name": "website", "limit": "$1,250.50", "limit_reset": "monthly", "expires_on": "2099-12-31", "kind": "models"}
    )

    key = ApiKey.objects.get()
    secrets = set(SECRET.findall(answer.content.decode()))
    assert answer.status_code == 200
    assert [key_format.hash_secret(secret) for secret in secrets] == [key.hash]
    assert (key.limit_nanos, key.limit_reset, key.is_management) == (1_250_500_000_000, "monthly", False)
    assert key.expires_at == dt.datetime(2100, 1, 1, tzinfo=dt.UTC)
    assert "no-store" in answer["Cache-Control"]
    assert SECRET.findall(browser.get("/keys").content.decode()) == []


@pytest.mark.usefixtures("organization")
def test_the_secret_comes_with_a_request_in_three_languages(owner: User, as_person: AsPerson) -> None:
    page = as_person(owner).post("/keys/new", {"name": "website"}).content.decode()

    assert [language in page for language in ("curl http", "from openai import OpenAI", "import OpenAI from")] == [True, True, True]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("limit", "ten", "Write an amount of dollars"),
        ("limit", "-1", "A limit is zero dollars or more"),
        ("limit", "0.0000000001", "Write an amount of dollars"),
        ("name", "", "This field is required"),
        ("expires_on", "2001-01-01", "This day is over"),
    ],
)
@pytest.mark.usefixtures("organization")
def test_a_mistake_is_named_at_its_field_and_no_key_is_made(owner: User, as_person: AsPerson, field: str, value: str, message: str) -> None:
    answer = as_person(owner).post("/keys/new", {"name": "website", field: value}, headers={"HX-Request": "true"})

    assert answer.status_code == 422
    assert message in answer.content.decode()
    assert f'id="id_{field}_error"' in answer.content.decode()
    assert ApiKey.objects.count() == 0


def test_a_member_makes_keys_for_models_but_no_management_key(member: User, as_person: AsPerson) -> None:
    as_person(member).post("/keys/new", {"name": "mine", "kind": "management"})

    assert [key.is_management for key in ApiKey.objects.all()] == [False]


def test_a_member_changes_own_keys_but_not_those_of_others(member: User, make_key: MakeKey, as_person: AsPerson) -> None:
    theirs, _ = make_key(name="theirs")
    mine, _ = make_key(name="mine", by=member)
    browser = as_person(member)

    refused = browser.post(f"/keys/{theirs.hash}/delete")
    done = browser.post(f"/keys/{mine.hash}/delete")

    assert (refused.status_code, done.status_code) == (403, 302)
    assert list(ApiKey.objects.filter(deleted_at=None)) == [theirs]


def test_a_member_sees_no_buttons_that_would_be_refused(member: User, make_key: MakeKey, as_person: AsPerson) -> None:
    theirs, _ = make_key(name="theirs")

    assert f"/keys/{theirs.hash}" not in as_person(member).get("/keys").content.decode()


@pytest.mark.parametrize("path", ["/keys/{}", "/keys/{}/delete", "/keys/{}/switch"])
def test_a_stranger_finds_no_key_at_any_address(stranger: User, make_key: MakeKey, as_person: AsPerson, path: str) -> None:
    key, _ = make_key(name="theirs")

    answer = as_person(stranger).post(path.format(key.hash), {"name": "taken", "disabled": "1"})

    key.refresh_from_db()
    assert answer.status_code == 404
    assert (key.name, key.disabled, key.deleted_at) == ("theirs", False, None)


def test_a_stranger_sees_none_of_the_keys(stranger: User, make_key: MakeKey, as_person: AsPerson) -> None:
    make_key(name="theirs")

    assert "theirs" not in as_person(stranger).get("/keys").content.decode()


@pytest.mark.parametrize("path", ["/dashboard", "/keys", "/keys/table", "/keys/new", "/requests", "/requests/table"])
@pytest.mark.django_db
def test_a_visitor_is_sent_to_the_login(client: Client, path: str) -> None:
    answer = client.get(path)

    assert (answer.status_code, answer["Location"]) == (302, f"/accounts/login/?next={path}")


def test_editing_the_name_keeps_an_expiry_set_to_the_minute(owner: User, make_key: MakeKey, as_person: AsPerson) -> None:
    expiry = dt.datetime(2099, 5, 6, 7, 8, tzinfo=dt.UTC)
    key, _ = make_key(name="old", expires_at=expiry)

    as_person(owner).post(f"/keys/{key.hash}", {"name": "new", "limit": "5", "limit_reset": "", "expires_on": "2099-05-06"})

    key.refresh_from_db()
    assert (key.name, key.limit_nanos, key.expires_at) == ("new", 5_000_000_000, expiry)


def test_a_key_is_switched_off_and_on(owner: User, make_key: MakeKey, as_person: AsPerson) -> None:
    key, _ = make_key()
    browser = as_person(owner)

    states = []
    for wanted in ("1", "0"):
        browser.post(f"/keys/{key.hash}/switch", {"disabled": wanted})
        key.refresh_from_db()
        states.append(key.disabled)

    assert states == [True, False]


def test_the_table_shows_what_a_key_spent_of_its_limit(owner: User, make_key: MakeKey, as_person: AsPerson) -> None:
    key, _ = make_key(limit_nanos=214_000)
    book(key)

    page = as_person(owner).get("/keys/table").content.decode()

    assert "$0.000214 (214,000 nanos)" in page
    assert "Limit reached" in page


@pytest.mark.parametrize("count", [1, 4])
def test_the_list_asks_the_database_as_often_for_many_keys_as_for_one(
    owner: User, make_key: MakeKey, as_person: AsPerson, django_assert_num_queries: Any, count: int
) -> None:
    for number in range(count):
        make_key(name=f"key {number}")
    browser = as_person(owner)

    with django_assert_num_queries(5):  # session, person, membership, keys, usage
        browser.get("/keys")


def test_forms_from_elsewhere_are_refused(owner: User, organization: Organization) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(owner, backend="django.contrib.auth.backends.ModelBackend")

    answer = browser.post("/keys/new", {"name": "forged"})

    assert answer.status_code == 403
    assert "This form is too old" in answer.content.decode()
    assert ApiKey.objects.filter(organization=organization).count() == 0
