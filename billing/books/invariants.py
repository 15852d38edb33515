"""What must always be true of the books and the money store. Tolerance is zero unless a constant here says otherwise.

I1 debits equal credits. I2 each account's counters are the sums of its transfers. I3 usage rows equal their transfers, batches and
rollups. I5 live balances equal the books at the same sequence number. I6 what is held is the sum of the holds, none of them
forgotten. I7 no customer is further below zero than one overrun explains. I8 streams are drained and nothing was refused.

I2 and I3 read every row ever written, so they can be narrowed to a window of days: then I3 takes the window's batches and rollup days
and I2, whose counters began with the first transfer, is left to the next whole check. All others read only what is there now.
"""

import datetime as dt
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Max
from django.utils import timezone

from billing import live
from billing.books import settlement
from billing.books.chart import CUSTOMER_CODES, TransferCode
from billing.books.shard_lock import ShardBusy, hold_shard
from billing.models import SettlementDeadLetter, UsageBatch
from billing.money import NANOS_PER_USD

OVERRUN_MAX_NANOS = NANOS_PER_USD
HOLD_OVERDUE_MAX_MS = 60_000
LAG_MAX_MS = 10_000
# Today and yesterday: whatever midnight cuts in two is seen whole for a day.
WINDOW_DAYS = 2
_LOCK_WAIT_S = 5.0
_BATCHES_PER_STEP = 5_000

_log = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]  # what is checked, steps done, steps in all


class Difference(NamedTuple):
    """Two figures that should be equal and are not. Nanos, unless ``unit`` says otherwise."""

    invariant: str
    subject: str
    expected: int
    found: int
    unit: str = "n$"

    def __str__(self) -> str:
        return (
            f"{self.invariant} {self.subject}: expected {self.expected:,} {self.unit}, found {self.found:,} {self.unit}"
            f" (difference {self.found - self.expected:+,})"
        )


_I1 = "SELECT coalesce(sum(debits_nanos), 0), coalesce(sum(credits_nanos), 0) FROM billing_account"
_I2 = """
WITH moved AS (
    SELECT id, sum(debits) AS debits, sum(credits) AS credits FROM (
        SELECT debit_account_id AS id, amount_nanos AS debits, 0 AS credits FROM billing_transfer
        UNION ALL SELECT credit_account_id, 0, amount_nanos FROM billing_transfer
    ) AS side GROUP BY id
)
SELECT account.id, coalesce(moved.debits, 0), account.debits_nanos, coalesce(moved.credits, 0), account.credits_nanos
FROM billing_account account LEFT JOIN moved USING (id)
WHERE account.debits_nanos <> coalesce(moved.debits, 0) OR account.credits_nanos <> coalesce(moved.credits, 0)
ORDER BY account.id
"""
_I2_SEQ = """
SELECT account.org_id, count(change.id), account.seq, coalesce(max(change.seq), 0)
FROM billing_account account LEFT JOIN billing_balancechange change USING (org_id)
WHERE account.code = %s GROUP BY account.org_id, account.seq
HAVING count(change.id) <> account.seq OR coalesce(max(change.seq), 0) <> account.seq
ORDER BY account.org_id
"""
_I3_BATCHES = """
WITH used AS (
    SELECT batch_id, org_id, sum(amount_nanos) AS nanos FROM billing_usageevent WHERE batch_id BETWEEN %(first)s AND %(last)s GROUP BY 1, 2
), moved AS (
    SELECT batch_id, org_id, sum(CASE code WHEN %(usage)s THEN amount_nanos ELSE -amount_nanos END) AS nanos
    FROM billing_transfer WHERE batch_id BETWEEN %(first)s AND %(last)s AND code IN (%(usage)s, %(back)s) GROUP BY 1, 2
)
SELECT batch_id, org_id, coalesce(used.nanos, 0), coalesce(moved.nanos, 0) FROM used FULL JOIN moved USING (batch_id, org_id)
WHERE coalesce(used.nanos, 0) <> coalesce(moved.nanos, 0) ORDER BY batch_id, org_id
"""
_I3_COUNTS = """
SELECT batch.id, batch.events, count(usage.event_id) FROM billing_usagebatch batch
LEFT JOIN billing_usageevent usage ON usage.batch_id = batch.id AND usage.batch_id BETWEEN %(first)s AND %(last)s
WHERE batch.id BETWEEN %(first)s AND %(last)s GROUP BY batch.id, batch.events HAVING batch.events <> count(usage.event_id) ORDER BY batch.id
"""
_I3_DAYS = """
SELECT DISTINCT (hour AT TIME ZONE 'UTC')::date FROM billing_usagerollup WHERE hour >= %(since)s::timestamp AT TIME ZONE 'UTC'
UNION SELECT DISTINCT day FROM billing_usageevent WHERE day >= %(since)s ORDER BY 1
"""
_I3_ROLLUPS = """
WITH used AS (
    SELECT org_id, key_id, date_trunc('hour', created_at, 'UTC') AS hour, model, provider, count(*) FILTER (WHERE part = 0) AS requests,
        sum(amount_nanos) AS nanos, coalesce(sum(cost_nanos) FILTER (WHERE NOT simulated), 0) AS cost
    FROM billing_usageevent WHERE day = %(day)s GROUP BY 1, 2, 3, 4, 5
), rolled AS (
    SELECT org_id, key_id, hour, model, provider, requests, amount_nanos AS nanos, cost_nanos AS cost FROM billing_usagerollup
    WHERE hour >= %(day)s::timestamp AT TIME ZONE 'UTC' AND hour < (%(day)s::timestamp + interval '1 day') AT TIME ZONE 'UTC'
)
SELECT org_id, key_id, hour, model, provider, coalesce(used.nanos, 0), coalesce(rolled.nanos, 0), coalesce(used.requests, 0),
    coalesce(rolled.requests, 0), coalesce(used.cost, 0), coalesce(rolled.cost, 0)
FROM used FULL JOIN rolled USING (org_id, key_id, hour, model, provider)
WHERE (used.nanos, used.requests, used.cost) IS DISTINCT FROM (rolled.nanos, rolled.requests, rolled.cost)
ORDER BY org_id, key_id, hour, model, provider
"""
_I5 = """
SELECT org_id, (sum(credits_nanos) - sum(debits_nanos))::bigint, max(seq) FROM billing_account
WHERE org_id IS NOT NULL AND shard = %s GROUP BY org_id ORDER BY org_id
"""
_I7 = """
SELECT org_id, sum(credits_nanos) - sum(debits_nanos), -sum(limit_nanos) FROM billing_account WHERE org_id IS NOT NULL AND code = ANY(%s)
GROUP BY org_id HAVING sum(credits_nanos) - sum(debits_nanos) < -sum(limit_nanos) - %s ORDER BY org_id
"""


