"""What Stripe tells, in our words. Amounts are cents of US dollars. Plain structs, no Django."""

import datetime as dt
from typing import Any

import msgspec


class BalanceLine(msgspec.Struct, frozen=True):
    """One movement on Stripe's account of ours (txn_…): ``amount_cents`` is signed, the fee went off beside it."""

    id: str
    amount_cents: int
    fee_cents: int


class BalanceEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One movement on Stripe's account of ours (txn_…) as its list has it. ``kind`` is Stripe's type, ``source`` what it belongs to."""

    id: str
    kind: str
    source: str
    net_cents: int
    created_at: dt.datetime


class SavedCard(msgspec.Struct, frozen=True):
    """A card that may be charged again. ``expires`` is MM/YYYY."""

    id: str
    brand: str
    last4: str
    expires: str

    @property
    def label(self) -> str:
        """The card as people know it."""
        return f"{self.brand.title()} ending in {self.last4}"


class Payment(msgspec.Struct, frozen=True, kw_only=True):
    """A payment (pi_…). ``purchase`` is ours, from its metadata; ``line`` is missing until Stripe has booked it."""

    id: str
    status: str
    amount_cents: int
    received_cents: int
    currency: str
    customer: str
    purchase: str
    charge: str
    line: BalanceLine | None
    card: SavedCard | None
    saves_card: bool
    failure: str
    wants_owner: bool


class BilledTo(msgspec.Struct, frozen=True):
    """Who is billed, as they wrote it at Checkout."""

    name: str = ""
    address: str = ""
    country: str = ""
    tax_id: str = ""
    email: str = ""


class CheckoutSession(msgspec.Struct, frozen=True, kw_only=True):
    """A Checkout Session (cs_…). ``total_cents`` = subtotal − discount + tax."""

    id: str
    url: str
    mode: str
    status: str
    payment_status: str
    subtotal_cents: int
    discount_cents: int
    tax_cents: int
    total_cents: int
    currency: str
    customer: str
    purchase: str
    payment: Payment | None
    billed_to: BilledTo


class RefundState(msgspec.Struct, frozen=True, kw_only=True):
    """A refund (re_…). ``refund`` is our id from its metadata, '' when it was made at Stripe."""

    id: str
    status: str
    amount_cents: int
    intent: str
    refund: str
    failure: str


class DisputeState(msgspec.Struct, frozen=True, kw_only=True):
    """A dispute (du_…). ``lines`` are the movements of money so far; a warning has none."""

    id: str
    status: str
    reason: str
    amount_cents: int
    intent: str
    lines: list[BalanceLine]


class EventNews(msgspec.Struct, frozen=True, kw_only=True):
    """An event (evt_…): that something happened to an object, and what it was like then."""

    id: str
    type: str
    object_id: str
    created_at: dt.datetime
    body: dict[str, Any]
