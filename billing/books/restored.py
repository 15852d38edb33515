"""A database that was restored to an earlier moment: noticed by what the money store remembers, made whole by ``recover``.

With each batch the money store of the shard is told which one was booked last. Books that do not have that batch have lost what was
booked since their backup. Nothing may be spent or booked on them unseen: numbers of balance changes would be given out a second time.
"""

import datetime as dt
import logging
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from django.db import connection

from accounts import queries as accounts
from billing import live
from billing.books.difference import Difference
from billing.books.shard_lock import ShardBusy

_log = logging.getLogger(__name__)
_told: set[int] = set()

_SEQUENCES = "SELECT org_id, max(seq) FROM billing_account WHERE shard = %s AND org_id IS NOT NULL GROUP BY org_id ORDER BY org_id"


class BooksBehind(ShardBusy):
    """The books lack what the money store knows to be booked. The shard stays closed until ``manage.py recover_books``."""


class Mark(NamedTuple):
    """The latest batch of a shard. Its time tells it from another that a restored database gave the same number."""

    batch_id: int
    created_at: dt.datetime


def remember(shard: int, mark: Mark) -> None:
    """Tell the money store which batch was booked last. Raises: MoneyStoreDown."""
    live.put_mark(shard=shard, mark=f"{mark.batch_id} {mark.created_at.isoformat()}")


def check(shard: int) -> None:
    """Close the shard if its books have lost a batch. Under the shard's lock. Raises: BooksBehind."""
    missing = missing_mark(shard)
    if missing is None:
        _told.discard(shard)
        return
    live.close_epoch(shard=shard)
    msg = f"shard {shard}: batch {missing.batch_id} of {missing.created_at} was booked and the books do not have it; see recover_books"
    if shard not in _told:
        _told.add(shard)
        _log.error("the database is older than its money store: %s", msg)
    raise BooksBehind(msg)


def missing_mark(shard: int) -> Mark | None:
    """Return the batch that the books have lost, None if they have what the money store remembers."""
    said = live.read_mark(shard=shard)
    if not said:
        return None
    number, _, at = said.partition(" ")
    mark = Mark(int(number), dt.datetime.fromisoformat(at))
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM billing_usagebatch WHERE id = %s AND created_at = %s", mark)
        return None if cursor.rowcount else mark


def differences(shards: Iterable[int]) -> Iterator[Difference]:
    """I14: the books know every batch and every balance change that the money store has seen."""
    for shard in sorted(accounts.inhabited(list(shards))):
        if (mark := missing_mark(shard)) is not None:
            yield Difference("I14", f"shard {shard}, batch {mark.batch_id} is gone from the books", 1, 0, "batches", shard=shard)
        for org_id, seen in _seen(shard):
            # Asked last: the money store never hears of a change before it is committed.
            known = _booked(org_id)
            if seen > known:
                subject = f"organization {org_id} on shard {shard}, balance changes seen by the money store against the books"
                yield Difference("I14", subject, seen, known, "changes", org_ids=(org_id,), shard=shard)


def _seen(shard: int) -> Iterator[tuple[int, int]]:
    with connection.cursor() as cursor:
        cursor.execute(_SEQUENCES, [shard])
        booked = cursor.fetchall()
    for org_id, seq in booked:
        balance = live.read_balance(org_id=org_id, shard=shard)
        if balance is not None and balance.seq > seq:
            yield org_id, balance.seq


def _booked(org_id: int) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(max(seq), 0) FROM billing_account WHERE org_id = %s", [org_id])
        return int(cursor.fetchone()[0])
