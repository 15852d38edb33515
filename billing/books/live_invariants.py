"""The invariants that need the money store, shard by shard: I4 charged keys, I5 balances, I6 holds, I8 the stream."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from django.db import connection

from accounts.models import ApiKey
from billing import live
from billing.books import settlement
from billing.books.difference import Difference
from billing.books.restored import BooksBehind
from billing.books.shard_lock import ShardBusy, hold_shard
from billing.models import SettlementDeadLetter

HOLD_OVERDUE_MAX_MS = 60_000
LAG_MAX_MS = 10_000
_LOCK_WAIT_S = 5.0

_BALANCES = """
SELECT org_id, (sum(credits_nanos) - sum(debits_nanos))::bigint, max(seq) FROM billing_account
WHERE org_id IS NOT NULL AND shard = %s GROUP BY org_id ORDER BY org_id
"""
_CHARGED = """
SELECT key_id, sum(amount_nanos)::bigint FROM billing_usagerollup WHERE org_id = ANY(%s) AND key_id = ANY(%s) GROUP BY key_id
"""


def shard_differences(shard: int) -> Iterator[Difference]:
    """Yield everything that is wrong with a shard. Books what its stream holds first. Raises: MoneyStoreDown."""
    yield from lag(shard)
    yield from drained(shard)
    yield from holds(shard)


def lag(shard: int) -> Iterator[Difference]:
    """I8: nothing waits in the stream for long."""
    if not live.epoch_is_current(shard=shard):
        return  # closed to spending until it is rebuilt from the books: there is nothing to compare
    waiting = live.stream_lag(shard=shard)
    if waiting.oldest_ms > LAG_MAX_MS:
        subject = f"{waiting.entries} entries wait in the stream of shard {shard}, the oldest since"
        yield Difference("I8", subject, 0, waiting.oldest_ms, "ms", shard=shard)


def drained(shard: int) -> Iterator[Difference]:
    """I5 and I4, under the shard's lock and with everything booked that its stream held."""
    if not live.epoch_is_current(shard=shard):
        return
    try:
        with hold_shard(shard, wait_s=_LOCK_WAIT_S):
            keys = _key_owners(shard)
            charged = live.read_key_usage(shard=shard, key_ids=sorted(keys))
            settlement.settle_shard(shard=shard)
            found = [*_balances(shard), *_key_charges(shard, keys, charged)]
            # A store that restarted meanwhile has forgotten a second; its rebuild is on the way.
            if not live.epoch_is_current(shard=shard):
                return
    except BooksBehind:
        return  # the shard is closed now, and I14 says why
    except ShardBusy:
        yield Difference("I8", f"shard {shard} is held by another worker", 0, int(_LOCK_WAIT_S), "s", shard=shard)
        return
    yield from found


def holds(shard: int) -> Iterator[Difference]:
    """I6: what is held is the sum of the holds, and none of them was forgotten."""
    if not live.epoch_is_current(shard=shard):
        return
    for org_id, held_nanos, running in live.read_holds(shard=shard):
        total_nanos = sum(hold.amount_nanos for hold in running)
        if held_nanos != total_nanos:
            subject = f"organization {org_id} on shard {shard}, held against its holds"
            yield Difference("I6", subject, total_nanos, held_nanos, org_ids=(org_id,), shard=shard)
        for hold in running:
            if hold.overdue_ms > HOLD_OVERDUE_MAX_MS:
                subject = f"hold {hold.event_id} of organization {org_id} is past its deadline"
                yield Difference("I6", subject, 0, hold.overdue_ms, "ms", shard=shard)


def _balances(shard: int) -> Iterator[Difference]:
    for org_id, booked, seq in _rows(_BALANCES, [shard]):
        known = live.read_balance(org_id=org_id, shard=shard)
        # Another sequence number means that a change is on its way to the money store; the next run compares.
        if known is not None and known.seq == seq and known.avail_nanos + known.held_nanos + known.unposted_nanos != booked:
            found = known.avail_nanos + known.held_nanos + known.unposted_nanos
            subject = f"organization {org_id} on shard {shard}, money store against books"
            yield Difference("I5", subject, booked, found, org_ids=(org_id,), shard=shard)


def _key_owners(shard: int) -> dict[int, int]:
    return dict(ApiKey.objects.filter(organization__shard=shard, is_management=False).values_list("pk", "organization_id"))


def _key_charges(shard: int, owners: dict[int, int], charged: dict[int, live.LiveKeyUsage]) -> Iterator[Difference]:
    """I4: every charge that the money store made is one row of the books, so both have charged each key the same.

    ``charged`` was read before the stream was drained. A key that was charged since then is left to the next run.
    """
    booked = dict(_rows(_CHARGED, [sorted(set(owners.values())), sorted(charged)]))
    refused: Counter[int] = Counter()
    for key_id, amount_nanos in SettlementDeadLetter.objects.filter(shard=shard, returned_at=None).values_list("key_id", "amount_nanos"):
        refused[key_id] += amount_nanos
    now = live.read_key_usage(shard=shard, key_ids=sorted(charged))
    for key_id, before in charged.items():
        expected = booked.get(key_id, 0) + refused[key_id]
        if key_id not in now or now[key_id].spent_nanos != before.spent_nanos or before.spent_nanos == expected:
            continue
        subject = f"key {key_id} of organization {owners[key_id]}, charges of the money store against books"
        yield Difference("I4", subject, expected, before.spent_nanos, org_ids=(owners[key_id],), shard=shard)


def _rows(query: str, values: Any = None) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return list(cursor.fetchall())
