"""The simulator's objects have the fields and types of Stripe's own samples.

``fields.json`` lists them as facts: for each object the fields of https://github.com/stripe/openapi, openapi/fixtures3.json (August 2026),
and of the objects in it, each with its JSON type; 'null' where the sample shows none.
"""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.stripe_simulator.app import StripeSimulator
from tests.fakes.stripe import FakeStripe, serve

FIELDS: dict[str, dict[str, str]] = json.loads((Path(__file__).parents[2] / "fakes/stripe/fields.json").read_text())
# Only there when it is asked for ("expand"), since API version 2022-11-15.
NOT_SENT = {"charge": "refunds"}
# What the present API has and the samples do not.
NEWER = {"setup_intent": {"customer_account", "managed_payments"}}
_NAMES = {str: "string", int: "integer", float: "number", bool: "boolean", list: "array", dict: "object", type(None): "null"}


@pytest.fixture(scope="module")
def objects() -> dict[str, list[dict[str, Any]]]:
    """Return objects of every kind as the API answers, from a life with purchases, a refund, disputes and a payout."""
    with serve(StripeSimulator(webhook_url="http://127.0.0.1:1/webhooks/stripe")) as fake:
        return _live(fake)


def _live(fake: FakeStripe) -> dict[str, list[dict[str, Any]]]:
    client = httpx.Client(base_url=f"{fake.url}/v1", headers={"Authorization": "Bearer sk_test_x"}, trust_env=False)

    def post(path: str, **fields: str) -> dict[str, Any]:
        answer: dict[str, Any] = client.post(path, data=fields).raise_for_status().json()
        return answer

    def get(path: str) -> dict[str, Any]:
        answer: dict[str, Any] = client.get(path).raise_for_status().json()
        return answer

    customer = post("/customers", email="ada@example.com", name="Ada")["id"]
    buy = {
        "mode": "payment", "customer": customer, "success_url": "http://a", "cancel_url": "http://b", "line_items[0][quantity]": "1",
        "line_items[0][price_data][currency]": "usd", "line_items[0][price_data][unit_amount]": "2000",
        "line_items[0][price_data][product_data][name]": "Credit", "payment_intent_data[setup_future_usage]": "off_session",
    }  # fmt: skip
    unpaid, paid, disputed, moved = (post("/checkout/sessions", **buy)["id"] for _ in range(4))
    setup = post("/checkout/sessions", mode="setup", customer=customer, success_url="http://a", currency="usd")["id"]
    fake.pay(paid)
    fake.pay(disputed, card="4000000000000259")
    fake.pay(moved, method="bank")
    fake.pay(setup)
    intents = get("/payment_intents")["data"]
    refund = post("/refunds", payment_intent=get(f"/checkout/sessions/{paid}")["payment_intent"], amount="500")
    coupon = post("/coupons", percent_off="10")
    promotion = post("/promotion_codes", **{"promotion[type]": "coupon", "promotion[coupon]": coupon["id"], "code": "HELLO"})
    saved = {"customer": customer, "payment_method": "pm_card_visa", "confirm": "true", "off_session": "true"}
    post("/payment_intents", amount="3000000", currency="usd", **saved)
    tax_id = post(f"/customers/{customer}/tax_ids", type="eu_vat", value="DE123456789")
    post(f"/customers/{customer}", **{"address[country]": "US", "address[postal_code]": "94080"})
    line = {"line_items[0][amount]": "2110", "line_items[0][reference]": "credit"}
    calculation = post("/tax/calculations", currency="usd", customer=customer, **line)
    payout = post("/payouts", amount="1", currency="usd")
    return {
        "customer": [get(f"/customers/{customer}")],
        "checkout.session": [get(f"/checkout/sessions/{one}") for one in (unpaid, paid, disputed, moved, setup)],
        "payment_intent": [*intents, *get("/payment_intents")["data"]],
        "charge": [get(f"/charges/{intent['latest_charge']}") for intent in intents if intent["latest_charge"]],
        "refund": [refund],
        "dispute": get("/disputes")["data"],
        "balance_transaction": get("/balance_transactions")["data"],
        "payout": [payout],
        "event": get("/events")["data"],
        "payment_method": get(f"/customers/{customer}/payment_methods")["data"],
        "setup_intent": [fake.newest("setup_intent")],
        "balance": [get("/balance")],
        "billing_portal.session": [post("/billing_portal/sessions", customer=customer, return_url="http://a")],
        "coupon": [coupon],
        "promotion_code": [promotion],
        "account": [get("/account")],
        "webhook_endpoint": get("/webhook_endpoints")["data"],
        "billing_portal.configuration": get("/billing_portal/configurations")["data"],
        "tax.settings": [get("/tax/settings")],
        "tax.registration": get("/tax/registrations")["data"],
        "tax_id": [tax_id],
        "tax.calculation": [calculation],
    }


def _fields_of(item: dict[str, Any]) -> dict[str, str]:
    found = {name: _NAMES[type(value)] for name, value in item.items()}
    for name, value in item.items():
        if isinstance(value, dict) and name != "metadata":
            found |= {f"{name}.{inner}": _NAMES[type(one)] for inner, one in value.items()}
    return found


@pytest.mark.parametrize("kind", sorted(FIELDS))
def test_every_field_of_stripe_is_there_with_its_type_and_no_other(objects: dict[str, list[dict[str, Any]]], kind: str) -> None:
    theirs = FIELDS[kind]
    assert objects[kind]
    for item in objects[kind]:
        ours = _fields_of(item)
        absent = {name for name, type_ in ours.items() if type_ == "null"} | {NOT_SENT.get(kind)}
        expected = {name for name in theirs if name not in absent and name.partition(".")[0] not in absent}
        assert sorted(expected - ours.keys()) == []
        assert sorted(ours.keys() - theirs.keys() - NEWER.get(kind, set())) == []
        assert {name: type_ for name, type_ in ours.items() if {type_, theirs.get(name, "null")} - {"null"} > {type_}} == {}
