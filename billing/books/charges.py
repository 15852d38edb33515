"""What a batch of usage rows moves: the customers' charges, the providers' costs and the hourly sums."""

import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from django.db import connection
from django.utils import timezone

from billing.books import lots
from billing.books.arrivals import Arrival
from billing.books.chart import CUSTOMER_CODES, AccountCode, AccountKey, TransferCode
from billing.books.ledger import (
    AccountState,
    UnbalancedPosting,
    group_id_of,
    lock_accounts,
    open_accounts,
    transfer_id_of,
    write_transfers,
)
from billing.books.usage import UsageRow
from billing.models import Transfer
from billing.types import UsageEvent

# The books know counters by name only; these are the names that count as tokens in and out on dashboards.
TOKENS_IN = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens", "audio_input_tokens", "image_input_tokens")
TOKENS_OUT = ("output_tokens", "reasoning_tokens", "audio_output_tokens", "image_output_tokens")
_INPUT_COLUMN, _OUTPUT_COLUMN = 3, 4  # after requests, amount and cost
_COLUMN_OF_METER = {**dict.fromkeys(TOKENS_IN, _INPUT_COLUMN), **dict.fromkeys(TOKENS_OUT, _OUTPUT_COLUMN)}
_HourKey = tuple[int, int, int, str, str]  # organization, key, hour, model, provider
_Leg = tuple[TransferCode, int, int, int, uuid.UUID | None]  # code, debit account, credit account, nanos, lot

_MS_PER_HOUR = 3_600_000

_ROLL_UP = """
INSERT INTO billing_usagerollup AS rollup
    (org_id, key_id, hour, model, provider, requests, amount_nanos, cost_nanos, input_tokens, output_tokens)
SELECT org_id, key_id, to_timestamp(hour * 3600), model, provider, requests, amount_nanos, cost_nanos, input_tokens, output_tokens
FROM unnest(
    %s::bigint[], %s::bigint[], %s::bigint[], %s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[]
) AS batch (org_id, key_id, hour, model, provider, requests, amount_nanos, cost_nanos, input_tokens, output_tokens)
ON CONFLICT (org_id, key_id, hour, model, provider) DO UPDATE SET
    requests = rollup.requests + excluded.requests,
    amount_nanos = rollup.amount_nanos + excluded.amount_nanos,
    cost_nanos = rollup.cost_nanos + excluded.cost_nanos,
    input_tokens = rollup.input_tokens + excluded.input_tokens,
    output_tokens = rollup.output_tokens + excluded.output_tokens
"""

_MOVED = """
SELECT org_id, sum(CASE code WHEN %(usage)s THEN amount_nanos ELSE -amount_nanos END) FROM billing_transfer
WHERE batch_id = %(batch)s AND code IN (%(usage)s, %(back)s) GROUP BY org_id
"""


# What tries cost that did not answer, from {rows} (usage rows named "event"), in lines that move it: to the provider of the try, away from
# the provider that answered. Most rows have none and are passed over by their first look.
COSTS_ELSEWHERE = """
{rows} CROSS JOIN LATERAL jsonb_array_elements(event.attempts) AS attempt
CROSS JOIN LATERAL (VALUES (attempt->>'provider', (attempt->>'cost_nanos')::bigint), (event.provider, -(attempt->>'cost_nanos')::bigint))
    AS moved (provider, cost_nanos)
WHERE NOT event.simulated AND event.attempts @? '$[*].cost_nanos' AND attempt ? 'cost_nanos'
"""


class Charged(NamedTuple):
    """Totals of a batch, nanos, net of returns."""

    amount_nanos: int
    cost_nanos: int


class _Movement(NamedTuple):
    """An account pair and what flows each way; both are needed because a batch may hold charges and returns."""

    forth_nanos: int
    back_nanos: int

    @property
    def net_nanos(self) -> int:
        return self.forth_nanos - self.back_nanos


class Sums(NamedTuple):
    """What a batch moves. ``hourly`` has the lines of the hourly sums, in order of their key."""

    by_org: dict[int, _Movement]
    by_provider: dict[str, _Movement]
    hourly: list[tuple[int | str, ...]]

    @property
    def amount_nanos(self) -> int:
        """The net charge."""
        return sum(movement.net_nanos for movement in self.by_org.values())


