"""New objects with every field that the API returns."""

from typing import Any, Final

from gateway.stripe_simulator.cards import CARDS
from gateway.stripe_simulator.store import now_s
from gateway.stripe_simulator.wire import Object, new_id

LINK_DAYS: Final = 1
_DAY_S: Final = 86_400
_FUNDS_DAYS: Final = 2
NO_ADDRESS: Final[Object] = {"city": None, "country": None, "line1": None, "line2": None, "postal_code": None, "state": None}


def make_customer(fields: Object) -> Object:
    """A customer."""
    return {
        "id": new_id("cus"), "object": "customer", "address": None, "balance": 0, "created": now_s(), "currency": None,
        "default_source": None, "delinquent": False, "description": None, "discount": None, "email": None, "invoice_prefix": "SIMULATE",
        "invoice_settings": {"custom_fields": None, "default_payment_method": None, "footer": None, "rendering_options": None},
        "livemode": False, "metadata": {}, "name": None, "next_invoice_sequence": 1, "phone": None, "preferred_locales": [],
        "shipping": None, "tax_exempt": "none", "test_clock": None,
    } | fields  # fmt: skip


def make_tax_id(customer: str, *, kind: str, value: str) -> Object:
    """A tax id of a customer."""
    return {
        "id": new_id("txi"), "object": "tax_id", "country": value[:2] if kind == "eu_vat" else kind[:2].upper(), "created": now_s(),
        "customer": customer, "customer_account": None, "livemode": False,
        "owner": {"customer": customer, "customer_account": None, "type": "customer"}, "type": kind, "value": value,
        "verification": {"status": "pending", "verified_address": None, "verified_name": None},
    }  # fmt: skip


def make_tax_calculation(customer: Object, *, amount: int, tax: int, percent: int) -> Object:
    """What the tax on top of an amount is, where the customer lives."""
    address = customer["address"]
    rate = {
        "country": address["country"], "flat_amount": None, "percentage_decimal": f"{percent}.0", "rate_type": "percentage",
        "state": address["state"], "tax_type": "sales_tax",
    }  # fmt: skip
    return {
        "id": new_id("taxcalc"), "object": "tax.calculation", "amount_total": amount + tax, "currency": "usd", "customer": customer["id"],
        "customer_details": {
            "address": dict(address), "address_source": "billing", "ip_address": None, "tax_ids": [], "taxability_override": "none",
        },
        "expires_at": now_s() + 90 * _DAY_S, "livemode": False, "ship_from_details": None, "shipping_cost": None,
        "tax_amount_exclusive": tax, "tax_amount_inclusive": 0,
        "tax_breakdown": [
            {"amount": tax, "inclusive": False, "tax_rate_details": rate, "taxability_reason": "standard_rated", "taxable_amount": amount}
        ],
        "tax_date": now_s(),
    }  # fmt: skip


def make_payment_method(number: str, *, customer: str | None, name: str | None, email: str | None) -> Object:
    """A card."""
    return {
        "id": new_id("pm"), "object": "payment_method", "allow_redisplay": "always",
        "billing_details": {"address": dict(NO_ADDRESS), "email": email, "name": name, "phone": None, "tax_id": None},
        "card": {
            "brand": CARDS[number].brand, "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
            "country": "US", "display_brand": CARDS[number].brand, "exp_month": 12, "exp_year": 2034, "fingerprint": f"sim{number[-8:]}",
            "funding": "credit", "generated_from": None, "last4": number[-4:],
            "networks": {"available": [CARDS[number].brand], "preferred": None},
            "three_d_secure_usage": {"supported": True}, "wallet": None, "regulated_status": "unregulated",
        },
        "created": now_s(), "customer": customer, "customer_account": None, "livemode": False, "metadata": {}, "type": "card",
    }  # fmt: skip


def make_payment_intent(amount: int, *, customer: str | None, metadata: Object, **fields: Any) -> Object:
    """A payment that nobody has tried yet."""
    intent_id = new_id("pi")
    return {
        "id": intent_id, "object": "payment_intent", "amount": amount, "amount_capturable": 0, "amount_details": {"tip": {}},
        "amount_received": 0, "application": None, "application_fee_amount": None, "automatic_payment_methods": None, "canceled_at": None,
        "cancellation_reason": None, "capture_method": "automatic_async", "client_secret": f"{intent_id}_secret_{new_id('s')[2:]}",
        "confirmation_method": "automatic", "created": now_s(), "currency": "usd", "customer": customer, "customer_account": None,
        "description": None, "excluded_payment_method_types": None, "last_payment_error": None, "latest_charge": None, "livemode": False,
        "managed_payments": {"enabled": False}, "metadata": metadata, "next_action": None, "on_behalf_of": None, "payment_method": None,
        "payment_method_configuration_details": None, "payment_method_options": {}, "payment_method_types": ["card"], "processing": None,
        "receipt_email": None, "review": None, "setup_future_usage": None, "shipping": None, "source": None, "statement_descriptor": None,
        "statement_descriptor_suffix": None, "status": "requires_payment_method", "transfer_data": None, "transfer_group": None,
    } | fields  # fmt: skip


