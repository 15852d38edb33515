"""What must always be true of the books and the money store. Tolerance is zero unless a constant says otherwise.

I1 debits equal credits. I2 each account's counters are the sums of its transfers. I3 usage rows equal their transfers, batches and
rollups. I4 what the money store charged each key is in the books. I5 live balances equal the books at the same sequence number. I6 what
is held is the sum of the holds, none of them forgotten. I7 no customer is further below zero than one overrun explains. I8 streams are
drained and nothing was refused. I13 the lots of granted credit are the promo accounts (lots.py). Those that need the money store are in
live_invariants.py.

I2, I3 and the second half of I13 read every row ever written, so they can be narrowed to a window of days: then I3 takes the window's
batches and rollup days; the other two, whose counters began with the first transfer, are left to the next whole check. All others read
only what is there now.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Max
from django.utils import timezone

from billing.books import live_invariants, lots
from billing.books.charges import COSTS_ELSEWHERE
from billing.books.chart import CUSTOMER_CODES, TransferCode
from billing.books.difference import Difference
from billing.models import SettlementDeadLetter, UsageArchive, UsageBatch
from billing.money import NANOS_PER_USD

OVERRUN_MAX_NANOS = NANOS_PER_USD
# Today and yesterday: whatever midnight cuts in two is seen whole for a day.
WINDOW_DAYS = 2
_BATCHES_PER_STEP = 5_000

Progress = Callable[[str, int, int], None]  # what is checked, steps done, steps in all

_I1 = "SELECT coalesce(sum(debits_nanos), 0), coalesce(sum(credits_nanos), 0) FROM billing_account"
_I2 = """
WITH moved AS (
    SELECT id, sum(debits) AS debits, sum(credits) AS credits FROM (
        SELECT debit_account_id AS id, amount_nanos AS debits, 0 AS credits FROM billing_transfer
        UNION ALL SELECT credit_account_id, 0, amount_nanos FROM billing_transfer
    ) AS side GROUP BY id
)
SELECT account.id, account.org_id, coalesce(moved.debits, 0), account.debits_nanos, coalesce(moved.credits, 0), account.credits_nanos
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
    SELECT batch_id, org_id, sum(amount_nanos) AS nanos FROM (
        SELECT batch_id, org_id, amount_nanos FROM billing_usageevent WHERE batch_id BETWEEN %(first)s AND %(last)s
        UNION ALL
        SELECT batch_id, org_id, amount_nanos FROM billing_usagearchivebatch WHERE batch_id BETWEEN %(first)s AND %(last)s
    ) AS kept GROUP BY 1, 2
), moved AS (
    SELECT batch_id, org_id, sum(CASE code WHEN %(usage)s THEN amount_nanos ELSE -amount_nanos END) AS nanos
    FROM billing_transfer WHERE batch_id BETWEEN %(first)s AND %(last)s AND code IN (%(usage)s, %(back)s) GROUP BY 1, 2
)
SELECT batch_id, org_id, coalesce(used.nanos, 0), coalesce(moved.nanos, 0) FROM used FULL JOIN moved USING (batch_id, org_id)
WHERE coalesce(used.nanos, 0) <> coalesce(moved.nanos, 0) ORDER BY batch_id, org_id
"""
_I3_COUNTS = """
WITH used AS (
    SELECT batch_id, sum(rows) AS rows FROM (
        SELECT batch_id, 1 AS rows FROM billing_usageevent WHERE batch_id BETWEEN %(first)s AND %(last)s
        UNION ALL SELECT batch_id, rows FROM billing_usagearchivebatch WHERE batch_id BETWEEN %(first)s AND %(last)s
    ) AS kept GROUP BY batch_id
)
SELECT batch.id, batch.events, coalesce(used.rows, 0) FROM billing_usagebatch batch LEFT JOIN used ON used.batch_id = batch.id
WHERE batch.id BETWEEN %(first)s AND %(last)s AND batch.events <> coalesce(used.rows, 0) ORDER BY batch.id
"""
_I3_DAYS = """
SELECT DISTINCT (hour AT TIME ZONE 'UTC')::date FROM billing_usagerollup WHERE hour >= %(since)s::timestamp AT TIME ZONE 'UTC'
UNION SELECT DISTINCT day FROM billing_usageevent WHERE day >= %(since)s
UNION SELECT day FROM billing_usagearchive WHERE day >= %(since)s ORDER BY 1
"""
_I3_ROLLUPS = f"""
WITH used AS (
    SELECT org_id, key_id, hour, model, provider, sum(requests) AS requests, sum(nanos) AS nanos, sum(cost) AS cost FROM (
        SELECT org_id, key_id, date_trunc('hour', created_at, 'UTC') AS hour, model, provider, count(*) FILTER (WHERE part = 0) AS requests,
            sum(amount_nanos) AS nanos, coalesce(sum(cost_nanos) FILTER (WHERE NOT simulated), 0) AS cost
        FROM billing_usageevent WHERE day = %(day)s GROUP BY 1, 2, 3, 4, 5
        UNION ALL
        SELECT event.org_id, event.key_id, date_trunc('hour', event.created_at, 'UTC'), event.model, moved.provider, 0, 0, moved.cost_nanos
        FROM {COSTS_ELSEWHERE.format(rows="billing_usageevent AS event")} AND event.day = %(day)s
    ) AS side GROUP BY 1, 2, 3, 4, 5
), rolled AS (
    SELECT org_id, key_id, hour, model, provider, requests, amount_nanos AS nanos, cost_nanos AS cost FROM billing_usagerollup
    WHERE hour >= %(day)s::timestamp AT TIME ZONE 'UTC' AND hour < (%(day)s::timestamp + interval '1 day') AT TIME ZONE 'UTC'
)
SELECT org_id, key_id, hour, model, provider, coalesce(used.nanos, 0), coalesce(rolled.nanos, 0), coalesce(used.requests, 0),
    coalesce(rolled.requests, 0), coalesce(used.cost, 0), coalesce(rolled.cost, 0)
