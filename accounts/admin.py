"""People, organizations and keys for the operator. Keys are read-only here: their life has rules (api_keys.py)."""

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.http import HttpRequest

from accounts.models import ApiKey, AuditEvent, Membership, Organization, User

# Generic for the type checker only; at run time Django's admin classes take no parameters.
if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[Any]
    _TabularInline = admin.TabularInline[Any, Any]
else:
    _ModelAdmin = admin.ModelAdmin
    _TabularInline = admin.TabularInline


class ReadOnlyAdmin(_ModelAdmin):
    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False


class MembershipInline(_TabularInline):
    model = Membership
    extra = 0
    autocomplete_fields: ClassVar[list[str]] = ["user"]


@admin.register(User)
class UserAdmin(DjangoUserAdmin):
    ordering: ClassVar[list[str]] = ["email"]
    list_display: ClassVar[list[str]] = ["email", "is_staff", "is_active", "date_joined", "last_login"]
    list_filter: ClassVar[list[str]] = ["is_staff", "is_active"]
    search_fields: ClassVar[list[str]] = ["email"]
    fieldsets = (
        (None, {"fields": ("email", "password")}),
        ("Person", {"fields": ("first_name", "last_name")}),
        ("Rights", {"fields": ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")}),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = ((None, {"classes": ("wide",), "fields": ("email", "password1", "password2")}),)


@admin.register(Organization)
class OrganizationAdmin(_ModelAdmin):
    list_display: ClassVar[list[str]] = ["name", "public_id", "shard", "created_at"]
    search_fields: ClassVar[list[str]] = ["name", "public_id", "memberships__user__email"]
    readonly_fields: ClassVar[list[str]] = ["public_id", "shard", "created_at"]
    inlines: ClassVar[list[Any]] = [MembershipInline]

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002 -- organizations.create mints ids and shards
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Organization | None = None) -> bool:  # noqa: ARG002 -- the books name it
        return False


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    list_display: ClassVar[list[str]] = [
        "name",
        "label",
        "organization",
        "is_management",
        "disabled",
        "expires_at",
        "deleted_at",
        "created_at",
    ]
    list_filter: ClassVar[list[str]] = ["is_management", "disabled"]
    list_select_related: ClassVar[list[str]] = ["organization"]
    search_fields: ClassVar[list[str]] = ["name", "label", "hash", "organization__name", "organization__public_id"]


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyAdmin):
    list_display: ClassVar[list[str]] = ["at", "actor", "action", "target", "organization_id"]
    list_filter: ClassVar[list[str]] = ["action"]
    search_fields: ClassVar[list[str]] = ["actor", "target"]
    date_hierarchy = "at"
