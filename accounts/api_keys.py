"""The life of a key: make, change, delete, and tell the data plane about it."""

import datetime as dt
import functools
import logging
from typing import Any, Final, TypedDict, Unpack

import msgspec
import redis
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts import audit, broker, key_format, permissions, signals
from accounts.audit import Actor
from accounts.models import ApiKey, Organization, User
from accounts.types import Caller

logger = logging.getLogger(__name__)

NAME_MAX = 200
EXTERNAL_USER_MAX = 256
LIMIT_MAX_NANOS = 2**63 - 1
LIMIT_RESETS: Final = ("", "daily", "weekly", "monthly")
_BROKER_TIMEOUT_S = 1.0


class UnknownKey(Exception):
    """No such key in this organization, or it was deleted."""


class BadKeyField(ValueError):
    """A value that a key cannot take. ``field`` is the name of the model's field; the text is fit for people."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class KeyChanges(TypedDict, total=False):
    """What ``update`` can change."""

    name: str
    disabled: bool
    limit_nanos: int | None
    limit_reset: str
    include_byok_in_limit: bool
    expires_at: dt.datetime | None
    external_user: str


def create(
    *,
    organization: Organization,
    name: str,
    by: Actor,
    creator: User | None = None,
    is_management: bool = False,
    disabled: bool = False,
    limit_nanos: int | None = None,
    limit_reset: str = "",
    expires_at: dt.datetime | None = None,
    include_byok_in_limit: bool = False,
    external_user: str = "",
    secret: str | None = None,
    now: dt.datetime | None = None,
) -> tuple[ApiKey, str]:
    """Make a key and return it with its secret, which is kept nowhere.

    ``limit_nanos`` is per period of ``limit_reset`` ('' is for ever). ``creator`` is the person whom the key is attributed to; left
    out, the actor, or the creator of the key that acts. ``secret`` takes one that ``key_format.mint_secret`` made earlier.
    Raises: NotPermitted, BadKeyField.
    """
    permissions.require(by=by, organization=organization, action="management_keys.manage" if is_management else "keys.create")
    fields: KeyChanges = {
        "name": name,
        "disabled": disabled,
        "limit_nanos": limit_nanos,
        "limit_reset": limit_reset,
        "expires_at": expires_at,
        "include_byok_in_limit": include_byok_in_limit,
        "external_user": external_user,
    }
    fields = _checked(fields, now=now or timezone.now())
    secret = key_format.mint_secret() if secret is None else secret
    if not key_format.is_well_formed(secret):
        raise BadKeyField("secret", "The secret is not of the form that key_format.mint_secret makes.")
    if creator is None:
        creator = by.created_by if isinstance(by, ApiKey) else by
    with transaction.atomic():
        api_key = ApiKey.objects.create(
            organization=organization,
            hash=key_format.hash_secret(secret),
            label=key_format.redact_secret(secret),
            is_management=is_management,
            created_by=creator,
            **fields,
        )
        detail = {"name": api_key.name, "label": api_key.label, "is_management": is_management, "limit_nanos": api_key.limit_nanos}
        audit.record(organization_id=organization.pk, by=by, action="api_key.created", target=api_key.hash, detail=detail)
        _announce_on_commit(api_key)
    return api_key, secret


@transaction.atomic
def update(*, api_key: ApiKey, by: Actor, now: dt.datetime | None = None, **changes: Unpack[KeyChanges]) -> ApiKey:
    """Change a key and return it as stored. Values equal to the present ones change nothing, not even the version.

    Raises: UnknownKey when it was deleted meanwhile, NotPermitted, BadKeyField.
    """
    locked = _lock(api_key)
    _require_manage(by=by, api_key=locked)
    now = now or timezone.now()
    changed: dict[str, Any] = {field: value for field, value in _checked(changes, now=now).items() if getattr(locked, field) != value}
    if not changed:
        return locked
    detail = {field: [_plain(getattr(locked, field)), _plain(value)] for field, value in changed.items()}
    for field, value in changed.items():
        setattr(locked, field, value)
    locked.updated_at = now
    locked.version += 1
    locked.save(update_fields=[*changed, "updated_at", "version"])
    audit.record(organization_id=locked.organization_id, by=by, action="api_key.updated", target=locked.hash, detail=detail)
    _announce_on_commit(locked)
    return locked


@transaction.atomic
def delete(*, api_key: ApiKey, by: Actor, now: dt.datetime | None = None) -> None:
    """Revoke a key for ever. The row stays, so that receipts can name it. Raises: UnknownKey when it is gone already, NotPermitted."""
    locked = _lock(api_key)
    _require_manage(by=by, api_key=locked)
    locked.deleted_at = locked.updated_at = now or timezone.now()
    locked.disabled = True
    locked.version += 1
    locked.save(update_fields=["deleted_at", "updated_at", "disabled", "version"])
    audit.record(organization_id=locked.organization_id, by=by, action="api_key.deleted", target=locked.hash, detail={"name": locked.name})
    _announce_on_commit(locked)


def mark_published(*, key_id: int, version: int) -> None:
    """Remember that the money store knows this version of the key's limit and state. An older version never undoes a newer one."""
    ApiKey.objects.filter(pk=key_id, published_version__lt=version).update(published_version=version)


