"""Mails about money: written down with what they tell of, sent once afterwards, to whoever pays the bills."""

import datetime as dt
import logging
from functools import partial
from typing import Any, Final

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.template.loader import render_to_string
from django.utils import timezone

from accounts.models import Membership, Organization, Role
from billing.models import Notice, PaymentProfile

_TRIES: Final = 10
_GRACE: Final = dt.timedelta(seconds=30)  # the task that was started with the notice comes first

_log = logging.getLogger(__name__)


def write(*, organization: Organization, kind: str, key: str, context: dict[str, Any] | None = None) -> None:
    """Note that a mail is to be sent; the same (kind, key) again is the same mail. It leaves after commit.

    The template is billing/mails/<kind>.txt: its first line is the subject. ``context`` must be JSON.
    """
    made = Notice.objects.bulk_create(
        [Notice(organization=organization, kind=kind, key=key, context=context or {})],
        ignore_conflicts=True,
    )
    if made:
        transaction.on_commit(partial(_wake, organization.pk, kind, key))


def send(*, notice_id: int) -> bool:
    """Send one notice. False when somebody else sends it or has sent it.

    The row is locked while the mail server is asked: a crash right after its yes, and nothing else, sends a mail twice.
    """
    with transaction.atomic():
        notice = (
            Notice.objects.select_for_update(skip_locked=True).select_related("organization").filter(pk=notice_id, sent_at=None).first()
        )
        if notice is None:
            return False
        recipients = recipients_of(notice.organization)
        if recipients:
            _message(notice, recipients).send()
        notice.sent_at = timezone.now()
        notice.save(update_fields=["sent_at"])
    return True


def send_waiting(*, limit: int = 200) -> int:
    """Send what is still unsent. Return how many were sent; a mail server that refuses is tried again, ten times in all."""
    waiting = Notice.objects.filter(sent_at=None, attempts__lt=_TRIES, created_at__lt=timezone.now() - _GRACE)
    sent = 0
    for notice in waiting.order_by("pk")[:limit]:
        try:
            sent += send(notice_id=notice.pk)
        except OSError as error:  # SMTPException is one
            Notice.objects.filter(pk=notice.pk).update(attempts=notice.attempts + 1)
            _log.warning("mail %s to organization %s was not sent: %s", notice.kind, notice.organization_id, error)
    return sent


def recipients_of(organization: Organization) -> list[str]:
    """Return the billing address, else everybody who may buy."""
    profile = PaymentProfile.objects.filter(organization=organization).first()
    if profile is not None and profile.billing_email:
        return [profile.billing_email]
    buyers = Membership.objects.filter(organization=organization, role__in=[Role.OWNER, Role.ADMIN], user__is_active=True)
    return sorted(buyers.values_list("user__email", flat=True))


def _message(notice: Notice, recipients: list[str]) -> EmailMessage:
    context = {**notice.context, "organization": notice.organization, "public_url": settings.PUBLIC_URL}
    subject, _, body = render_to_string(f"billing/mails/{notice.kind}.txt", context).lstrip().partition("\n")
    return EmailMessage(subject=f"Tollway: {subject.strip()}", body=f"{body.strip()}\n\nTollway, {settings.PUBLIC_URL}\n", to=recipients)


def _wake(organization_id: int, kind: str, key: str) -> None:
    from billing.purchases import tasks  # noqa: PLC0415 -- tasks import this module

    notice = Notice.objects.filter(organization=organization_id, kind=kind, key=key, sent_at=None).values_list("pk", flat=True).first()
    if notice is not None:
        tasks.wake(tasks.send_notice, notice)
