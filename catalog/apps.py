"""App config."""

from django.apps import AppConfig


class CatalogConfig(AppConfig):
    """Models, endpoints, providers, prices."""

    name = "catalog"
