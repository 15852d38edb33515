"""Stripe, asked and understood. The only file that imports its client; everything it returns is a shape of ours.

Amounts are cents of US dollars. Every function that changes something takes the caller's idempotency key, and may be called again
with it after StripeDown. All raise StripeDown (outcome unknown) and StripeRefused (nothing happened).
"""

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, wraps
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

import msgspec
from django.conf import settings

from billing.purchases import signatures, stripe_objects
from billing.purchases.shapes import BalanceEntry, CheckoutSession, DisputeState, EventNews, Payment, RefundState

if TYPE_CHECKING:
    # Loaded by the functions that use it: with the HTTP clients that it brings it takes 15 MiB, and a process that only serves models
    # never asks Stripe.
    import stripe

P = ParamSpec("P")
R = TypeVar("R")
Fields = dict[str, Any]

# Every request names it, so that neither an upgrade at Stripe nor one of the client changes what objects look like.
API_VERSION: Final = "2026-10-28.endive"
_PAYMENT_PARTS: Final = ["latest_charge.balance_transaction", "payment_method"]
_EVENTS_PER_PAGE: Final = 100
_KEY_STATUSES: Final = (401, 403)
_REFUSED_STATUSES: Final = (400, *_KEY_STATUSES, 404)
_is_hasty: ContextVar[bool] = ContextVar("is_hasty", default=False)


class NotConfigured(Exception):
    """No Stripe key is set, so nothing can be bought."""


class StripeDown(Exception):
    """Stripe could not be asked, or said that it could not answer. What was asked for may have happened: repeat it with the same key."""


class StripeRefused(Exception):
    """Stripe understood and refused; nothing happened. ``code`` is its word, such as 'charge_already_refunded'."""

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class KeyRefused(StripeRefused):
    """Stripe does not take our key, or the key may not do this: ours to mend, and nothing to show to a customer."""


class CardDeclined(Exception):
    """The payment was tried and declined. ``wants_owner``: the bank asks for the cardholder, who must come back."""

    def __init__(self, message: str, *, code: str, wants_owner: bool) -> None:
        super().__init__(message)
        self.code = code
        self.wants_owner = wants_owner


class BadSignature(Exception):
    """The body was not signed by Stripe with a secret of ours, or too long ago."""


def is_configured() -> bool:
    """Tell whether anything can be bought."""
    return bool(settings.STRIPE_SECRET_KEY)


def require_configured() -> None:
    """Raises: NotConfigured."""
    if not is_configured():
        raise NotConfigured("no Stripe key is set")


@contextmanager
def hasty() -> Iterator[None]:
    """Inside, nobody waits long for Stripe: a person looks at a blank page meanwhile. Tasks may wait and try again."""
    token = _is_hasty.set(True)
    try:
        yield
    finally:
        _is_hasty.reset(token)


def asks_stripe(function: Callable[P, R]) -> Callable[P, R]:
    """Turn the client's errors into ours. For stripe_customers.py too."""

    @wraps(function)
    def asked(*args: P.args, **kwargs: P.kwargs) -> R:
        import stripe  # noqa: PLC0415 -- see above

        try:
            return function(*args, **kwargs)
        except stripe.CardError as error:
            decline = (error.error.decline_code if error.error else None) or ""
            wants_owner = "authentication_required" in {error.code, decline}
            raise CardDeclined(error.user_message or str(error), code=decline or error.code or "", wants_owner=wants_owner) from error
        except (stripe.InvalidRequestError, stripe.AuthenticationError, stripe.PermissionError, stripe.IdempotencyError) as error:
            if error.http_status in _REFUSED_STATUSES:
                kind = KeyRefused if error.http_status in _KEY_STATUSES else StripeRefused
                raise kind(error.user_message or str(error), code=error.code or "") from error
            raise StripeDown(str(error)) from error
        except stripe.StripeError as error:
            raise StripeDown(str(error)) from error

    return asked


def client() -> "stripe.StripeClient":
    """Return the client. Raises: NotConfigured."""
    require_configured()
    timeout_s, retries = settings.STRIPE_TIMEOUT_S, settings.STRIPE_RETRIES
    if _is_hasty.get():
        timeout_s, retries = min(timeout_s, settings.STRIPE_PAGE_TIMEOUT_S), 0
    return _make_client(settings.STRIPE_SECRET_KEY, settings.STRIPE_API_URL, timeout_s, retries)


