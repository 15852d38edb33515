"""A key as the API shows it. The fields are those of the OpenAPI contract and of the newest official SDKs, whichever asks for more."""

import datetime as dt
import uuid
from typing import Any

from accounts.models import ApiKey, Organization, User
from billing.queries import KeyUsage
from gateway.drf import Usd, utc_text

_DAYS_PER_WEEK = 7
_MONTHS_PER_YEAR = 12
_UNLIMITED = -1


def workspace_id(organization: Organization) -> str:
    """Return the id of the organization's default workspace, the only one there is: the organization's own id as a UUID."""
    return str(uuid.UUID(hex=organization.public_id.removeprefix("org_")))


def user_id(user: User | None) -> str | None:
    """Return a person's public id."""
    return None if user is None else f"user_{user.pk}"


def spent_in_period_nanos(api_key: ApiKey, usage: KeyUsage) -> int:
    """Return what counts against the key's limit now, nanos."""
    by_reset = {"daily": usage.day_nanos, "weekly": usage.week_nanos, "monthly": usage.month_nanos}
    return by_reset.get(api_key.limit_reset, usage.spent_nanos)


def _remaining(api_key: ApiKey, usage: KeyUsage) -> Usd | None:
    if api_key.limit_nanos is None:
        return None
    # A settlement may exceed its hold, and a limit may be set below what is spent; nothing remains then.
    return Usd(max(api_key.limit_nanos - spent_in_period_nanos(api_key, usage), 0))


def _spending(api_key: ApiKey, usage: KeyUsage) -> dict[str, Any]:
    nothing = Usd(0)  # own provider keys do not exist yet, so nothing was spent through them
    return {
        "limit": None if api_key.limit_nanos is None else Usd(api_key.limit_nanos),
        "limit_remaining": _remaining(api_key, usage),
        "limit_reset": api_key.limit_reset or None,
        "include_byok_in_limit": api_key.include_byok_in_limit,
        "usage": Usd(usage.spent_nanos),
        "usage_daily": Usd(usage.day_nanos),
        "usage_weekly": Usd(usage.week_nanos),
        "usage_monthly": Usd(usage.month_nanos),
        "byok_usage": nothing,
        "byok_usage_daily": nothing,
        "byok_usage_weekly": nothing,
        "byok_usage_monthly": nothing,
        "expires_at": utc_text(api_key.expires_at),
        "creator_user_id": user_id(api_key.created_by),
        "workspace_id": workspace_id(api_key.organization),
    }


def key_data(api_key: ApiKey, usage: KeyUsage) -> dict[str, Any]:
    """Return a key as /keys shows it."""
    return {
        "hash": api_key.hash,
        "name": api_key.name,
        "label": api_key.label,
        "disabled": api_key.disabled,
        "created_at": utc_text(api_key.created_at),
        "updated_at": utc_text(api_key.updated_at),
        "last_used_at": utc_text(usage.last_used_at),
        "external_user": api_key.external_user or None,
        **_spending(api_key, usage),
    }


def current_key_data(api_key: ApiKey, usage: KeyUsage, *, is_free_tier: bool, now: dt.datetime) -> dict[str, Any]:
    """Return the key that asks, as /key shows it. ``is_free_tier``: the organization never had credit."""
    budget = _budget(api_key, usage, now)
    return {
        "label": api_key.label,
        **_spending(api_key, usage),
        "is_free_tier": is_free_tier,
        "is_management_key": api_key.is_management,
        "is_provisioning_key": api_key.is_management,
        "organization_id": api_key.organization.public_id,
        "allowed_data_regions": ["global"],
        "budgets": [] if budget is None else [budget],
        "effective_budget": budget,
        # Free models have no daily quota here; -1 as in the legacy rate limit below.
        "free_model_daily_requests": {"limit": _UNLIMITED, "remaining": _UNLIMITED, "used": 0},
        "rate_limit": {"requests": _UNLIMITED, "interval": "10s", "note": "This field is deprecated and safe to ignore."},
    }


def _budget(api_key: ApiKey, usage: KeyUsage, now: dt.datetime) -> dict[str, Any] | None:
    if api_key.limit_nanos is None:
        return None
    return {
        "scope": "key_limit",
        "budget_id": None,
        "guardrail_id": None,
        "limit_usd": Usd(api_key.limit_nanos),
        "spend_usd": Usd(spent_in_period_nanos(api_key, usage)),
        "remaining_usd": _remaining(api_key, usage),
        "reset_interval": api_key.limit_reset or None,
        "resets_at": utc_text(next_reset(api_key.limit_reset, now)),
        "include_byok": api_key.include_byok_in_limit,
    }


def next_reset(limit_reset: str, now: dt.datetime) -> dt.datetime | None:
    """Return when the period of a limit ends: the next UTC midnight, Monday or first of the month; None for a limit that never resets."""
    today = now.astimezone(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    match limit_reset:
        case "daily":
            return today + dt.timedelta(days=1)
        case "weekly":
            return today + dt.timedelta(days=_DAYS_PER_WEEK - today.weekday())
        case "monthly":
            return today.replace(year=today.year + today.month // _MONTHS_PER_YEAR, month=today.month % _MONTHS_PER_YEAR + 1, day=1)
        case _:
            return None
