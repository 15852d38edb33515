import datetime as dt

import time_machine
from django.core import mail

from billing.books import transfers
from billing.models import CreditLot, Notice
from billing.purchases import expiry_mails, notices

USD = 1_000_000_000
NOW = dt.datetime(2027, 3, 1, 12, tzinfo=dt.UTC)


def grant(organization, key, *, days, nanos=5 * USD):
    with time_machine.travel(NOW, tick=False):
        transfers.grant(
            organization=organization,
            amount_nanos=nanos,
            reason=key,
            idempotency_key=key,
            by=None,
            expires_at=None if days is None else NOW + dt.timedelta(days=days),
        )


def reminded(days):
    expiry_mails.remind(now=NOW + dt.timedelta(days=days))
    return Notice.objects.count()


def test_credit_that_ends_within_a_week_is_mailed_about_once(organization):
    grant(organization, "Spring campaign", days=30)
    CreditLot.objects.update(spent_nanos=USD)

    assert [reminded(22), reminded(23), reminded(24), reminded(29), reminded(31)] == [0, 1, 1, 1, 1]

    notices.send(notice_id=Notice.objects.get().pk)
    assert mail.outbox[0].subject == "Tollway: $4 of credit expires on 31 March 2027, 12:00 UTC"
    assert "Acme has $4 left of credit that was granted for: Spring campaign" in mail.outbox[0].body


def test_what_is_used_up_or_tiny_or_for_ever_or_short_is_not(organization):
    grant(organization, "used up", days=30)
    CreditLot.objects.update(spent_nanos=5 * USD)
    grant(organization, "tiny", days=30, nanos=99_999_999)
    grant(organization, "for ever", days=None)
    grant(organization, "short", days=14)

    assert [reminded(day) for day in range(0, 31, 5)] == [0] * 7
