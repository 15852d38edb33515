"""Move an organization to another ledger shard while it is being used: a pause of seconds for it, nothing for anybody else."""

import time
from typing import NamedTuple

from django.conf import settings
from django.db import transaction

from accounts import api_keys, organizations
from accounts.models import ApiKey, Organization
from billing import live
from billing.books import settlement
from billing.books.shard_lock import hold_shard
from billing.models import Account, AdmissionFreeze

_LOCK_WAIT_S = 30.0
_POLL_S = 0.05
# A pause ends by itself, also when whoever began it is gone. What follows the wait for running requests is a few round trips.
PAUSE_MAX_S = 5.0
_PAUSE_MARGIN_S = 2.5
WAIT_S = PAUSE_MAX_S - _PAUSE_MARGIN_S
# Between two tries the organization works as usual: what waited goes through, and another moment may find nothing that runs for long.
_REST_S = 2.0
# Nobody loads the organization on its old shard for so long; the move is taken back when it was not written down by half of it.
_CLOSED_S = 60


class CannotMove(Exception):
    """The organization stays where it is, and goes on as before."""


class _StillRunning(CannotMove):
    """Requests of it run for longer than the pause may be."""


class Moved(NamedTuple):
    """A move. ``paused_s`` is how long the organization could start nothing, in the last of ``tries``."""

    source: int
    target: int
    paused_s: float
    booked: int
    tries: int


def move(*, organization: Organization, shard: int, wait_s: float = WAIT_S, tries: int = 1) -> Moved:
    """Stop new requests of the organization, wait up to ``wait_s`` for those that run, book them, and place it on another shard.

    New requests get 503 with Retry-After meanwhile, for ``wait_s`` and 2.5 s at most. Where requests run for longer the organization goes
    on for two seconds and it is tried again, up to ``tries`` times. What a gateway settles late finds the new shard by itself
    (``authorizer/janitor.py``).
    Raises: CannotMove, ShardBusy, MoneyStoreDown, live.EpochClosed; then it stays on its shard.
    """
    source = organization.shard
    if not 0 <= shard < settings.LEDGER_SHARDS:
        msg = f"there is no shard {shard}; they are numbered 0 to {settings.LEDGER_SHARDS - 1}"
        raise CannotMove(msg)
    if shard == source:
        msg = f"the organization is on shard {shard} already"
        raise CannotMove(msg)
    if AdmissionFreeze.objects.filter(organization=organization, lifted_at=None).exists():
        msg = "its books are in doubt and its requests stopped; lift that first"
        raise CannotMove(msg)
    for number in range(1, tries + 1):
        try:
            return _try(organization, shard, wait_s)._replace(tries=number)
        except _StillRunning:
            if number == tries:
                raise
        time.sleep(_REST_S)
    msg = "no try was allowed"
    raise CannotMove(msg)


def _try(organization: Organization, shard: int, wait_s: float) -> Moved:
    source = organization.shard
    with hold_shard(source, wait_s=_LOCK_WAIT_S):
        organization.refresh_from_db(fields=["shard"])
        if organization.shard != source:
            msg = f"it was moved to shard {organization.shard} meanwhile"
            raise CannotMove(msg)
        # What has piled up is booked while the organization still works; the pause is for its last few requests.
        booked = settlement.settle_shard(shard=source).booked
        began_s = time.monotonic()
        booked += _drain(organization, source, wait_s)
        key_ids = list(ApiKey.objects.filter(organization=organization, is_management=False).values_list("pk", flat=True))
        names = live.copy_claims(key_ids=key_ids, source=source, target=shard)
        live.open_for_arrival(org_id=organization.pk, shard=shard, key_ids=key_ids)
        try:
            _place(organization, shard, key_ids)
        except CannotMove:
            live.end_pause(org_id=organization.pk, shard=source)
            raise
        live.hand_over_claims(names, source=source, target=shard)
        for key_id in ApiKey.objects.filter(organization=organization, deleted_at=None).values_list("pk", flat=True):
            api_keys.announce(key_id=key_id)
    return Moved(source, shard, time.monotonic() - began_s, booked, 1)


def _drain(organization: Organization, source: int, wait_s: float) -> int:
    """Pause the organization until nothing of it is held or waits for the books."""
    deadline, booked = time.monotonic() + wait_s, 0
    live.pause_for_move(org_id=organization.pk, shard=source, for_ms=int((wait_s + _PAUSE_MARGIN_S) * 1000))
    while True:
        booked += settlement.settle_shard(shard=source).booked
        known = live.read_balance(org_id=organization.pk, shard=source)
        if known is None or (known.held_nanos == 0 and known.unposted_nanos == 0):
            return booked
        if time.monotonic() >= deadline:
            live.end_pause(org_id=organization.pk, shard=source)
            msg = f"its requests did not end within {wait_s:g} s ({known.held_nanos} n$ held, {known.unposted_nanos} n$ not booked)"
            raise _StillRunning(msg)
        time.sleep(_POLL_S)


def _place(organization: Organization, shard: int, key_ids: list[int]) -> None:
    source = organization.shard
    with transaction.atomic():
        organizations.place(organization=organization, shard=shard)
        Account.objects.filter(org=organization).update(shard=shard)
        # The old shard forgets before anybody can read the new place, so that no two shards know the balance at once.
        began_s = time.monotonic()
        if not live.leave_shard(org_id=organization.pk, shard=source, key_ids=key_ids, closed_s=_CLOSED_S):
            msg = "a request of it was settled at the last moment; try again"
            raise _StillRunning(msg)
        if time.monotonic() - began_s > _CLOSED_S / 2:
            msg = "the money store took too long"
            raise CannotMove(msg)
