"""App config."""

from django.apps import AppConfig


class BillingConfig(AppConfig):
    """Money."""

    name = "billing"

    def ready(self) -> None:
        """Listen for changed keys, booked usage and verified addresses."""
        from allauth.account.signals import email_confirmed  # noqa: PLC0415

        from accounts.signals import key_changed  # noqa: PLC0415 -- models are not loaded before ready()
        from billing import limits, signup_credit  # noqa: PLC0415
        from billing.purchases import watch  # noqa: PLC0415
        from billing.signals import usage_booked  # noqa: PLC0415

        key_changed.connect(limits.on_key_changed, dispatch_uid="billing.limits")
        email_confirmed.connect(signup_credit.on_email_confirmed, dispatch_uid="billing.signup_credit")
        usage_booked.connect(watch.on_usage_booked, dispatch_uid="billing.purchases.watch")
