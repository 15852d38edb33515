"""The three moves that every posting is made of: open accounts, lock them in order, write transfers and their counters.

All need a transaction. Locks are taken in ascending id, so two postings can never wait for each other.
"""

import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from operator import attrgetter
from typing import NamedTuple

from django.db import connection
from django.utils import timezone
from psycopg import sql

from billing.books import copy_text
from billing.books.chart import AccountCode, AccountKey
from billing.models import Transfer


class UnknownOrganization(Exception):
    """No organization with this id exists, so it has no accounts."""


class UnbalancedPosting(Exception):
    """The accounts moved by something else than the transfers say. Nothing was committed."""


_NAMESPACE = uuid.UUID("7b0c2f4e-3f0a-5d53-9d0e-6c1d6f0f7f11")


class AccountState(NamedTuple):
    """An account's counters while its row is locked. Nanos."""

    id: int
    debits_nanos: int
    credits_nanos: int

    @property
    def credit_balance_nanos(self) -> int:
        """Credits less debits: what a customer has."""
        return self.credits_nanos - self.debits_nanos


_OPEN_CUSTOMERS = """
INSERT INTO billing_account (code, org_id, shard, provider, debits_nanos, credits_nanos, seq, limit_nanos, created_at)
SELECT wanted.code, organization.id, organization.shard, '', 0, 0, 0, 0, now()
FROM unnest(%(codes)s::int[], %(orgs)s::bigint[]) AS wanted (code, org_id)
JOIN accounts_organization organization ON organization.id = wanted.org_id
ON CONFLICT DO NOTHING
"""
_FIND_CUSTOMERS = "SELECT id, code, org_id FROM billing_account WHERE org_id = ANY(%(orgs)s) AND code = ANY(%(codes)s)"
_OPEN_SYSTEM = """
INSERT INTO billing_account (code, shard, provider, debits_nanos, credits_nanos, seq, limit_nanos, created_at)
SELECT code, shard, provider, 0, 0, 0, 0, now()
FROM unnest(%(codes)s::int[], %(shards)s::int[], %(providers)s::text[]) AS wanted (code, shard, provider)
ON CONFLICT DO NOTHING
"""
_FIND_SYSTEM = """
SELECT account.id, account.code, account.shard, account.provider
FROM billing_account account
JOIN unnest(%(codes)s::int[], %(shards)s::int[], %(providers)s::text[]) AS wanted (code, shard, provider) USING (code, shard, provider)
WHERE account.org_id IS NULL
"""
# NO KEY: the foreign keys of other postings' transfers need not wait for us.
_LOCK = "SELECT id, debits_nanos, credits_nanos FROM billing_account WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE"
_ADD = """
UPDATE billing_account account
SET debits_nanos = account.debits_nanos + moved.debits, credits_nanos = account.credits_nanos + moved.credits
FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[]) AS moved (id, debits, credits)
WHERE account.id = moved.id
RETURNING account.id, account.debits_nanos, account.credits_nanos
"""


def group_id_of(kind: str, key: str) -> uuid.UUID:
    """Return the id of the group that (kind, natural key) names, for ever."""
    return uuid.uuid5(_NAMESPACE, f"{kind}:{key}")


def transfer_id_of(kind: str, key: str, leg: int) -> uuid.UUID:
    """Return the id of one leg of the group that (kind, natural key) names."""
    return uuid.uuid5(_NAMESPACE, f"{kind}:{key}:{leg}")


_TRANSFER_COLUMNS = [field.attname for field in Transfer._meta.concrete_fields]  # noqa: SLF001 -- Django documents it
_COPY = sql.SQL("COPY billing_transfer ({}) FROM STDIN").format(sql.SQL(", ").join(map(sql.Identifier, _TRANSFER_COLUMNS)))
_columns_of = attrgetter(*_TRANSFER_COLUMNS)


def open_accounts(keys: Iterable[AccountKey]) -> dict[AccountKey, int]:
    """Return the id of each account, opening those that do not exist yet. Raises: UnknownOrganization."""
    wanted = set(keys)
    ids = _find(wanted)
    missing = wanted - ids.keys()
    if missing:
        _open(missing)
        ids |= _find(missing)
    unknown = sorted({key.org_id for key in wanted - ids.keys() if key.org_id is not None})
    if unknown:
        msg = f"no organization {', '.join(map(str, unknown))}"
        raise UnknownOrganization(msg)
    return ids


