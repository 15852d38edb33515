"""App config."""

from django.apps import AppConfig


class BillingConfig(AppConfig):
    """Money."""

    name = "billing"
