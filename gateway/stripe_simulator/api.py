"""The API's paths: each a function from a request's fields to an object."""

import re
from collections.abc import Callable
from typing import Any

from gateway.stripe_simulator import checkout, objects
from gateway.stripe_simulator.account import Account
from gateway.stripe_simulator.wire import ApiError, Object, is_true, new_id, page_of, text, whole

Handler = Callable[..., Object]
_ROUTES: list[tuple[str, re.Pattern[str], Handler]] = []
_CUSTOMER_FIELDS = ("email", "name", "description", "phone")


def route(method: str, path: str) -> Callable[[Handler], Handler]:
    """Register a handler; ``{}`` in the path stands for an id, which it gets as an argument."""

    def register(handler: Handler) -> Handler:
        _ROUTES.append((method, re.compile("^" + path.replace("{}", r"([^/]+)") + "$"), handler))
        return handler

    return register


def find(method: str, path: str) -> tuple[Handler, tuple[str, ...]]:
    """Return the handler of a request and the ids in its path. Raises: ApiError (404)."""
    for known, pattern, handler in _ROUTES:
        if known == method and (match := pattern.match(path)):
            return handler, match.groups()
    raise ApiError(404, f"Unrecognized request URL ({method}: {path}).")


def expanded(account: Account, item: Any, fields: Object) -> Any:
    """Return a copy with the ids that ``expand`` names replaced by their objects."""
    for path in fields.get("expand") or []:
        item = _expand(account, item, path.split("."))
    return item


def _expand(account: Account, item: Any, path: list[str]) -> Any:
    if isinstance(item, list):
        return [_expand(account, one, path) for one in item]
    if isinstance(item, str) and (found := account.store.find(item)):
        item = found
    if not path or not isinstance(item, dict):
        return item
    name, rest = path[0], path[1:]
    return item if item.get(name) is None else {**item, name: _expand(account, item[name], rest)}


def public(item: Any) -> Any:
    """Return an object without what only the simulator knows."""
    if isinstance(item, list):
        return [public(one) for one in item]
    if isinstance(item, dict):
        return {name: public(value) for name, value in item.items() if not str(name).startswith("simulated_") and name != "payout"}
    return item


_READABLE = {
    "/v1/customers/{}": "customer",
    "/v1/checkout/sessions/{}": "checkout.session",
    "/v1/payment_intents/{}": "payment_intent",
    "/v1/charges/{}": "charge",
    "/v1/refunds/{}": "refund",
    "/v1/disputes/{}": "dispute",
    "/v1/balance_transactions/{}": "balance_transaction",
    "/v1/payouts/{}": "payout",
    "/v1/events/{}": "event",
}


def _reader(kind: str) -> Handler:
    return lambda account, _fields, item_id: account.store.get(kind, item_id)


for _path, _kind in _READABLE.items():
    route("GET", _path)(_reader(_kind))


# --- Customers and their cards ---


def _address(fields: Object) -> Object:
    return {**objects.NO_ADDRESS, **{name: value or None for name, value in fields.items()}}


def _customer_changes(fields: Object) -> Object:
    changes: Object = {name: fields[name] or None for name in _CUSTOMER_FIELDS if name in fields}
    if "address" in fields:
        changes["address"] = _address(fields["address"]) if fields["address"] else None
    return changes


@route("POST", "/v1/customers")
def create_customer(account: Account, fields: Object) -> Object:
    """Make a customer."""
    customer = objects.make_customer(_customer_changes(fields) | {"metadata": fields.get("metadata") or {}})
    account.store.put(customer)
    account.tell("customer.created", customer)
    return customer


@route("POST", "/v1/customers/{}")
def update_customer(account: Account, fields: Object, customer_id: str) -> Object:
    """Change a customer; metadata is merged."""
    customer = account.store.get("customer", customer_id)
    customer |= _customer_changes(fields)
    customer["metadata"] |= fields.get("metadata") or {}
    if "invoice_settings" in fields:
        customer["invoice_settings"]["default_payment_method"] = fields["invoice_settings"].get("default_payment_method") or None
    account.store.put(customer)
    account.tell("customer.updated", customer)
    return customer


@route("GET", "/v1/customers/{}/payment_methods")
def list_cards(account: Account, fields: Object, customer_id: str) -> Object:
    """List a customer's saved cards."""
    account.store.get("customer", customer_id)
    cards = [method for method in account.store.newest("payment_method") if method["customer"] == customer_id]
    return page_of(cards, fields, url=f"/v1/customers/{customer_id}/payment_methods")


@route("POST", "/v1/payment_methods/{}/attach")
def attach_card(account: Account, fields: Object, method_id: str) -> Object:
    """Save a card with a customer."""
    method = account.find_card(method_id, customer=None)
    method["customer"] = account.store.get("customer", str(fields.get("customer")))["id"]
    account.store.put(method)
    account.tell("payment_method.attached", method)
    return method