@cache
def _make_client(key: str, url: str, timeout_s: float, retries: int) -> "stripe.StripeClient":
    import stripe  # noqa: PLC0415 -- see above

    return stripe.StripeClient(
        key,
        stripe_version=API_VERSION,
        base_addresses={"api": url} if url else {},
        http_client=stripe.RequestsClient(timeout=timeout_s),
        max_network_retries=retries,
    )


# --- Payments -------------------------------------------------------------------------------------------------------


@asks_stripe
def create_checkout(
    *,
    purchase: str,
    customer: str,
    lines: list[tuple[str, int]],
    success_url: str,
    cancel_url: str,
    saves_card: bool,
    idempotency_key: str,
) -> CheckoutSession:
    """Open a Checkout Session for a purchase. ``lines`` are (name, cents); ``purchase`` comes back in the metadata of everything."""
    intent: Fields = {"metadata": {"purchase": purchase}, "description": "Credit for models"}
    if saves_card:
        intent["setup_future_usage"] = "off_session"
    params: Fields = {
        "mode": "payment",
        "customer": customer,
        "client_reference_id": purchase,
        "line_items": [
            {"quantity": 1, "price_data": {"currency": "usd", "unit_amount": cents, "product_data": {"name": name}}}
            for name, cents in lines
            if cents
        ],
        "metadata": {"purchase": purchase},
        "payment_intent_data": intent,
        "success_url": success_url,
        "cancel_url": cancel_url,
        "allow_promotion_codes": settings.STRIPE_PROMOTION_CODES,
        # Cards that were saved with an earlier purchase are offered; "limited" is what saving for top-ups makes of them.
        "saved_payment_method_options": {"allow_redisplay_filters": ["always", "limited"]},
    }
    if settings.STRIPE_AUTOMATIC_TAX:
        params |= {
            "automatic_tax": {"enabled": True},
            "tax_id_collection": {"enabled": True},
            "customer_update": {"address": "auto", "name": "auto"},
        }
    sessions: Any = client().v1.checkout.sessions
    return stripe_objects.read_session(sessions.create(params=params, options={"idempotency_key": idempotency_key}))


@asks_stripe
def create_card_setup(*, customer: str, organization: str, success_url: str, cancel_url: str) -> CheckoutSession:
    """Open a Checkout Session that saves a card and takes nothing."""
    params: Any = {
        "mode": "setup",
        "currency": "usd",
        "customer": customer,
        "metadata": {"organization": organization},
        "success_url": success_url,
        "cancel_url": cancel_url,
    }
    return stripe_objects.read_session(client().v1.checkout.sessions.create(params=params))


@asks_stripe
def read_checkout(session: str) -> CheckoutSession:
    """Return a Checkout Session as it is now, with its payment."""
    parts = [f"payment_intent.{part}" for part in _PAYMENT_PARTS]
    return stripe_objects.read_session(client().v1.checkout.sessions.retrieve(session, params={"expand": parts}))


@asks_stripe
def find_checkout(*, intent: str) -> str | None:
    """Return the id of the Checkout Session that a payment belongs to."""
    found = client().v1.checkout.sessions.list(params={"payment_intent": intent, "limit": 1}).data
    return found[0].id if found else None


@asks_stripe
def charge_card(*, purchase: str, customer: str, card: str, cents: int, idempotency_key: str, calculation: str = "") -> Payment:
    """Charge a saved card while its owner is away. ``calculation`` is the tax inside ``cents``, which Stripe then reports with the
    payment and takes back with its refunds. Raises: CardDeclined as well.
    """
    params: Any = {
        "amount": cents,
        "currency": "usd",
        "customer": customer,
        "payment_method": card,
        "off_session": True,
        "confirm": True,
        "description": "Credit for models, automatic top-up",
        "metadata": {"purchase": purchase},
        "expand": _PAYMENT_PARTS,
    }
    if calculation:
        params["hooks"] = {"inputs": {"tax": {"calculation": calculation}}}
    return stripe_objects.read_payment(
        stripe_objects.plain(client().v1.payment_intents.create(params=params, options={"idempotency_key": idempotency_key}))
    )


@asks_stripe
def read_payment(intent: str) -> Payment:
    """Return a payment as it is now."""
    return stripe_objects.read_payment(
        stripe_objects.plain(client().v1.payment_intents.retrieve(intent, params={"expand": _PAYMENT_PARTS}))
    )


