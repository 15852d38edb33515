"""Presets and routing policies: save a version, switch, choose the one in force, and tell the data plane."""

import functools
import logging
import re
from typing import Any, Final, TypedDict, Unpack

import msgspec
import redis
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts import audit, permissions, queries
from accounts.audit import Actor
from accounts.broker import CHANNEL
from accounts.models import ApiKey, Organization, RequestPreset, RequestPresetVersion
from accounts.permissions import Action
from accounts.request_rules import ENTRY_TTL_S, MESSAGE_PREFIX, RequestRules, entry_name
from accounts.rule_lookup import encode_rules, rules_from

logger = logging.getLogger(__name__)

NAME_MAX: Final = 200
DESCRIPTION_MAX: Final = 1000
SYSTEM_PROMPT_MAX: Final = 100_000
CONFIG_MAX_BYTES: Final = 100_000  # as JSON
PRESETS_MAX: Final = 500  # of one organization, archived ones included: all of them travel to every process
STATUSES: Final = ("active", "disabled", "archived")
_SLUG: Final = re.compile(r"[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?")
_ZERO: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")  # written as an escape; the database takes none in JSON
_BROKER_TIMEOUT_S: Final = 1.0
_ACTIONS: Final[dict[str, Action]] = {"preset": "presets.manage", "policy": "policies.manage"}