@route("POST", "/v1/payment_methods/{}/detach")
def detach_card(account: Account, fields: Object, method_id: str) -> Object:  # noqa: ARG001
    """Forget a saved card."""
    method = account.store.get("payment_method", method_id)
    owner = account.store.find(method["customer"] or "")
    if owner and owner["invoice_settings"]["default_payment_method"] == method_id:
        owner["invoice_settings"]["default_payment_method"] = None
        account.store.put(owner)
    method["customer"] = None
    account.store.put(method)
    account.tell("payment_method.detached", method)
    return method


@route("POST", "/v1/billing_portal/sessions")
def open_portal(account: Account, fields: Object) -> Object:
    """Make a link to the customer portal."""
    customer = account.store.get("customer", str(fields.get("customer")))
    session_id = new_id("bps")
    session: Object = {
        "id": session_id, "object": "billing_portal.session", "configuration": "bpc_simulated", "created": customer["created"],
        "customer": customer["id"], "customer_account": None, "flow": None, "livemode": False, "locale": None, "on_behalf_of": None,
        "return_url": text(fields, "return_url"), "url": f"{fields['simulated_page_url']}/p/session/{session_id}",
    }  # fmt: skip
    return account.store.put(session)


# --- Payments ---


@route("POST", "/v1/checkout/sessions")
def create_session(account: Account, fields: Object) -> Object:
    """Make a Checkout Session."""
    return checkout.create(account, fields, page_url=fields["simulated_page_url"])


@route("GET", "/v1/checkout/sessions")
def list_sessions(account: Account, fields: Object) -> Object:
    """List Checkout Sessions, also by payment."""
    intent = fields.get("payment_intent")
    sessions = [one for one in account.store.newest("checkout.session") if not intent or one["payment_intent"] == intent]
    return page_of(sessions, fields, url="/v1/checkout/sessions")


@route("POST", "/v1/checkout/sessions/{}/expire")
def expire_session(account: Account, fields: Object, session_id: str) -> Object:  # noqa: ARG001
    """Close a session that nobody paid."""
    return checkout.expire(account, account.store.get("checkout.session", session_id))


@route("POST", "/v1/payment_intents")
def create_intent(account: Account, fields: Object) -> Object:
    """Make a payment, and with ``confirm`` try it at once."""
    amount = whole(fields, "amount")
    if fields.get("currency") != "usd":
        raise ApiError(400, "The simulator knows US dollars only.", param="currency")
    customer = text(fields, "customer")
    if customer:
        account.store.get("customer", customer)
    hooks = fields.get("hooks") or {}
    if calculation := ((hooks.get("inputs") or {}).get("tax") or {}).get("calculation"):
        _require_taxed(account.store.get("tax.calculation", calculation), amount)
    intent = objects.make_payment_intent(
        amount,
        customer=customer,
        metadata=fields.get("metadata") or {},
        description=text(fields, "description"),
        receipt_email=text(fields, "receipt_email"),
    )
    if hooks:
        intent["hooks"] = hooks
    account.store.put(intent)
    account.tell("payment_intent.created", intent)
    if is_true(fields, "confirm"):
        method = account.find_card(str(fields.get("payment_method")), customer=customer)
        account.pay(intent, method, off_session=is_true(fields, "off_session"))
    return intent


def _require_taxed(calculation: Object, amount: int) -> None:
    # Stripe takes another amount and reports the wrong tax; here it is a fault of the caller.
    if calculation["amount_total"] != amount:
        raise ApiError(400, f"The calculation's total is {calculation['amount_total']}, not {amount}.", param="amount")


@route("GET", "/v1/payment_intents")
def list_intents(account: Account, fields: Object) -> Object:
    """List payments, also a customer's."""
    customer = fields.get("customer")
    intents = [one for one in account.store.newest("payment_intent") if not customer or one["customer"] == customer]
    return page_of(intents, fields, url="/v1/payment_intents")


@route("POST", "/v1/payment_intents/{}/cancel")
def cancel_intent(account: Account, fields: Object, intent_id: str) -> Object:  # noqa: ARG001
    """Give up a payment."""
    intent = account.store.get("payment_intent", intent_id)
    if intent["status"] in {"succeeded", "canceled"}:
        raise ApiError(400, f"This PaymentIntent has status {intent['status']}.", code="payment_intent_unexpected_state")
    intent["status"] = "canceled"
    account.store.put(intent)
    account.tell("payment_intent.canceled", intent)
    return intent


# --- Refunds and disputes ---


