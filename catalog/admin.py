"""The operator's view of the catalog: to read and to switch off. Facts are edited in data/, keys with set_provider, prices beside this."""

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from catalog import price_admin, queries, switches  # noqa: F401 -- registers its pages
from catalog.admin_tables import ReadOnlyAdmin, describe_margin
from catalog.models import CatalogLoad, CatalogRow, CatalogSnapshot, Endpoint, Model, Provider


class SwitchAdmin(ReadOnlyAdmin):
    actions = ("switch_on", "switch_off")

    def has_switch_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(f"catalog.change_{self.opts.model_name}")

    @admin.action(description="Switch on (in effect at once)", permissions=["switch"])
    def switch_on(self, request: HttpRequest, queryset: QuerySet[CatalogRow]) -> None:
        self._switch(request, queryset, enabled=True)

    @admin.action(description="Switch off (in effect at once)", permissions=["switch"])
    def switch_off(self, request: HttpRequest, queryset: QuerySet[CatalogRow]) -> None:
        self._switch(request, queryset, enabled=False)

    def _switch(self, request: HttpRequest, queryset: QuerySet[CatalogRow], *, enabled: bool) -> None:
        published = switches.switch(queryset, enabled=enabled)
        self.message_user(request, f"Catalog version {published.version} is in force.", messages.SUCCESS)


@admin.register(Provider)
class ProviderAdmin(SwitchAdmin):
    list_display = ("slug", "name", "kind", "protocol", "auth", "effective_base_url", "enabled", "withdrawn_at", "origin")
    list_filter = ("enabled", "kind", "protocol", "origin")
    search_fields = ("slug", "name")


@admin.register(Model)
class ModelAdmin(SwitchAdmin):
    list_display = ("slug", "name", "type", "released", "context_length", "deprecation_date", "enabled", "withdrawn_at", "origin")
    list_filter = ("enabled", "type", "open_weights", "origin")
    search_fields = ("slug", "name")


@admin.register(Endpoint)
class EndpointAdmin(SwitchAdmin):
    list_display = (
        "slug", "provider", "provider_model_id", "margin", "is_free", "deprecated", "last_seen", "enabled", "withdrawn_at", "origin",
    )  # fmt: skip
    list_filter = ("enabled", "is_free", "deprecated", "origin", "provider")
    list_select_related = ("provider",)
    search_fields = ("slug", "provider_model_id")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Endpoint]:
        return queries.with_prices_in_force(super().get_queryset(request), at=timezone.now())

    @admin.display(description="Margin")
    def margin(self, endpoint: Endpoint) -> str:
        return describe_margin(cost=endpoint.current_cost, price=endpoint.current_price)  # type: ignore[attr-defined]  # annotated


@admin.register(CatalogSnapshot)
class CatalogSnapshotAdmin(ReadOnlyAdmin):
    list_display = ("version", "published_at", "model_count", "endpoint_count", "provider_count", "rolled_back_to")
    exclude = ("body",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[CatalogSnapshot]:
        return super().get_queryset(request).defer("body")


@admin.register(CatalogLoad)
class CatalogLoadAdmin(ReadOnlyAdmin):
    list_display = ("loaded_at", "digest", "summary")
