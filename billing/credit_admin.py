"""The operator's pages about granted credit: what there is, and the form that grants more."""

import datetime as dt
import uuid
from typing import Any, ClassVar, cast

from django import forms
from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone

from accounts.models import User  # noqa: TC001 -- named in cast
from billing.admin_tables import ReadOnlyAdmin
from billing.books import transfers
from billing.models import CreditLot, SignupCredit
from billing.money import NotAnAmount, nanos_from_usd, usd_text


class GrantForm(forms.ModelForm):  # type: ignore[type-arg]  # not subscriptable at run time
    """What an operator chooses. ``grant_key`` makes a form that is sent twice grant once."""

    usd = forms.CharField(label="Amount, USD", help_text="At most nine decimals.")
    days = forms.IntegerField(
        label="Expires after days", min_value=0, initial=lambda: settings.GRANT_DAYS, help_text="0: never. It is spent before other credit."
    )
    grant_key = forms.CharField(widget=forms.HiddenInput, initial=lambda: uuid.uuid4().hex, max_length=40)

    class Meta:
        model = CreditLot
        fields: ClassVar[list[str]] = ["organization", "campaign", "reason"]

    def clean_usd(self) -> int:
        """Return nanos."""
        try:
            nanos = nanos_from_usd(self.cleaned_data["usd"].strip())
        except NotAnAmount as error:
            raise forms.ValidationError(str(error)) from error
        if not 0 < nanos <= transfers.AMOUNT_MAX_NANOS:
            raise forms.ValidationError("An amount is above zero.")
        return nanos

    def clean_reason(self) -> str:
        """Ask for a reason: the customer reads it."""
        reason = str(self.cleaned_data["reason"]).strip()
        if not reason:
            raise forms.ValidationError("Write why; the customer reads it.")
        return reason


@admin.register(CreditLot)
class CreditLotAdmin(ReadOnlyAdmin):
    """Lots are read; adding one grants credit."""

    list_display = ("created_at", "organization", "campaign", "reason", "amount", "spent", "expired", "left", "expires_at", "granted_by")
    list_filter = ("campaign",)
    search_fields = ("organization__public_id", "organization__name", "reason")
    list_select_related = ("organization",)
    ordering = ("-created_at",)
    raw_id_fields = ("organization",)
    form = GrantForm
    fields = ("organization", "usd", "days", "campaign", "reason", "grant_key")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Let those who may change lots grant credit."""
        return bool(request.user.has_perm("billing.add_creditlot"))

    def get_fields(self, request: HttpRequest, obj: CreditLot | None = None) -> Any:  # noqa: ARG002 -- Django's signature
        """Show a lot's own fields once it is there."""
        return self.fields if obj is None else [field.name for field in CreditLot._meta.fields]  # noqa: SLF001 -- Django documents it

    def save_model(self, request: HttpRequest, obj: CreditLot, form: Any, change: bool) -> None:  # noqa: ARG002, FBT001 -- Django's signature
        """Grant instead of saving a row."""
        days = form.cleaned_data["days"]
        group = transfers.grant(
            organization=form.cleaned_data["organization"],
            amount_nanos=form.cleaned_data["usd"],
            reason=form.cleaned_data["reason"],
            idempotency_key=f"operator:{form.cleaned_data['grant_key']}",
            by=cast("User", request.user),
            expires_at=timezone.now() + dt.timedelta(days=days) if days else None,
            campaign=form.cleaned_data["campaign"],
        )
        obj.pk = group.id
        obj.refresh_from_db()

    @admin.display(description="Granted, USD")
    def amount(self, lot: CreditLot) -> str:
        return usd_text(lot.amount_nanos)

    @admin.display(description="Spent, USD")
    def spent(self, lot: CreditLot) -> str:
        return usd_text(lot.spent_nanos)

    @admin.display(description="Expired, USD")
    def expired(self, lot: CreditLot) -> str:
        return usd_text(lot.expired_nanos)

    @admin.display(description="Left, USD")
    def left(self, lot: CreditLot) -> str:
        return usd_text(lot.left_nanos)


@admin.register(SignupCredit)
class SignupCreditAdmin(ReadOnlyAdmin):
    """Who had the credit for signing up, who waits and who was refused."""

    list_display = ("created_at", "user", "organization", "domain", "state", "reason", "granted_at")
    list_filter = ("state", "domain")
    search_fields = ("user__email", "organization__public_id", "domain")
    list_select_related = ("user", "organization")
    ordering = ("-id",)