class BadPresetField(ValueError):
    """A value that a preset or policy cannot take. ``field`` names it; the text is fit for people."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class UnknownPreset(Exception):
    """The organization has no preset or policy of that name, or no such version."""


class PresetChanges(TypedDict, total=False):
    """What can be changed without a new version."""

    name: str
    description: str
    status: str
    is_default: bool
    designated_number: int


def save_version(
    *,
    organization: Organization,
    kind: str,
    slug: str,
    config: dict[str, Any],
    by: Actor,
    system_prompt: str = "",
    name: str = "",
) -> tuple[RequestPreset, RequestPresetVersion]:
    """Add a version and put it in force; the preset or policy is made if there is none. The caller has checked ``config``.

    Raises: NotPermitted, BadPresetField.
    """
    permissions.require(by=by, organization=organization, action=_ACTIONS[kind])
    if not _SLUG.fullmatch(slug):
        raise BadPresetField("slug", "A slug has 1 to 64 of a-z, 0-9, '.', '_' and '-', and begins and ends with a letter or digit.")
    _check_config(config)
    if "\0" in system_prompt or "\0" in name:
        raise BadPresetField("system_prompt" if "\0" in system_prompt else "name", "A zero character cannot be kept.")
    if len(system_prompt) > SYSTEM_PROMPT_MAX:
        raise BadPresetField("system_prompt", f"A system prompt has at most {SYSTEM_PROMPT_MAX:,} characters.")
    creator = by.created_by if isinstance(by, ApiKey) else by
    with transaction.atomic():
        # The organization's row stands in for a preset that is not there yet, so that two first versions cannot meet.
        Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
        preset = RequestPreset.objects.filter(organization=organization, kind=kind, slug=slug).first()
        if preset is None:
            if RequestPreset.objects.filter(organization=organization).count() >= PRESETS_MAX:
                raise BadPresetField("slug", f"An organization has at most {PRESETS_MAX} presets and policies.")
            preset = RequestPreset(organization=organization, kind=kind, slug=slug, name=name or slug, created_by=creator)
            number = 1
        else:
            number = preset.versions.order_by("-number").values_list("number", flat=True)[0] + 1
        preset.designated_number = number
        preset.save()
        version = RequestPresetVersion.objects.create(
            preset=preset, number=number, system_prompt=system_prompt, config=config, created_by=creator
        )
        _record(preset, by, "saved", {"version": number})
        _announce_on_commit(organization.pk)
    return preset, version


@transaction.atomic
def change(*, preset: RequestPreset, by: Actor, **changes: Unpack[PresetChanges]) -> RequestPreset:
    """Change a preset or policy and return it as stored. Raises: UnknownPreset, NotPermitted, BadPresetField."""
    permissions.require(by=by, organization=preset.organization, action=_ACTIONS[preset.kind])
    Organization.objects.select_for_update(no_key=True).get(pk=preset.organization_id)
    locked = RequestPreset.objects.select_for_update(of=("self",)).select_related("organization").filter(pk=preset.pk).first()
    if locked is None:
        raise UnknownPreset
    _check(locked, changes)
    if changes.get("status") == "archived":
        changes["is_default"] = False  # so that it is not in force at once when it is brought back
    if changes.get("is_default"):
        RequestPreset.objects.filter(organization=locked.organization, is_default=True).exclude(pk=locked.pk).update(is_default=False)
    if changes.get("status", locked.status) != locked.status:
        locked.status_updated_at = timezone.now()
    for field, value in changes.items():
        setattr(locked, field, value)
    locked.save()
    _record(locked, by, "changed", dict(changes))
    _announce_on_commit(locked.organization_id)
    return locked


def _check_config(config: dict[str, Any]) -> None:
    written = msgspec.json.encode(config)
    if len(written) > CONFIG_MAX_BYTES:
        raise BadPresetField("config", f"The settings have at most {CONFIG_MAX_BYTES:,} bytes as JSON: every process holds them.")
    if _ZERO.search(written):
        raise BadPresetField("config", "A zero character cannot be kept.")


def _check(preset: RequestPreset, changes: PresetChanges) -> None:
    for field in ("name", "description"):
        if "\0" in str(changes.get(field, "")):
            raise BadPresetField(field, "A zero character cannot be kept.")
    if "name" in changes and not 1 <= len(changes["name"].strip()) <= NAME_MAX:
        raise BadPresetField("name", f"A name has 1 to {NAME_MAX} characters.")
    if len(changes.get("description", "")) > DESCRIPTION_MAX:
        raise BadPresetField("description", f"A description has at most {DESCRIPTION_MAX:,} characters.")
    if changes.get("status", "active") not in STATUSES:
        raise BadPresetField("status", f"A status is one of {', '.join(STATUSES)}.")
    if changes.get("is_default") and preset.kind != RequestPreset.Kind.POLICY:
        raise BadPresetField("is_default", "Only a policy can be the default.")
    number = changes.get("designated_number")
    if number is not None and not preset.versions.filter(number=number).exists():
        raise UnknownPreset


def rules_of(organization: Organization) -> RequestRules:
    """Return what the data plane is told of an organization."""
    return rules_from([*queries.active_preset_rows(organization.pk)])


def announce(*, org_id: int) -> None:
    """Bring the data plane up to date with the stored rules. Safe to repeat. Raises: redis.RedisError when the broker is away."""
    with transaction.atomic():
        # Under the row's lock, so that two changes cannot arrive in the wrong order.
        Organization.objects.select_for_update(no_key=True).get(pk=org_id)
        entry = encode_rules(rules_from([*queries.active_preset_rows(org_id)]))
        pipeline = _broker().pipeline(transaction=True)
        pipeline.set(entry_name(org_id), entry, ex=ENTRY_TTL_S)
        pipeline.publish(CHANNEL, f"{MESSAGE_PREFIX}{org_id}")
        pipeline.execute()


def _announce_on_commit(org_id: int) -> None:
    transaction.on_commit(functools.partial(_announce_or_leave, org_id))


def _announce_or_leave(org_id: int) -> None:
    # The change is committed: an error here must not look as if it were not. The entry expires by itself.
    try:
        announce(org_id=org_id)
    except redis.RedisError as error:
        logger.warning("rules of organization %s are stored but not announced yet (%s)", org_id, type(error).__name__)


def _record(preset: RequestPreset, by: Actor, deed: str, detail: dict[str, Any]) -> None:
    action: audit.Action
    if preset.kind == RequestPreset.Kind.PRESET:
        action = "preset.saved" if deed == "saved" else "preset.changed"
    else:
        action = "policy.saved" if deed == "saved" else "policy.changed"
    audit.record(organization_id=preset.organization_id, by=by, action=action, target=preset.slug, detail=detail)


@functools.cache
def _broker() -> redis.Redis:
    return redis.Redis.from_url(settings.BROKER_REDIS_URL, socket_timeout=_BROKER_TIMEOUT_S, socket_connect_timeout=_BROKER_TIMEOUT_S)