def sum_up(rows: Iterable[Arrival | UsageRow]) -> Sums:
    """Add rows up for the postings and the hourly sums, in one pass. Needs no database.

    What a try cost that did not answer stands with its own provider, as in the accounts, in a line without a request.
    """
    hourly: defaultdict[_HourKey, list[int]] = defaultdict(lambda: [0, 0, 0, 0, 0])
    back: defaultdict[int | str, int] = defaultdict(int)  # what returns, by organization and by provider
    for row in rows:
        event = row.event
        owed_nanos = cost_nanos(row)
        key = (event.org_id, event.key_id, row.created_ms // _MS_PER_HOUR, event.model, event.provider)
        total = hourly[key]
        total[0] += row.part == 0
        total[1] += event.amount_nanos
        if event.amount_nanos < 0:
            back[event.org_id] -= event.amount_nanos
        for provider, nanos in _costs_elsewhere(event) if event.attempts else ():
            owed_nanos -= nanos
            hourly[*key[:-1], provider][2] += nanos
            back[provider] -= min(nanos, 0)
        total[2] += owed_nanos
        if owed_nanos < 0:
            back[event.provider] -= owed_nanos
        for meter, count in row.meters_moved.items():
            if meter in _COLUMN_OF_METER:
                total[_COLUMN_OF_METER[meter]] += count
    by_org: defaultdict[int, int] = defaultdict(int)
    by_provider: defaultdict[str, int] = defaultdict(int)
    for (org_id, _, _, _, provider), (_, amount_nanos, owed_nanos, _, _) in hourly.items():
        by_org[org_id] += amount_nanos
        by_provider[provider] += owed_nanos
    return Sums(
        {org_id: _Movement(net + back[org_id], back[org_id]) for org_id, net in by_org.items()},
        {provider: _Movement(net + back[provider], back[provider]) for provider, net in by_provider.items()},
        [(*key, *hourly[key]) for key in sorted(hourly)],
    )


def charge(sums: Sums, *, shard: int, batch_id: int) -> Charged:
    """Write the transfers of a batch: promo credit first, then credit, which may fall below zero: a charge is never cut.

    Promo credit is taken lot by lot, what expires first goes first, and each transfer names its lot.

    Needs a transaction. Raises: ledger.UnknownOrganization, ledger.UnbalancedPosting.
    """
    by_org, by_provider = sums.by_org, sums.by_provider
    customers = {AccountKey(code, org_id) for org_id in by_org for code in CUSTOMER_CODES}
    costs = {AccountKey(code, None, shard, p) for p in by_provider for code in (AccountCode.PROVIDER_COST, AccountCode.PROVIDER_PAYABLE)}
    ids = open_accounts(customers | costs | {AccountKey(AccountCode.REVENUE_USAGE, None, shard)})
    locked = lock_accounts(ids.values())
    draws = _draw_promo(by_org, ids=ids, locked=locked)
    transfers = [
        transfer
        for org_id, movement in by_org.items()
        for transfer in _customer_transfers(org_id, movement, draws.get(org_id, []), shard=shard, batch_id=batch_id, ids=ids)
    ]
    transfers += [
        transfer
        for provider, movement in by_provider.items()
        for transfer in _provider_transfers(provider, movement, shard=shard, batch_id=batch_id, ids=ids)
    ]
    if transfers:
        write_transfers(transfers, locked=locked)
        lots.note_spent(draw for own in draws.values() for draw in own)
    return Charged(sums.amount_nanos, sum(m.net_nanos for m in by_provider.values()))


def roll_up(sums: Sums) -> None:
    """Add a batch to the sums per organization, key, hour, model and provider. Needs a transaction."""
    if sums.hourly:
        with connection.cursor() as cursor:
            cursor.execute(_ROLL_UP, [_array(column) for column in zip(*sums.hourly, strict=True)])


def _array(column: tuple[int | str, ...]) -> list[int | str] | str:
    """Return a column as the driver takes an array: numbers as one text, for it would adapt each by itself."""
    return list(column) if isinstance(column[0], str) else f"{{{','.join(map(str, column))}}}"


def assert_balanced(used_nanos: Mapping[int, int], *, batch_id: int) -> None:
    """Compare what the usage table took in for each organization with what the transfers of the batch say. Needs its transaction.

    Raises: ledger.UnbalancedPosting; nothing may be committed then.
    """
    with connection.cursor() as cursor:
        cursor.execute(_MOVED, {"batch": batch_id, "usage": TransferCode.USAGE, "back": TransferCode.USAGE_RETURN})
        moved_nanos = {org_id: int(nanos) for org_id, nanos in cursor.fetchall()}
    for org_id in used_nanos.keys() | moved_nanos.keys():
        used, moved = used_nanos.get(org_id, 0), moved_nanos.get(org_id, 0)
        if used != moved:
            msg = f"batch {batch_id}: organization {org_id} used {used} n$, its transfers say {moved} n$"
            raise UnbalancedPosting(msg)


def cost_nanos(row: Arrival | UsageRow) -> int:
    """Return what a provider charges us for the row: nothing when the provider is simulated."""
    return 0 if row.event.simulated else row.event.cost_nanos


def _costs_elsewhere(event: UsageEvent) -> list[tuple[str, int]]:
    """Return the part of the cost that is owed to others than the event's provider, for tries that did not answer."""
    return [] if event.simulated else [(one.provider, one.cost_nanos) for one in event.attempts if one.cost_nanos]


def _draw_promo(by_org: dict[int, _Movement], *, ids: dict[AccountKey, int], locked: dict[int, AccountState]) -> dict[int, list[lots.Draw]]:
    """Return what each organization's charges take of its lots: as far as its promo credit goes."""
    wanted = {}
    for org_id, movement in by_org.items():
        promo = locked[ids[AccountKey(AccountCode.CUSTOMER_PROMO, org_id)]].credit_balance_nanos
        if (nanos := min(movement.forth_nanos, promo)) > 0:
            wanted[org_id] = nanos
    open_lots = lots.open_lots(wanted)
    return {org_id: lots.draw(open_lots[org_id], nanos) for org_id, nanos in wanted.items()}


def _customer_transfers(
    org_id: int, movement: _Movement, draws: list[lots.Draw], *, shard: int, batch_id: int, ids: dict[AccountKey, int]
) -> list[Transfer]:
    promo, credit = (ids[AccountKey(code, org_id)] for code in CUSTOMER_CODES)
    revenue = ids[AccountKey(AccountCode.REVENUE_USAGE, None, shard)]
    from_promo = sum(draw.amount_nanos for draw in draws)
    legs: list[_Leg] = [
        *((TransferCode.USAGE, promo, revenue, draw.amount_nanos, draw.lot_id) for draw in draws),
        (TransferCode.USAGE, credit, revenue, movement.forth_nanos - from_promo, None),
        (TransferCode.USAGE_RETURN, revenue, credit, movement.back_nanos, None),
    ]
    return _transfers("usage", f"{batch_id}:{org_id}", legs, org_id=org_id, batch_id=batch_id)


def _provider_transfers(provider: str, movement: _Movement, *, shard: int, batch_id: int, ids: dict[AccountKey, int]) -> list[Transfer]:
    cost, payable = (ids[AccountKey(code, None, shard, provider)] for code in (AccountCode.PROVIDER_COST, AccountCode.PROVIDER_PAYABLE))
    legs: list[_Leg] = [
        (TransferCode.PROVIDER_COST, cost, payable, movement.forth_nanos, None),
        (TransferCode.PROVIDER_COST_RETURN, payable, cost, movement.back_nanos, None),
    ]
    return _transfers("provider_cost", f"{batch_id}:{provider}", legs, org_id=None, batch_id=batch_id)


def _transfers(kind: str, key: str, legs: list[_Leg], *, org_id: int | None, batch_id: int) -> list[Transfer]:
    now, group_id = timezone.now(), group_id_of(kind, key)
    return [
        Transfer(
            id=transfer_id_of(kind, key, number),
            group_id=group_id,
            debit_account_id=debit,
            credit_account_id=credit,
            amount_nanos=amount_nanos,
            code=code,
            org_id=org_id,
            ref_kind=kind,
            ref_id=key,
            request_hash=b"",  # a batch number is drawn from a sequence and never asked for twice
            batch_id=batch_id,
            lot_id=lot_id,
            actor="system",
            effective_at=now,
        )
        for number, (code, debit, credit, amount_nanos, lot_id) in enumerate(legs)
        if amount_nanos
    ]
