"""The books: accounts with two counters that only grow, and the transfers between them. Written by ``billing/books`` alone."""

from typing import ClassVar

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import F, Q

from accounts.models import Organization
from billing.books.chart import CHART, ORGANIZATION_CODES, AccountCode, TransferCode

_ORGANIZATION_CODES = [code.value for code in ORGANIZATION_CODES]


class Account(models.Model):
    """One account of the chart (books/chart.py). A trigger refuses deletion and counters that shrink."""

    code = models.SmallIntegerField(choices=[(code.value, CHART[code].title) for code in AccountCode])
    org = models.ForeignKey(
        Organization, null=True, blank=True, on_delete=models.PROTECT, related_name="+", help_text="Set on customers' accounts only."
    )
    shard = models.SmallIntegerField(default=0, help_text="Ledger shard of a sharded or customer account, else 0.")
    provider = models.TextField(blank=True, default="", help_text="Provider slug of a per-provider account, else ''.")
    debits_nanos = models.BigIntegerField(default=0, help_text="Sum of all debits ever, nanos (1e-9 USD).")
    credits_nanos = models.BigIntegerField(default=0, help_text="Sum of all credits ever, nanos (1e-9 USD).")
    seq = models.BigIntegerField(default=0, help_text="On customer credit: number of the organization's latest balance change.")
    limit_nanos = models.BigIntegerField(
        default=0, help_text="Agreed overdraft of a customer, nanos; verify_ledger reports what is below it."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["org", "code"], condition=Q(org__isnull=False), name="billing_account_customer_once"),
            models.UniqueConstraint(
                fields=["code", "shard", "provider"], condition=Q(org__isnull=True), name="billing_account_system_once"
            ),
            models.CheckConstraint(
                condition=Q(debits_nanos__gte=0) & Q(credits_nanos__gte=0) & Q(limit_nanos__gte=0),
                name="billing_account_counters_not_negative",
            ),
            models.CheckConstraint(
                condition=Q(org__isnull=False, code__in=_ORGANIZATION_CODES) | (Q(org__isnull=True) & ~Q(code__in=_ORGANIZATION_CODES)),
                name="billing_account_customer_has_org",
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["shard"], condition=Q(org__isnull=False), name="billing_account_by_shard"),
        ]

    def __str__(self) -> str:
        owner = f" of organization {self.org_id}" if self.org_id else f" {self.provider}#{self.shard}"
        return f"{self.get_code_display()}{owner}"

    @property
    def balance_nanos(self) -> int:
        """The balance on the account's own side, nanos."""
        net = self.credits_nanos - self.debits_nanos
        return net if CHART[AccountCode(self.code)].side == "credit" else -net


class Transfer(models.Model):
    """An amount moved from one account to another. Never updated, never deleted: a trigger refuses, corrections are new transfers."""

    id = models.UUIDField(primary_key=True, help_text="UUIDv5 of (kind, natural key, leg): a repeat collides by construction.")
    group_id = models.UUIDField(help_text="UUIDv5 of (kind, natural key): legs that belong together.")
    debit_account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+", db_index=False)
    credit_account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+", db_index=False)
    amount_nanos = models.BigIntegerField(help_text="Nanos (1e-9 USD), above zero.")
    code = models.SmallIntegerField(choices=[(code.value, code.name.lower()) for code in TransferCode])
    org_id = models.BigIntegerField(null=True, help_text="The organization concerned; null between system accounts.")
    ref_kind = models.CharField(max_length=32, help_text="What the natural key is: grant, usage, transfer.")
    ref_id = models.CharField(max_length=200, help_text="The natural key.")
    request_hash = models.BinaryField(max_length=32, help_text="SHA-256 of what was asked: a repeat that asks something else is an error.")
    batch_id = models.BigIntegerField(null=True, help_text="UsageBatch of usage and provider cost.")
    lot_id = models.UUIDField(null=True, help_text="CreditLot that promo credit came into or was taken from.")
    actor = models.CharField(max_length=254, help_text="E-mail of who moved it, or 'system'.")
    memo = models.CharField(max_length=500, blank=True, default="", help_text="The reason in words.")
    effective_at = models.DateTimeField(help_text="When it counts from.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=Q(amount_nanos__gt=0), name="billing_transfer_amount_above_zero"),
            models.CheckConstraint(condition=~Q(debit_account=F("credit_account")), name="billing_transfer_between_two_accounts"),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["org_id", "created_at"], name="billing_transfer_by_org"),
            models.Index(fields=["group_id"], name="billing_transfer_by_group"),
            # Appended in the order of time, so a block's range tells enough, and costs next to nothing to keep.
            BrinIndex(fields=["created_at"], name="billing_transfer_by_time"),
            models.Index(fields=["lot_id"], condition=Q(lot_id__isnull=False), name="billing_transfer_by_lot"),
            models.Index(fields=["batch_id"], condition=Q(batch_id__isnull=False), name="billing_transfer_by_batch"),
        ]

    def __str__(self) -> str:
        return f"{self.get_code_display()} {self.amount_nanos} n$ ({self.ref_kind} {self.ref_id})"
