"""Customers are kept apart: each page, file and answer of the API is what it would be if the database itself hid all rows of others.

The database has no row-level security at work (docs/adr says why). Here it has, for one test: policies on every table that names an
organization, forced, and a role that they bind. What a customer gets must be the same with and without them, while another customer has as
much in every table.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts import api_keys
from accounts.models import Organization, User
from billing import queries
from billing.books import transfers
from billing.models import Purchase, PurchaseKind, PurchaseState, UsageEvent
from billing.purchases.attempts import new_id
from billing.receipts.parts import combine
from catalog.types import Snapshot
from tests.factories.usage import book

MONTH = f"{timezone.now():%Y-%m}"
# Tables that name no organization, and the one through which they belong to it.
_THROUGH = {"billing_refund": ("purchase_id", "billing_purchase"), "billing_dispute": ("purchase_id", "billing_purchase")}
# What differs between two looks at the same page.
_CHANGING = re.compile(
    rb'csrfmiddlewaretoken" value="[^"]*"|name="attempt" value="[^"]*"|"X-CSRFToken": ?"[^"]*"|nonce-[^"\s]*|csrf[Tt]oken[^\s>]*'
)


class Customer:
    """A person's organization with something in every table that a page shows. ``pages`` and ``calls`` are what it may ask for."""

    def __init__(self, organization: Organization, person: User, word: str) -> None:
        self.organization, self.person = organization, person
        self.key, _ = api_keys.create(organization=organization, name=f"{word} key", by=person)
        _, self.secret = api_keys.create(organization=organization, name=f"{word} manager", by=person, is_management=True)
        transfers.grant(organization=organization, amount_nanos=7_000_000_000, reason=f"{word} gift", idempotency_key=word, by=None)
        self.event = book(self.key, model=f"acme/{word}", external_user=f"{word} user")
        self.purchase = Purchase.objects.create(
            id=new_id(),
            organization=organization,
            kind=PurchaseKind.CHECKOUT,
            state=PurchaseState.PAID,
            credit_cents=2_000,
            fee_cents=110,
            number=self.key.pk,
            paid_at=timezone.now(),
            asked_by=f"{word}@example.com",
            paid_with=f"{word} card",
        )
        generation = f"gen-{self.event.event_id.hex}"
        self.own = [f"/requests/{generation}", f"/requests/{generation}/receipt.json", f"/credits/purchases/{self.purchase.pk}",
                    f"/credits/purchases/{self.purchase.pk}/receipt.pdf", f"/credits/purchases/{self.purchase.pk}/refund",
                    f"/keys/{self.key.hash}", f"/keys/{self.key.hash}/delete"]  # fmt: skip
        self.pages = ["/dashboard", "/dashboard/balance", "/keys", "/keys/table", "/requests", "/requests/table", "/credits",
                      "/credits/balance", "/credits/automatic", "/credits/details", "/credits/purchases", "/statements",
                      f"/statements/{MONTH}", f"/statements/{MONTH}.json", f"/statements/{MONTH}.pdf", "/routing",
                      "/routing/rules", *self.own]  # fmt: skip
        self.own_calls = [f"/api/v1/generation?id={generation}", f"/api/v1/receipts/{generation}", f"/api/v1/keys/{self.key.hash}"]
        self.calls = ["/api/v1/key", "/api/v1/keys", "/api/v1/credits", "/api/v1/presets", "/api/v1/policies", "/api/v1/statements",
                      f"/api/v1/statements/{MONTH}", *self.own_calls]  # fmt: skip


@pytest.fixture
def customers(organization: Organization, owner: User, stranger: User, catalog: Snapshot, settings: object) -> tuple[Customer, Customer]:
    """Return two customers of one shard."""
    other = stranger.memberships.get().organization
    return Customer(organization, owner, "mine"), Customer(other, stranger, "theirs")