FROM used FULL JOIN rolled USING (org_id, key_id, hour, model, provider)
WHERE (used.nanos, used.requests, used.cost) IS DISTINCT FROM (rolled.nanos, rolled.requests, rolled.cost)
ORDER BY org_id, key_id, hour, model, provider
"""  # noqa: S608 -- the text above and nothing else
# Of an archived day the sums of the whole day are left, without the hours.
_I3_ARCHIVED = """
WITH used AS (
    SELECT org_id, key_id, model, provider, sum(requests) AS requests, sum(amount_nanos) AS nanos, sum(cost_nanos) AS cost
    FROM billing_usagearchivesum WHERE day = %(day)s GROUP BY 1, 2, 3, 4
), rolled AS (
    SELECT org_id, key_id, model, provider, sum(requests) AS requests, sum(amount_nanos) AS nanos, sum(cost_nanos) AS cost
    FROM billing_usagerollup
    WHERE hour >= %(day)s::timestamp AT TIME ZONE 'UTC' AND hour < (%(day)s::timestamp + interval '1 day') AT TIME ZONE 'UTC'
    GROUP BY 1, 2, 3, 4
)
SELECT org_id, key_id, %(day)s::timestamp, model, provider, coalesce(used.nanos, 0), coalesce(rolled.nanos, 0), coalesce(used.requests, 0),
    coalesce(rolled.requests, 0), coalesce(used.cost, 0), coalesce(rolled.cost, 0)
FROM used FULL JOIN rolled USING (org_id, key_id, model, provider)
WHERE (used.nanos, used.requests, used.cost) IS DISTINCT FROM (rolled.nanos, rolled.requests, rolled.cost)
ORDER BY org_id, key_id, model, provider
"""
_I7 = """
SELECT org_id, sum(credits_nanos) - sum(debits_nanos), -sum(limit_nanos) FROM billing_account WHERE org_id IS NOT NULL AND code = ANY(%s)
GROUP BY org_id HAVING sum(credits_nanos) - sum(debits_nanos) < -sum(limit_nanos) - %s ORDER BY org_id
"""


def verify(*, shards: Iterable[int] | None = None, days: int | None = None, on_progress: Progress | None = None) -> list[Difference]:
    """Return all differences; ``differences`` yields them as they are found."""
    return list(differences(shards=shards, days=days, on_progress=on_progress))


def differences(
    *, shards: Iterable[int] | None = None, days: int | None = None, on_progress: Progress | None = None
) -> Iterator[Difference]:
    """Yield each difference when it is found: the books first, then the money store of ``shards`` (all of them if None).

    ``days`` narrows I3 to so many UTC days, today among them, leaves I2 and half of I13 out; None is everything. Raises: MoneyStoreDown.
    """
    tell = on_progress or (lambda _title, _done, _total: None)
    with one_moment():
        title = "I1 I2 I7 I13 accounts" if days is None else "I1 I7 I13 accounts"
        tell(title, 0, 1)
        yield from sums()
        yield from floors()
        yield from lots.sums()
        if days is None:
            yield from counters()
            yield from lots.counters()
        tell(title, 1, 1)
        yield from usage(days=days, on_progress=tell)
        yield from refused_entries()
    numbers = list(range(settings.LEDGER_SHARDS) if shards is None else shards)
    for done, shard in enumerate(numbers):
        tell("I4 I5 I6 I8 money store", done, len(numbers))
        yield from live_invariants.shard_differences(shard)
    tell("I4 I5 I6 I8 money store", len(numbers), len(numbers))


@contextmanager
def one_moment() -> Iterator[None]:
    """Let all checks inside see the books of one moment, so that what commits meanwhile cannot look like a difference."""
    with transaction.atomic():
        if len(connection.savepoint_ids) == 0:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                # Before the moment is fixed: a partition that is dropped later would be gone at once, its sums not yet there.
                cursor.execute("LOCK TABLE ONLY billing_usageevent IN ACCESS SHARE MODE")
        yield


def sums() -> Iterator[Difference]:
    """I1: the debits of all accounts are their credits."""
    [(debits, credits_)] = _rows(_I1)
    if debits != credits_:
        yield Difference("I1", "all accounts, debits against credits", int(credits_), int(debits))


def floors() -> Iterator[Difference]:
    """I7: no customer's credit is further below the agreed overdraft than one overrun explains.

    What an organization owes after a dispute or a refund stands on an account of its own (customer debt) and is no overrun.
    """
    for org_id, balance, floor in _rows(_I7, [[code.value for code in CUSTOMER_CODES], OVERRUN_MAX_NANOS]):
        yield Difference("I7", f"organization {org_id} is below its floor", int(floor), int(balance), org_ids=(org_id,))


def counters() -> Iterator[Difference]:
    """I2: every account's counters are the sums of its transfers, and balance changes have no gaps. Reads every transfer."""
    for account_id, org_id, debits, has_debits, credits_, has_credits in _rows(_I2):
        concerned = () if org_id is None else (org_id,)
        if debits != has_debits:
            yield Difference("I2", f"account {account_id} debits against its transfers", int(debits), has_debits, org_ids=concerned)
        if credits_ != has_credits:
            yield Difference("I2", f"account {account_id} credits against its transfers", int(credits_), has_credits, org_ids=concerned)
    yield from sequences()


