"""What is broken now: opened by the check that finds it, closed by the next one that looks at the same place and does not."""

import datetime as dt
import logging
from collections.abc import Collection, Iterable
from typing import Final

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.utils import timezone

from accounts.models import Organization, User
from billing.books.difference import Difference
from billing.models import Incident, InvariantRun

_SUBJECT_MAX: Final = 400
_TOLD_AT_ONCE: Final = 50
_RUNS_KEPT: Final = dt.timedelta(days=7)

_log = logging.getLogger(__name__)


def note(invariant: str, found: Iterable[Difference], *, is_whole: bool, shards: Collection[int] | None) -> None:
    """Open, renew and close the incidents of one invariant after a check that looked at ``shards`` (None: everywhere)."""
    now = timezone.now()
    known = set(Organization.objects.filter(pk__in={one for each in found for one in each.org_ids}).values_list("pk", flat=True))
    seen = []
    with transaction.atomic():
        for difference in found:
            organization_id = next((one for one in difference.org_ids if one in known), None)
            figures = {"expected": difference.expected, "found": difference.found, "unit": difference.unit, "seen_at": now}
            incident, _ = Incident.objects.update_or_create(
                invariant=invariant,
                subject=difference.subject[:_SUBJECT_MAX],
                closed_at=None,
                defaults=figures,
                create_defaults={
                    **figures,
                    "organization_id": organization_id,
                    "shard": difference.shard,
                    "is_whole": is_whole,
                    "opened_at": now,
                },
            )
            seen.append(incident.pk)
        gone = Incident.objects.filter(invariant=invariant, closed_at=None).exclude(pk__in=seen)
        if not is_whole:
            gone = gone.filter(is_whole=False)
        if shards is not None:
            gone = gone.filter(shard__in=shards)
        gone.update(closed_at=now)


def tell_operator() -> int:
    """Mail the operators what was opened and not told yet, in one mail. Return the number of incidents in it; 0 if none could be sent."""
    with transaction.atomic():
        fresh = list(Incident.objects.select_for_update(skip_locked=True).filter(told_at=None).order_by("pk")[:_TOLD_AT_ONCE])
        recipients = operators()
        if not fresh or not recipients:
            return 0
        try:
            _message(fresh, recipients).send()
        except OSError as error:  # SMTPException is one
            _log.error("the operators could not be mailed of %s incidents: %s", len(fresh), error)
            return 0
        Incident.objects.filter(pk__in=[one.pk for one in fresh]).update(told_at=timezone.now())
    return len(fresh)


def operators() -> list[str]:
    """Return the addresses of those who run the service."""
    named: list[str] = settings.OPERATOR_EMAILS
    return named or sorted(User.objects.filter(is_superuser=True, is_active=True).values_list("email", flat=True))


def forget_old_runs(*, now: dt.datetime | None = None) -> int:
    """Delete the runs of a week ago that found nothing. Incidents and runs that found something stay."""
    old = InvariantRun.objects.filter(checked_at__lt=(now or timezone.now()) - _RUNS_KEPT, differences=0)
    return int(old.delete()[0])


def _message(fresh: list[Incident], recipients: list[str]) -> EmailMessage:
    lines = "\n".join(f"- {one}" for one in fresh)
    body = (
        f"The books do not balance.\n\n{lines}\n\n"
        "New requests of the organizations named under I1 to I6 are refused until you lift that.\n"
        f"Look and lift at {settings.PUBLIC_URL}/operator/books\n"
    )
    names = ", ".join(sorted({one.invariant for one in fresh}))
    return EmailMessage(subject=f"Tollway: the books do not balance ({names})", body=body, to=recipients)
