"""Reads of people, organizations and keys. Every read of tenant data takes the organization, and finds nothing outside it."""

import datetime as dt
import re
from collections.abc import Collection, Iterable
from typing import Final

from django.db.models import F, Q, QuerySet
from django.utils import timezone

from accounts.models import ApiKey, Membership, Organization, RequestPreset, RequestPresetVersion, User

_HASH: Final = re.compile(r"[0-9a-f]{64}")


def inhabited(shards: Collection[int]) -> set[int]:
    """Return those of the ledger shards in which an organization lives. For the service itself: not scoped, and names nobody."""
    return set(Organization.objects.filter(shard__in=shards).values_list("shard", flat=True).distinct())


def shard_of(organization_id: int) -> int:
    """Return the ledger shard on which an organization lives at this moment: it may have moved since it was read."""
    return int(Organization.objects.values_list("shard", flat=True).get(pk=organization_id))


def organizations_of(user: User) -> QuerySet[Organization]:
    """Return the organizations that the person is a member of, oldest membership first."""
    return Organization.objects.filter(memberships__user=user).order_by("memberships__pk")


def organization_of(user: User, public_id: str) -> Organization | None:
    """Return one organization of the person's by its public id; None for strangers."""
    return organizations_of(user).filter(public_id=public_id).first()


def member(organization: Organization, user_id: int) -> User | None:
    """Return a member of the organization by id; None for strangers."""
    found = Membership.objects.filter(organization=organization, user_id=user_id).select_related("user").first()
    return None if found is None else found.user


def api_keys(
    organization: Organization,
    *,
    include_disabled: bool = True,
    include_expired: bool = True,
    include_management: bool = True,
    now: dt.datetime | None = None,
) -> QuerySet[ApiKey]:
    """Return the organization's keys, newest first, never a deleted one."""
    keys = ApiKey.objects.filter(organization=organization, deleted_at=None).select_related("created_by", "organization")
    if not include_disabled:
        keys = keys.filter(disabled=False)
    if not include_expired:
        keys = keys.filter(Q(expires_at=None) | Q(expires_at__gt=now or timezone.now()))
    if not include_management:
        keys = keys.filter(is_management=False)
    return keys.order_by("-created_at", "-pk")


def api_key(organization: Organization, key_hash: str, *, include_management: bool = True) -> ApiKey | None:
    """Return one key of the organization by hash; None when it is unknown, deleted, a stranger's or no hash at all."""
    if not _HASH.fullmatch(key_hash):
        return None
    return api_keys(organization, include_management=include_management).filter(hash=key_hash).first()


def key_names(organization: Organization, key_ids: Iterable[int]) -> dict[int, str]:
    """Return names by key id, for receipts: deleted keys are named too."""
    return dict(ApiKey.objects.filter(organization=organization, pk__in=key_ids).values_list("pk", "name"))


def key_hashes(organization: Organization, key_ids: Iterable[int]) -> dict[int, str]:
    """Return the public ids of keys by key id, for receipts: deleted keys keep theirs."""
    return dict(ApiKey.objects.filter(organization=organization, pk__in=key_ids).values_list("pk", "hash"))


def bearer(key_hash: str) -> ApiKey | None:
    """Return the key that a presented secret hashes to, with its organization; None when there is none or it was deleted.

    The one read that is not scoped: it is what finds the organization.
    """
    return ApiKey.objects.filter(hash=key_hash, deleted_at=None).select_related("organization", "created_by").first()


def request_presets(organization: Organization, kind: str) -> QuerySet[RequestPreset]:
    """Return the organization's presets or policies, newest first, archived ones included."""
    return RequestPreset.objects.filter(organization=organization, kind=kind).order_by("-created_at", "-pk")


def request_preset(organization: Organization, kind: str, slug: str) -> RequestPreset | None:
    """Return one preset or policy by slug; None when there is none, or it is a stranger's."""
    return request_presets(organization, kind).filter(slug=slug).select_related("organization").first()


def preset_versions(preset: RequestPreset) -> QuerySet[RequestPresetVersion]:
    """Return the versions of a preset or policy, newest first."""
    return preset.versions.order_by("-number")


def designated_version(preset: RequestPreset) -> RequestPresetVersion:
    """Return the version in force."""
    return preset.versions.get(number=preset.designated_number)


def designated_ids(presets: Collection[RequestPreset]) -> dict[int, int]:
    """Return the id of the version in force of each preset or policy, by its own id."""
    found = RequestPresetVersion.objects.filter(preset__in=presets, number=F("preset__designated_number"))
    return dict(found.values_list("preset_id", "pk"))


def active_preset_rows(org_id: int) -> Iterable[tuple[object, ...]]:
    """Return what ``rule_lookup.rules_from`` builds on: kind, slug, is_default, number, system prompt, config."""
    return (
        RequestPresetVersion.objects.filter(preset__organization_id=org_id, preset__status="active", number=F("preset__designated_number"))
        .order_by("preset_id")
        .values_list("preset__kind", "preset__slug", "preset__is_default", "number", "system_prompt", "config")
    )
