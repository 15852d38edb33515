"""What leaves the books for the money store, and what could not enter the books."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from accounts.models import Organization


class BalanceChange(models.Model):
    """A change of an organization's balance other than usage, in the order in which the money store must apply it.

    Written in the transaction that moved the money. Kept: the sum up to a sequence number is what the organization was ever credited.
    A trigger refuses every change but ``published_at``.
    """

    org = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+", db_index=False)
    seq = models.BigIntegerField(help_text="1, 2, 3, … per organization, without gaps.")
    amount_nanos = models.BigIntegerField(help_text="Signed, nanos (1e-9 USD).")
    group_id = models.UUIDField(help_text="The transfers that moved it.")
    created_at = models.DateTimeField(auto_now_add=True)
    published_at = models.DateTimeField(null=True, blank=True, help_text="When the money store had applied it.")

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["org", "seq"], name="billing_balancechange_seq_once"),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["org", "seq"], condition=Q(published_at__isnull=True), name="billing_balancechange_pending"),
        ]

    def __str__(self) -> str:
        return f"organization {self.org_id} change {self.seq}: {self.amount_nanos:+d} n$"


class SettlementDeadLetter(models.Model):
    """A stream entry that the books refused, with its bytes. Its money stays in the live balance's ``unposted`` until it is dealt with."""

    shard = models.SmallIntegerField()
    src = models.TextField(unique=True, help_text="<epoch>:<stream id>.")
    event_hex = models.CharField(max_length=64, blank=True, default="", help_text="The event's id.")
    org_id = models.BigIntegerField(default=0, help_text="Whose live balance was charged, as the entry says it.")
    key_id = models.BigIntegerField(default=0)
    amount_nanos = models.BigIntegerField(default=0, help_text="What the money store had charged, nanos (1e-9 USD).")
    event = models.BinaryField(help_text="The entry as it was read.")
    reason = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)
    resolved_at = models.DateTimeField(null=True, blank=True, help_text="When an operator had dealt with it; null is open.")
    resolved_by = models.CharField(max_length=254, blank=True, default="", help_text="The operator's e-mail.")
    returned_at = models.DateTimeField(null=True, blank=True, help_text="When the charge was given back to the live balance.")

    def __str__(self) -> str:
        return f"{self.src} on shard {self.shard}: {self.reason}"
