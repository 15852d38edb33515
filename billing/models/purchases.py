"""Buying credit: who pays and how, each purchase with its refunds and disputes, Stripe's news, and the mails that follow from them.

Amounts are whole cents here, because that is what Stripe moves; the books have the same amounts in nanos.
"""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from accounts.models import Organization


class PurchaseKind(models.TextChoices):
    """How a purchase began."""

    CHECKOUT = "checkout", "Checkout"
    AUTO = "auto", "Auto top-up"


class PurchaseState(models.TextChoices):
    """Where a purchase is. Only ``paid`` gave credit; it is final, as are ``failed``, ``expired`` and ``declined``."""

    OPEN = "open", "Open"  # the customer is at Checkout
    CHARGING = "charging", "Charging"  # a saved card is being charged
    PROCESSING = "processing", "Processing"  # a transfer is on its way
    PAID = "paid", "Paid"
    DECLINED = "declined", "Declined"
    NEEDS_ACTION = "needs_action", "Needs confirmation"  # the bank wants to see the customer
    EXPIRED = "expired", "Expired"
    FAILED = "failed", "Failed"
    REVIEW = "review", "Under review"  # Stripe's amounts are not ours: nothing was credited


class PaymentProfile(models.Model):
    """One organization as a customer of Stripe: who the invoice is for, the saved card, auto top-up, and whether it is frozen."""

    organization = models.OneToOneField(Organization, on_delete=models.PROTECT, related_name="payment_profile")
    stripe_customer = models.CharField(
        max_length=64, unique=True, null=True, blank=True, help_text="cus_…; null before the first purchase."
    )
    # What stands on receipts.
    company_name = models.CharField(max_length=200, blank=True, default="")
    address = models.TextField(blank=True, default="", help_text="Lines of the postal address.")
    country = models.CharField(max_length=2, blank=True, default="", help_text="ISO 3166 code.")
    postal_code = models.CharField(max_length=20, blank=True, default="")
    tax_id = models.CharField(max_length=50, blank=True, default="")
    tax_id_problem = models.CharField(
        max_length=200, blank=True, default="", help_text="Why Stripe does not take the tax id, '' if it does."
    )
    told_tax_id = models.CharField(
        max_length=100, blank=True, default="", help_text="Kind and value that Stripe was told by us, '' for none."
    )
    is_stripe_behind = models.BooleanField(default=False, help_text="Details have changed and Stripe has not heard of it.")
    billing_email = models.EmailField(blank=True, default="", help_text="Where receipts and warnings go; owners and admins if empty.")
    # The card that auto top-up charges.
    payment_method = models.CharField(max_length=64, blank=True, default="", help_text="pm_…, '' for none.")
    card_brand = models.CharField(max_length=30, blank=True, default="")
    card_last4 = models.CharField(max_length=4, blank=True, default="")
    card_expires = models.CharField(max_length=7, blank=True, default="", help_text="MM/YYYY.")
    # Auto top-up.
    auto_enabled = models.BooleanField(default=False)
    auto_threshold_nanos = models.BigIntegerField(default=0, help_text="Top up when less than this is available, nanos.")
    auto_amount_cents = models.BigIntegerField(default=0, help_text="Credit to buy each time.")
    auto_monthly_cap_cents = models.BigIntegerField(default=0, help_text="Most credit to buy so in one UTC month.")
    auto_failures = models.SmallIntegerField(default=0, help_text="Declines in a row.")
    auto_next_at = models.DateTimeField(null=True, blank=True, help_text="Not before this moment, after a decline.")
    auto_paused_for = models.CharField(
        max_length=30, blank=True, default="", help_text="'', declined, needs_action, runaway, no_card, amount, no_place."
    )
    # Warnings by mail.
    alert_thresholds_nanos = models.JSONField(default=list, blank=True, help_text="Balances below which a mail is sent, nanos, descending.")
    # Disputes.
    frozen_at = models.DateTimeField(null=True, blank=True, help_text="Set while a payment is disputed: nothing is bought or refunded.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(
                condition=Q(auto_threshold_nanos__gte=0, auto_amount_cents__gte=0, auto_monthly_cap_cents__gte=0),
                name="billing_paymentprofile_amounts_not_negative",
            ),
        ]

    def __str__(self) -> str:
        return f"payments of organization {self.organization_id}"


