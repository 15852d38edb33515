"""Move money on purpose: post a group of transfers, grant credit, reverse a group. Usage is booked by settlement.py."""

import datetime as dt
import hashlib
import uuid
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from accounts.audit import Actor, name_actor
from accounts.models import Organization
from billing.books import lots, outbox
from billing.books.chart import AccountCode, AccountKey, TransferCode
from billing.books.ledger import group_id_of, lock_accounts, open_accounts, transfer_id_of, write_transfers
from billing.models import Account, BalanceChange, CreditLot, Transfer


class InvalidAmount(ValueError):
    """The amount is not a whole number of nanos above zero, or beyond what one posting may move."""


class InvalidPosting(ValueError):
    """The legs touch customers other than the organization that the group concerns, or there are none."""


class KeyReused(Exception):
    """The natural key was posted before with other legs. Nothing was moved."""


class InvalidExpiry(ValueError):
    """The credit would expire before it is granted, or is of a kind that does not expire. Nothing was moved."""


class UnknownGroup(Exception):
    """No transfers of this group exist."""


class NotReversible(Exception):
    """A correction or an expiry is not reversed; post what is meant instead, or grant anew."""


_FINAL = (TransferCode.CORRECTION, TransferCode.EXPIRY, TransferCode.COVER)
AMOUNT_MAX_NANOS = 10**18  # a billion dollars: far above any payment, far below what overflows a counter of 64 bits


class Leg(NamedTuple):
    """One transfer to be: from the debit account to the credit account. ``lot_id`` is the CreditLot of promo credit that moves."""

    debit: AccountKey
    credit: AccountKey
    amount_nanos: int
    lot_id: uuid.UUID | None = None


class TransferGroup(NamedTuple):
    """Transfers that were made together. ``is_repeat`` when an earlier call had made them."""

    id: uuid.UUID
    transfers: list[Transfer]
    is_repeat: bool


def post(
    *,
    kind: str,
    key: str,
    legs: Sequence[Leg],
    code: TransferCode,
    by: Actor,
    organization: Organization | None = None,
    memo: str = "",
    effective_at: dt.datetime | None = None,
) -> TransferGroup:
    """Post legs as one group, once: a repeat with the same (kind, key) returns what is there.

    A group that changes the balance of ``organization`` gets the organization's next sequence number and reaches the money store
    after commit, or by the sweep if that fails.

    Raises: InvalidAmount, InvalidPosting, KeyReused when the key was used for other legs, ledger.UnknownOrganization.
    """
    _check(legs, organization)
    group_id = group_id_of(kind, key)
    request_hash = hashlib.sha256(msgspec.json.encode([code, [leg[:3] for leg in legs]])).digest()
    with transaction.atomic():
        _serialize(group_id)
        existing = list(Transfer.objects.filter(group_id=group_id).order_by("created_at", "id"))
        if existing:
            if bytes(existing[0].request_hash) != request_hash:
                msg = f"{kind} {key!r} was posted before with other amounts or accounts"
                raise KeyReused(msg)
            return TransferGroup(group_id, existing, is_repeat=True)
        wanted = {side for leg in legs for side in (leg.debit, leg.credit)}
        if organization is not None:
            wanted.add(AccountKey(AccountCode.CUSTOMER_CREDIT, organization.pk))  # keeps the sequence, so it is locked too
        ids = open_accounts(wanted)
        locked = lock_accounts(ids.values())
        transfers = [
            Transfer(
                id=transfer_id_of(kind, key, number),
                group_id=group_id,
                debit_account_id=ids[leg.debit],
                credit_account_id=ids[leg.credit],
                amount_nanos=leg.amount_nanos,
                code=code,
                org_id=organization.pk if organization else None,
                ref_kind=kind,
                ref_id=key,
                request_hash=request_hash,
                lot_id=leg.lot_id,
                actor=name_actor(by),
                memo=memo,
                effective_at=effective_at or timezone.now(),
            )
            for number, leg in enumerate(legs)
        ]
        write_transfers(transfers, locked=locked)
        if organization is not None:
            _announce(organization, group_id, legs, seq_account_id=ids[AccountKey(AccountCode.CUSTOMER_CREDIT, organization.pk)])
    return TransferGroup(group_id, transfers, is_repeat=False)


def grant(
    *,
    organization: Organization,
    amount_nanos: int,
    reason: str,
    idempotency_key: str,
    by: Actor,
    promo: bool = True,
    expires_at: dt.datetime | None = None,
    campaign: str = "",
) -> TransferGroup:
    """Give an organization credit: promo credit, which is used first and may expire, or plain credit out of goodwill.

    Once per (organization, idempotency key): a repeat changes nothing, the expiry neither. Raises: InvalidAmount, KeyReused,
    InvalidExpiry.
    """
    debit, credit = (
        (AccountCode.PROMO_EXPENSE, AccountCode.CUSTOMER_PROMO) if promo else (AccountCode.GOODWILL, AccountCode.CUSTOMER_CREDIT)
    )
    if expires_at is not None and not promo:
        raise InvalidExpiry("only promo credit expires")
    key = f"{organization.pk}:{idempotency_key}"
    lot_id = group_id_of("grant", key) if promo else None
    with transaction.atomic():
        group = post(
            kind="grant",
            key=key,
            legs=[Leg(AccountKey(debit), AccountKey(credit, organization.pk), amount_nanos, lot_id)],
            code=TransferCode.GRANT,
            by=by,
            organization=organization,
            memo=reason,
        )
        if lot_id is not None and not group.is_repeat:
            if expires_at is not None and expires_at <= timezone.now():
                raise InvalidExpiry("credit that expires in the past would be gone at once")
            CreditLot.objects.create(
                id=lot_id,
                organization=organization,
                amount_nanos=amount_nanos,
                expires_at=expires_at,
                campaign=campaign,
                reason=reason,
                granted_by=name_actor(by),
            )
    return group