def announce(*, key_id: int) -> None:
    """Bring the data plane up to date with the stored key: broker entry, channel, then ``signals.key_changed``.

    Runs under the row's lock, so that two changes cannot arrive in the wrong order. Safe to repeat: whoever finds a key with
    ``published_version`` behind ``version`` calls it again.
    Raises: redis.RedisError when the broker is away, and whatever a receiver raised.
    """
    with transaction.atomic():
        api_key = ApiKey.objects.select_for_update(of=("self",)).select_related("organization").get(pk=key_id)
        entry = msgspec.json.encode(caller_of(api_key)) if api_key.deleted_at is None else broker.TOMBSTONE
        pipeline = _broker().pipeline(transaction=True)
        pipeline.set(broker.entry_name(api_key.hash), entry, ex=broker.ENTRY_TTL_S)
        pipeline.publish(broker.CHANNEL, api_key.hash)
        pipeline.execute()
    signals.key_changed.send(sender=ApiKey, api_key=api_key)


def caller_of(api_key: ApiKey) -> Caller:
    """Return the key as the data plane sees it."""
    return Caller(
        key_hash=api_key.hash,
        key_id=api_key.pk,
        org_id=api_key.organization_id,
        shard=api_key.organization.shard,
        is_management=api_key.is_management,
        expires_at_s=None if api_key.expires_at is None else int(api_key.expires_at.timestamp()),
    )


def _announce_on_commit(api_key: ApiKey) -> None:
    transaction.on_commit(functools.partial(_announce_or_leave, api_key.pk))


def _announce_or_leave(key_id: int) -> None:
    # The change is committed: an error here must not look as if it were not. published_version stays behind, and the
    # periodic publisher (billing.limits) repeats the announcement.
    try:
        announce(key_id=key_id)
    except Exception as error:  # noqa: BLE001 -- whatever a receiver raises; no trace, since a store that is not open yet is no fault
        logger.warning(
            "key %s is stored but not announced yet (%s: %s); the periodic publisher repeats it", key_id, type(error).__name__, error
        )


def _lock(api_key: ApiKey) -> ApiKey:
    found = (
        ApiKey.objects.select_for_update(of=("self",)).select_related("organization", "created_by").filter(pk=api_key.pk, deleted_at=None)
    ).first()
    if found is None:
        raise UnknownKey
    return found


def _require_manage(*, by: Actor, api_key: ApiKey) -> None:
    action: permissions.Action = "keys.manage"
    if api_key.is_management:
        action = "management_keys.manage"
    elif isinstance(by, User) and api_key.created_by_id == by.pk:
        action = "keys.manage_own"
    permissions.require(by=by, organization=api_key.organization, action=action)


def _checked(fields: KeyChanges, *, now: dt.datetime) -> KeyChanges:
    if "name" in fields:
        fields["name"] = fields["name"].strip()
        if not 1 <= len(fields["name"]) <= NAME_MAX or "\x00" in fields["name"]:
            raise BadKeyField("name", f"A key's name has 1 to {NAME_MAX} characters.")
    limit_nanos = fields.get("limit_nanos")
    if limit_nanos is not None and not 0 <= limit_nanos <= LIMIT_MAX_NANOS:
        raise BadKeyField("limit_nanos", "A limit is zero or more dollars, or none.")
    if fields.get("limit_reset", "") not in LIMIT_RESETS:
        raise BadKeyField("limit_reset", "A limit resets daily, weekly, monthly or never.")
    expires_at = fields.get("expires_at")
    if expires_at is not None and expires_at <= now:
        raise BadKeyField("expires_at", "The expiry must lie in the future.")
    if len(fields.get("external_user", "")) > EXTERNAL_USER_MAX or "\x00" in fields.get("external_user", ""):
        raise BadKeyField("external_user", f"An external user's id has at most {EXTERNAL_USER_MAX} characters.")
    return fields


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, dt.datetime) else value


@functools.cache
def _broker() -> redis.Redis:
    return redis.Redis.from_url(settings.BROKER_REDIS_URL, socket_timeout=_BROKER_TIMEOUT_S, socket_connect_timeout=_BROKER_TIMEOUT_S)
