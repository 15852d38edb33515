"""Addresses that other services call."""

from django.urls import path

from billing.purchases import views

urlpatterns = [path("webhooks/stripe", views.receive_stripe_event, name="stripe_webhook")]
