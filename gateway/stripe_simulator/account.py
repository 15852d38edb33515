"""The account behind the API: payments, refunds, disputes, payouts, and the events that tell of them."""

import copy
import math
import secrets
from collections.abc import Callable
from typing import Any, Final

from gateway.stripe_simulator import objects
from gateway.stripe_simulator.cards import AUTHENTICATION_ERROR, CARDS, READY_MADE, Card, decline_error
from gateway.stripe_simulator.store import Store, now_s
from gateway.stripe_simulator.wire import ApiError, Object

API_VERSION: Final = "2026-10-28.endive"
FEE_PERMILLE: Final = 29  # 2.9 % …
FEE_FIXED_CENTS: Final = 30  # … and 30 cents a payment
DISPUTE_FEE_CENTS: Final = 1500

OnEvent = Callable[[Object], None]


class Account:
    """Moves money between objects. Every method works at once or raises ApiError; ``on_event`` hears of each event."""

    def __init__(self, store: Store, on_event: OnEvent) -> None:
        self.store = store
        self._on_event = on_event
        # What an operator chooses at Stripe (setup.py tells of it).
        self.setup: dict[str, Any] = {
            "charges_enabled": True, "webhook_url": "", "webhook_events": ["*"], "has_portal": True, "portal_cards": True,
            "tax_is_active": True, "tax_registered_in": "US",
        }  # fmt: skip
        self.request_key: str | None = None  # idempotency key of the request at hand, which its events name

    # --- Events -------------------------------------------------------------------------------------------------

    def tell(self, type_: str, item: Object) -> Object:
        """Record an event with the object as it is now, and announce it."""
        event = objects.make_event(type_, copy.deepcopy(item), key=self.request_key)
        event["api_version"] = API_VERSION
        self.store.put(event)
        self._on_event(event)
        return event

    # --- Cards --------------------------------------------------------------------------------------------------

    def save_card(self, number: str, *, customer: str | None, name: str | None = None, email: str | None = None) -> Object:
        """Make a payment method and attach it."""
        method = objects.make_payment_method(number, customer=customer, name=name, email=email)
        method["metadata"] = {"simulated_number": number}  # so that it behaves the same after a restart
        self.store.put(method)
        if customer:
            self.tell("payment_method.attached", method)
        return method

    def find_card(self, method_id: str, *, customer: str | None) -> Object:
        """Return a saved card, or make one of Stripe's ready-made ones. Raises: ApiError."""
        if method_id in READY_MADE:
            return self.save_card(READY_MADE[method_id], customer=None)
        method = self.store.get("payment_method", method_id)
        if customer is not None and method["customer"] != customer:
            raise ApiError(400, "The payment method does not belong to this customer.", param="payment_method")
        return method

    @staticmethod
    def behaviour_of(method: Object) -> Card:
        """Return how a saved card behaves."""
        return CARDS[method["metadata"]["simulated_number"]]

    # --- Payments -----------------------------------------------------------------------------------------------

    def pay(self, intent: Object, method: Object, *, off_session: bool, authenticated: bool = False) -> Object:
        """Try to take the money. A card that was saved with authentication needs no second one, unless it always asks.

        Raises: ApiError (402) when the card is declined or wants its owner; the intent says so too.
        """
        card = self.behaviour_of(method)
        intent["payment_method"] = method["id"]
        wants_owner = card.asks_off_session if off_session else card.asks_on_session
        if card.decline or (wants_owner and not authenticated):
            error = decline_error(card) if card.decline else dict(AUTHENTICATION_ERROR)
            self._fail(intent, method, error)
            raise ApiError(402, error["message"], **{("type_" if k == "type" else k): v for k, v in error.items() if k != "message"})
        charge = self.settle(intent, method)
        if card.dispute:
            self.open_dispute(
                charge["id"], reason="general" if card.dispute == "inquiry" else card.dispute, is_inquiry=card.dispute == "inquiry"
            )
        return intent

    def settle(self, intent: Object, method: Object | None, *, kind: str = "card") -> Object:
        """Take the money and return the charge."""
        charge = objects.make_charge(intent, method, kind=kind)
        fee = math.ceil(intent["amount"] * FEE_PERMILLE / 1000) + FEE_FIXED_CENTS
        line = self._line(intent["amount"], fee, source=charge["id"], type_="charge" if kind == "card" else "payment", category="charge")
        charge["balance_transaction"] = line["id"]
        charge["receipt_url"] = None
        self.store.put(charge)
        intent |= {"status": "succeeded", "latest_charge": charge["id"], "amount_received": intent["amount"], "last_payment_error": None}
        self.store.put(intent)
        self.tell("charge.succeeded", charge)
        self.tell("payment_intent.succeeded", intent)
        return charge

    def _fail(self, intent: Object, method: Object, error: Object) -> None:
        intent["last_payment_error"] = error | {"payment_method": copy.deepcopy(method)}
        intent["status"] = "requires_payment_method"
        intent["payment_method"] = None
        self.store.put(intent)
        self.tell("payment_intent.payment_failed", intent)

    def _line(self, amount: int, fee: int, *, source: str, type_: str, category: str) -> Object:
        return self.store.put(
            objects.make_balance_transaction(amount, fee, source=source, type_=type_, category=category, description="Credit for models")
        )

    # --- Refunds ------------------------------------------------------------------------------------------------

    def refund(self, charge: Object, amount: int | None, *, metadata: Object, reason: str | None) -> Object:
        """Send money back. Raises: ApiError when more than what is left is asked for, or the charge is disputed."""
        left = charge["amount"] - charge["amount_refunded"]
        asked = left if amount is None else amount
        if left == 0:
            raise ApiError(400, f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded")
        if charge["disputed"]:
            raise ApiError(400, f"Charge {charge['id']} has been charged back; cannot issue a refund.", code="charge_disputed")
        if asked > left:
            raise ApiError(
                400, f"Refund amount (${asked / 100:.2f}) is greater than unrefunded amount on charge (${left / 100:.2f})", param="amount"
            )
        refund = objects.make_refund(charge, asked, metadata=metadata, reason=reason)
        refund["balance_transaction"] = self._line(-asked, 0, source=refund["id"], type_="refund", category="refund")["id"]
        charge["amount_refunded"] += asked
        charge["refunded"] = charge["amount_refunded"] == charge["amount"]
        self.store.put(charge)
        self.store.put(refund)
        self.tell("refund.created", refund)
        self.tell("charge.refunded", charge)
        if charge["payment_method"] and self.behaviour_of(self.store.get("payment_method", charge["payment_method"])).refund_fails:
            self.fail_refund(refund["id"])
        return refund

    def fail_refund(self, refund_id: str) -> Object:
        """The bank did not take it: the money is back on the account."""
        refund = self.store.get("refund", refund_id)
        charge = self.store.get("charge", refund["charge"])
        line = self._line(refund["amount"], 0, source=refund["id"], type_="refund_failure", category="refund_failure")
        refund |= {"status": "failed", "failure_reason": "expired_or_canceled_card", "failure_balance_transaction": line["id"]}
        charge["amount_refunded"] -= refund["amount"]
        charge["refunded"] = False
        self.store.put(charge)
        self.store.put(refund)
        self.tell("refund.failed", refund)
        return refund

    # --- Disputes -----------------------------------------------------------------------------------------------

    def open_dispute(self, charge_id: str, *, reason: str = "fraudulent", is_inquiry: bool = False) -> Object:
        """A cardholder complains. Unless it is an inquiry, the money and a fee leave at once."""
        charge = self.store.get("charge", charge_id)
        dispute = objects.make_dispute(charge, reason=reason, is_inquiry=is_inquiry)
        charge["disputed"] = not is_inquiry
        self.store.put(charge)
        self.store.put(dispute)
        self.tell("charge.dispute.created", dispute)
        if not is_inquiry:
            self._move_disputed(dispute, -dispute["amount"], DISPUTE_FEE_CENTS)
            self.tell("charge.dispute.funds_withdrawn", dispute)
        return dispute

    def close_dispute(self, dispute_id: str, *, won: bool) -> Object:
        """The bank decides. A won dispute brings the money back, not the fee."""
        dispute = self.store.get("dispute", dispute_id)
        had_moved = bool(dispute["balance_transactions"])
        dispute["status"] = ("won" if won else "lost") if had_moved else "warning_closed"
        self.store.put(dispute)
        self.tell("charge.dispute.closed", dispute)
        if won and had_moved:
            self._move_disputed(dispute, dispute["amount"], 0)
            self.tell("charge.dispute.funds_reinstated", dispute)
        return dispute

    def _move_disputed(self, dispute: Object, amount: int, fee: int) -> None:
        category = "dispute" if amount < 0 else "dispute_reversal"
        line = self._line(amount, fee, source=dispute["id"], type_="adjustment", category=category)
        dispute["balance_transactions"] = [*dispute["balance_transactions"], copy.deepcopy(line)]
        self.store.put(dispute)

    # --- Payouts ------------------------------------------------------------------------------------------------

    def pay_out(self) -> Object:
        """Send everything that was not paid out yet to the bank, and say which lines that was."""
        lines = [line for line in self.store.newest("balance_transaction") if "payout" not in line and line["type"] != "payout"]
        total = sum(line["net"] for line in lines)
        if total <= 0:
            raise ApiError(400, "You have insufficient funds in your Stripe account.", code="balance_insufficient")
        payout_id = f"po_{secrets.token_hex(12)}"
        own = self._line(-total, 0, source=payout_id, type_="payout", category="payout")
        for line in (*lines, own):
            self.store.put(line | {"payout": payout_id, "status": "available"})
        payout: Object = {
            "id": payout_id, "object": "payout", "amount": total, "application_fee": None, "application_fee_amount": None,
            "arrival_date": now_s(), "automatic": True, "balance_transaction": own["id"], "created": now_s(), "currency": "usd",
            "description": "STRIPE PAYOUT", "destination": None, "failure_balance_transaction": None, "failure_code": None,
            "failure_message": None, "livemode": False, "metadata": {}, "method": "standard", "original_payout": None,
            "payout_method": None, "reconciliation_status": "completed", "reversed_by": None, "source_type": "card",
            "statement_descriptor": None, "status": "paid", "trace_id": None, "type": "bank_account",
        }  # fmt: skip
        self.store.put(payout)
        self.tell("payout.paid", payout)
        self.tell("payout.reconciliation_completed", payout)
        return payout

    def balance(self) -> Object:
        """Return what is on the account and not paid out."""
        lines = [line for line in self.store.newest("balance_transaction") if "payout" not in line]
        amount: dict[str, Any] = {"amount": sum(line["net"] for line in lines), "currency": "usd"}
        nothing = {"amount": 0, "currency": "usd"}
        return {
            "object": "balance", "available": [nothing | {"source_types": {"card": 0}}], "connect_reserved": [dict(nothing)],
            "livemode": False, "pending": [amount | {"source_types": {"card": amount["amount"]}}],
        }  # fmt: skip
