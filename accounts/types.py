"""What other rooms may know of people and keys: frozen shapes and plain errors, no Django."""

from typing import Literal

import msgspec

LimitReset = Literal["daily", "weekly", "monthly"]


class Caller(msgspec.Struct, frozen=True, array_like=True):
    """The bearer of an API key, as the data plane sees it. Minted by ``accounts.api_keys``, cached by key hash.

    ``shard`` is the organization's ledger shard (0 to 255). ``expires_at_s`` is Unix seconds or None. The key's limit and its
    disabled flag are not here: they live in the money store beside the key's counters, where the hold checks them atomically.
    """

    key_hash: str  # SHA-256 of the secret, 64 lowercase hex digits
    key_id: int
    org_id: int
    shard: int
    is_management: bool = False
    expires_at_s: int | None = None


class InvalidKey(Exception):
    """No key with this secret exists, or it was deleted."""


class KeyDisabled(Exception):
    """The key exists and is switched off."""


class KeyExpired(Exception):
    """The key's ``expires_at`` has passed."""