@route("POST", "/v1/refunds")
def create_refund(account: Account, fields: Object) -> Object:
    """Send money back."""
    if intent_id := text(fields, "payment_intent"):
        charge_id = account.store.get("payment_intent", intent_id)["latest_charge"]
    else:
        charge_id = str(fields.get("charge"))
    if not charge_id:
        raise ApiError(400, "This PaymentIntent does not have a successful charge to refund.", code="payment_intent_unexpected_state")
    amount = whole(fields, "amount") if "amount" in fields else None
    charge = account.store.get("charge", charge_id)
    return account.refund(charge, amount, metadata=fields.get("metadata") or {}, reason=text(fields, "reason"))


@route("GET", "/v1/refunds")
def list_refunds(account: Account, fields: Object) -> Object:
    """List refunds, also of a payment or charge."""
    by = {name: fields[name] for name in ("payment_intent", "charge") if name in fields}
    refunds = [one for one in account.store.newest("refund") if all(one[name] == value for name, value in by.items())]
    return page_of(refunds, fields, url="/v1/refunds")


@route("GET", "/v1/disputes")
def list_disputes(account: Account, fields: Object) -> Object:
    """List disputes, also of a payment or charge."""
    by = {name: fields[name] for name in ("payment_intent", "charge") if name in fields}
    disputes = [one for one in account.store.newest("dispute") if all(one[name] == value for name, value in by.items())]
    return page_of(disputes, fields, url="/v1/disputes")


# --- Promotion codes ---


@route("POST", "/v1/coupons")
def create_coupon(account: Account, fields: Object) -> Object:
    """Make a discount."""
    percent = float(fields["percent_off"]) if fields.get("percent_off") else None
    coupon: Object = {
        "id": new_id("cou"), "object": "coupon", "amount_off": whole(fields, "amount_off") if "amount_off" in fields else None,
        "created": 0, "currency": "usd", "duration": "once", "duration_in_months": None, "livemode": False, "max_redemptions": None,
        "metadata": {}, "name": text(fields, "name"), "percent_off": percent, "redeem_by": None, "times_redeemed": 0, "valid": True,
    }  # fmt: skip
    return account.store.put(coupon)


@route("POST", "/v1/promotion_codes")
def create_promotion(account: Account, fields: Object) -> Object:
    """Make a code for a discount."""
    coupon = account.store.get("coupon", str((fields.get("promotion") or {}).get("coupon")))
    promotion: Object = {
        "id": new_id("promo"), "object": "promotion_code", "active": True, "code": str(fields.get("code", "")).upper(), "created": 0,
        "customer": None, "customer_account": None, "expires_at": None, "livemode": False, "max_redemptions": None, "metadata": {},
        "promotion": {"coupon": coupon["id"], "type": "coupon"},
        "restrictions": {"first_time_transaction": False, "minimum_amount": None, "minimum_amount_currency": None}, "times_redeemed": 0,
    }  # fmt: skip
    return account.store.put(promotion)


# --- The account's own money, and what happened ---


@route("GET", "/v1/balance")
def read_balance(account: Account, fields: Object) -> Object:  # noqa: ARG001
    """Tell the account's balance."""
    return account.balance()


@route("GET", "/v1/balance_transactions")
def list_lines(account: Account, fields: Object) -> Object:
    """List balance transactions, also of a payout or source."""
    lines = account.store.newest("balance_transaction")
    if payout := fields.get("payout"):
        lines = [line for line in lines if line.get("payout") == payout]
    if source := fields.get("source"):
        lines = [line for line in lines if line["source"] == source]
    return page_of(_created_within(lines, fields), fields, url="/v1/balance_transactions")


@route("POST", "/v1/payouts")
def create_payout(account: Account, fields: Object) -> Object:  # noqa: ARG001
    """Pay everything out."""
    return account.pay_out()


@route("GET", "/v1/payouts")
def list_payouts(account: Account, fields: Object) -> Object:
    """List payouts."""
    return page_of(_created_within(account.store.newest("payout"), fields), fields, url="/v1/payouts")


@route("GET", "/v1/events")
def list_events(account: Account, fields: Object) -> Object:
    """List events, also by type and time."""
    events = account.store.newest("event")
    if types := fields.get("types"):
        events = [event for event in events if event["type"] in types]
    return page_of(_created_within(events, fields), fields, url="/v1/events")


def _created_within(items: list[Object], fields: Object) -> list[Object]:
    bounds = fields.get("created")
    if not isinstance(bounds, dict):
        return items
    first, last = int(bounds.get("gte", 0)), int(bounds.get("lte", 2**62))
    after, before = int(bounds.get("gt", -1)), int(bounds.get("lt", 2**62))
    return [item for item in items if first <= item["created"] <= last and after < item["created"] < before]
