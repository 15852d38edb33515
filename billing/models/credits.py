"""Credit that was given away: each grant a lot with what has become of it, and who has had the sign-up credit."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from accounts.models import Organization

_IS_OPEN = Q(amount_nanos__gt=F("spent_nanos") + F("expired_nanos") + F("taken_back_nanos"))


class CreditLot(models.Model):
    """One grant of promo credit. Its counters only grow and are the sums of the transfers that name it; a trigger refuses the rest.

    Written by ``billing/books`` alone, by whoever holds the lock of the organization's promo account.
    """

    id = models.UUIDField(primary_key=True, help_text="The grant's group, or made from the charge that came back.")
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+")
    amount_nanos = models.BigIntegerField(help_text="What was granted, nanos (1e-9 USD).")
    spent_nanos = models.BigIntegerField(default=0, help_text="Charged for usage.")
    expired_nanos = models.BigIntegerField(default=0, help_text="Taken because its time was over.")
    taken_back_nanos = models.BigIntegerField(default=0, help_text="Taken by a correction.")
    expires_at = models.DateTimeField(null=True, blank=True, help_text="Null never expires.")
    campaign = models.CharField(max_length=60, blank=True, default="", help_text="What it was granted for: sign-up, spring-2027, ''.")
    reason = models.CharField(max_length=500, blank=True, default="", help_text="In words that the customer reads.")
    granted_by = models.CharField(max_length=254, help_text="E-mail of who granted it, or 'system'.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(
                condition=Q(amount_nanos__gt=0, spent_nanos__gte=0, expired_nanos__gte=0, taken_back_nanos__gte=0),
                name="billing_creditlot_amounts_not_negative",
            ),
            models.CheckConstraint(
                condition=Q(amount_nanos__gte=F("spent_nanos") + F("expired_nanos") + F("taken_back_nanos")),
                name="billing_creditlot_never_overdrawn",
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["organization", "created_at"], name="billing_creditlot_by_org"),
            models.Index(fields=["organization"], condition=_IS_OPEN, name="billing_creditlot_open"),
            models.Index(fields=["expires_at"], condition=_IS_OPEN & Q(expires_at__isnull=False), name="billing_creditlot_expiring"),
        ]

    def __str__(self) -> str:
        return f"grant of {self.amount_nanos} n$ to organization {self.organization_id}"

    @property
    def left_nanos(self) -> int:
        """What is still there, nanos."""
        return self.amount_nanos - self.spent_nanos - self.expired_nanos - self.taken_back_nanos


class SignupCreditState(models.TextChoices):
    """What became of a person's sign-up credit."""

    WAITING = "waiting", "Waits for a free place"
    GRANTED = "granted", "Granted"
    REFUSED = "refused", "Refused"


class SignupCredit(models.Model):
    """One person's claim to the credit for signing up, made when the mail address is verified. Once per person and per mailbox."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    organization = models.ForeignKey(Organization, null=True, on_delete=models.SET_NULL, related_name="+")
    mailbox_hash = models.CharField(
        max_length=64, unique=True, help_text="Keyed hash of the address without tags and dots: the same mailbox has it once, for ever."
    )
    network_hash = models.CharField(max_length=64, blank=True, default="", help_text="Keyed hash of the network that verified it.")
    domain = models.CharField(max_length=253)
    state = models.CharField(max_length=10, choices=SignupCreditState.choices)
    reason = models.CharField(max_length=100, blank=True, default="", help_text="Why it waits or was refused.")
    amount_nanos = models.BigIntegerField(default=0, help_text="What was granted, nanos (1e-9 USD).")
    created_at = models.DateTimeField(auto_now_add=True)
    granted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["granted_at"], condition=Q(state="granted"), name="billing_signupcredit_granted"),
            models.Index(fields=["created_at"], condition=Q(state="waiting"), name="billing_signupcredit_waiting"),
        ]

    def __str__(self) -> str:
        return f"sign-up credit at {self.domain}: {self.state}"
