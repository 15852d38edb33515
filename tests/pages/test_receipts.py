"""The receipt of a request in the browser."""

import datetime as dt
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client

from accounts.models import ApiKey, AuditEvent, Organization, User
from billing.models import UsageArchive
from billing.types import AttemptRecord, generation_id
from tests.billing import plane
from tests.factories import snapshots
from tests.factories.people import OrganizationFactory
from tests.factories.usage import book

AsPerson = Callable[[User], Client]
MakeKey = Callable[..., tuple[ApiKey, str]]
RATES = {"input_tokens": 250_001, "output_tokens": 600_000}
COST = {"rates": {"input_tokens": 100_000, "output_tokens": 200_000}}
PICOS = 100 * 250_001 + 315 * 600_000


@pytest.fixture
def as_operator(operator: User, as_person: AsPerson) -> Client:
    """Return the browser of somebody who runs the service and has an organization of their own."""
    OrganizationFactory(owner=operator)
    return as_person(operator)


@pytest.fixture
def name(make_key: MakeKey) -> str:
    """Return the id of a request with a price, a markup and a provider's cost."""
    version = snapshots.make_price_version(RATES, cost=COST, markup_basis_points=550)
    event = book(
        make_key()[0],
        price_version_id=version.pk,
        amount_picos=PICOS,
        cost_nanos=73_000,
        upstream_id="msg_up",
        external_user="<i>eve</i>",
        attempts=(AttemptRecord(endpoint_id="acme/swift@slow", provider="slow", status=0, latency_ms=9, reason="outrun", cost_nanos=777),),
    )
    return generation_id(event.event_id)


def _numbers_in(paper: Any) -> Iterator[int]:
    for value in paper.values() if isinstance(paper, dict) else paper if isinstance(paper, list) else ():
        if isinstance(value, int):
            yield value
        yield from _numbers_in(value)


def test_the_price_is_explained_to_the_last_digit(name: str, owner: User, as_person: AsPerson) -> None:
    answer = as_person(owner).get(f"/requests/{name}")

    page = answer.content.decode()
    assert (answer.context["receipt"].explanation.picos, answer.context["rounded_picos"]) == (PICOS, 214_000_000)
    assert [text in page for text in ("Explain this price", "5.5 %", "$0.0002140001", "$0.000214", "Paid with credit")] == [True] * 5
    assert "it is what was charged" in page


def test_an_operators_look_at_a_receipt_of_others_stands_in_their_audit_trail(
    name: str, organization: Organization, as_person: AsPerson, as_operator: Client, operator: User
) -> None:
    address = f"/requests/{name}"
    as_person(organization.memberships.get(role="owner").user).get(address)
    as_operator.get(f"{address}?organization={organization.public_id}")
    as_operator.get(f"{address}/receipt.json?organization={organization.public_id}")
    as_operator.get(f"/requests/gen-{'0' * 32}?organization={organization.public_id}")

    looks = AuditEvent.objects.filter(action="receipt.viewed")
    assert list(looks.values_list("organization_id", "actor", "target")) == [(organization.pk, operator.email, name)] * 2


@pytest.mark.usefixtures("organization")
def test_a_receipt_in_the_archive_says_so_and_leads_to_the_statement(owner: User, as_person: AsPerson) -> None:
    UsageArchive.objects.create(day="2025-03-10", file="f", sha256="0" * 64, size_bytes=1, rows=1, amount_nanos=1, cost_nanos=1)
    old = plane.id_at(dt.datetime(2025, 3, 10, 12, tzinfo=dt.UTC))

    answers = [as_person(owner).get(f"/requests/{generation_id(old)}{file}") for file in ("", "/receipt.json")]

    assert [answer.status_code for answer in answers] == [410, 410]
    assert 'href="/statements/2025-03"' in answers[0].content.decode()


def test_only_operators_see_what_the_provider_charges(
    name: str, member: User, organization: Organization, as_person: AsPerson, as_operator: Client
) -> None:
    owner = organization.memberships.get(role="owner").user
    pages = [as_person(person).get(f"/requests/{name}").content.decode() for person in (owner, member)]
    seen = as_operator.get(f"/requests/{name}?organization={organization.public_id}").content.decode()

    words = ("For operators", "Provider's cost", "73,000 nanos", "141,000 nanos", "msg_up", "777 nanos")
    assert [[word in page for word in words] for page in (*pages, seen)] == [[False] * 6, [False] * 6, [True] * 6]


def test_the_file_of_a_member_and_of_an_operator_are_the_same_and_name_no_cost(
    name: str, member: User, organization: Organization, as_person: AsPerson, as_operator: Client
) -> None:
    path = f"/requests/{name}/receipt.json"
    mine = as_person(member).get(path)
    theirs = as_operator.get(f"{path}?organization={organization.public_id}")

    assert mine["Content-Disposition"] == f'attachment; filename="receipt-{name}.json"'
    assert mine.content == theirs.content
    assert json.loads(mine.content)["amount_picos"] == PICOS
    # Among the numbers: an id or a signature may have any digits.
    assert {73_000, 777} & set(_numbers_in(json.loads(mine.content))) == set()


def test_naming_an_organization_helps_no_stranger(name: str, stranger: User, organization: Organization, as_person: AsPerson) -> None:
    browser = as_person(stranger)
    paths = [f"/requests/{name}{end}?organization={organization.public_id}" for end in ("", "/receipt.json")]

    assert [browser.get(path).status_code for path in paths] == [404, 404]
    assert [Client().get(path).status_code for path in paths] == [302, 302]


def test_an_operator_who_names_nobody_finds_nothing(name: str, as_operator: Client) -> None:
    assert as_operator.get(f"/requests/{name}?organization=org_nobody").status_code == 404


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"status": "error", "amount_picos": 0}, "is free"),
        ({"status": "expired", "meters": {}}, "last reported"),
        ({"price_version_id": 0}, "no longer known"),
    ],
)
def test_what_is_no_sum_of_its_lines_says_why(make_key: MakeKey, owner: User, as_person: AsPerson, fields: dict, text: str) -> None:
    version = snapshots.make_price_version(RATES)
    event = book(make_key()[0], **{"price_version_id": version.pk, **fields})

    assert text in as_person(owner).get(f"/requests/{generation_id(event.event_id)}").content.decode()
