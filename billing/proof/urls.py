"""Addresses of the operator's pages of the books."""

from django.urls import path

from billing.proof import views

urlpatterns = [
    path("books", views.show_books, name="operator_books"),
    path("books/freezes/<str:public_id>/lift", views.lift_freeze, name="lift_freeze"),
    path("metrics", views.show_metrics, name="metrics"),
]
