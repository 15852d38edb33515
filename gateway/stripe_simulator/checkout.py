"""Checkout Sessions: what is bought, for how much, and what happens when the customer presses the button."""

from typing import Final

from gateway.stripe_simulator import objects
from gateway.stripe_simulator.account import Account
from gateway.stripe_simulator.cards import CARDS, read_number
from gateway.stripe_simulator.store import now_s
from gateway.stripe_simulator.wire import ApiError, Object, is_true, text, whole

TAX_PERCENT: Final = 10  # what the simulated automatic tax adds, everywhere
_TEXT_FIELDS = ("success_url", "cancel_url", "client_reference_id", "billing_address_collection", "customer_email", "locale", "submit_type")


def create(account: Account, fields: Object, *, page_url: str) -> Object:
    """Make a session from a request's fields. Raises: ApiError."""
    mode = fields.get("mode", "payment")
    if mode not in {"payment", "setup"}:
        raise ApiError(400, f"The simulator knows the modes payment and setup, not {mode}.", param="mode")
    if customer := text(fields, "customer"):
        account.store.get("customer", customer)
    session = objects.make_session({name: text(fields, name) for name in _TEXT_FIELDS})
    session |= {"mode": mode, "customer": customer, "metadata": fields.get("metadata") or {}, "url": f"{page_url}/c/pay/{session['id']}"}
    if "expires_at" in fields:
        session["expires_at"] = whole(fields, "expires_at")
    if options := fields.get("saved_payment_method_options"):
        session["saved_payment_method_options"] = {
            "allow_redisplay_filters": options.get("allow_redisplay_filters"), "payment_method_remove": None, "payment_method_save": None,
        }  # fmt: skip
    session["allow_promotion_codes"] = is_true(fields, "allow_promotion_codes") or None
    if mode == "payment":
        session["simulated_lines"] = [_line(line) for line in fields.get("line_items") or []]
        if not session["simulated_lines"]:
            raise ApiError(400, "You must pass line_items in payment mode.", param="line_items")
        session["simulated_intent"] = fields.get("payment_intent_data") or {}
        session["simulated_keeps_address"] = (fields.get("customer_update") or {}).get("address") == "auto"
        session["automatic_tax"]["enabled"] = is_true(fields.get("automatic_tax") or {}, "enabled")
        price(session, coupon=None)
    else:
        session["simulated_intent"] = fields.get("setup_intent_data") or {}
        session["payment_status"] = "no_payment_required"
    return account.store.put(session)


def price(session: Object, *, coupon: Object | None) -> None:
    """Write the session's totals, with or without a discount."""
    subtotal = sum(line["amount"] for line in session["simulated_lines"])
    discount = 0
    if coupon is not None:
        off = coupon["amount_off"] or round(subtotal * coupon["percent_off"] / 100)
        discount = min(subtotal, off)
    taxed = subtotal - discount
    tax = round(taxed * TAX_PERCENT / 100) if session["automatic_tax"]["enabled"] else 0
    if session["automatic_tax"]["enabled"]:
        session["automatic_tax"]["status"] = "complete"
    session["total_details"] = {"amount_discount": discount, "amount_shipping": 0, "amount_tax": tax}
    session |= {"amount_subtotal": subtotal, "amount_total": taxed + tax}


def redeem(account: Account, session: Object, code: str) -> None:
    """Apply a promotion code. Raises: ApiError when it is unknown."""
    if not session["allow_promotion_codes"]:
        raise ApiError(400, "This purchase takes no promotion codes.")
    promotion = next(
        (one for one in account.store.newest("promotion_code") if one["code"].upper() == code.strip().upper() and one["active"]), None
    )
    if promotion is None:
        raise ApiError(400, f"The code {code.strip()} is invalid.")
    price(session, coupon=account.store.get("coupon", promotion["promotion"]["coupon"]))
    session["discounts"] = [{"coupon": None, "promotion_code": promotion["id"]}]
    account.store.put(session)


def require_open(session: Object) -> None:
    """Raises: ApiError unless the session can still be paid."""
    if session["status"] == "open" and session["expires_at"] < now_s():
        session["status"] = "expired"
    if session["status"] != "open":
        raise ApiError(400, f"This Checkout Session is {session['status']}.")


def expire(account: Account, session: Object) -> Object:
    """Close a session that nobody paid."""
    require_open(session)
    session |= {"status": "expired", "url": None}
    account.store.put(session)
    account.tell("checkout.session.expired", session)
    return session


