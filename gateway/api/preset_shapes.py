"""Presets and policies as the API shows them. A preset's fields are those of the OpenAPI contract."""

from typing import Any

from accounts.models import RequestPreset, RequestPresetVersion
from gateway.api.key_shapes import user_id, workspace_id
from gateway.drf import utc_text

_NOBODY = "system"  # the contract wants a text where there may be no person


def preset_data(preset: RequestPreset, designated_id: int | None) -> dict[str, Any]:
    """Return a preset without its versions."""
    return {
        "id": f"preset_{preset.pk}",
        "slug": preset.slug,
        "name": preset.name,
        "description": preset.description or None,
        "status": preset.status,
        "status_updated_at": utc_text(preset.status_updated_at),
        "creator_user_id": user_id(preset.created_by),
        "workspace_id": workspace_id(preset.organization),
        "designated_version_id": None if designated_id is None else f"version_{designated_id}",
        "created_at": utc_text(preset.created_at),
        "updated_at": utc_text(preset.updated_at),
    }


def version_data(version: RequestPresetVersion) -> dict[str, Any]:
    """Return one version of a preset."""
    return {
        "id": f"version_{version.pk}",
        "preset_id": f"preset_{version.preset_id}",
        "creator_id": user_id(version.created_by) or _NOBODY,
        "version": version.number,
        "system_prompt": version.system_prompt or None,
        "config": version.config,
        "created_at": utc_text(version.created_at),
        "updated_at": utc_text(version.created_at),
    }


def whole_preset_data(preset: RequestPreset, version: RequestPresetVersion) -> dict[str, Any]:
    """Return a preset with the version in force."""
    return {**preset_data(preset, version.pk), "designated_version": version_data(version)}


def policy_data(preset: RequestPreset, version: RequestPresetVersion) -> dict[str, Any]:
    """Return a routing policy with the version in force."""
    return {
        "slug": preset.slug,
        "name": preset.name,
        "description": preset.description or None,
        "status": preset.status,
        "is_default": preset.is_default,
        "version": version.number,
        "provider": version.config,
        "created_at": utc_text(preset.created_at),
        "updated_at": utc_text(preset.updated_at),
    }


def policy_version_data(version: RequestPresetVersion) -> dict[str, Any]:
    """Return one version of a routing policy."""
    return {
        "version": version.number,
        "provider": version.config,
        "creator_user_id": user_id(version.created_by),
        "created_at": utc_text(version.created_at),
    }
