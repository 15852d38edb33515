"""The card numbers of https://docs.stripe.com/testing and what each does."""

import re
from typing import NamedTuple

from gateway.stripe_simulator.wire import ApiError, Object


class Card(NamedTuple):
    """How a number behaves. ``decline`` is (code, decline_code, message)."""

    brand: str = "visa"
    decline: tuple[str, str | None, str] | None = None
    declines_only_later: bool = False  # can be saved, then fails
    asks_on_session: bool = False
    asks_off_session: bool = False
    dispute: str = ""  # reason; 'inquiry' moves no money
    refund_fails: bool = False


_DECLINED = ("card_declined", "generic_decline", "Your card was declined.")
CARDS: dict[str, Card] = {
    "4242424242424242": Card(),
    "5555555555554444": Card("mastercard"),
    "378282246310005": Card("amex"),
    "4000000000000002": Card(decline=_DECLINED),
    "4000000000009995": Card(decline=("card_declined", "insufficient_funds", "Your card has insufficient funds.")),
    "4000000000000069": Card(decline=("expired_card", None, "Your card has expired.")),
    "4000000000000127": Card(decline=("incorrect_cvc", None, "Your card's security code is incorrect.")),
    "4000000000000119": Card(
        decline=("processing_error", None, "An error occurred while processing your card. Try again in a little bit.")
    ),
    "4000000000000341": Card(decline=_DECLINED, declines_only_later=True),
    "4000002500003155": Card(asks_on_session=True),
    "4000002760003184": Card(asks_on_session=True, asks_off_session=True),
    "4000000000000259": Card(dispute="fraudulent"),
    "4000000000002685": Card(dispute="product_not_received"),
    "4000000000001976": Card(dispute="inquiry"),
    "4000000000005126": Card(refund_fails=True),
}
# Stripe's ready-made payment methods, for whoever has no form to fill in.
READY_MADE = {
    "pm_card_visa": "4242424242424242",
    "pm_card_mastercard": "5555555555554444",
    "pm_card_chargeDeclined": "4000000000000002",
    "pm_card_chargeCustomerFail": "4000000000000341",
    "pm_card_authenticationRequired": "4000002760003184",
    "pm_card_createDispute": "4000000000000259",
}


def read_number(number: str) -> str:
    """Return the digits of a number that the simulator knows. Raises: ApiError (402) for any other."""
    digits = re.sub(r"\D", "", number)
    if digits not in CARDS:
        raise ApiError(402, "Your card number is not a test card. Use 4242 4242 4242 4242.", type_="card_error", code="incorrect_number")
    return digits


def decline_error(card: Card) -> Object:
    """Return the error object of a declined payment."""
    code, decline_code, message = card.decline or _DECLINED
    error: Object = {"type": "card_error", "code": code, "message": message, "doc_url": f"https://docs.stripe.com/error-codes/{code}"}
    if decline_code:
        error["decline_code"] = decline_code
    return error


AUTHENTICATION_ERROR: Object = {
    "type": "card_error",
    "code": "authentication_required",
    "decline_code": "authentication_required",
    "message": "Your card was declined. This transaction requires authentication.",
    "doc_url": "https://docs.stripe.com/error-codes/authentication-required",
}
