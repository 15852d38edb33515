"""What was used: one row per settled request (the receipts), hourly sums for ever, and the batches that booked them."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now


class UsageBatch(models.Model):
    """One settlement transaction: its events, transfers and rollups carry this id and committed together."""

    shard = models.SmallIntegerField()
    events = models.IntegerField(help_text="Usage rows that this batch added.")
    duplicates = models.IntegerField(help_text="Stream entries whose event was booked before.")
    amount_nanos = models.BigIntegerField(help_text="Charged to customers, nanos (1e-9 USD), net of returns.")
    cost_nanos = models.BigIntegerField(help_text="Owed to providers, nanos, net of returns; simulated requests cost nothing.")
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"batch {self.pk} of shard {self.shard}: {self.events} events"


class UsageEvent(models.Model):
    """One settled request as ``billing.types.UsageEvent`` carries it. Partitioned by UTC day; append-only by trigger.

    ``part`` is 0, or 1 for the difference of a late settlement to the row that the reaper had booked as 'expired': the receipt is
    their sum. The primary key begins with the organization and a time-sortable id, so it also serves "latest requests".
    Books know neither models nor tokens: slugs are text and no foreign keys leave this table.
    """

    pk = models.CompositePrimaryKey("org_id", "event_id", "day", "part")
    org_id = models.BigIntegerField()
    event_id = models.UUIDField(help_text="UUIDv7 minted by the data plane; public as gen-<hex>.")
    day = models.DateField(help_text="UTC day inside the event id: the partition.")
    part = models.SmallIntegerField(default=0)
    src = models.TextField(help_text="Stream entry that brought it, <epoch>:<id>: tells a redelivery from a second charge.")
    batch_id = models.BigIntegerField(help_text="UsageBatch that booked it.")
    shard = models.SmallIntegerField()
    key_id = models.BigIntegerField()
    amount_nanos = models.BigIntegerField(help_text="Charged to the customer, nanos; may be negative in part 1.")
    amount_picos = models.BigIntegerField(help_text="The same before its one rounding, picos (1e-12 USD).")
    cost_nanos = models.BigIntegerField(help_text="What the provider charges us, nanos; may be negative in part 1.")
    hold_nanos = models.BigIntegerField(help_text="What was held for the request.")
    status = models.TextField(help_text="ok, error, cancelled, expired.")
    api_type = models.TextField()
    model = models.TextField()
    requested_model = models.TextField()
    provider = models.TextField()
    provider_name = models.TextField()
    endpoint_id = models.TextField()
    price_version_id = models.BigIntegerField()
    meters = models.JSONField(help_text="Disjoint counts by meter name.")
    started_at_ms = models.BigIntegerField(help_text="Unix milliseconds.")
    latency_ms = models.BigIntegerField(help_text="To the first byte of the answer.")
    generation_ms = models.BigIntegerField(help_text="From the first to the last byte.")
    streamed = models.BooleanField()
    is_estimate = models.BooleanField(help_text="The provider reported no usage; the counts were estimated.")
    simulated = models.BooleanField(help_text="Answered by the simulated provider, which costs nothing.")
    service_tier = models.TextField()
    finish_reason = models.TextField()
    native_finish_reason = models.TextField()
    http_status = models.SmallIntegerField()
    error_type = models.TextField()
    upstream_id = models.TextField()
    external_user = models.TextField()
    session_id = models.TextField()
    app_referer = models.TextField()
    app_title = models.TextField()
    user_agent = models.TextField()
    attempts = models.JSONField(help_text="List of billing.types.AttemptRecord.")
    created_at = models.DateTimeField(help_text="The moment inside the event id.")
    booked_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=Q(part__in=[0, 1]), name="billing_usageevent_part_known"),
            models.CheckConstraint(
                condition=Q(part=1) | (Q(amount_nanos__gte=0) & Q(cost_nanos__gte=0)), name="billing_usageevent_amount_not_negative"
            ),
            models.CheckConstraint(
                # 500 picos are half a nano, the rounding of one amount; a difference of two amounts may carry twice that.
                condition=Q(
                    amount_picos__gte=F("amount_nanos") * 1000 - 500 * (F("part") + 1),
                    amount_picos__lte=F("amount_nanos") * 1000 + 500 * (F("part") + 1),
                ),
                name="billing_usageevent_rounded_once",
            ),
        ]

    def __str__(self) -> str:
        return f"gen-{self.event_id.hex} {self.amount_nanos} n$"


class UsageRollup(models.Model):
    """Sums per hour, kept for ever; committed in the same transaction as the events they sum."""

    pk = models.CompositePrimaryKey("org_id", "key_id", "hour", "model", "provider")
    org_id = models.BigIntegerField()
    key_id = models.BigIntegerField()
    model = models.TextField()
    provider = models.TextField()
    hour = models.DateTimeField(help_text="Start of the UTC hour inside the event ids.")
    requests = models.BigIntegerField()
    amount_nanos = models.BigIntegerField()
    cost_nanos = models.BigIntegerField()
    input_tokens = models.BigIntegerField()
    output_tokens = models.BigIntegerField()

    class Meta:
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=["hour"], name="billing_usagerollup_by_hour")]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}:00 organization {self.org_id} {self.model}: {self.amount_nanos} n$"