def lock_accounts(account_ids: Collection[int]) -> dict[int, AccountState]:
    """Lock accounts until the transaction ends, in ascending id, and return their counters."""
    with connection.cursor() as cursor:
        cursor.execute(_LOCK, [sorted(account_ids)])
        return {row[0]: AccountState(*row) for row in cursor.fetchall()}


def write_transfers(transfers: Sequence[Transfer], *, locked: dict[int, AccountState]) -> dict[int, AccountState]:
    """Append transfers and add them to the counters of their accounts, which must be locked. Return the new counters.

    Raises: UnbalancedPosting when the counters did not move by exactly the transfers, or debits differ from credits.
    """
    debits: defaultdict[int, int] = defaultdict(int)
    credits: defaultdict[int, int] = defaultdict(int)  # noqa: A001 -- the word of the trade
    for transfer in transfers:
        debits[transfer.debit_account_id] += transfer.amount_nanos
        credits[transfer.credit_account_id] += transfer.amount_nanos
    _append(transfers)
    moved = sorted(debits.keys() | credits.keys())
    with connection.cursor() as cursor:
        cursor.execute(_ADD, [moved, [debits[i] for i in moved], [credits[i] for i in moved]])
        after = {row[0]: AccountState(*row) for row in cursor.fetchall()}
    debited = sum(state.debits_nanos - locked[state.id].debits_nanos for state in after.values())
    credited = sum(state.credits_nanos - locked[state.id].credits_nanos for state in after.values())
    total = sum(transfer.amount_nanos for transfer in transfers)
    if not debited == credited == total:
        msg = f"transfers of {total} n$ moved debits by {debited} n$ and credits by {credited} n$"
        raise UnbalancedPosting(msg)
    return locked | after


def _append(transfers: Sequence[Transfer]) -> None:
    # COPY, because a usage batch may bring hundreds, which the ORM's INSERT spends more time on than everything else together.
    now = timezone.now()
    lines = []
    for transfer in transfers:
        transfer.created_at = now
        lines.append("\t".join(map(copy_text.write, _columns_of(transfer))))
    with connection.cursor() as cursor, cursor.copy(_COPY) as copy:
        copy.write("".join([f"{line}\n" for line in lines]))


def _find(keys: set[AccountKey]) -> dict[AccountKey, int]:
    customers = [key for key in keys if key.org_id is not None]
    system = [key for key in keys if key.org_id is None]
    found: dict[AccountKey, int] = {}
    with connection.cursor() as cursor:
        if customers:
            codes = sorted({key.code.value for key in customers})
            cursor.execute(_FIND_CUSTOMERS, {"orgs": [key.org_id for key in customers], "codes": codes})
            found |= {AccountKey(AccountCode(code), org_id): id_ for id_, code, org_id in cursor.fetchall()}
        if system:
            cursor.execute(_FIND_SYSTEM, _columns(system))
            found |= {AccountKey(AccountCode(code), None, shard, provider): id_ for id_, code, shard, provider in cursor.fetchall()}
    return {key: id_ for key, id_ in found.items() if key in keys}


def _open(keys: set[AccountKey]) -> None:
    # Sorted, so that two transactions that open the same accounts at once wait in one direction only.
    customers = sorted((key for key in keys if key.org_id is not None), key=lambda key: (key.org_id, key.code))
    system = sorted(key for key in keys if key.org_id is None)
    with connection.cursor() as cursor:
        if customers:
            cursor.execute(_OPEN_CUSTOMERS, {"orgs": [key.org_id for key in customers], "codes": [key.code.value for key in customers]})
        if system:
            cursor.execute(_OPEN_SYSTEM, _columns(system))


def _columns(keys: list[AccountKey]) -> dict[str, list[int] | list[str]]:
    return {
        "codes": [key.code.value for key in keys],
        "shards": [key.shard for key in keys],
        "providers": [key.provider for key in keys],
    }