def make_charge(intent: Object, method: Object | None, *, kind: str = "card") -> Object:
    """The money of a payment, once it has been taken."""
    charge_id = new_id("ch")
    details: Object = {"type": kind, kind: {}}
    if method is not None:
        card = method["card"]
        details["card"] = {
            name: card[name] for name in ("brand", "checks", "country", "exp_month", "exp_year", "fingerprint", "funding", "last4")
        }
        details["card"] |= {
            "amount_authorized": intent["amount"], "authorization_code": None, "extended_authorization": {"status": "disabled"},
            "incremental_authorization": {"status": "unavailable"}, "installments": None, "mandate": None,
            "multicapture": {"status": "unavailable"}, "network": card["brand"], "network_token": {"used": False},
            "network_transaction_id": None, "overcapture": {"maximum_amount_capturable": intent["amount"], "status": "unavailable"},
            "regulated_status": "unregulated", "three_d_secure": None, "transaction_link_id": None, "wallet": None,
        }  # fmt: skip
    billing = (
        method["billing_details"] if method else {"address": dict(NO_ADDRESS), "email": None, "name": None, "phone": None, "tax_id": None}
    )
    return {
        "id": charge_id, "object": "charge", "amount": intent["amount"], "amount_captured": intent["amount"], "amount_refunded": 0,
        "application": None, "application_fee": None, "application_fee_amount": None, "balance_transaction": None,
        "billing_details": billing, "calculated_statement_descriptor": "TOLLWAY", "captured": True, "created": now_s(), "currency": "usd",
        "customer": intent["customer"], "description": intent["description"], "disputed": False, "failure_balance_transaction": None,
        "failure_code": None, "failure_message": None, "fraud_details": {}, "livemode": False, "metadata": intent["metadata"],
        "on_behalf_of": None,
        "outcome": {
            "advice_code": None, "network_advice_code": None, "network_decline_code": None, "network_status": "approved_by_network",
            "reason": None, "seller_message": "Payment complete.", "type": "authorized",
        },
        "paid": True, "payment_intent": intent["id"], "payment_method": method["id"] if method else None, "payment_method_details": details,
        "receipt_email": None, "receipt_number": None, "receipt_url": None, "refunded": False, "review": None, "shipping": None,
        "source": None, "source_transfer": None, "statement_descriptor": None, "statement_descriptor_suffix": None, "status": "succeeded",
        "transfer_data": None, "transfer_group": None,
    }  # fmt: skip


def make_balance_transaction(amount: int, fee: int, *, source: str, type_: str, category: str, description: str | None) -> Object:
    """One line of the account's balance, cents."""
    details = [{"amount": fee, "application": None, "currency": "usd", "description": "Stripe processing fees", "type": "stripe_fee"}]
    return {
        "id": new_id("txn"), "object": "balance_transaction", "amount": amount, "available_on": now_s() + _FUNDS_DAYS * _DAY_S,
        "balance_type": "payments", "created": now_s(), "currency": "usd", "description": description, "exchange_rate": None, "fee": fee,
        "fee_details": details if fee else [], "net": amount - fee, "reporting_category": category, "source": source, "status": "pending",
        "type": type_,
    }  # fmt: skip


def make_session(fields: Object) -> Object:
    """A Checkout Session. ``fields`` must have what the caller decides: mode, amounts, addresses."""
    return {
        "id": new_id("cs_test"), "object": "checkout.session", "adaptive_pricing": {"enabled": False}, "after_expiration": None,
        "allow_promotion_codes": None, "amount_subtotal": None, "amount_total": None,
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None}, "billing_address_collection": None,
        "cancel_url": None, "client_reference_id": None, "client_secret": None, "collected_information": None, "consent": None,
        "consent_collection": None, "created": now_s(), "currency": "usd", "currency_conversion": None, "custom_fields": [],
        "custom_text": {"after_submit": None, "shipping_address": None, "submit": None, "terms_of_service_acceptance": None},
        "customer": None, "customer_account": None, "customer_creation": None, "customer_details": None, "customer_email": None,
        "discounts": [], "expires_at": now_s() + LINK_DAYS * _DAY_S, "integration_identifier": None, "invoice": None,
        "invoice_creation": {
            "enabled": False,
            "invoice_data": {
                "account_tax_ids": None, "custom_fields": None, "description": None, "footer": None, "issuer": None, "metadata": {},
                "rendering_options": None,
            },
        },
        "livemode": False, "locale": None, "managed_payments": {"enabled": False}, "metadata": {}, "origin_context": None,
        "payment_intent": None, "payment_link": None, "payment_method_collection": "if_required",
        "payment_method_configuration_details": None, "payment_method_options": {}, "payment_method_types": ["card"],
        "payment_status": "unpaid", "permissions": None, "phone_number_collection": {"enabled": False}, "recovered_from": None,
        "saved_payment_method_options": None, "setup_intent": None, "shipping_address_collection": None, "shipping_cost": None,
        "shipping_options": [], "status": "open", "submit_type": None, "subscription": None, "success_url": None,
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0}, "ui_mode": "hosted_page", "url": None,
        "wallet_options": None,
    } | fields  # fmt: skip


