"""Who may do what in an organization. One table; every write asks it."""

from typing import Final, Literal

from accounts.audit import Actor
from accounts.models import ApiKey, Membership, Organization, Role, User

Action = Literal[
    "organization.view",
    "organization.rename",
    "keys.view",
    "keys.create",
    "keys.manage_own",
    "keys.manage",
    "management_keys.manage",
    "usage.view",
    "credit.view",
    "credit.buy",
    "presets.manage",
    "policies.manage",
]

_MEMBER: Final[frozenset[Action]] = frozenset(
    {"organization.view", "keys.view", "keys.create", "keys.manage_own", "usage.view", "credit.view", "presets.manage"}
)
_ADMIN: Final[frozenset[Action]] = _MEMBER | frozenset[Action](
    {"organization.rename", "keys.manage", "management_keys.manage", "credit.buy", "policies.manage"}
)

ACTIONS_BY_ROLE: Final[dict[str, frozenset[Action]]] = {
    Role.OWNER: _ADMIN,
    Role.ADMIN: _ADMIN,
    Role.MEMBER: _MEMBER,
}

# A key that calls models may also keep the presets it calls them with, as the clients of that API expect.
_INFERENCE_KEY: Final[frozenset[Action]] = frozenset({"presets.manage"})
# A management key acts for the organization's administrators, except that it cannot spend money, and that a leaked one
# can neither make another nor lock the real ones out.
_MANAGEMENT_KEY: Final[frozenset[Action]] = _ADMIN - {"credit.buy", "organization.rename", "management_keys.manage"}


class NotPermitted(Exception):
    """The actor may not do this here. Callers outside answer 404 to strangers, so that nothing is learnt about other tenants."""


def role_of(*, user: User, organization: Organization) -> str | None:
    """Return the person's role in the organization, or None for a stranger."""
    return Membership.objects.filter(user=user, organization=organization).values_list("role", flat=True).first()


def may(*, by: Actor, organization: Organization, action: Action) -> bool:
    """Tell whether the actor may do ``action``. The system (None) and operators may do everything."""
    if by is None:
        return True
    if isinstance(by, ApiKey):
        allowed = _MANAGEMENT_KEY if by.is_management else _INFERENCE_KEY
        return by.organization_id == organization.pk and action in allowed
    if by.is_staff and by.is_active:
        return True
    role = role_of(user=by, organization=organization) if by.is_active else None
    return role is not None and action in ACTIONS_BY_ROLE[role]


def require(*, by: Actor, organization: Organization, action: Action) -> None:
    """Let the actor pass. Raises: NotPermitted."""
    if not may(by=by, organization=organization, action=action):
        msg = f"not permitted: {action}"
        raise NotPermitted(msg)
