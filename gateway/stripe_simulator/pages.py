"""The pages that Stripe would show: Checkout and the customer portal. Each says that it is a simulation."""

from html import escape
from pathlib import Path
from string import Template
from typing import Final

from gateway.stripe_simulator import checkout
from gateway.stripe_simulator.account import Account
from gateway.stripe_simulator.store import now_s
from gateway.stripe_simulator.wire import ApiError, Object, new_id

SAMPLE_CODE: Final = "WELCOME10"
_FOLDER = Path(__file__).parent / "html"
_HTML = (b"content-type", b"text/html; charset=utf-8")
_CSS = (b"content-type", b"text/css; charset=utf-8")
_POLICY = (b"content-security-policy", b"default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'")

Answer = tuple[int, list[tuple[bytes, bytes]], bytes]


def ensure_sample_code(account: Account) -> None:
    """Have one promotion code to try: 10 % off."""
    if any(promotion["code"] == SAMPLE_CODE for promotion in account.store.newest("promotion_code")):
        return
    coupon: Object = {"id": new_id("cou"), "object": "coupon", "amount_off": None, "percent_off": 10.0, "name": "10% off", "valid": True}
    account.store.put(coupon)
    account.store.put(
        {
            "id": new_id("promo"),
            "object": "promotion_code",
            "active": True,
            "code": SAMPLE_CODE,
            "created": now_s(),
            "customer": None,
            "metadata": {},
            "promotion": {"coupon": coupon["id"], "type": "coupon"},
            "times_redeemed": 0,
        }
    )


def serve(account: Account, method: str, path: str, form: dict[str, str], *, base_url: str) -> Answer:  # noqa: PLR0911 -- one per page
    """Answer a browser."""
    try:
        match path.strip("/").split("/"):
            case ["healthz"]:
                return 200, [(b"content-type", b"text/plain")], b"ok"
            case ["favicon.ico"]:
                return 204, [], b""
            case ["style.css"]:
                return 200, [_CSS], (_FOLDER / "style.css").read_bytes()
            case ["c", "pay", session_id]:
                session = account.store.get("checkout.session", session_id)
                return _press(account, session, form) if method == "POST" else _show_checkout(account, session)
            case ["c", "code", session_id] if method == "POST":
                return _apply_code(account, account.store.get("checkout.session", session_id), form)
            case ["c", "transfer", session_id] if method == "POST":
                session = account.store.get("checkout.session", session_id)
                checkout.arrive(account, session, succeeded=form.get("arrives") == "yes")
                return _redirect(session["success_url"].replace("{CHECKOUT_SESSION_ID}", session_id))
            case ["p", "session", session_id]:
                return _show_portal(account, account.store.get("billing_portal.session", session_id), method, form, base_url=base_url)
    except ApiError as error:
        return _page("message", max(error.status, 400), title="Simulated Stripe", message=str(error))
    return _page("message", 404, title="Simulated Stripe", message="There is no such page.")


def _show_checkout(account: Account, session: Object, *, error: str = "", form: dict[str, str] | None = None, status: int = 200) -> Answer:
    if session["payment_status"] == "unpaid" and session["status"] == "complete":
        return _page("transfer", 200, id=session["id"], total=_usd(session["amount_total"]))
    checkout.require_open(session)
    given = form or {}
    customer = account.store.find(session["customer"] or "") or {}
    is_setup = session["mode"] == "setup"
    return _page(
        "checkout",
        status,
        id=session["id"],
        title="Save a card" if is_setup else "Pay",
        button="Save card" if is_setup else f"Pay {_usd(session['amount_total'])}",
        cancel_url=session["cancel_url"] or "#",
        email=given.get("email") or customer.get("email") or "",
        name=given.get("name", ""),
        error=f'<p class="error" role="alert">{escape(error)}</p>' if error else "",
        lines="" if is_setup else _lines(session),
        code=_code_form(session) if session["allow_promotion_codes"] else "",
        bank="" if is_setup else _methods(account, session, chosen=given.get("method", "")),
        raw_names=("error", "lines", "code", "bank"),
    )


def _methods(account: Account, session: Object, *, chosen: str) -> str:
    saved = checkout.saved_cards(account, session)
    choices = [(one["id"], f"{one['card']['brand'].title()} ending in {one['card']['last4']}") for one in saved]
    choices += [("card", "New card" if saved else "Card"), ("bank", "Bank transfer, which arrives later")]
    checked = chosen if chosen in dict(choices) else choices[0][0]
    radio = '<label class="choice"><input type="radio" name="method" value="{}"{}> {}</label>'
    rows = "".join(radio.format(escape(value), " checked" * (value == checked), escape(label)) for value, label in choices)
    return f"<fieldset><legend>Pay with</legend>{rows}</fieldset>"


