"""Every address that there is, asked by a stranger for what belongs to somebody else: nothing is told, nothing is changed.

The addresses come from the routes themselves, so that a new one is asked too. One whose parameter nobody knows here fails until it is
said what it names.
"""

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from django.apps import apps
from django.db import connection
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.resolvers import RegexPattern

from accounts import api_keys, presets
from accounts.models import Organization, RequestPreset, User
from billing.models import Purchase
from tests.factories.usage import book
from tests.gateway.receipts.conftest import body_of
from tests.pages.conftest import as_person, catalog
from tests.pages.shop import browser, purchase, stripe, stripe_server

__all__ = ["as_person", "browser", "catalog", "purchase", "stripe", "stripe_server"]

# What the owner's things are called. None of it may stand in an answer to somebody else, unless the question said it.
SECRETS = ("Heron Holdings", "heron-key", "heron-app", "heron-session", "heron-end-user", "heron-rule", "Heron words")
_METHODS = ("GET", "POST", "PATCH", "PUT", "DELETE")
# Of each kind of parameter, what an address of somebody else's thing would have there.
_PUBLIC = {
    "author": "acme",
    "model_id": "acme/swift",
    "key": "nothing",
    "uidb36": "1",
    "format": "json",
    "path": "css/none.css",
    "api": "responses",
}
_OPERATORS = {"item_id": 1, "name": "key", "object_id": "1", "id": 1, "content_type_id": 1, "app_label": "billing", "url": "nowhere"}
# What anybody makes who asks everything: the key that papers are signed with, at its first use, and an organization of their own.
_MADE = {"billing_signingkey", "accounts_organization", "accounts_membership", "accounts_auditevent"}


class Address(NamedTuple):
    """One route, with the names of its parameters. ``is_owned`` says whether it names a thing of an organization's."""

    path: str
    is_owned: bool
    is_operators: bool


@pytest.fixture
def things(organization: Organization, owner: User, purchase: Purchase, catalog: Any) -> dict[str, list[Any]]:
    """Return what the owner has, by the name that a route gives it."""
    Organization.objects.filter(pk=organization.pk).update(name=SECRETS[0])
    organization.refresh_from_db()
    key, _ = api_keys.create(organization=organization, name=SECRETS[1], by=owner)
    event = book(key, app_title=SECRETS[2], session_id=SECRETS[3], external_user=SECRETS[4])
    for kind in RequestPreset.Kind.values:
        config = {"provider": {"sort": "price"}} if kind == RequestPreset.Kind.POLICY else {"model": "acme/swift"}
        presets.save_version(
            organization=organization, kind=kind, slug=SECRETS[5], config=config, by=owner, name=SECRETS[6], system_prompt=SECRETS[6]
        )
    return {
        "key_hash": [key.hash],
        "generation": [f"gen-{event.event_id.hex}"],
        "purchase_id": [purchase.pk],
        "slug": [SECRETS[5]],
        "word": ["policies", "presets"],
        "number": [1],
        "public_id": [organization.public_id],
        "month": [f"{event.day:%Y-%m}" if hasattr(event, "day") else "2026-11"],
        "file_format": ["json", "pdf"],
    }


def _routes(patterns: list[Any], before: str = "") -> Iterator[str]:
    for one in patterns:
        # Regular expressions are written as the plain paths that they match.
        text = str(one.pattern)
        if isinstance(one.pattern, RegexPattern):
            text = re.sub(r"\(\?P(<\w+>)(?:[^()]|\([^()]*\))*\)", r"\1", text.removeprefix("^").removesuffix("$")).replace("/?", "")
            text = text.replace("\\.", ".").replace("(/|)", "/")
        if isinstance(one, URLResolver):
            yield from _routes(one.url_patterns, before + text)
        elif isinstance(one, URLPattern):
            yield before + text


def _addresses(things: dict[str, list[Any]]) -> Iterator[Address]:
    known = {**{name: [value] for name, value in {**_PUBLIC, **_OPERATORS}.items()}, **things}
    for route in dict.fromkeys(_routes(get_resolver().url_patterns)):
        names = re.findall(r"<(?:\w+:)?(\w+)>", route)
        unknown = set(names) - known.keys()
        assert not unknown, f"/{route}: say in this file what {', '.join(unknown)} names"
        pieces = re.split(r"<(?:\w+:)?\w+>", route)
        for values in itertools.product(*(known[name] for name in names)):
            path = "".join(itertools.chain.from_iterable(itertools.zip_longest(pieces, map(str, values), fillvalue="")))
            yield Address(
                f"/{path}", bool(set(names) & things.keys() - {"word", "file_format", "month", "number"}), path.startswith("operator")
            )


def _rows(*, besides: Organization) -> dict[str, set[str]]:
    """Return every row of our tables but those of an organization, as text."""
    found = {}
    with connection.cursor() as cursor:
        for model in apps.get_models():
            if model._meta.app_label in {"accounts", "billing", "catalog"} and model._meta.managed:
                columns = {field.column for field in model._meta.concrete_fields} & {"org_id", "organization_id"}
                where = " AND ".join([f"t.{column} IS DISTINCT FROM {besides.pk}" for column in columns] or ["true"])
                cursor.execute(f'SELECT t::text FROM "{model._meta.db_table}" t WHERE {where}')  # noqa: S608 -- our own names
                found[model._meta.db_table] = {row[0] for row in cursor.fetchall()}
    return found


