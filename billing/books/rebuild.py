"""Make a shard of the money store anew from the books: after it lost its memory, or when an operator asks."""

from typing import NamedTuple

from django.db.models import Max, Q, QuerySet, Sum
from django.utils import timezone

from accounts.models import ApiKey
from billing import limits, live
from billing.authorizer.periods import periods_at
from billing.books import dead_letters, restored, settlement
from billing.books.settlement import Settled
from billing.books.shard_lock import hold_shard
from billing.models import Account, AdmissionFreeze, UsageRollup

WAIT_S = 30.0


class NotDrained(Exception):
    """The stream still holds entries that could not be booked; the shard stays closed and the next attempt goes on from there."""


class Rebuilt(NamedTuple):
    """What a rebuild has done."""

    epoch: int
    settled: Settled


def rebuild_shard(*, shard: int, wait_s: float = 0.0) -> Rebuilt:
    """Stop spending on the shard, book what its stream has, and open it with the books' balances, key rules and key counters.

    Gateways answer 503 meanwhile; then they re-assert their running requests' holds and send again what was not booked.
    Raises: ShardBusy when another process holds the shard for longer than ``wait_s`` or (BooksBehind) the books have lost something,
    NotDrained, live.ServerRestarted.
    """
    with hold_shard(shard, wait_s=wait_s):
        restored.check(shard)
        live.close_epoch(shard=shard)
        settled = settlement.settle_shard(shard=shard)
        left = live.stream_lag(shard=shard).entries
        if left:
            msg = f"{left} entries are left in the stream of shard {shard}"
            raise NotDrained(msg)
        # Read after the closing: what changes from here on finds the epoch closed, waits, and is applied to the new one.
        epoch = live.begin_epoch(shard=shard, balances=_balances(shard), key_scopes=_key_seeds(shard))
    return Rebuilt(epoch, settled)


def read_balance_seed(*, org_id: int) -> live.BalanceSeed:
    """Return an organization's balance as the books have it."""
    return next(iter(_seeds(Account.objects.filter(org=org_id))), live.BalanceSeed(org_id, 0, 0))


def _balances(shard: int) -> list[live.BalanceSeed]:
    refused, _ = dead_letters.unposted_nanos(shard)
    frozen = set(AdmissionFreeze.objects.filter(lifted_at=None, organization__shard=shard).values_list("organization_id", flat=True))
    return [
        seed._replace(unposted_nanos=refused[seed.org_id], is_frozen=seed.org_id in frozen)
        for seed in _seeds(Account.objects.filter(org__shard=shard))  # an account's own note may be of before a move
    ]


def _seeds(accounts: QuerySet[Account]) -> list[live.BalanceSeed]:
    sums = accounts.values("org_id").annotate(balance=Sum("credits_nanos") - Sum("debits_nanos"), latest=Max("seq")).order_by("org_id")
    return [live.BalanceSeed(row["org_id"], int(row["balance"]), row["latest"]) for row in sums]


def _key_seeds(shard: int) -> list[live.KeySeed]:
    keys = ApiKey.objects.filter(organization__shard=shard, deleted_at=None, is_management=False).order_by("id")
    org_ids = {key.organization_id for key in keys}
    periods = periods_at(int(timezone.now().timestamp()))
    spent = {
        row["key_id"]: [int(row[name]) for name in ("ever", "in_day", "in_week", "in_month")]
        for row in UsageRollup.objects.filter(org_id__in=org_ids)
        .values("key_id")
        .annotate(
            ever=Sum("amount_nanos", default=0),
            in_day=Sum("amount_nanos", filter=Q(hour__gte=periods.day_start), default=0),
            in_week=Sum("amount_nanos", filter=Q(hour__gte=periods.week_start), default=0),
            in_month=Sum("amount_nanos", filter=Q(hour__gte=periods.month_start), default=0),
        )
    }
    _, refused = dead_letters.unposted_nanos(shard)
    return [
        # What the books refused counts as long ago: of which period it is, only the refused bytes could tell.
        live.KeySeed(limits.scope_of(key), ever + refused[key.pk], in_day, in_week, in_month)
        for key in keys
        for ever, in_day, in_week, in_month in [spent.get(key.pk, [0, 0, 0, 0])]
    ]