def make_setup_intent(*, customer: str | None, method: str, metadata: Object) -> Object:
    """A card that was saved."""
    intent_id = new_id("seti")
    return {
        "id": intent_id, "object": "setup_intent", "application": None, "automatic_payment_methods": None, "cancellation_reason": None,
        "client_secret": f"{intent_id}_secret_{new_id('s')[2:]}", "created": now_s(), "customer": customer, "customer_account": None,
        "description": None, "excluded_payment_method_types": None, "flow_directions": None, "last_setup_error": None,
        "latest_attempt": None, "livemode": False, "managed_payments": None, "mandate": None, "metadata": metadata, "next_action": None,
        "on_behalf_of": None, "payment_method": method, "payment_method_configuration_details": None, "payment_method_options": {},
        "payment_method_types": ["card"], "single_use_mandate": None, "status": "succeeded", "usage": "off_session",
    }  # fmt: skip


def make_refund(charge: Object, amount: int, *, metadata: Object, reason: str | None) -> Object:
    """Money on its way back."""
    return {
        "id": new_id("re"), "object": "refund", "amount": amount, "balance_transaction": None, "charge": charge["id"], "created": now_s(),
        "currency": "usd", "customer": charge["customer"], "customer_account": None,
        "destination_details": {"card": {"type": "refund"}, "type": "card"}, "metadata": metadata,
        "payment_intent": charge["payment_intent"], "payment_method": charge["payment_method"], "reason": reason, "receipt_number": None,
        "source_transfer_reversal": None, "status": "succeeded", "transfer_reversal": None,
    }  # fmt: skip


_EVIDENCE = (
    "access_activity_log", "billing_address", "cancellation_policy", "cancellation_policy_disclosure", "cancellation_rebuttal",
    "customer_communication", "customer_email_address", "customer_name", "customer_purchase_ip", "customer_signature",
    "duplicate_charge_documentation", "duplicate_charge_explanation", "duplicate_charge_id", "product_description", "receipt",
    "refund_policy", "refund_policy_disclosure", "refund_refusal_explanation", "service_date", "service_documentation",
    "shipping_address", "shipping_carrier", "shipping_date", "shipping_documentation", "shipping_tracking_number", "uncategorized_file",
    "uncategorized_text",
)  # fmt: skip


def make_dispute(charge: Object, *, reason: str, is_inquiry: bool) -> Object:
    """A cardholder's complaint. An inquiry is a warning that moves no money."""
    case = "inquiry" if is_inquiry else "chargeback"
    return {
        "id": new_id("du"), "object": "dispute", "amount": charge["amount"], "balance_transactions": [], "charge": charge["id"],
        "created": now_s(), "currency": "usd", "enhanced_eligibility_types": [],
        "evidence": dict.fromkeys(_EVIDENCE) | {"enhanced_evidence": {}},
        "evidence_details": {
            "due_by": now_s() + 7 * _DAY_S, "enhanced_eligibility": {}, "has_evidence": False, "past_due": False, "submission_count": 0,
        },
        "is_charge_refundable": is_inquiry, "livemode": False, "metadata": {}, "payment_intent": charge["payment_intent"],
        "payment_method_details": {
            "card": {"brand": "visa", "case_type": case, "network": "visa", "network_reason_code": "10.4"},
            "type": "card",
        },
        "reason": reason, "status": "warning_needs_response" if is_inquiry else "needs_response",
    }  # fmt: skip


def make_event(type_: str, item: Object, *, key: str | None) -> Object:
    """News of an object as it is at this moment."""
    return {
        "id": new_id("evt"), "object": "event", "api_version": None, "created": now_s(), "data": {"object": item}, "livemode": False,
        "pending_webhooks": 1, "request": {"id": new_id("req"), "idempotency_key": key}, "type": type_,
    }  # fmt: skip
