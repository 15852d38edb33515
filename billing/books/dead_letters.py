"""Stream entries that the books refused. Settlement buries them; an operator deals with them."""

import datetime as dt
import logging
from collections import Counter

from django.db.models import QuerySet
from django.utils import timezone

from accounts.audit import Actor, name_actor
from billing import live
from billing.authorizer.connection import MoneyStoreDown
from billing.books.shard_lock import ShardBusy, hold_shard
from billing.models import SettlementDeadLetter

_WAIT_S = 5.0

_log = logging.getLogger(__name__)


def bury(*, shard: int, entry: live.StreamEntry, reason: str) -> bool:
    """Keep an entry with its bytes, once. Its charge stays in ``unposted``, where it shows.

    False when the same event lies here already, from an earlier entry: then this one's charge is a second one and goes back.
    """
    charged = SettlementDeadLetter.objects.filter(org_id=entry.org_id, event_hex=entry.event_hex, returned_at=None).exclude(src=entry.src)
    is_first = not charged.exists()
    SettlementDeadLetter.objects.get_or_create(
        src=entry.src,
        defaults={
            "shard": shard,
            "event": entry.event,
            "event_hex": entry.event_hex,
            "org_id": entry.org_id,
            "key_id": entry.key_id,
            "amount_nanos": entry.amount_nanos,
            "reason": reason,
            "returned_at": None if is_first else timezone.now(),
        },
    )
    return is_first


def resolve(*, letters: QuerySet[SettlementDeadLetter], by: Actor, now: dt.datetime | None = None) -> int:
    """Mark letters as dealt with, so that the invariants are silent about them, and give their charges back to the live balances.

    What the customer owes for them after all is posted as a transfer of its own. Returns how many were not marked before.
    """
    moment, count = now or timezone.now(), 0
    for letter in letters.filter(resolved_at=None):
        marked = SettlementDeadLetter.objects.filter(pk=letter.pk, resolved_at=None)
        count += marked.update(resolved_at=moment, resolved_by=name_actor(by))
        _give_back(letter)
    return count


def unposted_nanos(shard: int) -> tuple[Counter[int], Counter[int]]:
    """Return what open letters of a shard have charged, by organization and by key: a rebuilt balance still has it to its charge."""
    by_org: Counter[int] = Counter()
    by_key: Counter[int] = Counter()
    for letter in SettlementDeadLetter.objects.filter(shard=shard, returned_at=None):
        by_org[letter.org_id] += letter.amount_nanos
        by_key[letter.key_id] += letter.amount_nanos
    return by_org, by_key


def _give_back(letter: SettlementDeadLetter) -> None:
    # Noted first: a crash in between leaves the balance too low until the next rebuild, the other order could give back twice.
    try:
        with hold_shard(letter.shard, wait_s=_WAIT_S):
            if SettlementDeadLetter.objects.filter(pk=letter.pk, returned_at=None).update(returned_at=timezone.now()):
                live.return_charge(
                    org_id=letter.org_id,
                    key_id=letter.key_id,
                    shard=letter.shard,
                    event_hex=letter.event_hex,
                    amount_nanos=letter.amount_nanos,
                )
    except (MoneyStoreDown, live.EpochClosed, ShardBusy) as error:
        _log.warning("the charge of dead letter %s goes back with the next rebuild of shard %s: %s", letter.pk, letter.shard, error)
