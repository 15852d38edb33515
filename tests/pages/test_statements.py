"""Statements and exports in the browser."""

import datetime as dt
import json
from collections.abc import Callable

import pytest
from django.test import Client

from accounts.models import ApiKey, Organization, User
from billing.books import transfers
from tests.factories.usage import book

AsPerson = Callable[[User], Client]
MakeKey = Callable[..., tuple[ApiKey, str]]
MONTH = f"{dt.datetime.now(tz=dt.UTC):%Y-%m}"
PAGES = ("/statements", f"/statements/{MONTH}", f"/statements/{MONTH}.json", f"/statements/{MONTH}.pdf",
         f"/statements/export?from={MONTH}-01&to={MONTH}-02&format=csv")  # fmt: skip


@pytest.fixture
def used(organization: Organization, make_key: MakeKey) -> None:
    """Grant and use some credit."""
    transfers.grant(organization=organization, amount_nanos=10_000_000_000, reason="test", idempotency_key="s", by=None)
    book(make_key(name="<b>website</b>")[0], model="acme/<i>")


def test_a_month_shows_what_came_and_went(used: None, member: User, as_person: AsPerson) -> None:
    answer = as_person(member).get(f"/statements/{MONTH}")

    page = answer.content.decode()
    assert answer.context["statement"].closing_nanos == 10_000_000_000 - 214_000
    words = (
        "Credit granted",
        "Usage, paid with promo credit",
        "&lt;b&gt;website&lt;/b&gt;",
        "acme/&lt;i&gt;",
        "Not over yet",
        "9,999,786,000 nanos",
    )
    assert [word in page for word in words] == [True] * len(words)


def test_members_get_every_file_and_visitors_none(used: None, member: User, as_person: AsPerson) -> None:
    browser = as_person(member)

    answers = [browser.get(path) for path in PAGES]

    assert [answer.status_code for answer in answers] == [200] * 5
    assert [answer["Content-Type"].partition(";")[0] for answer in answers[2:]] == [
        "application/json",
        "application/pdf",
        "application/zip",
    ]
    assert json.loads(answers[2].content)["usage"]["amount_nanos"] == 214_000
    assert answers[4]["Content-Disposition"] == f'attachment; filename="usage-{MONTH}-01-{MONTH}-02-csv.zip"'
    assert [Client().get(path).status_code for path in PAGES] == [302] * 5


def test_strangers_see_their_own(used: None, stranger: User, as_person: AsPerson) -> None:
    browser = as_person(stranger)
    page = browser.get(f"/statements/{MONTH}").content.decode()
    paper = json.loads(browser.get(f"/statements/{MONTH}.json").content)

    assert ("website" in page, "Credit granted" in page, paper["closing_nanos"]) == (False, False, 0)
    assert "No usage in this month." in page


@pytest.mark.parametrize("path", ["/statements/2020-01", "/statements/nonsense", "/statements/2999-01.pdf", f"/statements/{MONTH}.xml"])
def test_what_is_no_statement_is_not_found(organization: Organization, owner: User, as_person: AsPerson, path: str) -> None:
    assert as_person(owner).get(path).status_code == 404


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("format=csv&to=2026-11-01", "The first day is required"),
        ("format=csv&from=2026-11-02&to=2026-11-01", "The last day must not be before"),
        ("format=xlsx&from=2026-11-01&to=2026-11-01", "Choose one of the formats"),
    ],
)
def test_a_form_filled_in_wrongly_comes_back_and_says_why(
    organization: Organization, owner: User, as_person: AsPerson, query: str, text: str
) -> None:
    answer = as_person(owner).get(f"/statements/export?{query}")

    assert (answer.status_code, text in answer.content.decode()) == (422, True)
