"""What the checks of the books found: every run, what is broken now, and who may not spend because of it."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from accounts.models import Organization


class InvariantRun(models.Model):
    """One check of one invariant. Zero differences is what a status page shows."""

    name = models.CharField(max_length=8, help_text="I1 to I12.")
    is_whole = models.BooleanField(help_text="Everything ever booked, not the last days or a part of the shards.")
    checked_at = models.DateTimeField()
    took_ms = models.IntegerField()
    differences = models.IntegerField()
    off_nanos = models.BigIntegerField(help_text="Sum of the differences in money, nanos (1e-9 USD).")

    class Meta:
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=["name", "-checked_at"], name="billing_invariantrun_latest")]

    def __str__(self) -> str:
        return f"{self.name} at {self.checked_at:%Y-%m-%d %H:%M:%S}: {self.differences} differences"


class Incident(models.Model):
    """A difference that a check found, from then until a check of the same place does not find it any more."""

    invariant = models.CharField(max_length=8)
    subject = models.CharField(max_length=400)
    organization = models.ForeignKey(Organization, null=True, on_delete=models.PROTECT, related_name="+")
    shard = models.SmallIntegerField(null=True)
    is_whole = models.BooleanField(help_text="Found by a check of everything; only such a one can close it.")
    expected = models.BigIntegerField()
    found = models.BigIntegerField()
    unit = models.CharField(max_length=20)
    opened_at = models.DateTimeField()
    seen_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)
    told_at = models.DateTimeField(null=True, help_text="When the operator was mailed.")

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["invariant", "subject"], condition=Q(closed_at__isnull=True), name="billing_incident_open_once"
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["opened_at"], condition=Q(told_at__isnull=True), name="billing_incident_untold"),
            models.Index(fields=["-opened_at"], name="billing_incident_latest"),
        ]

    def __str__(self) -> str:
        return f"{self.invariant} {self.subject}: expected {self.expected:,} {self.unit}, found {self.found:,} {self.unit}"


class AdmissionFreeze(models.Model):
    """New requests of an organization are refused, because the books and the money store disagree about its money."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+")
    reason = models.CharField(max_length=400)
    frozen_at = models.DateTimeField()
    lifted_at = models.DateTimeField(null=True)
    lifted_by = models.CharField(max_length=254, blank=True, default="", help_text="The operator's e-mail.")
    thawed_at = models.DateTimeField(null=True, help_text="When the money store had let the organization spend again.")

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["organization"], condition=Q(lifted_at__isnull=True), name="billing_admissionfreeze_once"),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["organization"], condition=Q(thawed_at__isnull=True), name="billing_admissionfreeze_due"),
        ]

    def __str__(self) -> str:
        return f"organization {self.organization_id} since {self.frozen_at:%Y-%m-%d %H:%M}: {self.reason}"
