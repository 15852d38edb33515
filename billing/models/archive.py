"""Days of usage that were exported to files and dropped: where each is, and the sums that the books still prove themselves by."""

from typing import ClassVar

from django.db import models
from django.db.models import Q


class UsageArchive(models.Model):
    """One UTC day of usage rows in a file. Written in the transaction that dropped the day's partition, after the file was read back."""

    day = models.DateField(primary_key=True, help_text="UTC day inside the event ids.")
    file = models.CharField(max_length=100, help_text="Name of the file in USAGE_ARCHIVE_DIR: every column as CSV with a header, gzipped.")
    sha256 = models.CharField(max_length=64, help_text="Of the file's bytes, hexadecimal.")
    size_bytes = models.BigIntegerField()
    rows = models.BigIntegerField(help_text="Rows in the file; a request with a late settlement has two.")
    amount_nanos = models.BigIntegerField(help_text="Sum over the rows, nanos (1e-9 USD).")
    cost_nanos = models.BigIntegerField(help_text="Sum over the rows, nanos, those of simulated requests included.")
    archived_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.day}: {self.rows} rows in {self.file}"


class UsageArchiveBatch(models.Model):
    """What a batch had charged an organization for an archived day: with it, transfers are compared with usage for ever (I3)."""

    pk = models.CompositePrimaryKey("batch_id", "org_id", "day")
    batch_id = models.BigIntegerField()
    org_id = models.BigIntegerField()
    day = models.DateField()
    rows = models.BigIntegerField()
    amount_nanos = models.BigIntegerField()

    def __str__(self) -> str:
        return f"batch {self.batch_id} organization {self.org_id} {self.day}: {self.amount_nanos} n$"


class UsageArchiveSum(models.Model):
    """Sums of an archived day by who, what and when it was posted: statements of its months stay as they were."""

    pk = models.CompositePrimaryKey("org_id", "posted_on", "day", "key_id", "model", "provider")
    org_id = models.BigIntegerField()
    posted_on = models.DateField(help_text="UTC day of the batches.")
    day = models.DateField(help_text="UTC day inside the event ids.")
    key_id = models.BigIntegerField()
    model = models.TextField()
    provider = models.TextField()
    requests = models.BigIntegerField()
    amount_nanos = models.BigIntegerField()
    cost_nanos = models.BigIntegerField(help_text="Owed to the provider; simulated requests cost nothing.")
    tokens_in = models.BigIntegerField()
    tokens_out = models.BigIntegerField()

    class Meta:
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=["day"], name="billing_usagearchivesum_by_day")]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=Q(requests__gte=0), name="billing_usagearchivesum_requests_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.day} organization {self.org_id} {self.model}: {self.amount_nanos} n$"