def verify(*, shards: Iterable[int] | None = None, days: int | None = None, on_progress: Progress | None = None) -> list[Difference]:
    """Return all differences; ``differences`` yields them as they are found."""
    return list(differences(shards=shards, days=days, on_progress=on_progress))


def verify_and_log(*, days: int | None = None) -> int:
    """Check the last ``days`` or, if None, everything; log each difference as an error and return their number."""
    found = 0
    for difference in differences(days=days):
        _log.error("books do not balance: %s", difference)
        found += 1
    return found


def differences(
    *, shards: Iterable[int] | None = None, days: int | None = None, on_progress: Progress | None = None
) -> Iterator[Difference]:
    """Yield each difference when it is found: the books first, then the money store of ``shards`` (all of them if None).

    ``days`` narrows I3 to so many UTC days, today among them, and leaves I2 out; None is everything. Raises: MoneyStoreDown.
    """
    tell = on_progress or (lambda _title, _done, _total: None)
    yield from _books(tell, since=None if days is None else timezone.now().astimezone(dt.UTC).date() - dt.timedelta(days=days - 1))
    numbers = list(range(settings.LEDGER_SHARDS) if shards is None else shards)
    for done, shard in enumerate(numbers):
        tell("I5 I6 I8 money store", done, len(numbers))
        yield from _live(shard)
    tell("I5 I6 I8 money store", len(numbers), len(numbers))


def _books(tell: Progress, *, since: dt.date | None) -> Iterator[Difference]:
    with transaction.atomic():
        if len(connection.savepoint_ids) == 0:
            # One moment for all checks, so that what commits meanwhile cannot look like a difference.
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        title = "I1 I2 I7 accounts" if since is None else "I1 I7 accounts"
        tell(title, 0, 1)
        yield from _accounts()
        if since is None:
            yield from _counters()
        tell(title, 1, 1)
        latest = UsageBatch.objects.aggregate(latest=Max("id", default=0))["latest"]
        before = 0 if since is None else _latest_batch_before(since)
        for first in range(before + 1, latest + 1, _BATCHES_PER_STEP):
            tell("I3 usage batches", first - 1 - before, latest - before)
            yield from _batches(first, first + _BATCHES_PER_STEP - 1)
        tell("I3 usage batches", latest - before, latest - before)
        days = [row[0] for row in _rows(_I3_DAYS, {"since": since or dt.date.min})]
        for done, day in enumerate(days):
            tell("I3 hourly rollups", done, len(days))
            yield from _rollups(day)
        tell("I3 hourly rollups", len(days), len(days))
        for letter in SettlementDeadLetter.objects.filter(resolved_at=None).order_by("id"):
            yield Difference("I8", f"dead letter {letter.pk} of shard {letter.shard} ({letter.reason})", 0, 1, "entries")


