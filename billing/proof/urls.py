"""Addresses of the operator's pages of the books."""

from django.urls import path

from billing.margin import views as margin
from billing.proof import views
from billing.reconciliation import views as reconciliation

urlpatterns = [
    path("books", views.show_books, name="operator_books"),
    path("books/freezes/<str:public_id>/lift", views.lift_freeze, name="lift_freeze"),
    path("reconciliation", reconciliation.show_reconciliation, name="operator_reconciliation"),
    path("reconciliation/compare", reconciliation.compare_now, name="compare_now"),
    path("reconciliation/items/<int:item_id>/accept", reconciliation.accept_item, name="accept_item"),
    path("margin", margin.show_margin, name="operator_margin"),
    path("metrics", views.show_metrics, name="metrics"),
]
