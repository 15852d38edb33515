"""Take what is left of granted credit when its time is over, without taking what a running request was promised.

What is taken is set aside in the money store first, so that no request can be admitted on it meanwhile; what running requests hold and
what is charged but not booked is left to them, and the rest of it is taken by a later run.
"""

import datetime as dt
import logging
import uuid
from typing import Final

import uuid_utils
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from accounts.models import Organization
from billing import live
from billing.books import lots, settlement, transfers
from billing.books.chart import AccountCode, AccountKey, TransferCode
from billing.books.ledger import lock_accounts, open_accounts
from billing.books.shard_lock import ShardBusy
from billing.books.transfers import Leg
from billing.models import BalanceChange, CreditLot, Transfer
from billing.signals import credit_changed

_SETTLE_WAIT_S: Final = 2.0
_BREAKAGE: Final = AccountKey(AccountCode.BREAKAGE)

_log = logging.getLogger(__name__)


def expire_due(*, now: dt.datetime | None = None, limit: int = 500) -> int:
    """Take the rest of every lot whose time is over, for at most ``limit`` organizations. Return the nanos taken.

    Organizations whose shard is closed or busy wait for the next call. Raises: MoneyStoreDown.
    """
    moment = now or timezone.now()
    org_ids = list(_due(moment).order_by("organization_id").values_list("organization_id", flat=True).distinct()[:limit])
    taken = 0
    for organization in Organization.objects.in_bulk(org_ids).values():
        try:
            taken += expire(organization, now=moment)
        except (live.EpochClosed, ShardBusy) as error:
            _log.warning("credit of organization %s expires later: %s", organization.pk, error)
    return taken


def expire(organization: Organization, *, now: dt.datetime | None = None) -> int:
    """Take the rest of an organization's lots whose time is over. Return the nanos taken; what is in use is left for a later call.

    Raises: MoneyStoreDown, live.EpochClosed, ShardBusy; nothing was taken then.
    """
    moment = now or timezone.now()
    settlement.settle_shard(shard=organization.shard, wait_s=_SETTLE_WAIT_S)  # charges of before come first
    due_nanos = sum(lot.left_nanos for lot in _due(moment).filter(organization=organization))
    if not due_nanos:
        return 0
    free_nanos, hold_id = _set_aside(organization, due_nanos)
    try:
        with transaction.atomic():
            return _take(organization, free_nanos, moment)
    finally:
        _release(organization, hold_id)


def _due(moment: dt.datetime) -> QuerySet[CreditLot]:
    left = F("spent_nanos") + F("expired_nanos") + F("taken_back_nanos")
    return CreditLot.objects.filter(Q(amount_nanos__gt=left), expires_at__lte=moment)


def _set_aside(organization: Organization, due_nanos: int) -> tuple[int, uuid.UUID | None]:
    """Hold what may be taken, and return it with the hold. Promo credit is spent first, so what is in use comes out of it."""
    known = live.read_balance(org_id=organization.pk, shard=organization.shard)
    if known is None:
        return due_nanos, None  # nobody can spend what the money store has not loaded
    free_nanos = min(due_nanos - known.held_nanos - known.unposted_nanos, known.avail_nanos)
    if free_nanos <= 0:
        return 0, None
    hold_id = uuid.UUID(int=uuid_utils.uuid7().int)
    is_held = live.set_aside(org_id=organization.pk, shard=organization.shard, hold_id=hold_id, amount_nanos=free_nanos)
    return (free_nanos, hold_id) if is_held else (0, None)  # spent in this very moment: the next run sees what is left


def _release(organization: Organization, hold_id: uuid.UUID | None) -> None:
    # A money store that has yet to hear of the expiry keeps the hold: the sweep tells it within seconds, the reaper ends the hold after
    # a minute.
    if hold_id is not None and not BalanceChange.objects.filter(org=organization, published_at=None).exists():
        live.release_aside(org_id=organization.pk, shard=organization.shard, hold_id=hold_id)


def _take(organization: Organization, free_nanos: int, moment: dt.datetime) -> int:
    """Post the end of each lot: first it pays for usage that went beyond all credit, then what is free of it is taken."""
    promo, own = (AccountKey(code, organization.pk) for code in (AccountCode.CUSTOMER_PROMO, AccountCode.CUSTOMER_CREDIT))
    ids = open_accounts({promo, own, _BREAKAGE})
    locked = lock_accounts(ids.values())
    overdrawn_nanos = max(0, -locked[ids[own]].credit_balance_nanos)
    taken = 0
    for lot in _due(moment).filter(organization=organization).select_related("organization").order_by("expires_at", "created_at", "id"):
        covered = min(lot.left_nanos, overdrawn_nanos)
        expired = min(lot.left_nanos - covered, free_nanos)
        if covered:
            _post(lot, Leg(promo, own, covered, lot.pk), kind="cover", code=TransferCode.COVER)
        if expired:
            _post(lot, Leg(promo, _BREAKAGE, expired, lot.pk), kind="expiry", code=TransferCode.EXPIRY)
        lots.note_taken(lot.pk, expired_nanos=expired, spent_nanos=covered)
        overdrawn_nanos -= covered
        free_nanos -= expired
        taken += expired
    if taken:
        transaction.on_commit(lambda: credit_changed.send_robust(sender=CreditLot, organization_id=organization.pk))
    return taken


def _post(lot: CreditLot, leg: Leg, *, kind: str, code: TransferCode) -> None:
    # A lot may end in several steps, while requests are running on it; the accounts are locked, so the number is the step's own.
    step = Transfer.objects.filter(lot_id=lot.pk, code=code).count()
    transfers.post(
        kind=kind,
        key=f"{lot.pk}:{step}",
        legs=[leg],
        code=code,
        by=None,
        organization=lot.organization,
        memo=f"End of {lot.reason or 'granted credit'}"[:500],
    )
