"""Addresses of the catalog's pages."""

from django.urls import path

from catalog import views

urlpatterns = [
    path("sitemap.xml", views.list_pages, name="sitemap"),
    path("models", views.list_models, name="models"),
    path("compare", views.compare_models, name="compare"),
    path("pricing", views.explain_pricing, name="pricing"),
    path("providers/<slug:slug>", views.show_provider, name="provider"),
    path("models/<path:model_id>", views.show_model, name="model"),
]