class Purchase(models.Model):
    """One attempt to buy credit, from the button to the receipt. Written before Stripe is asked, so that nothing is asked twice."""

    id = models.UUIDField(primary_key=True, help_text="UUIDv7; in Stripe's metadata and idempotency keys.")
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=10, choices=PurchaseKind.choices)
    state = models.CharField(max_length=15, choices=PurchaseState.choices)
    credit_cents = models.BigIntegerField(help_text="Credit that the customer gets.")
    fee_cents = models.BigIntegerField(help_text="Our fee on top.")
    discount_cents = models.BigIntegerField(default=0, help_text="Taken off by a promotion code.")
    tax_cents = models.BigIntegerField(default=0, help_text="Added by Stripe.")
    refunded_cents = models.BigIntegerField(default=0, help_text="Credit taken back by refunds, those on their way included.")
    card = models.CharField(max_length=64, blank=True, default="", help_text="pm_… that an auto top-up charges.")
    tax_calculation = models.CharField(max_length=64, blank=True, default="", help_text="taxcalc_… of an auto top-up's tax.")
    session = models.CharField(max_length=100, unique=True, null=True, blank=True, help_text="cs_…")
    payment_intent = models.CharField(max_length=64, unique=True, null=True, blank=True, help_text="pi_…")
    charge = models.CharField(max_length=64, blank=True, default="", help_text="ch_…")
    failure = models.CharField(max_length=200, blank=True, default="", help_text="Why it was not paid, in words for the customer.")
    number = models.BigIntegerField(unique=True, null=True, blank=True, help_text="Of the receipt: 1, 2, 3, … without gaps.")
    billed_to = models.JSONField(default=dict, blank=True, help_text="Name, address, tax id and mail as they were when it was paid.")
    paid_with = models.CharField(max_length=60, blank=True, default="", help_text="Such as 'Visa ending in 4242'.")
    asked_by = models.CharField(max_length=254, help_text="E-mail of who bought, or 'system'.")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    paid_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(
                condition=Q(credit_cents__gt=0, fee_cents__gte=0, discount_cents__gte=0, tax_cents__gte=0, refunded_cents__gte=0),
                name="billing_purchase_amounts_not_negative",
            ),
            models.CheckConstraint(condition=Q(refunded_cents__lte=F("credit_cents")), name="billing_purchase_refunded_at_most_once"),
            models.CheckConstraint(
                condition=Q(state="paid", paid_at__isnull=False, number__isnull=False) | (~Q(state="paid") & Q(number__isnull=True)),
                name="billing_purchase_paid_has_number",
            ),
            models.UniqueConstraint(
                fields=["organization"],
                condition=Q(kind="auto", state__in=["charging", "processing"]),
                name="billing_purchase_one_auto_at_once",
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["organization", "-created_at"], name="billing_purchase_by_org"),
            models.Index(
                fields=["updated_at"], condition=Q(state__in=["open", "charging", "processing"]), name="billing_purchase_unsettled"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} of ${self.credit_cents / 100:.2f}: {self.state}"

    @property
    def total_cents(self) -> int:
        """What the customer pays."""
        return self.credit_cents + self.fee_cents - self.discount_cents + self.tax_cents

    @property
    def is_simulated(self) -> bool:
        """Whether no real money was paid: at the simulation, or with Stripe's test keys."""
        return bool(settings.STRIPE_API_URL) or (self.session or "").startswith("cs_test_")

    @property
    def receipt_number(self) -> str:
        """The number as it stands on the receipt, '' before it is paid."""
        return "" if self.number is None else f"{settings.RECEIPT_PREFIX}{self.number:06d}"


