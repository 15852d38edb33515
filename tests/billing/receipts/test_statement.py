"""Statements: what they say is what the postings say, to the nano, whatever happened and whenever."""

import datetime as dt
import secrets
import uuid
from collections import Counter

import pytest
from django.db import connection
from django.db.models import Q, Sum

from accounts.models import Organization
from billing.books import transfers
from billing.books.chart import ORGANIZATION_CODES, AccountCode, AccountKey, TransferCode
from billing.books.transfers import Leg
from billing.models import Account, Transfer, UsageBatch, UsageEvent
from billing.receipts import statement as statements
from billing.receipts import usage_rows
from billing.receipts.statement import StatementMismatch
from tests.factories.usage import book

pytestmark = pytest.mark.django_db

OCTOBER = statements.bounds_of(dt.date(2026, 10, 1))
NOVEMBER = statements.bounds_of(dt.date(2026, 11, 1))
DECEMBER = statements.bounds_of(dt.date(2026, 12, 1))
LATER = dt.datetime(2027, 3, 1, tzinfo=dt.UTC)


def _move(table: str, where: str, args: list, at: dt.datetime) -> None:
    """Date rows back: the books themselves never do, and a trigger refuses it."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(f"UPDATE {table} SET created_at = %s WHERE {where}", [at, *args])  # noqa: S608 -- from this file
        cursor.execute("SET LOCAL session_replication_role = origin")


def id_at(at: dt.datetime) -> uuid.UUID:
    """Return a request's id of a moment."""
    return uuid.UUID(int=int(at.timestamp() * 1000) << 80 | 7 << 76 | 2 << 62 | secrets.randbits(62))


@pytest.fixture
def dated(organization: Organization, make_key):
    """Return a maker of history: grant, use or post at a moment."""
    keys = {}

    def grant(nanos: int, at: dt.datetime, *, promo: bool = True) -> None:
        key = f"{at}{nanos}{promo}"
        group = transfers.grant(organization=organization, amount_nanos=nanos, reason="", idempotency_key=key, by=None, promo=promo)
        _move("billing_transfer", "group_id = %s", [group.id], at)

    def use(picos: int, at: dt.datetime, *, key: str = "a", **fields) -> UsageEvent:
        if key not in keys:
            keys[key] = make_key(name=key)[0]
        event = book(keys[key], amount_picos=picos, **{"event_id": id_at(at), **fields})
        batch_id = UsageEvent.objects.filter(event_id=event.event_id).order_by("-part").values_list("batch_id", flat=True)[0]
        _move("billing_usagebatch", "id = %s", [batch_id], at)
        _move("billing_transfer", "batch_id = %s", [batch_id], at + dt.timedelta(milliseconds=3))
        return event

    grant.use = use
    grant.keys = keys
    return grant


def _ledger_balance(organization: Organization, *, until: dt.datetime) -> int:
    """Add the postings up one by one, with none of the statement's SQL."""
    own = set(Account.objects.filter(org=organization, code__in=[code.value for code in ORGANIZATION_CODES]).values_list("pk", flat=True))
    batches = dict(UsageBatch.objects.values_list("pk", "created_at"))
    total = 0
    for one in Transfer.objects.filter(Q(debit_account_id__in=own) | Q(credit_account_id__in=own)):
        if batches.get(one.batch_id, one.created_at) < until:
            total += one.amount_nanos * ((one.credit_account_id in own) - (one.debit_account_id in own))
    return total


def test_a_statement_is_what_the_postings_say(organization, dated):
    dated(5_000_000_000, dt.datetime(2026, 10, 5, tzinfo=dt.UTC))
    dated.use(700_400, dt.datetime(2026, 10, 31, 23, 59, 59, tzinfo=dt.UTC))
    dated(2_000_000_000, dt.datetime(2026, 11, 2, tzinfo=dt.UTC), promo=False)
    dated.use(6_000_000_000_500, dt.datetime(2026, 11, 3, tzinfo=dt.UTC), model="acme/dear", provider="other")
    dated.use(250_499, dt.datetime(2026, 11, 4, tzinfo=dt.UTC), key="b", status="cancelled")
    dated.use(0, dt.datetime(2026, 11, 4, tzinfo=dt.UTC), status="error")
    dated.use(9_000, dt.datetime(2026, 12, 1, tzinfo=dt.UTC))

    october, november, december = (statements.read(organization, since=a, until=b, now=LATER) for a, b in (OCTOBER, NOVEMBER, DECEMBER))

    assert (october.opening_nanos, october.charged, october.closing_nanos) == (0, {"promo_credit": 700}, 4_999_999_300)
    assert [(one.reason, one.amount_nanos) for one in november.movements] == [("grant", 2_000_000_000)]
    assert november.opening_nanos == october.closing_nanos
    # Promo credit went first, as far as it reached.
    assert november.charged == {"promo_credit": 4_999_999_300, "credit": 1_000_000_701 + 250}
    assert (november.requests, november.closing_nanos) == (3, 999_999_049)
    assert december.opening_nanos == november.closing_nanos
    for one in (october, november, december):
        assert one.closing_nanos == _ledger_balance(organization, until=one.until)
        assert sum(line.amount_nanos for line in one.usage) == one.charged_nanos
    assert december.closing_nanos == Account.objects.filter(org=organization).aggregate(
        net=Sum("credits_nanos") - Sum("debits_nanos")
    )["net"]  # fmt: skip
    by_key = Counter()
    for line in november.usage:
        by_key[line.key_id] += line.amount_nanos
    assert by_key == {dated.keys["a"].pk: 6_000_000_001, dated.keys["b"].pk: 250}
    dearest = november.usage[0]
    assert (dearest.model, dearest.provider, dearest.tokens_in, dearest.tokens_out) == ("acme/dear", "other", 100, 315)