def _latest_batch_before(day: dt.date) -> int:
    # Backwards by number: reads the window's batches and not all that were ever booked.
    midnight = dt.datetime.combine(day, dt.time.min, tzinfo=dt.UTC)
    return UsageBatch.objects.filter(created_at__lt=midnight).order_by("-id").values_list("id", flat=True).first() or 0


def _accounts() -> Iterator[Difference]:
    [(debits, credits_)] = _rows(_I1)
    if debits != credits_:
        yield Difference("I1", "all accounts, debits against credits", int(credits_), int(debits))
    for org_id, balance, floor in _rows(_I7, [[code.value for code in CUSTOMER_CODES], OVERRUN_MAX_NANOS]):
        yield Difference("I7", f"organization {org_id} is below its floor", int(floor), int(balance))


def _counters() -> Iterator[Difference]:
    for account_id, debits, has_debits, credits_, has_credits in _rows(_I2):
        if debits != has_debits:
            yield Difference("I2", f"account {account_id} debits against its transfers", int(debits), has_debits)
        if credits_ != has_credits:
            yield Difference("I2", f"account {account_id} credits against its transfers", int(credits_), has_credits)
    for org_id, count, seq, _ in _rows(_I2_SEQ, [CUSTOMER_CODES[-1].value]):
        yield Difference("I2", f"organization {org_id} balance changes against their sequence", seq, count, "changes")


def _batches(first: int, last: int) -> Iterator[Difference]:
    names = {"first": first, "last": last, "usage": TransferCode.USAGE.value, "back": TransferCode.USAGE_RETURN.value}
    for batch_id, org_id, used, moved in _rows(_I3_BATCHES, names):
        yield Difference("I3", f"batch {batch_id} organization {org_id}, transfers against usage", int(used), int(moved))
    for batch_id, expected, found in _rows(_I3_COUNTS, names):
        yield Difference("I3", f"batch {batch_id}, usage rows", expected, found, "rows")


def _rollups(day: object) -> Iterator[Difference]:
    for org_id, key_id, hour, model, provider, *figures in _rows(_I3_ROLLUPS, {"day": day}):
        subject = f"organization {org_id} key {key_id} {hour:%Y-%m-%d %H}:00 {model} at {provider}, rollup against usage"
        for name, unit, (expected, found) in zip(
            ("amount", "requests", "cost"), ("n$", "requests", "n$"), zip(figures[::2], figures[1::2], strict=True), strict=True
        ):
            if expected != found:
                yield Difference("I3", f"{subject}, {name}", int(expected), int(found), unit)


def _live(shard: int) -> Iterator[Difference]:
    if not live.epoch_is_current(shard=shard):
        return  # closed to spending until it is rebuilt from the books: there is nothing to compare
    lag = live.stream_lag(shard=shard)
    if lag.oldest_ms > LAG_MAX_MS:
        yield Difference("I8", f"{lag.entries} entries wait in the stream of shard {shard}, the oldest since", 0, lag.oldest_ms, "ms")
    try:
        with hold_shard(shard, wait_s=_LOCK_WAIT_S):
            settlement.settle_shard(shard=shard)
            yield from _balances(shard)
    except ShardBusy:
        yield Difference("I8", f"shard {shard} is held by another worker", 0, int(_LOCK_WAIT_S), "s")
        return
    yield from _held(shard)


def _balances(shard: int) -> Iterator[Difference]:
    for org_id, booked, seq in _rows(_I5, [shard]):
        known = live.read_balance(org_id=org_id, shard=shard)
        # Another sequence number means that a change is on its way to the money store; the next run compares.
        if known is not None and known.seq == seq and known.avail_nanos + known.held_nanos + known.unposted_nanos != booked:
            found = known.avail_nanos + known.held_nanos + known.unposted_nanos
            yield Difference("I5", f"organization {org_id} on shard {shard}, money store against books", booked, found)


def _held(shard: int) -> Iterator[Difference]:
    for org_id, held_nanos, holds in live.read_holds(shard=shard):
        total_nanos = sum(hold.amount_nanos for hold in holds)
        if held_nanos != total_nanos:
            yield Difference("I6", f"organization {org_id} on shard {shard}, held against its holds", total_nanos, held_nanos)
        for hold in holds:
            if hold.overdue_ms > HOLD_OVERDUE_MAX_MS:
                yield Difference("I6", f"hold {hold.event_id} of organization {org_id} is past its deadline", 0, hold.overdue_ms, "ms")


def _rows(query: str, values: Any = None) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return list(cursor.fetchall())
