"""Redeem campaign codes: granted credit with an expiry, within the campaign's limits and once per form.

Redemptions of one campaign are decided one at a time, so every limit holds to the unit.
"""

import datetime as dt
import uuid
from collections.abc import Callable
from typing import Final

from allauth.account.models import EmailAddress
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from accounts import audit, permissions
from accounts.models import Organization, User
from billing.books import transfers
from billing.models import Campaign, CodeMiss, CodeRedemption
from billing.money import NANOS_PER_CENT
from billing.signup_credit import hashes_of, is_blocked, mailbox_of, network_of

MISSES_MAX: Final = 10
_MISSES_WITHIN: Final = dt.timedelta(hours=1)
_CODE_MAX: Final = 40
_Rule = tuple[str, Callable[[], bool]]  # why not, and whether it applies


class CodeRefused(Exception):
    """The code gives nothing here and now; the text tells the customer why. Nothing was granted."""


def redeem(
    *, organization: Organization, by: User, code: str, attempt: uuid.UUID, address: str = "", now: dt.datetime | None = None
) -> CodeRedemption:
    """Grant what a code gives. ``attempt`` is the form's id: sent twice, it redeems once. ``address`` is the visitor's IP, '' if unknown.

    Raises: NotPermitted, CodeRefused.
    """
    permissions.require(by=by, organization=organization, action="credit.buy")
    moment = now or timezone.now()
    known = CodeRedemption.objects.filter(pk=attempt, organization=organization).first()
    if known is not None:
        return known
    mailbox, domain = _mailbox(by)
    _require_few_misses(by, moment)
    wanted = code.strip().upper()
    with transaction.atomic():
        campaign = (
            Campaign.objects.select_for_update().filter(code=wanted).first() if len(wanted) <= _CODE_MAX and "\0" not in wanted else None
        )
        if campaign is not None:
            known = CodeRedemption.objects.filter(pk=attempt, organization=organization).first()
            if known is not None:
                return known
            made = CodeRedemption(
                id=attempt,
                campaign=campaign,
                organization=organization,
                user=by,
                mailbox_hash=hashes_of(mailbox)[0],
                network_hash=hashes_of(network)[0] if (network := network_of(address)) else "",
                amount_nanos=campaign.amount_cents * NANOS_PER_CENT,
            )
            if refusal := _refusal(made, hashes_of(mailbox), domain, moment):
                raise CodeRefused(refusal)
            return _grant(made, campaign, by, moment)
    CodeMiss.objects.create(user=by)
    raise CodeRefused("There is no such code. Look at it again; letters may be small or capital.")


def _grant(made: CodeRedemption, campaign: Campaign, by: User, moment: dt.datetime) -> CodeRedemption:
    group = transfers.grant(
        organization=made.organization,
        amount_nanos=made.amount_nanos,
        reason=campaign.reason,
        idempotency_key=f"code:{made.pk}",
        by=by,
        expires_at=moment + dt.timedelta(days=campaign.credit_days) if campaign.credit_days else None,
        campaign=campaign.name,
    )
    made.lot_id = group.id
    made.save(force_insert=True)
    detail = {"campaign": campaign.name, "amount_nanos": made.amount_nanos}
    audit.record(organization_id=made.organization_id, by=by, action="code.redeemed", target=str(made.pk), detail=detail)
    return made


def _refusal(made: CodeRedemption, mailbox_hashes: list[str], domain: str, moment: dt.datetime) -> str:
    """Return why the code gives nothing, '' when it does. The campaign is locked."""
    campaign, redeemed = made.campaign, CodeRedemption.objects.filter(campaign=made.campaign)
    since = moment - dt.timedelta(days=1)
    from_network = redeemed.filter(network_hash=made.network_hash, created_at__gt=since) if made.network_hash else redeemed.none()
    by_person = redeemed.filter(Q(mailbox_hash__in=mailbox_hashes) | Q(user=made.user))
    each = campaign.per_organization_max
    rules: tuple[_Rule, ...] = (
        ("This code is over.", lambda: not campaign.is_open or (campaign.ends_at is not None and campaign.ends_at <= moment)),
        ("This code is used up.", lambda: 0 < campaign.redemptions_max <= redeemed.count()),
        (
            f"{made.organization.name} has redeemed this code already.",
            lambda: redeemed.filter(organization=made.organization).count() >= each,
        ),
        ("You have redeemed this code already, for another organization.", lambda: by_person.count() >= each),
        ("Codes are not given to throw-away mail addresses.", lambda: is_blocked(domain)),
        (
            "This code was redeemed too often from your network today. Try again tomorrow.",
            lambda: 0 < campaign.per_network_max <= from_network.count(),
        ),
    )
    return next((reason for reason, applies in rules if applies()), "")


def _mailbox(by: User) -> tuple[str, str]:
    verified = EmailAddress.objects.filter(user=by, verified=True).order_by("-primary", "pk").first()
    if verified is None:
        raise CodeRefused("Verify your mail address first: codes are once per person.")
    return mailbox_of(verified.email)


def _require_few_misses(by: User, moment: dt.datetime) -> None:
    if CodeMiss.objects.filter(user=by, created_at__gt=moment - _MISSES_WITHIN).count() >= MISSES_MAX:
        raise CodeRefused(f"{MISSES_MAX} wrong codes within an hour. Try again in an hour.")