def test_a_batch_counts_when_it_was_posted_and_not_when_its_transfers_were_written(organization, dated):
    dated(1_000, dt.datetime(2026, 10, 1, tzinfo=dt.UTC))
    dated.use(5_000, NOVEMBER[0] - dt.timedelta(milliseconds=1))  # its transfers are two milliseconds into November

    october, november = (statements.read(organization, since=a, until=b, now=LATER) for a, b in (OCTOBER, NOVEMBER))

    assert (october.charged_nanos, november.charged_nanos, october.closing_nanos) == (5, 0, 995)


def test_a_late_settlement_moves_the_month_in_which_it_is_posted(organization, dated):
    dated(1_000_000, dt.datetime(2026, 10, 1, tzinfo=dt.UTC), promo=False)
    lost = dated.use(100_000, dt.datetime(2026, 10, 31, tzinfo=dt.UTC), status="expired", meters={})
    dated.use(40_000, dt.datetime(2026, 11, 1, tzinfo=dt.UTC), event_id=lost.event_id)

    october, november = (statements.read(organization, since=a, until=b, now=LATER) for a, b in (OCTOBER, NOVEMBER))

    assert (october.charged_nanos, october.requests) == (100, 1)
    assert (november.charged, november.requests, november.closing_nanos) == ({"credit": -60}, 0, 999_960)


def test_debts_count_against_the_balance_and_moves_between_own_accounts_are_no_movement(organization, dated):
    dated(1_000, dt.datetime(2026, 11, 1, tzinfo=dt.UTC), promo=False)
    debt, credit = AccountKey(AccountCode.CUSTOMER_DEBT, organization.pk), AccountKey(AccountCode.CUSTOMER_CREDIT, organization.pk)
    legs = {"out": [Leg(debt, AccountKey(AccountCode.STRIPE_CLEARING), 300)], "over": [Leg(credit, debt, 200)]}
    for name, own in legs.items():
        group = transfers.post(kind="test", key=name, legs=own, code=TransferCode.DISPUTE, by=None, organization=organization)
        _move("billing_transfer", "group_id = %s", [group.id], dt.datetime(2026, 11, 5, tzinfo=dt.UTC))

    november = statements.read(organization, since=NOVEMBER[0], until=NOVEMBER[1], now=LATER)

    assert [(one.reason, one.amount_nanos) for one in november.movements] == [("grant", 1_000), ("dispute", -300)]
    assert november.closing_nanos == 700 == _ledger_balance(organization, until=NOVEMBER[1])


def test_a_month_is_final_only_when_nothing_can_be_posted_into_it_any_more(organization):
    for after, is_final in ((dt.timedelta(minutes=9), False), (dt.timedelta(minutes=10), True)):
        found = statements.read(organization, since=NOVEMBER[0], until=NOVEMBER[1], now=NOVEMBER[1] + after)
        assert found.is_final is is_final


def test_no_statement_leaves_the_house_when_rows_and_postings_differ(organization, dated):
    dated.use(5_000, dt.datetime(2026, 11, 3, tzinfo=dt.UTC))
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("UPDATE billing_usageevent SET amount_nanos = amount_nanos + 1, amount_picos = amount_picos + 1000")
        cursor.execute("SET LOCAL session_replication_role = origin")

    with pytest.raises(StatementMismatch):
        statements.read(organization, since=NOVEMBER[0], until=NOVEMBER[1], now=LATER)


def test_another_organization_has_none_of_it(organization, dated, stranger):
    dated(1_000, dt.datetime(2026, 11, 1, tzinfo=dt.UTC))
    dated.use(5_000, dt.datetime(2026, 11, 3, tzinfo=dt.UTC))
    other = stranger.memberships.get().organization

    found = statements.read(other, since=NOVEMBER[0], until=NOVEMBER[1], now=LATER)

    assert (found.opening_nanos, found.closing_nanos, found.movements, found.usage, found.charged) == (0, 0, [], [], {})
    assert list(usage_rows.pages(other, since=NOVEMBER[0], until=NOVEMBER[1])) == []


def test_rows_come_in_order_page_by_page_each_once(organization, dated, monkeypatch):
    monkeypatch.setattr(usage_rows, "PAGE_ROWS", 2)
    events = [dated.use(1_000 * n, dt.datetime(2026, 11, 3, tzinfo=dt.UTC)) for n in range(1, 6)]
    lost = dated.use(100_000, dt.datetime(2026, 11, 4, tzinfo=dt.UTC), status="expired", meters={})
    dated.use(40_000, dt.datetime(2026, 11, 5, tzinfo=dt.UTC), event_id=lost.event_id)
    dated.use(1_000, NOVEMBER[1])

    found = list(usage_rows.pages(organization, since=NOVEMBER[0], until=NOVEMBER[1]))

    assert [len(page) for page in found] == [2, 2, 2, 1]
    rows = [row for page in found for row in page]
    assert [row.event.event_id for row in rows] == [*sorted(event.event_id for event in events), lost.event_id, lost.event_id]
    assert [(row.part, row.event.amount_nanos) for row in rows[-2:]] == [(0, 100), (1, -60)]


def test_months_reach_from_the_first_to_the_present(organization):
    Organization.objects.filter(pk=organization.pk).update(created_at=dt.datetime(2025, 12, 31, 23, tzinfo=dt.UTC))
    organization.refresh_from_db()

    found = statements.months_of(organization, now=dt.datetime(2026, 3, 1, tzinfo=dt.UTC))

    assert found == [dt.date(2026, 3, 1), dt.date(2026, 2, 1), dt.date(2026, 1, 1), dt.date(2025, 12, 1)]
