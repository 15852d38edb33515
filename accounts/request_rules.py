"""What an organization has laid down for its requests: presets and routing policies, as the data plane sees them. No Django.

A preset is named by a request and fills in what the request leaves out. A policy holds preferences of routing: the default one applies to
every request of the organization, others to those that name them.
"""

from typing import Any, Final

import msgspec

# A change whose announcement was lost (the broker was away at that moment) is seen after this at the latest.
ENTRY_TTL_S: Final = 600
# On the keys' channel, where key hashes travel too: 64 hex digits, so that none begins like this.
MESSAGE_PREFIX: Final = "org:"


class Preset(msgspec.Struct, frozen=True, kw_only=True):
    """The version in force of a preset. ``config`` has the fields of a Chat Completions request; '' is no system prompt."""

    slug: str
    version: int
    config: dict[str, Any]
    system_prompt: str = ""


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """The version in force of a routing policy: a ``provider`` object."""

    slug: str
    version: int
    provider: dict[str, Any]


class RequestRules(msgspec.Struct, frozen=True, kw_only=True):
    """Everything active that one organization has laid down. ``default_policy`` is the slug of the one for every request, or ''."""

    presets: dict[str, Preset] = {}
    policies: dict[str, Policy] = {}
    default_policy: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is laid down."""
        return not self.presets and not self.policies


NO_RULES: Final = RequestRules()


def entry_name(org_id: int) -> str:
    """Return the name of an organization's entry on the broker's Redis: its RequestRules as JSON."""
    return f"rules:{org_id}"