def sequences() -> Iterator[Difference]:
    """The part of I2 that is quick: balance changes are numbered without gaps."""
    for org_id, count, seq, _ in _rows(_I2_SEQ, [CUSTOMER_CODES[-1].value]):
        subject = f"organization {org_id} balance changes against their sequence"
        yield Difference("I2", subject, seq, count, "changes", org_ids=(org_id,))


def usage(*, days: int | None = None, on_progress: Progress | None = None) -> Iterator[Difference]:
    """I3: usage rows are what the transfers, the batches and the hourly sums say, over the last ``days`` or all of them."""
    tell = on_progress or (lambda _title, _done, _total: None)
    since = None if days is None else timezone.now().astimezone(dt.UTC).date() - dt.timedelta(days=days - 1)
    latest = UsageBatch.objects.aggregate(latest=Max("id", default=0))["latest"]
    before = 0 if since is None else _latest_batch_before(since)
    for first in range(before + 1, latest + 1, _BATCHES_PER_STEP):
        tell("I3 usage batches", first - 1 - before, latest - before)
        yield from _batches(first, first + _BATCHES_PER_STEP - 1)
    tell("I3 usage batches", latest - before, latest - before)
    dates = [row[0] for row in _rows(_I3_DAYS, {"since": since or dt.date.min})]
    archived = set(UsageArchive.objects.filter(day__gte=since or dt.date.min).values_list("day", flat=True))
    for done, day in enumerate(dates):
        tell("I3 hourly rollups", done, len(dates))
        yield from _rollups(day, is_archived=day in archived)
    tell("I3 hourly rollups", len(dates), len(dates))


def refused_entries() -> Iterator[Difference]:
    """The part of I8 that the books know: entries that they refused and nobody has dealt with."""
    for letter in SettlementDeadLetter.objects.filter(resolved_at=None).order_by("id"):
        yield Difference("I8", f"dead letter {letter.pk} of shard {letter.shard} ({letter.reason})", 0, 1, "entries")


def _latest_batch_before(day: dt.date) -> int:
    # Backwards by number: reads the window's batches and not all that were ever booked.
    midnight = dt.datetime.combine(day, dt.time.min, tzinfo=dt.UTC)
    return UsageBatch.objects.filter(created_at__lt=midnight).order_by("-id").values_list("id", flat=True).first() or 0


def _batches(first: int, last: int) -> Iterator[Difference]:
    names = {"first": first, "last": last, "usage": TransferCode.USAGE.value, "back": TransferCode.USAGE_RETURN.value}
    for batch_id, org_id, used, moved in _rows(_I3_BATCHES, names):
        subject = f"batch {batch_id} organization {org_id}, transfers against usage"
        yield Difference("I3", subject, int(used), int(moved), org_ids=(org_id,))
    for batch_id, expected, found in _rows(_I3_COUNTS, names):
        yield Difference("I3", f"batch {batch_id}, usage rows", expected, found, "rows")


def _rollups(day: object, *, is_archived: bool) -> Iterator[Difference]:
    for org_id, key_id, hour, model, provider, *figures in _rows(_I3_ARCHIVED if is_archived else _I3_ROLLUPS, {"day": day}):
        subject = f"organization {org_id} key {key_id} {hour:%Y-%m-%d %H}:00 {model} at {provider}, rollup against usage"
        for name, unit, (expected, found) in zip(
            ("amount", "requests", "cost"), ("n$", "requests", "n$"), zip(figures[::2], figures[1::2], strict=True), strict=True
        ):
            if expected != found:
                yield Difference("I3", f"{subject}, {name}", int(expected), int(found), unit, org_ids=(org_id,))


def _rows(query: str, values: Any = None) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return list(cursor.fetchall())
