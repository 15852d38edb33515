from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from accounts.models import ApiKey, Organization, User
from billing.books import transfers
from billing.types import AttemptRecord, generation_id
from tests.factories import snapshots
from tests.factories.usage import book

AsPerson = Callable[[User], Client]
MakeKey = Callable[..., tuple[ApiKey, str]]


def test_the_dashboard_shows_balance_keys_and_requests(
    owner: User, organization: Organization, operator: User, make_key: MakeKey, as_person: AsPerson
) -> None:
    transfers.grant(organization=organization, amount_nanos=10_000_000_000, reason="test", idempotency_key="one", by=operator)
    key, _ = make_key(name="website")
    event = book(key, model="acme/swift")

    page = as_person(owner).get("/dashboard").content.decode()

    assert "$9.999786 (9,999,786,000 nanos)" in page
    assert "$10 (10,000,000,000 nanos)" in page
    assert f"/requests/{generation_id(event.event_id)}" in page
    assert "website" in page
    assert "First steps" not in page


@pytest.mark.usefixtures("organization", "catalog")
def test_the_first_visit_says_what_to_do_next(owner: User, as_person: AsPerson) -> None:
    page = as_person(owner).get("/dashboard").content.decode()

    assert "First steps" in page
    assert "&quot;model&quot;: &quot;acme/swift&quot;" in page
    assert "No requests yet." in page
    assert "No keys yet." in page


def test_a_receipt_lists_meters_that_sum_to_the_charge(owner: User, make_key: MakeKey, as_person: AsPerson) -> None:
    version = snapshots.make_price_version({"input_tokens": 250_000, "output_tokens": 600_000})
    key, _ = make_key()
    event = book(key, price_version_id=version.pk)

    answer = as_person(owner).get(f"/requests/{generation_id(event.event_id)}")

    lines = [(line.label, line.quantity, line.picos) for line in answer.context["lines"]]
    assert lines == [("Input", 100, 25_000_000), ("Output", 315, 189_000_000)]
    assert answer.context["is_explained"] is True
    assert "$0.000214 (214,000 nanos)" in answer.content.decode()


def test_a_receipt_shows_attempts_and_marks_simulated_answers(owner: User, make_key: MakeKey, as_person: AsPerson) -> None:
    key, _ = make_key()
    attempts = (
        AttemptRecord(endpoint_id="acme/swift@alpha", provider="alpha", status=503, latency_ms=50, reason="5xx"),
        AttemptRecord(endpoint_id="acme/swift@acme", provider="acme", status=200, latency_ms=90),
    )
    event = book(key, simulated=True, attempts=attempts)

    page = as_person(owner).get(f"/requests/{generation_id(event.event_id)}").content.decode()

    assert "failed: 5xx (503)" in page
    assert "Simulated provider." in page


def test_a_member_reads_receipts_and_a_stranger_finds_none(member: User, stranger: User, make_key: MakeKey, as_person: AsPerson) -> None:
    key, _ = make_key()
    path = f"/requests/{generation_id(book(key).event_id)}"

    assert [as_person(person).get(path).status_code for person in (member, stranger)] == [200, 404]


@pytest.mark.parametrize("given", ["gen-nonsense", "nonsense", "gen-" + "f" * 32])
@pytest.mark.usefixtures("organization")
def test_an_unknown_receipt_is_not_found(owner: User, as_person: AsPerson, given: str) -> None:
    assert as_person(owner).get(f"/requests/{given}").status_code == 404


def test_a_stranger_sees_none_of_the_requests_or_the_money(
    stranger: User, organization: Organization, operator: User, make_key: MakeKey, as_person: AsPerson
) -> None:
    transfers.grant(organization=organization, amount_nanos=10_000_000_000, reason="test", idempotency_key="two", by=operator)
    key, _ = make_key(name="theirs")
    event = book(key)
    browser = as_person(stranger)

    pages = "".join(browser.get(path).content.decode() for path in ("/dashboard", "/dashboard/balance", "/requests", "/requests/table"))

    assert [word in pages for word in (generation_id(event.event_id), "theirs", "$10 (")] == [False, False, False]


def test_what_clients_send_is_escaped(owner: User, make_key: MakeKey, as_person: AsPerson) -> None:
    key, _ = make_key(name="<script>alert(1)</script>")
    event = book(key, model="<img src=x>", app_title="<b>bold</b>", external_user="<i>")

    pages = as_person(owner).get("/dashboard").content + as_person(owner).get(f"/requests/{generation_id(event.event_id)}").content

    assert [text in pages for text in (b"<script>alert", b"<img src=x>", b"<b>bold", b"<i>")] == [False] * 4


@pytest.mark.parametrize("count", [1, 4])
def test_the_list_asks_the_database_as_often_for_many_requests_as_for_one(
    owner: User, make_key: MakeKey, as_person: AsPerson, django_assert_num_queries: Any, count: int
) -> None:
    key, _ = make_key()
    for _ in range(count):
        book(key)
    browser = as_person(owner)

    with django_assert_num_queries(5):  # session, person, membership, requests, key names
        browser.get("/requests")
