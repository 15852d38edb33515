"""Addresses of the pages."""

from django.urls import path

from gateway.pages import billing_details, credit, dashboard, health, keys, landing, purchases, receipts, requests, site

urlpatterns = [
    path("", landing.show_landing, name="landing"),
    path("dashboard", dashboard.show_dashboard, name="dashboard"),
    path("dashboard/balance", dashboard.balance_card, name="balance_card"),
    path("dashboard/steps", dashboard.first_steps, name="first_steps"),
    path("keys", keys.list_keys, name="keys"),
    path("keys/table", keys.keys_table, name="keys_table"),
    path("keys/new", keys.create_key, name="create_key"),
    path("keys/<str:key_hash>", keys.edit_key, name="edit_key"),
    path("keys/<str:key_hash>/switch", keys.switch_key, name="switch_key"),
    path("keys/<str:key_hash>/delete", keys.delete_key, name="delete_key"),
    path("requests", requests.list_requests, name="requests"),
    path("requests/table", requests.requests_table, name="requests_table"),
    path("requests/<str:generation>", receipts.show_receipt, name="receipt"),
    path("requests/<str:generation>/receipt.json", receipts.download_receipt, name="receipt_file"),
    path("credits", credit.show_credits, name="credits"),
    path("credits/balance", credit.credits_balance, name="credits_balance"),
    path("credits/quote", credit.show_quote, name="credits_quote"),
    path("credits/buy", credit.buy, name="buy_credit"),
    path("credits/details", billing_details.edit_details, name="billing_details"),
    path("credits/portal", billing_details.open_portal, name="billing_portal"),
    path("credits/card", billing_details.save_card, name="save_card"),
    path("credits/card/return", billing_details.return_from_stripe, name="card_return"),
    path("credits/card/forget", billing_details.forget_card, name="forget_card"),
    path("credits/purchases", purchases.list_purchases, name="purchases"),
    path("credits/purchases/<uuid:purchase_id>", purchases.show_purchase, name="purchase"),
    path("credits/purchases/<uuid:purchase_id>/state", purchases.purchase_state, name="purchase_state"),
    path("credits/purchases/<uuid:purchase_id>/receipt.pdf", purchases.download_receipt, name="purchase_receipt"),
    path("credits/purchases/<uuid:purchase_id>/resume", purchases.resume_purchase, name="resume_purchase"),
    path("credits/purchases/<uuid:purchase_id>/refund", purchases.refund_purchase, name="refund_purchase"),
    path("theme", site.change_theme, name="theme"),
    path("healthz", health.alive, name="alive"),
    path("readyz", health.ready, name="ready"),
    path("robots.txt", site.robots, name="robots"),
    path("_design", site.design, name="design"),
]
