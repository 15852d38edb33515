"""App config."""

from typing import Any

from django.apps import AppConfig


class GatewayConfig(AppConfig):
    """Wiring and the data plane."""

    name = "gateway"

    def ready(self) -> None:
        """Register the system checks, and connect what the apps announce with the open pages of the organizations concerned."""
        from accounts.signals import key_changed  # noqa: PLC0415 -- signals exist once the apps are loaded
        from billing.signals import credit_changed, usage_booked  # noqa: PLC0415
        from gateway import celery, checks, repricing  # noqa: F401, PLC0415 -- the broker of tasks and the checks register themselves

        repricing.register_invariant()
        usage_booked.connect(_refresh_after_usage, dispatch_uid="gateway.live.usage")
        credit_changed.connect(_refresh_after_credit, dispatch_uid="gateway.live.credit")
        key_changed.connect(_refresh_after_key_change, dispatch_uid="gateway.live.keys")


def _refresh_after_usage(org_ids: set[int], **_kwargs: Any) -> None:
    from gateway import live  # noqa: PLC0415 -- imports models

    live.notify(org_ids)


def _refresh_after_credit(organization_id: int, **_kwargs: Any) -> None:
    from gateway import live  # noqa: PLC0415 -- imports models

    live.notify([organization_id])


def _refresh_after_key_change(api_key: Any, **_kwargs: Any) -> None:
    from gateway import live  # noqa: PLC0415 -- imports models

    live.notify([api_key.organization_id])
