"""Stripe Tax and customers' tax ids: ten percent everywhere that is known."""

import re
from typing import Final

from gateway.stripe_simulator import objects
from gateway.stripe_simulator.account import Account
from gateway.stripe_simulator.api import route
from gateway.stripe_simulator.checkout import TAX_PERCENT
from gateway.stripe_simulator.wire import ApiError, Object, page_of, whole

# Enough to refuse what is none: letters, digits and the marks that people write between them.
_TAX_ID: Final = re.compile(r"[A-Z0-9][A-Z0-9 .\-/&]{3,24}")
_EU_VAT: Final = re.compile(r"[A-Z]{2}[0-9A-Z+*]{2,12}")
_NEEDS_POSTAL_CODE: Final = {"US", "CA"}


@route("GET", "/v1/customers/{}/tax_ids")
def list_tax_ids(account: Account, fields: Object, customer_id: str) -> Object:
    """List a customer's tax ids."""
    account.store.get("customer", customer_id)
    return page_of(_tax_ids(account, customer_id), fields, url=f"/v1/customers/{customer_id}/tax_ids")


@route("POST", "/v1/customers/{}/tax_ids")
def create_tax_id(account: Account, fields: Object, customer_id: str) -> Object:
    """Give a customer a tax id."""
    account.store.get("customer", customer_id)
    kind, value = str(fields.get("type", "")), str(fields.get("value", ""))
    pattern = _EU_VAT if kind == "eu_vat" else _TAX_ID
    if not pattern.fullmatch(value):
        raise ApiError(400, f"Invalid value for {kind}.", code="tax_id_invalid", param="value")
    return account.store.put(objects.make_tax_id(customer_id, kind=kind, value=value))


@route("DELETE", "/v1/customers/{}/tax_ids/{}")
def delete_tax_id(account: Account, fields: Object, customer_id: str, tax_id: str) -> Object:  # noqa: ARG001
    """Take a tax id away."""
    found = account.store.get("tax_id", tax_id)
    if found["customer"] != customer_id:
        raise ApiError(404, f"No such tax_id: '{tax_id}'", code="resource_missing", param="id")
    account.store.put(found | {"customer": None, "owner": None})
    return {"id": tax_id, "object": "tax_id", "deleted": True}


@route("POST", "/v1/tax/calculations")
def calculate(account: Account, fields: Object) -> Object:
    """Compute the tax on lines for a customer whose place is known."""
    customer = account.store.get("customer", str(fields.get("customer")))
    address = customer["address"] or {}
    if not address.get("country") or (address["country"] in _NEEDS_POSTAL_CODE and not address.get("postal_code")):
        raise ApiError(400, "The customer's location isn't recognized.", code="customer_tax_location_invalid", param="customer")
    amount = sum(whole(line, "amount") for line in fields.get("line_items") or [])
    tax = round(amount * TAX_PERCENT / 100)
    return account.store.put(objects.make_tax_calculation(customer, amount=amount, tax=tax, percent=TAX_PERCENT))


def _tax_ids(account: Account, customer_id: str) -> list[Object]:
    return [one for one in account.store.newest("tax_id") if one["customer"] == customer_id]
