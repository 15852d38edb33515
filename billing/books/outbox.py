"""Bring balance changes from the books to the money store: at least once, in order; the sequence number makes it exactly once."""

import logging
from functools import partial

from django.db import transaction
from django.db.models import Min
from django.utils import timezone

from accounts import queries as accounts
from accounts.models import Organization
from billing import live
from billing.authorizer.connection import MoneyStoreDown
from billing.books import rebuild, settlement
from billing.books.shard_lock import ShardBusy, hold_shard
from billing.models import BalanceChange

_GAP_WAIT_S = 5.0

_log = logging.getLogger(__name__)


def publish_on_commit(organization: Organization) -> None:
    """Publish the organization's pending changes when the present transaction has committed. Failures are left to the sweep."""
    transaction.on_commit(partial(_publish_after_commit, organization))


def publish_pending(*, limit: int = 1_000) -> int:
    """Publish what is pending, for at most ``limit`` organizations, oldest first. Return the number of changes published.

    Organizations whose shard is closed or busy wait for the next call. Raises: MoneyStoreDown.
    """
    waiting = BalanceChange.objects.filter(published_at=None).values("org_id").annotate(oldest=Min("id")).order_by("oldest")[:limit]
    organizations = Organization.objects.in_bulk([row["org_id"] for row in waiting])
    done = 0
    for organization in organizations.values():
        try:
            done += publish(organization)
        except (live.EpochClosed, ShardBusy):
            continue
    return done


def publish(organization: Organization) -> int:
    """Publish the pending changes of one organization. Return how many the money store now knows.

    Raises: MoneyStoreDown, live.EpochClosed (the shard is about to be rebuilt), ShardBusy; the sweep repeats it then.
    """
    done = 0
    for change in BalanceChange.objects.filter(org=organization, published_at=None).order_by("seq"):
        outcome = live.apply_credit(org_id=organization.pk, shard=organization.shard, seq=change.seq, amount_nanos=change.amount_nanos)
        if outcome == "absent" and (shard := accounts.shard_of(organization.pk)) != organization.shard:
            # It moved while we looked elsewhere, and its new shard may have been loaded before this change.
            organization.shard = shard
            outcome = live.apply_credit(org_id=organization.pk, shard=shard, seq=change.seq, amount_nanos=change.amount_nanos)
        if outcome == "gap":
            _close_gap(organization)
        # 'absent' counts as published: whoever loads the balance must have read at least this change.
        BalanceChange.objects.filter(pk=change.pk, published_at=None).update(published_at=timezone.now())
        done += 1
    return done


def _close_gap(organization: Organization) -> None:
    # The money store has missed a change, so it takes the balance from the books anew: under the lock, and with everything booked
    # also acknowledged, they and the store's 'unposted' tell the same story. A store that is ahead already is right.
    with hold_shard(organization.shard, wait_s=_GAP_WAIT_S):
        settlement.settle_shard(shard=organization.shard)
        live.resync_balance(shard=organization.shard, seed=rebuild.read_balance_seed(org_id=organization.pk))


def _publish_after_commit(organization: Organization) -> None:
    # The money has moved: an error here must not look as if it had not.
    try:
        publish(organization)
    except (MoneyStoreDown, live.EpochClosed, ShardBusy) as error:
        _log.warning("balance change of organization %s waits for the money store: %s", organization.pk, error)