def reverse(*, group_id: uuid.UUID, reason: str, by: Actor) -> TransferGroup:
    """Take a group back by posting its mirror image, once. The balance may fall below zero if the money was spent.

    Of granted credit that was spent already, the spent part is taken from the customer's own credit; what was charged to granted credit
    comes back as a lot of its own, with the expiry of the old one unless that is over.

    Raises: UnknownGroup, NotReversible for a group that is a correction or the end of a grant itself.
    """
    originals = list(Transfer.objects.filter(group_id=group_id).select_related("debit_account", "credit_account").order_by("id"))
    if not originals:
        msg = f"no transfers of group {group_id}"
        raise UnknownGroup(msg)
    if any(original.code in _FINAL for original in originals):
        msg = f"group {group_id} is a correction or the end of a grant"
        raise NotReversible(msg)
    org_ids = {original.org_id for original in originals if original.org_id is not None}
    correction_id = group_id_of("correction", str(group_id))
    with transaction.atomic():
        _serialize(correction_id)
        existing = list(Transfer.objects.filter(group_id=correction_id).order_by("created_at", "id"))
        if existing:
            return TransferGroup(correction_id, existing, is_repeat=True)
        legs = _mirror(originals)
        group = post(
            kind="correction",
            key=str(group_id),
            legs=legs,
            code=TransferCode.CORRECTION,
            by=by,
            organization=Organization.objects.get(pk=org_ids.pop()) if org_ids else None,
            memo=reason,
        )
        for leg in legs:
            if leg.lot_id is not None and leg.debit.code == AccountCode.CUSTOMER_PROMO:
                lots.note_taken(leg.lot_id, taken_back_nanos=leg.amount_nanos)
        lots.open_again(originals, by=name_actor(by))
    return group


def _mirror(originals: Sequence[Transfer]) -> list[Leg]:
    """Return the legs that take transfers back. Locks every account that they may touch, so that the lots stay as they are read."""
    sides = {_key_of(account) for original in originals for account in (original.debit_account, original.credit_account)}
    customers = {AccountKey(AccountCode.CUSTOMER_CREDIT, key.org_id) for key in sides if key.org_id is not None}
    lock_accounts(open_accounts(sides | customers).values())
    left = lots.left_nanos([original.lot_id for original in originals if original.lot_id is not None])
    legs = []
    for original in originals:
        giver, taker = _key_of(original.credit_account), _key_of(original.debit_account)
        if giver.code == AccountCode.CUSTOMER_PROMO and giver.org_id is not None:
            # A grant of before there were lots names none: it is taken from whatever lots there are.
            named = original.lot_id
            sources = lots.open_lots([giver.org_id])[giver.org_id] if named is None else [lots.OpenLot(named, left[named])]
            own = AccountKey(AccountCode.CUSTOMER_CREDIT, giver.org_id)
            parts = [part for part in lots.draw(sources, original.amount_nanos) if part.amount_nanos]
            legs += [Leg(giver if part.lot_id else own, taker, part.amount_nanos, part.lot_id) for part in parts]
        elif taker.code == AccountCode.CUSTOMER_PROMO and original.lot_id is not None:
            legs.append(Leg(giver, taker, original.amount_nanos, lots.id_of_return(original)))
        else:
            legs.append(Leg(giver, taker, original.amount_nanos))
    return legs


def _check(legs: Sequence[Leg], organization: Organization | None) -> None:
    if not legs:
        raise InvalidPosting("a group needs at least one leg")
    for leg in legs:
        if type(leg.amount_nanos) is not int or not 0 < leg.amount_nanos <= AMOUNT_MAX_NANOS:
            msg = f"{leg.amount_nanos!r} is not a whole number of nanos from 1 to {AMOUNT_MAX_NANOS}"
            raise InvalidAmount(msg)
        strangers = {side.org_id for side in (leg.debit, leg.credit)} - {None, organization.pk if organization else None}
        if strangers:
            msg = f"the group concerns {organization} but touches organization {strangers}"
            raise InvalidPosting(msg)


def _serialize(group_id: uuid.UUID) -> None:
    # Two calls with one natural key wait for each other here, so the second finds the first one's rows.
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [(group_id.int & (2**64 - 1)) - 2**63])


def _announce(organization: Organization, group_id: uuid.UUID, legs: Sequence[Leg], *, seq_account_id: int) -> None:
    change = sum(leg.amount_nanos * ((leg.credit.org_id == organization.pk) - (leg.debit.org_id == organization.pk)) for leg in legs)
    if change == 0:
        return
    Account.objects.filter(pk=seq_account_id).update(seq=F("seq") + 1)
    seq = Account.objects.values_list("seq", flat=True).get(pk=seq_account_id)
    BalanceChange.objects.create(org=organization, seq=seq, amount_nanos=change, group_id=group_id)
    outbox.publish_on_commit(organization)


def _key_of(account: Account) -> AccountKey:
    code = AccountCode(account.code)
    return AccountKey(code, account.org_id) if account.org_id is not None else AccountKey(code, None, account.shard, account.provider)
