"""Addresses of the catalog's pages."""

from django.urls import path

from catalog import views

urlpatterns = [
    path("models", views.list_models, name="models"),
    path("models/<path:model_id>", views.show_model, name="model"),
]