def _lines(session: Object) -> str:
    details = session["total_details"]
    rows = [(line["name"], line["amount"]) for line in session["simulated_lines"]]
    if details["amount_discount"]:
        rows.append(("Discount", -details["amount_discount"]))
    if session["automatic_tax"]["enabled"]:
        rows.append(("Tax", details["amount_tax"]))
    body = "".join(f"<tr><th scope='row'>{escape(name)}</th><td>{_usd(amount)}</td></tr>" for name, amount in rows)
    total = f"<tr class='total'><th scope='row'>Total due</th><td>{_usd(session['amount_total'])}</td></tr>"
    return f"<table><caption>What you buy</caption>{body}{total}</table>"


def _code_form(session: Object) -> str:
    if session["discounts"]:
        return '<p class="good">The promotion code is applied.</p>'
    return (
        f'<form method="post" action="/c/code/{escape(session["id"])}" class="code"><label for="code">Promotion code</label>'
        f'<span><input id="code" name="promotion_code" placeholder="{SAMPLE_CODE}" autocomplete="off"><button>Apply</button></span></form>'
    )


def _apply_code(account: Account, session: Object, form: dict[str, str]) -> Answer:
    checkout.require_open(session)
    try:
        checkout.redeem(account, session, form.get("promotion_code", ""))
    except ApiError as error:
        return _show_checkout(account, session, error=str(error), status=400)
    return _redirect(f"/c/pay/{session['id']}")


def _press(account: Account, session: Object, form: dict[str, str]) -> Answer:
    try:
        checkout.complete(account, session, form)
    except ApiError as error:
        if error.body["error"].get("code") == "authentication_required" and not form.get("authenticated"):
            return _page(
                "authenticate",
                200,
                **{"id": session["id"]} | {name: form.get(name, "") for name in ("card", "name", "email", "method")},
            )
        return _show_checkout(account, session, error=str(error), form=form, status=error.status)
    return _redirect((session["success_url"] or "/").replace("{CHECKOUT_SESSION_ID}", session["id"]))


def _show_portal(account: Account, session: Object, method: str, form: dict[str, str], *, base_url: str) -> Answer:
    customer = account.store.get("customer", session["customer"])
    if method == "POST":
        card = account.store.get("payment_method", form.get("card", ""))
        if card["customer"] == customer["id"] and form.get("do") == "remove":
            card["customer"] = None
            account.store.put(card)
            account.tell("payment_method.detached", card)
        elif card["customer"] == customer["id"]:
            customer["invoice_settings"]["default_payment_method"] = card["id"]
            account.store.put(customer)
            account.tell("customer.updated", customer)
        return _redirect(f"{base_url}/p/session/{session['id']}")
    default = customer["invoice_settings"]["default_payment_method"]
    cards = [one for one in account.store.newest("payment_method") if one["customer"] == customer["id"]]
    rows = "".join(_portal_row(one, is_default=one["id"] == default) for one in cards) or "<li>No cards are saved.</li>"
    return _page("portal", 200, rows=rows, return_url=session["return_url"] or "/", email=customer["email"] or "", raw_names=("rows",))


def _portal_row(card: Object, *, is_default: bool) -> str:
    label = f"{card['card']['brand'].title()} ending in {card['card']['last4']}"
    button = '<form method="post"><input type="hidden" name="card" value="{}"><button name="do" value="{}">{}</button></form>'
    default = "<em>Default</em>" if is_default else button.format(escape(card["id"]), "default", "Make default")
    return f"<li><span>{escape(label)}</span>{default}{button.format(escape(card['id']), 'remove', 'Remove')}</li>"


def _usd(cents: int) -> str:
    return f"{'−' if cents < 0 else ''}${abs(cents) / 100:,.2f}"


def _page(template: str, status: int, /, *, raw_names: tuple[str, ...] = (), **values: str) -> Answer:
    safe = {key: value if key in raw_names else escape(value) for key, value in values.items()}
    body = Template((_FOLDER / f"{template}.html").read_text(encoding="utf-8")).substitute(safe)
    frame = Template((_FOLDER / "frame.html").read_text(encoding="utf-8")).substitute(body=body)
    return status, [_HTML, _POLICY, (b"cache-control", b"no-store")], frame.encode()


def _redirect(url: str) -> Answer:
    return 303, [(b"location", url.encode())], b""
