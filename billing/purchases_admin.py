"""The operator's pages about purchases: what Stripe and customers did, refunds that customers cannot make themselves, freezes."""

from typing import cast

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from accounts.models import User  # noqa: TC001 -- named in cast
from billing import refund_admin
from billing.admin_tables import ReadOnlyAdmin
from billing.models import Dispute, PaymentProfile, Purchase, Refund, StripeEvent
from billing.purchases import disputes, fulfilment, refunds, stripe_api
from billing.purchases.fees import dollars
from billing.purchases.refunds import NotRefundable


@admin.register(Purchase)
class PurchaseAdmin(ReadOnlyAdmin):
    list_display = (
        *("created_at", "organization", "state", "receipt_number", "credit", "fee", "total", "refunded"),
        *("paid_with", "kind", "asked_by", "failure"),
    )
    list_filter = ("state", "kind")
    search_fields = ("organization__name", "organization__public_id", "=number", "=session", "=payment_intent", "=charge", "asked_by")
    list_select_related = ("organization",)
    ordering = ("-id",)
    actions = ("refund_part", "refund_rest", "ask_stripe")

    def has_refund_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("billing.change_purchase"))

    @admin.action(description="Refund a part of one purchase …", permissions=["refund"])
    def refund_part(self, request: HttpRequest, purchases: QuerySet[Purchase]) -> HttpResponse | None:
        chosen = list(purchases.select_related("organization")[:2])
        if len(chosen) != 1:
            self.message_user(request, "Choose one purchase to refund a part of it.", messages.ERROR)
            return None
        return refund_admin.ask(request, chosen[0], by=cast("User", request.user), model_admin=self)

    @admin.action(description="Refund what is left of the credit, spent or not", permissions=["refund"])
    def refund_rest(self, request: HttpRequest, purchases: QuerySet[Purchase]) -> None:
        for purchase in purchases.select_related("organization"):
            try:
                refund = refunds.ask(purchase=purchase, by=cast("User", request.user), as_operator=True, reason="by an operator")
            except (NotRefundable, stripe_api.NotConfigured) as error:
                self.message_user(request, f"{purchase.organization}, {purchase.receipt_number or purchase.pk}: {error}", messages.ERROR)
            else:
                self.message_user(request, f"{purchase.organization}, {purchase.receipt_number}: {dollars(refund.total_cents)} refunded.")

    @admin.action(description="Ask Stripe what became of it", permissions=["refund"])
    def ask_stripe(self, request: HttpRequest, purchases: QuerySet[Purchase]) -> None:
        for purchase in purchases.exclude(session=None):
            try:
                fulfilment.fulfil_session(purchase.session or "")
            except (stripe_api.StripeDown, stripe_api.StripeRefused, stripe_api.NotConfigured) as error:
                self.message_user(request, f"{purchase.pk}: {error}", messages.ERROR)
                return
        self.message_user(request, "Asked; the states below are Stripe's.")

    @admin.display(description="Credit")
    def credit(self, purchase: Purchase) -> str:
        return dollars(purchase.credit_cents)

    @admin.display(description="Fee")
    def fee(self, purchase: Purchase) -> str:
        return dollars(purchase.fee_cents)

    @admin.display(description="Total")
    def total(self, purchase: Purchase) -> str:
        return dollars(purchase.total_cents)

    @admin.display(description="Refunded")
    def refunded(self, purchase: Purchase) -> str:
        return dollars(purchase.refunded_cents)


@admin.register(Refund)
class RefundAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "purchase", "state", "credit", "total", "stripe_refund", "reason", "failure", "asked_by")
    list_filter = ("state",)
    search_fields = ("=stripe_refund", "purchase__organization__public_id", "=purchase__number")
    list_select_related = ("purchase",)
    ordering = ("-id",)

    @admin.display(description="Credit taken")
    def credit(self, refund: Refund) -> str:
        return dollars(refund.credit_cents)

    @admin.display(description="Money sent back")
    def total(self, refund: Refund) -> str:
        return dollars(refund.total_cents)


@admin.register(Dispute)
class DisputeAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "organization", "purchase", "status", "reason", "amount", "is_open", "stripe_dispute")
    list_filter = ("is_open", "status")
    search_fields = ("=stripe_dispute", "purchase__organization__public_id", "purchase__organization__name")
    list_select_related = ("purchase__organization",)
    ordering = ("-id",)

    @admin.display(description="Organization")
    def organization(self, dispute: Dispute) -> str:
        return str(dispute.purchase.organization)

    @admin.display(description="Amount")
    def amount(self, dispute: Dispute) -> str:
        return dollars(dispute.amount_cents)


@admin.register(PaymentProfile)
class PaymentProfileAdmin(ReadOnlyAdmin):
    list_display = ("organization", "stripe_customer", "company_name", "country", "tax_id", "billing_email", "card_last4", "frozen_at")
    list_filter = (("frozen_at", admin.EmptyFieldListFilter),)
    search_fields = ("organization__name", "organization__public_id", "=stripe_customer", "company_name", "billing_email")
    list_select_related = ("organization",)
    actions = ("lift_freeze",)

    def has_thaw_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("billing.change_paymentprofile"))

    @admin.action(description="Let it buy again after a dispute", permissions=["thaw"])
    def lift_freeze(self, request: HttpRequest, profiles: QuerySet[PaymentProfile]) -> None:
        for profile in profiles.select_related("organization"):
            disputes.lift_freeze(organization=profile.organization, by=cast("User", request.user))
        self.message_user(request, "They may buy and refund again.")


@admin.register(StripeEvent)
class StripeEventAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "type", "object_id", "processed_at", "attempts", "next_attempt_at", "error", "event_id")
    list_filter = (("processed_at", admin.EmptyFieldListFilter), "type")
    search_fields = ("=event_id", "=object_id")
    ordering = ("-id",)