@asks_stripe
def find_payment(*, customer: str, purchase: str) -> Payment | None:
    """Return the customer's latest payment for a purchase: what to ask when an answer was lost for longer than keys are kept."""
    found = client().v1.payment_intents.list(params={"customer": customer, "limit": 100})
    for intent in stripe_objects.plain(found)["data"]:
        if (intent.get("metadata") or {}).get("purchase") == purchase:
            return read_payment(intent["id"])
    return None


@asks_stripe
def intent_of_charge(charge: str) -> str | None:
    """Return the payment that a charge belongs to."""
    intent = client().v1.charges.retrieve(charge).payment_intent
    return str(intent) if intent else None


# --- Refunds and disputes -------------------------------------------------------------------------------------------


@asks_stripe
def create_refund(*, refund: str, intent: str, cents: int, idempotency_key: str) -> RefundState:
    """Send money back; ``refund`` comes back in its metadata."""
    params: Any = {"payment_intent": intent, "amount": cents, "reason": "requested_by_customer", "metadata": {"refund": refund}}
    return stripe_objects.read_refund(
        stripe_objects.plain(client().v1.refunds.create(params=params, options={"idempotency_key": idempotency_key}))
    )


@asks_stripe
def list_refunds(*, intent: str) -> list[RefundState]:
    """Return the refunds of a payment as they are now."""
    found = client().v1.refunds.list(params={"payment_intent": intent, "limit": 100})
    return [stripe_objects.read_refund(one) for one in stripe_objects.plain(found)["data"]]


@asks_stripe
def read_refund(refund: str) -> RefundState:
    """Return a refund as it is now."""
    return stripe_objects.read_refund(stripe_objects.plain(client().v1.refunds.retrieve(refund)))


@asks_stripe
def read_dispute(dispute: str) -> DisputeState:
    """Return a dispute as it is now, with every movement of money that it has caused."""
    found = stripe_objects.plain(client().v1.disputes.retrieve(dispute))
    return DisputeState(
        id=found["id"],
        status=found["status"],
        reason=found.get("reason") or "",
        amount_cents=found["amount"],
        intent=stripe_objects.id_of(found.get("payment_intent")) or intent_of_charge(stripe_objects.id_of(found["charge"])) or "",
        lines=[stripe_objects.read_line(line) for line in found.get("balance_transactions") or []],
    )


# --- News -----------------------------------------------------------------------------------------------------------


def read_event(body: bytes, signature: str) -> EventNews:
    """Return a webhook's event after checking who sent it. Raises: BadSignature."""
    if not signatures.is_signed(body, signature, secrets=settings.STRIPE_WEBHOOK_SECRETS):
        raise BadSignature("no secret of ours signed this body within the last five minutes")
    return event_from(body)


@asks_stripe
def list_events(*, since: dt.datetime) -> list[EventNews]:
    """Return every event since a moment, oldest first. Stripe keeps them for 30 days."""
    listed = client().v1.events.list(params={"created": {"gte": int(since.timestamp())}, "limit": _EVENTS_PER_PAGE})
    return [stripe_objects.read_event(stripe_objects.plain(event)) for event in listed.auto_paging_iter()][::-1]


@asks_stripe
def list_balance_entries(*, since: dt.datetime, until: dt.datetime) -> list[BalanceEntry]:
    """Return every movement of money on our account from ``since`` until just before ``until``, oldest first."""
    params: Any = {"created": {"gte": int(since.timestamp()), "lt": int(until.timestamp())}, "limit": _EVENTS_PER_PAGE}
    listed = client().v1.balance_transactions.list(params=params)
    return [stripe_objects.read_entry(stripe_objects.plain(line)) for line in listed.auto_paging_iter()][::-1]


@asks_stripe
def read_balance_cents() -> int:
    """Return what is on our account at Stripe: available and pending."""
    balance = stripe_objects.plain(client().v1.balance.retrieve())
    kinds = ("available", "pending")
    return sum(int(part["amount"]) for kind in kinds for part in balance.get(kind) or () if part["currency"] == "usd")


def event_from(body: bytes) -> EventNews:
    """Read an event's bytes. Raises: BadSignature when they are no event."""
    try:
        event = msgspec.json.decode(body)
        return stripe_objects.read_event(event)
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError) as error:
        raise BadSignature("the body is not an event") from error
