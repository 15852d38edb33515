"""People, organizations and keys. Writing happens in ``organizations.py`` and ``api_keys.py``."""

from typing import Any, ClassVar

from django.contrib.auth.base_user import BaseUserManager
from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models import Q


class UserManager(BaseUserManager["User"]):
    """Makes users that are known by e-mail address alone."""

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """Create a person. ``email`` is normalised to lower case."""
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """Create an operator, who may use the admin."""
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)


class User(AbstractUser):
    """A person. ``is_staff`` marks an operator of the service."""

    username = None  # type: ignore[assignment]
    email = models.EmailField(unique=True, help_text="Lower case; the login name.")

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    objects: ClassVar[UserManager] = UserManager()  # type: ignore[assignment]

    def __str__(self) -> str:
        return self.email


class Organization(models.Model):
    """A tenant: owns keys and credit. Every read and write of tenant data is scoped to one."""

    public_id = models.CharField(max_length=40, unique=True, help_text="'org_' and a sortable id; minted by organizations.create.")
    name = models.CharField(max_length=100)
    shard = models.SmallIntegerField(help_text="Ledger shard, 0 to 255; stored, so that a tenant can be moved.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=Q(shard__gte=0, shard__lt=256), name="accounts_organization_shard_in_range"),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.public_id})"


class Role(models.TextChoices):
    """What a member may do; see permissions.py."""

    OWNER = "owner", "Owner"
    ADMIN = "admin", "Admin"
    MEMBER = "member", "Member"


class Membership(models.Model):
    """A person in an organization."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role.choices)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["user", "organization"], name="accounts_membership_once"),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} in {self.organization_id} as {self.role}"


class ApiKey(models.Model):
    """A bearer secret of an organization, stored as a hash. The secret itself is shown once and never kept."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="api_keys")
    hash = models.CharField(max_length=64, unique=True, help_text="SHA-256 of the secret, lowercase hex; the key's public id.")
    label = models.CharField(max_length=40, help_text="Redacted secret, such as sk-tw-v1-abc...123.")
    name = models.CharField(max_length=200)
    is_management = models.BooleanField(default=False, help_text="May manage keys and read credits; may not call models.")
    disabled = models.BooleanField(default=False)
    limit_nanos = models.BigIntegerField(
        null=True, blank=True, help_text="Spending limit in nanos (1e-9 USD) per period; null is no limit."
    )
    limit_reset = models.CharField(
        max_length=8, blank=True, default="", help_text="'daily', 'weekly' (Monday), 'monthly', all UTC, or '' for never."
    )
    include_byok_in_limit = models.BooleanField(default=False)
    external_user = models.CharField(
        max_length=256, blank=True, default="", help_text="The caller's own id of an end user this key is for."
    )
    expires_at = models.DateTimeField(null=True, blank=True)
    created_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(null=True, blank=True, help_text="Null until the first change.")
    deleted_at = models.DateTimeField(null=True, blank=True, help_text="Deleted keys stay as rows: receipts name them.")
    version = models.BigIntegerField(default=1, help_text="Grows with every change.")
    published_version = models.BigIntegerField(default=0, help_text="The newest version that the money store knows.")

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(
                condition=Q(limit_nanos__isnull=True) | Q(limit_nanos__gte=0), name="accounts_apikey_limit_not_negative"
            ),
            models.CheckConstraint(
                condition=Q(limit_reset__in=["", "daily", "weekly", "monthly"]), name="accounts_apikey_limit_reset_known"
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["organization", "created_at"], name="accounts_apikey_org"),
            models.Index(fields=["id"], condition=Q(published_version__lt=models.F("version")), name="accounts_apikey_unpublished"),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.label})"


class RequestPreset(models.Model):
    """Something laid down for an organization's requests, by name and in versions; see request_rules.py for the two kinds."""

    class Kind(models.TextChoices):
        PRESET = "preset", "Preset"
        POLICY = "policy", "Routing policy"

    class Status(models.TextChoices):
        ACTIVE = "active", "Active"
        DISABLED = "disabled", "Disabled"
        ARCHIVED = "archived", "Archived"

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="request_presets")
    kind = models.CharField(max_length=8, choices=Kind.choices)
    slug = models.CharField(max_length=64)
    name = models.CharField(max_length=200)
    description = models.CharField(max_length=1000, blank=True, default="")
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.ACTIVE)
    is_default = models.BooleanField(default=False, help_text="A policy that applies to every request of the organization.")
    designated_number = models.PositiveIntegerField(help_text="The number of the version in force.")
    created_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    status_updated_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["organization", "kind", "slug"], name="accounts_requestpreset_once"),
            models.UniqueConstraint(fields=["organization"], condition=Q(is_default=True), name="accounts_requestpreset_one_default"),
            models.CheckConstraint(condition=Q(is_default=False) | Q(kind="policy"), name="accounts_requestpreset_default_is_policy"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.slug}"


class RequestPresetVersion(models.Model):
    """One version of a preset or policy. Never changed: a new one is added."""

    preset = models.ForeignKey(RequestPreset, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    system_prompt = models.TextField(blank=True, default="")
    config = models.JSONField(help_text="A preset's request fields in the names of Chat Completions; a policy's provider object.")
    created_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["preset", "number"], name="accounts_requestpresetversion_once"),
        ]

    def __str__(self) -> str:
        return f"{self.preset_id} version {self.number}"


class AuditEvent(models.Model):
    """Who did what, when. No foreign keys, so that it can never block or cascade with live data."""

    organization_id = models.BigIntegerField(null=True, db_index=True)
    actor = models.CharField(max_length=254, help_text="E-mail, 'key:<label>' or 'system'.")
    action = models.CharField(max_length=60, help_text="Such as api_key.created; audit.py lists them.")
    target = models.CharField(max_length=200, blank=True, default="")
    detail = models.JSONField(default=dict, blank=True)
    at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} {self.actor} {self.action} {self.target}"
