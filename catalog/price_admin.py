"""The operator's view of prices: margins, markup rules, own prices, and what fresh lists propose."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html

from accounts.models import User
from catalog import markup_changes, price_changes
from catalog.admin_forms import MarkupRuleForm, PriceOverrideForm
from catalog.admin_tables import ReadOnlyAdmin, describe_margin
from catalog.cards import BadPrice, usd_from_picos
from catalog.markup_rules import BadRule
from catalog.models import MarkupRule, PriceOverride, PriceProposal, PriceVersion, SyncRule, SyncRun
from catalog.pricing import TOKEN_METERS
from catalog.publication import BrokenCatalog
from catalog.sync import proposals
from catalog.sync.proposals import NotApplicable

_MILLION = 1_000_000


def _operator(request: HttpRequest) -> User:
    """Return who is signed in; the admin lets nobody else in."""
    if not isinstance(request.user, User):
        raise TypeError("the admin is for people who are signed in")
    return request.user


@admin.register(PriceVersion)
class PriceVersionAdmin(ReadOnlyAdmin):
    list_display = ("id", "endpoint", "effective_from", "margin", "markup_basis_points", "markup_rule", "agreement_level", "created_at")
    list_filter = ("agreement_level", "effective_from")
    list_select_related = ("endpoint", "markup_rule")
    search_fields = ("endpoint__slug",)

    @admin.display(description="Margin")
    def margin(self, version: PriceVersion) -> str:
        return describe_margin(cost=version.cost, price=version.price)


class ConfirmedAdmin(ReadOnlyAdmin):
    """Added through a form that previews; never edited."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(f"catalog.add_{self.opts.model_name}")

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:  # noqa: FBT001, FBT002 -- Django's
        return self.form if obj is None else super().get_form(request, obj, change=change, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return super().get_fieldsets(request, obj) if obj is not None else [(None, {"fields": list(self.form().fields)})]

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Leave the log to the audit trail, which the domain call has written."""


@admin.register(MarkupRule)
class MarkupRuleAdmin(ConfirmedAdmin):
    form = MarkupRuleForm
    list_display = ("id", "scope", "target", "percent", "floor", "effective_from", "effective_until", "note", "created_by")
    list_filter = ("scope",)
    search_fields = ("target", "note")
    actions = ("end_rules",)

    @admin.display(description="Percent")
    def percent(self, rule: MarkupRule) -> str:
        return f"{rule.basis_points / 100:g} %"

    @admin.display(description="Floor, $ / M tokens")
    def floor(self, rule: MarkupRule) -> str:
        return usd_from_picos(rule.floor_picos, per=_MILLION)

    def save_model(self, request: HttpRequest, obj: MarkupRule, form: Any, change: bool) -> None:  # noqa: ARG002, FBT001 -- Django's
        terms, given = form.terms(), form.cleaned_data
        made = markup_changes.create(
            **terms,
            since=given.get("effective_from"),
            until=given.get("effective_until"),
            note=given.get("note", ""),
            by=_operator(request),
        )
        obj.pk = made.pk
        obj.refresh_from_db()

    def has_end_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("catalog.change_markuprule")

    @admin.action(description="End now", permissions=["end"])
    def end_rules(self, request: HttpRequest, queryset: QuerySet[MarkupRule]) -> None:
        try:
            for rule in queryset:
                markup_changes.end(rule=rule, by=_operator(request))
        except (BadRule, BrokenCatalog) as error:
            self.message_user(request, str(error), messages.ERROR)


@admin.register(PriceOverride)
class PriceOverrideAdmin(ConfirmedAdmin):
    form = PriceOverrideForm
    list_display = ("endpoint", "dated", "created_at", "created_by", "ended_at")
    list_select_related = ("endpoint",)
    search_fields = ("endpoint__slug",)
    autocomplete_fields = ("endpoint",)

    def save_model(self, request: HttpRequest, obj: PriceOverride, form: Any, change: bool) -> None:  # noqa: ARG002, FBT001 -- Django's
        given = form.cleaned_data
        made = price_changes.change_price(
            endpoint=given["endpoint"], usd_per_million=form.prices(), day=given.get("day"), by=_operator(request)
        )  # fmt: skip
        obj.pk = made.pk
        obj.refresh_from_db()


@admin.register(PriceProposal)
class PriceProposalAdmin(ReadOnlyAdmin):
    list_display = ("id", "kind", "state", "subject", "change", "largest_percent", "why", "source", "decided_by")
    list_filter = ("state", "kind", "run__source", "provider")
    list_select_related = ("endpoint", "run")
    search_fields = ("endpoint__slug", "provider", "key", "name")
    actions = ("apply_proposals", "reject_proposals")

    def has_decide_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("catalog.change_priceproposal")

    @admin.display(description="What")
    def subject(self, proposal: PriceProposal) -> str:
        return proposal.endpoint.slug if proposal.endpoint else f"{proposal.provider}: {proposal.key}"

    @admin.display(description="Change, $ (tokens: per million)")
    def change(self, proposal: PriceProposal) -> str:
        return "; ".join(_describe_move(*move) for move in proposal.moves)

    @admin.display(description="Flags")
    def why(self, proposal: PriceProposal) -> str:
        return format_html("<strong>{}</strong>", "; ".join(proposal.flags)) if proposal.flags else ""

    @admin.display(description="Source")
    def source(self, proposal: PriceProposal) -> str:
        return proposal.run.source

    @admin.action(description="Apply (in force at once)", permissions=["decide"])
    def apply_proposals(self, request: HttpRequest, queryset: QuerySet[PriceProposal]) -> None:
        self._decide(request, lambda: proposals.apply(list(queryset.select_related("endpoint", "run")), by=_operator(request)))

    @admin.action(description="Reject", permissions=["decide"])
    def reject_proposals(self, request: HttpRequest, queryset: QuerySet[PriceProposal]) -> None:
        self._decide(request, lambda: proposals.reject(queryset, by=_operator(request)))

    def _decide(self, request: HttpRequest, decide: Callable[[], object]) -> None:
        try:
            decide()
            self.message_user(request, "Done.", messages.SUCCESS)
        except (NotApplicable, BadPrice, BrokenCatalog) as error:
            self.message_user(request, f"Nothing has changed: {error}", messages.ERROR)


def _describe_move(meter: str, edge: int, before: int, after: int) -> str:
    per = _MILLION if meter in TOKEN_METERS else 1
    where = f" above {edge:,}" if edge else ""
    return f"{meter}{where} {usd_from_picos(before, per=per)} → {usd_from_picos(after, per=per)}"


@admin.register(SyncRun)
class SyncRunAdmin(ReadOnlyAdmin):
    list_display = ("started_at", "source", "summary", "error", "started_by")
    list_filter = ("source",)


@admin.register(SyncRule)
class SyncRuleAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # not subscriptable at run time
    list_display = ("source", "provider", "percent_max", "created_at")