@contextmanager
def rows_of_others_hidden(organization: Organization) -> Iterator[None]:
    """Force row-level security on every table that names an organization, and let this connection be a role that it binds."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # checks that wait would keep the tables from being altered
        cursor.execute(
            "SELECT table_name, min(column_name) FROM information_schema.columns JOIN pg_class ON relname = table_name "
            "WHERE table_schema = 'public' AND column_name IN ('org_id', 'organization_id') AND NOT relispartition "
            "AND relkind IN ('r', 'p') GROUP BY table_name"
        )
        conditions = {table: f"{column} = current_setting('tollway.org')::bigint" for table, column in cursor.fetchall()}
        conditions |= {table: f"EXISTS (SELECT FROM {whose} WHERE {whose}.id = {column})" for table, (column, whose) in _THROUGH.items()}
        conditions["accounts_organization"] = "id = current_setting('tollway.org')::bigint"
        cursor.execute("CREATE ROLE tollway_tenant; GRANT ALL ON ALL TABLES IN SCHEMA public TO tollway_tenant")
        cursor.execute("GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO tollway_tenant")
        for table, condition in conditions.items():
            cursor.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
            cursor.execute(f"CREATE POLICY tenant ON {table} USING ({condition})")
        cursor.execute("SELECT set_config('tollway.org', %s, true)", [str(organization.pk)])
        cursor.execute("SET LOCAL ROLE tollway_tenant")
    yield
    with connection.cursor() as cursor:
        cursor.execute("RESET ROLE")


def _look(customer: Customer, browser: Client) -> dict[str, tuple[int, bytes]]:
    """Ask for everything. Return status and body by path."""
    looks = {path: browser.get(path) for path in customer.pages}
    looks |= {path: Client().get(path, headers={"Authorization": f"Bearer {customer.secret}"}) for path in customer.calls}
    return {path: (answer.status_code, _CHANGING.sub(b"", answer.content)) for path, answer in looks.items()}


def _differing(customer: Customer, browser: Client) -> list[str]:
    with time_machine.travel(timezone.now(), tick=False):
        plain = _look(customer, browser)
        with rows_of_others_hidden(customer.organization):
            hidden = _look(customer, browser)
    assert {status for status, _ in plain.values()} == {200}, {path: status for path, (status, _) in plain.items() if status != 200}
    return [path for path in plain if plain[path] != hidden[path]]


def test_everything_is_what_it_would_be_if_the_database_hid_the_rows_of_others(
    customers: tuple[Customer, Customer], as_person: Callable[[User], Client]
) -> None:
    mine, _ = customers
    assert _differing(mine, as_person(mine.person)) == []


def test_a_read_that_forgets_the_organization_is_found(
    customers: tuple[Customer, Customer], as_person: Callable[[User], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        queries, "latest_requests", lambda _organization, limit=50: combine(UsageEvent.objects.order_by("-event_id"))[:limit]
    )

    assert "/requests/table" in _differing(customers[0], as_person(customers[0].person))


def test_the_policies_bind_whoever_asks(customers: tuple[Customer, Customer]) -> None:
    mine, _ = customers
    assert UsageEvent.objects.count() == 2

    with rows_of_others_hidden(mine.organization):
        assert list(UsageEvent.objects.values_list("org_id", flat=True)) == [mine.organization.pk]


def test_another_organizations_ids_open_nothing_and_its_keys_only_its_own(
    customers: tuple[Customer, Customer], as_person: Callable[[User], Client]
) -> None:
    for mine, theirs in (customers, customers[::-1]):
        browser = as_person(mine.person)
        headers = {"Authorization": f"Bearer {mine.secret}"}
        answers = [browser.get(path) for path in theirs.own] + [Client().get(path, headers=headers) for path in theirs.own_calls]
        assert {answer.status_code for answer in answers} == {404}
        word = theirs.key.name.encode()
        looks = _look(mine, browser)
        assert [path for path, (_, body) in looks.items() if word in body] == []
