"""Which credit paid: the shares of a batch's requests are its transfers, whatever was granted and used."""

import datetime as dt
from collections import Counter

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import ApiKey
from billing.books import archive, transfers
from billing.books.chart import AccountCode, TransferCode
from billing.models import CreditLot, Transfer, UsageEvent
from billing.receipts import funding
from tests.billing import plane
from tests.factories import usage
from tests.factories.usage import make_event

pytestmark = pytest.mark.django_db

DAY = dt.timedelta(days=1)


def grant(organization, nanos: int, key: str, *, expires_in: int | None = None, promo: bool = True) -> None:
    expires_at = None if expires_in is None else timezone.now() + expires_in * DAY
    extra = {"expires_at": expires_at} if expires_at else {}
    transfers.grant(organization=organization, amount_nanos=nanos, reason=key, idempotency_key=key, by=None, promo=promo, **extra)


def book_together(api_key: ApiKey, *amounts: int) -> list[UsageEvent]:
    """Book requests of so many nanos in one batch. Return their rows in the order of their ids."""
    return _book([make_event(api_key, amount_picos=nanos * 1000) for nanos in amounts])


def _book(events: list) -> list[UsageEvent]:
    usage.book_together(events)
    return list(UsageEvent.objects.filter(event_id__in=[one.event_id for one in events]).order_by("event_id"))


def shares(row: UsageEvent) -> list[tuple[str, str, int]]:
    return [(share.credit, share.reason, share.amount_nanos) for share in funding.shares_of([row])]


def test_grants_pay_in_the_order_in_which_they_expire_and_then_ordinary_credit(organization, make_key):
    grant(organization, 100, "bought", promo=False)
    grant(organization, 10, "for ever")
    grant(organization, 20, "late", expires_in=9)
    grant(organization, 5, "soon", expires_in=2)

    rows = book_together(make_key()[0], 4, 6, 0, 40)

    assert [shares(row) for row in rows] == [
        [("promo_credit", "soon", 4)],
        [("promo_credit", "soon", 1), ("promo_credit", "late", 5)],
        [],
        [("promo_credit", "late", 15), ("promo_credit", "for ever", 10), ("credit", "", 15)],
    ]


def test_the_next_batch_begins_where_the_last_one_ended(organization, make_key):
    grant(organization, 10, "gift")
    api_key = make_key()[0]

    assert [shares(row) for row in book_together(api_key, 7)] == [[("promo_credit", "gift", 7)]]
    assert [shares(row) for row in book_together(api_key, 7, 7)] == [
        [("promo_credit", "gift", 3), ("credit", "", 4)],
        [("credit", "", 7)],
    ]


def test_neighbours_of_other_organizations_in_the_batch_change_nothing(organization, make_key, stranger):
    other = stranger.memberships.get().organization
    other.shard = organization.shard
    other.save()
    grant(organization, 10, "gift")
    mine, theirs = make_key()[0], make_key(organization=other, by=stranger)[0]
    events = [make_event(theirs, amount_picos=9_000), make_event(mine, amount_picos=12_000)]
    usage.book_together(events)

    rows = {row.org_id: shares(row) for row in UsageEvent.objects.all()}

    assert rows == {organization.pk: [("promo_credit", "gift", 10), ("credit", "", 2)], other.pk: [("credit", "", 9)]}


@given(
    grants=st.lists(st.tuples(st.integers(1, 40), st.none() | st.integers(1, 5)), max_size=4),
    amounts=st.lists(st.integers(0, 30), min_size=1, max_size=5),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_shares_of_a_batch_are_its_transfers(organization, make_key, grants, amounts):
    already = Transfer.objects.count()
    for number, (nanos, days) in enumerate(grants):
        grant(organization, nanos, f"{already}-{number}", expires_in=days)

    rows = book_together(make_key()[0], *amounts)

    paid: Counter[tuple[str, object]] = Counter()
    for row in rows:
        own = funding.shares_of([row])
        assert sum(share.amount_nanos for share in own) == row.amount_nanos
        for share in own:
            paid[share.credit, share.grant] += share.amount_nanos
    legs = Transfer.objects.filter(org_id=organization.pk, batch_id=rows[0].batch_id, code=TransferCode.USAGE)
    moved = Counter()
    for code, lot_id, nanos in legs.values_list("debit_account__code", "lot_id", "amount_nanos"):
        moved["promo_credit" if code == AccountCode.CUSTOMER_PROMO else "credit", lot_id] += nanos
    assert paid == moved
    assert CreditLot.objects.filter(spent_nanos__gt=0).count() >= len([name for name in moved if name[1]])


def test_the_receipt_of_a_batch_over_midnight_stays_as_it_was_when_the_first_day_is_archived(organization, make_key, settings, tmp_path):
    settings.USAGE_ARCHIVE_DIR = str(tmp_path)
    grant(organization, 100, "bought", promo=False)
    grant(organization, 20, "late", expires_in=9)
    grant(organization, 5, "soon", expires_in=2)
    midnight = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    key, times = make_key()[0], [midnight - dt.timedelta(seconds=1), midnight, midnight + dt.timedelta(milliseconds=1)]
    rows = _book([make_event(key, event_id=plane.id_at(at), amount_picos=10_000) for at in times])
    before = [shares(row) for row in rows]

    archive.archive_day(rows[0].day)

    assert before[1:] == [[("promo_credit", "late", 10)], [("promo_credit", "late", 5), ("credit", "", 5)]]
    assert [shares(row) for row in rows[1:]] == before[1:]
