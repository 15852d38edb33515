"""Who may not start new requests, and bringing that to the money store, where admission happens.

The table is the truth. The money store is told at once and again by a sweep; a rebuilt shard reads the table.
"""

import logging
from collections.abc import Collection

from django.db import transaction
from django.utils import timezone

from accounts import audit
from accounts import queries as accounts
from accounts.models import Organization, User
from accounts.permissions import NotPermitted
from billing import live
from billing.authorizer.connection import MoneyStoreDown
from billing.models import AdmissionFreeze

_log = logging.getLogger(__name__)


def freeze(*, org_ids: Collection[int], reason: str) -> list[int]:
    """Refuse new requests of these organizations until an operator lifts it. Return those that were not frozen before."""
    fresh = []
    for organization in Organization.objects.filter(pk__in=org_ids).order_by("pk"):
        with transaction.atomic():
            values = {"reason": reason[:400], "frozen_at": timezone.now()}
            _, is_new = AdmissionFreeze.objects.get_or_create(organization=organization, lifted_at=None, defaults=values)
            if is_new:
                audit.record(organization_id=organization.pk, by=None, action="admissions.frozen", detail={"reason": reason[:400]})
                fresh.append(organization.pk)
        _publish(organization)
    return fresh


def lift(*, organization: Organization, by: User) -> bool:
    """Let an organization spend again. False when it was not frozen. Raises: NotPermitted for anyone but an operator."""
    if not (by.is_staff and by.is_active):
        raise NotPermitted("not permitted: lifting a freeze")
    with transaction.atomic():
        active = AdmissionFreeze.objects.filter(organization=organization, lifted_at=None)
        if not active.update(lifted_at=timezone.now(), lifted_by=by.email):
            return False
        audit.record(organization_id=organization.pk, by=by, action="admissions.lifted")
    _publish(organization)
    return True


def publish_due() -> int:
    """Bring to the money store what it may not know: every freeze in force and each that was lifted. Return their organizations' number."""
    due = Organization.objects.filter(pk__in=AdmissionFreeze.objects.filter(thawed_at=None).values("organization"))
    return sum(_publish(organization) for organization in due.order_by("pk"))


def _publish(organization: Organization) -> bool:
    is_frozen = AdmissionFreeze.objects.filter(organization=organization, lifted_at=None).exists()
    told = None
    try:
        # Asked again afterwards: when it moved meanwhile, its new shard may have loaded the balance as it was before.
        while (shard := accounts.shard_of(organization.pk)) != told:
            live.put_frozen(org_id=organization.pk, shard=shard, is_frozen=is_frozen)
            told = shard
    except (MoneyStoreDown, live.EpochClosed) as error:
        _log.warning("the freeze of organization %s waits for the money store: %s", organization.pk, error)
        return False
    # A balance that is not loaded has no mark; the sweep sets it when it is.
    if not is_frozen:
        lifted = AdmissionFreeze.objects.filter(organization=organization, thawed_at=None, lifted_at__isnull=False)
        lifted.update(thawed_at=timezone.now())
    return True
