"""App config."""

from django.apps import AppConfig


class GatewayConfig(AppConfig):
    """Wiring and the data plane."""

    name = "gateway"
