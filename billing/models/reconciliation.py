"""Our books beside the bills of others: what was compared, line by line, and what waits for an explanation."""

from typing import ClassVar

from django.db import models
from django.db.models import Q


class Reconciliation(models.Model):
    """One comparison of a source (``stripe``, or a provider's slug) over UTC days."""

    source = models.CharField(max_length=100)
    way = models.CharField(max_length=10, help_text="api or csv.")
    since = models.DateField(help_text="First day.")
    until = models.DateField(help_text="Last day.")
    made_at = models.DateTimeField(auto_now_add=True)
    made_by = models.CharField(max_length=254, help_text="E-mail of who asked for it, or 'system'.")
    booked_nanos = models.BigIntegerField(help_text="What our books say, nanos (1e-9 USD).")
    billed_nanos = models.BigIntegerField(help_text="What the source says, nanos.")
    line_count = models.IntegerField()
    off_count = models.IntegerField(help_text="Lines beyond the tolerance.")

    class Meta:
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=["source", "-made_at"], name="billing_reconciliation_latest")]

    def __str__(self) -> str:
        return f"{self.source} {self.since} to {self.until}: {self.off_count} of {self.line_count} lines off"


class ReconciliationLine(models.Model):
    """One day and model of a provider's bill beside ours. The latest comparison of a day replaces the one before."""

    source = models.CharField(max_length=100)
    day = models.DateField()
    model = models.CharField(max_length=200)
    booked_nanos = models.BigIntegerField()
    billed_nanos = models.BigIntegerField()
    is_off = models.BooleanField(help_text="Beyond the tolerance.")
    reconciliation = models.ForeignKey(Reconciliation, on_delete=models.PROTECT, related_name="lines")

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["source", "day", "model"], name="billing_reconciliationline_once"),
        ]

    def __str__(self) -> str:
        return f"{self.source} {self.day} {self.model}: booked {self.booked_nanos} n$, billed {self.billed_nanos} n$"

    @property
    def drift_nanos(self) -> int:
        """What the source billed beyond our books."""
        return self.billed_nanos - self.booked_nanos


class SuspenseItem(models.Model):
    """A difference between our books and a source that nobody has explained. Closed when they agree, or accepted by an operator."""

    source = models.CharField(max_length=100)
    key = models.CharField(max_length=300, help_text="Stripe's id of the movement, or day and model of a bill.")
    subject = models.CharField(max_length=400)
    booked_nanos = models.BigIntegerField()
    billed_nanos = models.BigIntegerField()
    group_id = models.UUIDField(null=True, help_text="The transfers that hold it on the suspense account.")
    opened_at = models.DateTimeField()
    seen_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)
    closed_by = models.CharField(max_length=254, blank=True, default="", help_text="E-mail of who accepted it, or 'system'.")

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["source", "key"], condition=Q(closed_at__isnull=True), name="billing_suspenseitem_open_once"),
        ]

    def __str__(self) -> str:
        return f"{self.source} {self.subject}: booked {self.booked_nanos:,} n$, billed {self.billed_nanos:,} n$"

    @property
    def off_nanos(self) -> int:
        """What the source says beyond our books."""
        return self.billed_nanos - self.booked_nanos