def complete(account: Account, session: Object, form: dict[str, str]) -> Object:
    """The customer presses the button. Raises: ApiError (402) when the card is declined; the session stays open then."""
    require_open(session)
    if code := form.get("promotion_code", "").strip():
        redeem(account, session, code)
    name, email = form.get("name") or None, form.get("email") or None
    if session["mode"] == "setup":
        _save(account, session, read_number(form.get("card", "")), name=name, email=email)
    elif session["amount_total"] == 0:
        session["payment_status"] = "no_payment_required"
    elif form.get("method") == "bank":
        _await_transfer(account, session)
    elif saved := next((card for card in saved_cards(account, session) if card["id"] == form.get("method")), None):
        account.pay(_intent(account, session), saved, off_session=False, authenticated=bool(form.get("authenticated")))
        session["payment_status"] = "paid"
    else:
        _pay(account, session, read_number(form.get("card", "")), name=name, email=email, authenticated=bool(form.get("authenticated")))
    address = {**objects.NO_ADDRESS, "country": form.get("country") or "US", "postal_code": form.get("postal_code") or None}
    session |= {"status": "complete", "url": None}
    session["customer_details"] = {
        "address": address, "business_name": None, "email": email, "individual_name": None, "name": name, "phone": None,
        "tax_exempt": "none", "tax_ids": [],
    }  # fmt: skip
    account.store.put(session)
    if session.get("simulated_keeps_address") and (customer := account.store.find(session["customer"] or "")):
        account.store.put(customer | {"address": address})
    account.tell("checkout.session.completed", session)
    return session


def saved_cards(account: Account, session: Object) -> list[Object]:
    """Return the cards that the session's customer may pay with at a click, newest first."""
    shown = session["saved_payment_method_options"] or {}
    filters = shown.get("allow_redisplay_filters") or ["always"]
    return [
        method
        for method in account.store.newest("payment_method")
        if session["customer"] and method["customer"] == session["customer"] and method["allow_redisplay"] in filters
    ]


def arrive(account: Account, session: Object, *, succeeded: bool) -> Object:
    """A bank transfer arrives, or does not."""
    intent = account.store.get("payment_intent", session["payment_intent"])
    if succeeded:
        account.settle(intent, None, kind="us_bank_account")
        session["payment_status"] = "paid"
    else:
        intent |= {
            "status": "requires_payment_method",
            "last_payment_error": {"type": "invalid_request_error", "code": "payment_intent_payment_attempt_failed"},
        }
        account.store.put(intent)
        account.tell("payment_intent.payment_failed", intent)
    account.store.put(session)
    account.tell(f"checkout.session.async_payment_{'succeeded' if succeeded else 'failed'}", session)
    return session


def _line(line: Object) -> Object:
    data = line.get("price_data") or {}
    product = data.get("product_data") or {}
    quantity = whole(line, "quantity") if "quantity" in line else 1
    return {"name": product.get("name", ""), "amount": whole(data, "unit_amount") * quantity}


def _intent(account: Account, session: Object) -> Object:
    """The session's payment: made at the first attempt, and tried again after a decline."""
    if session["payment_intent"]:
        intent = account.store.get("payment_intent", session["payment_intent"])
        return (
            intent | {"amount": session["amount_total"]}
            if intent["amount"] == session["amount_total"]
            else _repriced(account, intent, session)
        )
    asked = session["simulated_intent"]
    intent = objects.make_payment_intent(
        session["amount_total"],
        customer=session["customer"],
        metadata=asked.get("metadata") or {},
        description=text(asked, "description"),
        setup_future_usage=text(asked, "setup_future_usage"),
    )
    session["payment_intent"] = intent["id"]
    account.store.put(intent)
    account.store.put(session)
    account.tell("payment_intent.created", intent)
    return intent


def _repriced(account: Account, intent: Object, session: Object) -> Object:
    intent["amount"] = session["amount_total"]
    return account.store.put(intent)


def _pay(account: Account, session: Object, number: str, *, name: str | None, email: str | None, authenticated: bool) -> None:
    intent = _intent(account, session)
    saves = intent["setup_future_usage"] is not None
    method = account.save_card(number, customer=session["customer"] if saves else None, name=name, email=email)
    method["allow_redisplay"] = "limited"  # it was saved for later charges; the customer has not said that it may be shown everywhere
    account.store.put(method)
    account.pay(intent, method, off_session=False, authenticated=authenticated)
    session["payment_status"] = "paid"


def _await_transfer(account: Account, session: Object) -> None:
    intent = _intent(account, session)
    intent |= {"status": "processing", "payment_method_types": ["us_bank_account"]}
    account.store.put(intent)
    account.tell("payment_intent.processing", intent)


def _save(account: Account, session: Object, number: str, *, name: str | None, email: str | None) -> None:
    card = CARDS[number]
    if card.decline and not card.declines_only_later:
        code, decline_code, message = card.decline
        raise ApiError(402, message, type_="card_error", code=code, decline_code=decline_code)
    method = account.save_card(number, customer=session["customer"], name=name, email=email)
    intent = objects.make_setup_intent(
        customer=session["customer"], method=method["id"], metadata=session["simulated_intent"].get("metadata") or {}
    )
    session["setup_intent"] = account.store.put(intent)["id"]
    account.tell("setup_intent.succeeded", intent)
