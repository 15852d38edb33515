"""App config."""

from django.apps import AppConfig


class BillingConfig(AppConfig):
    """Money."""

    name = "billing"

    def ready(self) -> None:
        """Listen for changed keys."""
        from accounts.signals import key_changed  # noqa: PLC0415 -- models are not loaded before ready()
        from billing import limits  # noqa: PLC0415
        from billing.purchases import watch  # noqa: PLC0415
        from billing.signals import usage_booked  # noqa: PLC0415

        key_changed.connect(limits.on_key_changed, dispatch_uid="billing.limits")
        usage_booked.connect(watch.on_usage_booked, dispatch_uid="billing.purchases.watch")
