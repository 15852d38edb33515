"""App config."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """People, organizations, keys."""

    name = "accounts"
