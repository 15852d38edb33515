"""What the data plane reads of a key: an entry and a channel on the broker's Redis. Names shared with ``lookup.py``; no Django here.

``key:<hash>`` holds the Caller as JSON, or a tombstone once the key is deleted. Entries are written by ``api_keys.announce`` under
the key's row lock, and filled by look-ups only where nothing stands (SET NX). The tombstone outlives any look-up that read the row
before it was deleted, so a late fill can never bring a deleted key back.
"""

CHANNEL = "tollway:keys"
TOMBSTONE = b"deleted"
ENTRY_TTL_S = 7 * 24 * 3600


def entry_name(key_hash: str) -> str:
    """Return the name of a key's entry."""
    return f"key:{key_hash}"
