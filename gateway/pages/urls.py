"""Addresses of the pages."""

from django.urls import path

from gateway.pages import dashboard, health, keys, landing, requests, site

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
    path("requests/<str:generation>", requests.show_receipt, name="receipt"),
    path("theme", site.change_theme, name="theme"),
    path("healthz", health.alive, name="alive"),
    path("readyz", health.ready, name="ready"),
    path("robots.txt", site.robots, name="robots"),
    path("_design", site.design, name="design"),
]
