"""The audit trail: who did what, when. Written in the same transaction as the change it tells of."""

from typing import Any, Literal

from accounts.models import ApiKey, AuditEvent, User

# A person, a management key that acts through the API, or None for the system itself (commands, jobs).
Actor = User | ApiKey | None

Action = Literal[
    "organization.created",
    "organization.moved",
    "organization.renamed",
    "api_key.created",
    "api_key.updated",
    "api_key.deleted",
    "preset.saved",
    "preset.changed",
    "policy.saved",
    "policy.changed",
    "auto_topup.changed",
    "balance_alerts.changed",
    "provider.added",
    "provider.updated",
    "markup.created",
    "markup.ended",
    "plan.assigned",
    "price.overridden",
    "price.override_ended",
    "proposal.rejected",
    "receipt.viewed",
    "code.redeemed",
    "campaign.saved",
    "billing_details.changed",
    "refund.asked",
    "admissions.frozen",
    "admissions.lifted",
]


def name_actor(by: Actor) -> str:
    """Return the name under which the trail knows an actor: an e-mail address, 'key:<label>' or 'system'."""
    if by is None:
        return "system"
    if isinstance(by, ApiKey):
        return f"key:{by.label}"
    return by.email


def record(*, organization_id: int | None, by: Actor, action: Action, target: str = "", detail: dict[str, Any] | None = None) -> AuditEvent:
    """Append one event. ``detail`` must be JSON and must never hold a secret."""
    return AuditEvent.objects.create(
        organization_id=organization_id, actor=name_actor(by), action=action, target=target, detail=detail or {}
    )
