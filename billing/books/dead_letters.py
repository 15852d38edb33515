"""Stream entries that the books refused. Settlement buries them; an operator deals with them."""

import datetime as dt

from django.db.models import QuerySet
from django.utils import timezone

from accounts.audit import Actor, name_actor
from billing.models import SettlementDeadLetter


def bury(*, shard: int, src: str, event: bytes, reason: str) -> SettlementDeadLetter:
    """Keep the bytes of an entry, once per ``src``. Its charge stays in ``unposted``, where it shows."""
    return SettlementDeadLetter.objects.get_or_create(src=src, defaults={"shard": shard, "event": event, "reason": reason})[0]


def resolve(*, letters: QuerySet[SettlementDeadLetter], by: Actor, now: dt.datetime | None = None) -> int:
    """Mark letters as dealt with, so that the invariants are silent about them. Return how many were not marked before."""
    return letters.filter(resolved_at=None).update(resolved_at=now or timezone.now(), resolved_by=name_actor(by))
