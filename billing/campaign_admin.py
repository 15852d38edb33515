"""The operator's page of campaign codes: make one, change its limits, see who redeemed it."""

from typing import Any, ClassVar, cast

from django import forms
from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest

from accounts import audit
from accounts.models import User  # noqa: TC001 -- named in cast
from billing.admin_tables import ReadOnlyAdmin
from billing.books.transfers import AMOUNT_MAX_NANOS
from billing.models import Campaign, CodeRedemption
from billing.money import NANOS_PER_CENT
from billing.purchases import fees
from billing.purchases.fees import BadAmount, dollars


class CampaignForm(forms.ModelForm):  # type: ignore[type-arg]  # not subscriptable at run time
    """A campaign, with its amount in dollars."""

    usd = forms.CharField(label="Credit, USD", help_text="For each redemption, whole cents.")

    class Meta:
        model = Campaign
        fields: ClassVar[list[str]] = [
            *("code", "name", "reason", "credit_days", "ends_at", "redemptions_max", "per_organization_max", "per_network_max", "is_open"),
        ]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.initial["usd"] = dollars(self.instance.amount_cents)

    def clean_code(self) -> str:
        """Return the code as it is kept."""
        return str(self.cleaned_data["code"]).strip().upper()

    def clean_usd(self) -> int:
        """Return cents."""
        try:
            cents = fees.read_cents(self.cleaned_data["usd"])
        except BadAmount as bad:
            raise forms.ValidationError(str(bad)) from None
        if not 0 < cents <= AMOUNT_MAX_NANOS // NANOS_PER_CENT:
            raise forms.ValidationError("An amount is above zero.")
        return cents

    def save(self, commit: bool = True) -> Any:  # noqa: FBT001, FBT002 -- Django's signature
        """Set the amount."""
        self.instance.amount_cents = self.cleaned_data["usd"]
        return super().save(commit)

    def _post_clean(self) -> None:
        # The model's own checks look at the amount too.
        self.instance.amount_cents = self.cleaned_data.get("usd") or self.instance.amount_cents or 1
        super()._post_clean()  # type: ignore[misc]  # Django's, and not in its stubs


@admin.register(Campaign)
class CampaignAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # not subscriptable at run time
    """Codes are made and changed; one that was handed out is switched off and never deleted."""

    form = CampaignForm
    fields = (
        *("code", "name", "reason", "usd", "credit_days", "ends_at"),
        *("redemptions_max", "per_organization_max", "per_network_max", "is_open"),
    )
    list_display = (
        "code",
        "name",
        "amount",
        "redeemed",
        "redemptions_max",
        "credit_days",
        "ends_at",
        "is_open",
        "created_by",
        "created_at",
    )
    list_filter = ("is_open", "name")
    search_fields = ("code", "name", "reason")
    ordering = ("-pk",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Campaign]:
        """Count each campaign's redemptions."""
        found: QuerySet[Campaign] = super().get_queryset(request)
        return found.annotate(redeemed=Count("redemptions"))

    def has_delete_permission(self, request: HttpRequest, obj: Campaign | None = None) -> bool:  # noqa: ARG002 -- Django's signature
        return False

    def save_model(self, request: HttpRequest, obj: Campaign, form: Any, change: bool) -> None:  # noqa: FBT001 -- Django's signature
        """Note who made it."""
        by = cast("User", request.user)
        if not change:
            obj.created_by = audit.name_actor(by)
        super().save_model(request, obj, form, change)
        detail = {"code": obj.code, "changed": sorted(form.changed_data)}
        audit.record(organization_id=None, by=by, action="campaign.saved", target=obj.name, detail=detail)

    @admin.display(description="Credit")
    def amount(self, campaign: Campaign) -> str:
        return dollars(campaign.amount_cents)

    @admin.display(description="Redeemed", ordering="redeemed")
    def redeemed(self, campaign: Any) -> int:
        return int(campaign.redeemed)


@admin.register(CodeRedemption)
class CodeRedemptionAdmin(ReadOnlyAdmin):
    """Who redeemed what."""

    list_display = ("created_at", "campaign", "organization", "user", "amount")
    list_filter = ("campaign",)
    search_fields = ("organization__public_id", "organization__name", "user__email", "campaign__code")
    list_select_related = ("campaign", "organization", "user")
    ordering = ("-id",)

    @admin.display(description="Granted")
    def amount(self, redemption: CodeRedemption) -> str:
        return dollars(redemption.amount_nanos // NANOS_PER_CENT)