def _text(answer: Any) -> str:
    content = body_of(answer) if getattr(answer, "is_async", False) else b"".join(answer) if answer.streaming else answer.content
    return content.decode(errors="replace") + json.dumps(dict(answer.items()))


def _fields(things: dict[str, list[Any]], organization: Organization, owner: User) -> dict[str, Any]:
    """Return what a form or a body might say to reach the owner's things."""
    named = {"key": "key_hash", "api_key_hash": "key_hash", "hash": "key_hash", "id": "generation", "preset": "slug", "policy": "slug"}
    return {
        **{field: things[name][0] for field, name in named.items()},
        "generation_id": things["generation"][0],
        "organization": organization.public_id,
        "organization_id": organization.pk,
        "workspace_id": organization.public_id,
        "user": owner.pk,
        "creator_user_id": str(owner.pk),
        "purchase": str(things["purchase_id"][0]),
        "session_id": SECRETS[3],
        "name": "taken",
        "slug": "taken",
        "disabled": True,
        "amount": "5",
        "limit": 1,
        "status": "disabled",
        "designated_version": 1,
        "action": "designate",
        "month": things["month"][0],
        "model": f"@preset/{SECRETS[5]}",
    }


def _ask(address: Address, ask: Any, said: str) -> int:
    """Ask by every method and expect to be told nothing. Returns how many questions that were."""
    # The operators' own pages are one program, which lets nobody in.
    methods = _METHODS[:2] if address.is_operators else _METHODS
    for method in methods:
        answer = ask(method, address.path)
        where = f"{method} {address.path}: {answer.status_code}"
        assert answer.status_code < 500 or address.path == "/readyz", where
        if address.is_owned or address.is_operators:
            assert answer.status_code in {302, 400, 401, 403, 404, 405}, where
            if answer.status_code == 302:
                assert "/accounts/login" in answer["Location"] or "/operator/login" in answer["Location"], f"{where} {answer['Location']}"
        text = _text(answer)
        told = [word for word in SECRETS if word in text and word not in address.path and word not in said]
        assert told == [], f"{where} tells {told}"
    return len(methods)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("who", ["nobody", "a person", "no key", "a management key", "a key for models", "a forged key"])
def test_no_address_tells_or_changes_what_is_somebody_elses(  # noqa: PLR0917 -- fixtures
    who: str, things: Any, organization: Organization, stranger: User, as_person: Any, record_property: Any
) -> None:
    owner, theirs = organization.memberships.get().user, stranger.memberships.get().organization
    client, headers = Client(), {}
    if who == "a person":
        client = as_person(stranger)
    elif who not in {"nobody", "no key"}:
        _, secret = api_keys.create(organization=theirs, name="Theirs", by=stranger, is_management="management" in who)
        headers = {"Authorization": f"Bearer {things['key_hash'][0] if who == 'a forged key' else secret}"}
    before = _rows(besides=theirs)
    fields = _fields(things, organization, owner)
    addresses = list(_addresses(things))

    def ask(method: str, path: str) -> Any:
        if method == "GET":
            return client.get(path, {**fields, "disabled": "true"}, headers=headers)
        if path.startswith("/api/"):
            return client.generic(method, path, data=json.dumps(fields).encode(), content_type="application/json", headers=headers)
        return client.post(path, fields, headers=headers) if method == "POST" else client.generic(method, path, headers=headers)

    asked = [address for address in addresses if address.path.startswith("/api/") == ("key" in who)]
    questions = 0
    for address in asked:
        if not address.path.endswith("/logout/"):  # would end the visit
            questions += _ask(address, ask, json.dumps(fields))

    assert sum(address.is_owned for address in asked) > 5
    after = _rows(besides=theirs)
    assert {table: rows - after[table] for table, rows in before.items() if rows - after[table]} == {}
    added = {table for table, rows in after.items() if rows - before[table]}
    assert added <= _MADE
    assert organization.memberships.count() == 1
    assert sum(map(len, before.values())) > 10
    record_property("repeats", questions)


@pytest.mark.django_db(transaction=True)
def test_the_owner_is_told_all_of_it(things: Any, organization: Organization, owner: User, as_person: Any) -> None:
    _, secret = api_keys.create(organization=organization, name="Ours", by=owner, is_management=True)
    client, headers, told = as_person(owner), {"Authorization": f"Bearer {secret}"}, {True: "", False: ""}
    for address in _addresses(things):
        if not address.is_operators and "logout" not in address.path:
            is_api = address.path.startswith("/api/")
            answer = client.get(address.path, {"id": things["generation"][0]}, headers=headers if is_api else {})
            told[is_api] += _text(answer) if answer.status_code == 200 else ""

    assert {word for word in SECRETS if word not in told[False]} == set()
    assert {word for word in SECRETS if word not in told[True]} <= {SECRETS[0], SECRETS[2]}  # which the API has no place for
