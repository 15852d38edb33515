"""Campaign codes: what an operator hands out, who redeemed it, and wrong codes that were tried."""

from typing import ClassVar

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q

from accounts.models import Organization


class Campaign(models.Model):
    """A code that gives credit. Amount and days are those of the moment it is redeemed; what was granted stays."""

    code = models.CharField(
        max_length=40,
        unique=True,
        validators=[RegexValidator(r"^[A-Z0-9][A-Z0-9-]{4,38}[A-Z0-9]$", "Six to forty capital letters, digits and hyphens.")],
        help_text="Capital letters, digits, hyphens, at least six. People may type it in small letters. Short ones are guessed.",
    )
    name = models.SlugField(max_length=60, help_text="What grants and reports call it, such as spring-2027.")
    reason = models.CharField(max_length=200, help_text="In words that the customer reads, such as 'Spring offer'.")
    amount_cents = models.BigIntegerField(help_text="Credit for each redemption, whole cents.")
    credit_days = models.PositiveIntegerField(default=90, help_text="The credit expires so many days after it is redeemed; 0 never.")
    ends_at = models.DateTimeField(null=True, blank=True, help_text="The code is taken until then; empty: until it is switched off.")
    redemptions_max = models.PositiveIntegerField(default=100, help_text="Times in all; 0 is no limit.")
    per_organization_max = models.PositiveSmallIntegerField(default=1, help_text="Times for one organization, and for one person.")
    per_network_max = models.PositiveSmallIntegerField(default=3, help_text="Times from one network (/24, /48) in 24 hours; 0 is no limit.")
    is_open = models.BooleanField(default=True, help_text="Off: nobody redeems it any more. What was granted stays.")
    created_by = models.CharField(max_length=254)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=Q(amount_cents__gt=0), name="billing_campaign_amount_above_zero"),
            models.CheckConstraint(condition=Q(per_organization_max__gte=1), name="billing_campaign_once_at_least"),
        ]

    def __str__(self) -> str:
        return self.code


class CodeRedemption(models.Model):
    """A code that was redeemed. Addresses and networks are kept as keyed hashes."""

    id = models.UUIDField(primary_key=True, help_text="UUIDv7, from the form: a form sent twice redeems once.")
    campaign = models.ForeignKey(Campaign, on_delete=models.PROTECT, related_name="redemptions")
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    mailbox_hash = models.CharField(max_length=64)
    network_hash = models.CharField(max_length=64, blank=True, default="")
    amount_nanos = models.BigIntegerField(help_text="What was granted, nanos (1e-9 USD).")
    lot_id = models.UUIDField(help_text="The CreditLot.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["campaign", "organization"], name="billing_coderedemption_org"),
            models.Index(fields=["campaign", "mailbox_hash"], name="billing_coderedemption_mailbox"),
            models.Index(fields=["campaign", "network_hash", "created_at"], name="billing_coderedemption_network"),
        ]

    def __str__(self) -> str:
        return f"{self.campaign_id} by organization {self.organization_id}"


class CodeMiss(models.Model):
    """A code that does not exist, tried by a person. Too many within an hour, and the person has to wait."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=["user", "created_at"], name="billing_codemiss_recent")]

    def __str__(self) -> str:
        return f"wrong code by user {self.user_id}"
