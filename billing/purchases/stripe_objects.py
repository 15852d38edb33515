"""Stripe's objects, as its API returns them, read into our shapes."""

import datetime as dt
from typing import Any

from billing.purchases.shapes import BalanceEntry, BalanceLine, BilledTo, CheckoutSession, EventNews, Payment, RefundState, SavedCard

Fields = dict[str, Any]


def plain(item: Any) -> Fields:
    """Return an object of the client as plain dictionaries and lists."""
    fields: Fields = item if isinstance(item, dict) else item.to_dict()
    return fields


def id_of(item: Any) -> str:
    """Return the id of an object or of its expansion, '' when there is none."""
    return "" if item is None else item["id"] if isinstance(item, dict) else str(item)


def read_event(event: Fields) -> EventNews:
    """An event."""
    item = event["data"]["object"]
    return EventNews(
        id=event["id"],
        type=event["type"],
        object_id=str(item.get("id", "")),
        created_at=dt.datetime.fromtimestamp(event["created"], dt.UTC),
        body=event,
    )


def read_entry(line: Fields) -> BalanceEntry:
    """Read a balance transaction of the list."""
    return BalanceEntry(
        id=line["id"],
        kind=line["type"],
        source=str(line.get("source") or ""),
        net_cents=line["net"],
        created_at=dt.datetime.fromtimestamp(line["created"], tz=dt.UTC),
    )


def read_line(line: Fields) -> BalanceLine:
    """A balance transaction."""
    return BalanceLine(id=line["id"], amount_cents=line["amount"], fee_cents=line["fee"])


def read_card(method: Fields) -> SavedCard:
    """A payment method of type card."""
    card = method["card"]
    return SavedCard(method["id"], card["brand"], card["last4"], f"{card['exp_month']:02d}/{card['exp_year']}")


def read_payment(intent: Fields) -> Payment:
    """A PaymentIntent, with its charge and its card where they were expanded."""
    charge = intent.get("latest_charge")
    line = charge.get("balance_transaction") if isinstance(charge, dict) else None
    method = intent.get("payment_method")
    has_card = isinstance(method, dict) and method.get("type") == "card"
    error = intent.get("last_payment_error") or {}
    return Payment(
        id=intent["id"],
        status=intent["status"],
        amount_cents=intent["amount"],
        received_cents=intent.get("amount_received") or 0,
        currency=intent["currency"],
        customer=id_of(intent.get("customer")),
        purchase=(intent.get("metadata") or {}).get("purchase", ""),
        charge=id_of(charge),
        line=read_line(line) if isinstance(line, dict) else None,
        card=read_card(method) if has_card else None,  # type: ignore[arg-type]  # has_card says that it is a dict
        saves_card=intent.get("setup_future_usage") == "off_session",
        failure=error.get("message") or "",
        wants_owner=error.get("code") == "authentication_required" or intent["status"] == "requires_action",
    )


def read_session(found: Any) -> CheckoutSession:
    """A Checkout Session, with its payment where that was expanded."""
    session = plain(found)
    intent = session.get("payment_intent")
    details = session.get("customer_details") or {}
    address = details.get("address") or {}
    totals = session.get("total_details") or {}
    place = [address.get("line1"), address.get("line2"), " ".join(filter(None, (address.get("postal_code"), address.get("city"))))]
    return CheckoutSession(
        id=session["id"],
        url=session.get("url") or "",
        mode=session["mode"],
        status=session["status"],
        payment_status=session["payment_status"],
        subtotal_cents=session.get("amount_subtotal") or 0,
        discount_cents=totals.get("amount_discount") or 0,
        tax_cents=totals.get("amount_tax") or 0,
        total_cents=session.get("amount_total") or 0,
        currency=session.get("currency") or "",
        customer=id_of(session.get("customer")),
        purchase=(session.get("metadata") or {}).get("purchase", ""),
        payment=read_payment(intent) if isinstance(intent, dict) else None,
        billed_to=BilledTo(
            name=details.get("business_name") or details.get("name") or "",
            address="\n".join(filter(None, place)),
            country=address.get("country") or "",
            tax_id=", ".join(one.get("value") or "" for one in details.get("tax_ids") or []),
            email=details.get("email") or "",
        ),
    )


def read_refund(refund: Fields) -> RefundState:
    """A refund."""
    return RefundState(
        id=refund["id"],
        status=refund["status"],
        amount_cents=refund["amount"],
        intent=id_of(refund.get("payment_intent")),
        refund=(refund.get("metadata") or {}).get("refund", ""),
        failure=(refund.get("failure_reason") or "").replace("_", " "),
    )