class RefundState(models.TextChoices):
    """Where a refund is. The credit is taken when it is asked for and given back if the refund fails."""

    ASKED = "asked", "On its way"
    SUCCEEDED = "succeeded", "Refunded"
    FAILED = "failed", "Failed"


class Refund(models.Model):
    """Money on its way back to the customer, and the credit taken for it."""

    id = models.UUIDField(primary_key=True, help_text="UUIDv7; the idempotency key at Stripe.")
    purchase = models.ForeignKey(Purchase, on_delete=models.PROTECT, related_name="refunds")
    stripe_refund = models.CharField(max_length=64, unique=True, null=True, blank=True, help_text="re_…")
    state = models.CharField(max_length=10, choices=RefundState.choices)
    credit_cents = models.BigIntegerField(help_text="Credit taken back.")
    total_cents = models.BigIntegerField(help_text="Money that goes back: the credit and its share of the tax.")
    group_id = models.UUIDField(help_text="The transfers that took the credit.")
    reason = models.CharField(max_length=200, blank=True, default="")
    failure = models.CharField(max_length=200, blank=True, default="")
    asked_by = models.CharField(max_length=254)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=Q(credit_cents__gte=0, total_cents__gt=0), name="billing_refund_amounts_above_zero"),
        ]

    def __str__(self) -> str:
        return f"refund of ${self.total_cents / 100:.2f}: {self.state}"


class Dispute(models.Model):
    """A cardholder's complaint about a purchase, as Stripe tells it."""

    stripe_dispute = models.CharField(max_length=64, unique=True, help_text="du_…")
    purchase = models.ForeignKey(Purchase, on_delete=models.PROTECT, related_name="disputes")
    status = models.CharField(max_length=40, help_text="Stripe's word, such as needs_response, won, lost.")
    reason = models.CharField(max_length=60, blank=True, default="")
    amount_cents = models.BigIntegerField()
    credit_cents = models.BigIntegerField(default=0, help_text="Credit taken from the customer while it lasts.")
    is_open = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"dispute {self.stripe_dispute}: {self.status}"


class StripeEvent(models.Model):
    """The inbox: each event once, stored before it is answered. It is only a reason to look; the object is fetched again."""

    event_id = models.CharField(max_length=100, unique=True, help_text="evt_…")
    type = models.CharField(max_length=100)
    object_id = models.CharField(max_length=100, blank=True, default="", help_text="Id of the object that it tells of.")
    body = models.JSONField()
    created_at = models.DateTimeField(help_text="When it happened, by Stripe's clock.")
    received_at = models.DateTimeField(auto_now_add=True)
    processed_at = models.DateTimeField(null=True, blank=True)
    attempts = models.SmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(auto_now_add=True)
    error = models.CharField(max_length=500, blank=True, default="", help_text="Why the last attempt failed.")

    class Meta:
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["next_attempt_at"], condition=Q(processed_at__isnull=True), name="billing_stripeevent_waiting"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.event_id}"


class Notice(models.Model):
    """A mail to an organization, once per key: written with what it tells of, sent afterwards."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=40)
    key = models.CharField(max_length=120, help_text="What happens once, such as the purchase's id.")
    context = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    attempts = models.SmallIntegerField(default=0)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["organization", "kind", "key"], name="billing_notice_once"),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["created_at"], condition=Q(sent_at__isnull=True), name="billing_notice_unsent"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} to organization {self.organization_id}"


class LowBalance(models.Model):
    """A threshold that the balance fell below. Deleted when it is above again, so that the next fall is told of again."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+")
    threshold_nanos = models.BigIntegerField()
    crossed_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["organization", "threshold_nanos"], name="billing_lowbalance_once"),
        ]

    def __str__(self) -> str:
        return f"organization {self.organization_id} below {self.threshold_nanos} n$"
