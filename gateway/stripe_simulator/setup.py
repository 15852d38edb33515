"""How the simulated account is set up: what an operator would have clicked together at Stripe. ``account.setup`` changes it."""

from typing import Final

from gateway.stripe_simulator import objects
from gateway.stripe_simulator.account import API_VERSION, Account
from gateway.stripe_simulator.api import route
from gateway.stripe_simulator.store import now_s
from gateway.stripe_simulator.wire import Object, page_of

_REQUIREMENTS: Final[Object] = {
    "alternatives": [], "current_deadline": None, "currently_due": [], "disabled_reason": None, "errors": [], "eventually_due": [],
    "past_due": [], "pending_verification": [],
}  # fmt: skip


@route("GET", "/v1/account")
def read_account(account: Account, fields: Object) -> Object:  # noqa: ARG001
    """Tell who we are and whether we may charge."""
    may_charge = bool(account.setup["charges_enabled"])
    return {
        "id": "acct_simulated", "object": "account", "business_profile": {
            "annual_revenue": None, "estimated_worker_count": None, "mcc": None, "minority_owned_business_designation": None, "name": None,
            "product_description": None, "support_address": None, "support_email": None, "support_phone": None, "support_url": None,
            "url": None,
        },
        "business_type": None, "capabilities": {"card_payments": "active", "transfers": "active"}, "charges_enabled": may_charge,
        "controller": {"type": "account"}, "country": "US", "created": now_s(), "default_currency": "usd", "details_submitted": True,
        "email": "seller@example.com",
        "external_accounts": {"data": [], "has_more": False, "object": "list", "url": "/v1/accounts/acct_simulated/external_accounts"},
        "future_requirements": dict(_REQUIREMENTS), "metadata": {}, "payouts_enabled": may_charge, "requirements": dict(_REQUIREMENTS),
        "settings": {
            "bacs_debit_payments": {}, "branding": {}, "card_issuing": {}, "card_payments": {}, "dashboard": {"timezone": "Etc/UTC"},
            "invoices": {}, "payments": {}, "payouts": {}, "sepa_debit_payments": {},
        },
        "tos_acceptance": {"date": None, "ip": None, "user_agent": None}, "type": "standard",
    }  # fmt: skip


@route("GET", "/v1/webhook_endpoints")
def list_endpoints(account: Account, fields: Object) -> Object:
    """List where events are sent to."""
    url = account.setup["webhook_url"]
    endpoint: Object = {
        "id": "we_simulated", "object": "webhook_endpoint", "api_version": API_VERSION, "application": None, "created": 0,
        "description": None, "enabled_events": account.setup["webhook_events"], "livemode": False, "metadata": {},
        "status": "enabled", "url": url,
    }  # fmt: skip
    return page_of([endpoint] if url else [], fields, url="/v1/webhook_endpoints")


@route("GET", "/v1/billing_portal/configurations")
def list_portals(account: Account, fields: Object) -> Object:
    """List what customers may do in the portal."""
    off = {"enabled": False}
    portal: Object = {
        "id": "bpc_simulated", "object": "billing_portal.configuration", "active": True, "application": None,
        "business_profile": {"headline": None, "privacy_policy_url": None, "terms_of_service_url": None}, "created": 0,
        "default_return_url": None,
        "features": {
            "customer_update": off | {"allowed_updates": []}, "invoice_history": dict(off),
            "payment_method_update": {"enabled": account.setup["portal_cards"], "payment_method_configuration": None},
            "subscription_cancel": off
            | {"cancellation_reason": off | {"options": []}, "mode": "at_period_end", "proration_behavior": "none"},
            "subscription_update": off | {"default_allowed_updates": [], "proration_behavior": "none"},
        },
        "is_default": True, "livemode": False, "login_page": {"enabled": False, "url": None}, "metadata": {}, "name": None, "updated": 0,
    }  # fmt: skip
    return page_of([portal] if account.setup["has_portal"] else [], fields, url="/v1/billing_portal/configurations")


@route("GET", "/v1/tax/settings")
def read_tax_settings(account: Account, fields: Object) -> Object:  # noqa: ARG001
    """Tell whether Stripe Tax can compute anything."""
    is_active = account.setup["tax_is_active"]
    details: Object = {"active": {}} if is_active else {"pending": {"missing_fields": ["head_office"]}}
    return {
        "object": "tax.settings", "defaults": {"provider": "stripe", "tax_behavior": None, "tax_code": "txcd_10000000"},
        "head_office": {"address": objects.NO_ADDRESS | {"country": "US"}} if is_active else None, "livemode": False,
        "status": "active" if is_active else "pending", "status_details": details,
    }  # fmt: skip


@route("GET", "/v1/tax/registrations")
def list_registrations(account: Account, fields: Object) -> Object:
    """List where tax is collected."""
    country = account.setup["tax_registered_in"]
    registration: Object = {
        "id": "taxreg_simulated", "object": "tax.registration", "active_from": 0, "country": country,
        "country_options": {country.lower(): {"state": "CA", "type": "state_sales_tax"}}, "created": 0, "expires_at": None,
        "livemode": False, "status": "active",
    }  # fmt: skip
    return page_of([registration] if country else [], fields, url="/v1/tax/registrations")
