"""The form of a key's secret: ``sk-tw-v1-`` and 64 hex digits, the last 8 a checksum. Pure; no Django.

The checksum lets the data plane refuse random strings without a look-up, and lets secret scanners tell a real key from noise.
"""

import hashlib
import secrets
import zlib

PREFIX = "sk-tw-v1-"
_RANDOM_BYTES = 28
_RANDOM_HEX = 2 * _RANDOM_BYTES
_LENGTH = len(PREFIX) + _RANDOM_HEX + 8
_LABEL_EDGE = 3
_NOTHING_HASHED = hashlib.sha256()  # copied, since OpenSSL looks its algorithm up for each new one


def _checksum(random_hex: str) -> str:
    return f"{zlib.crc32(random_hex.encode('ascii')):08x}"


def mint_secret() -> str:
    """Return a new secret with 224 random bits."""
    random_hex = secrets.token_hex(_RANDOM_BYTES)
    return f"{PREFIX}{random_hex}{_checksum(random_hex)}"


def is_well_formed(secret: str) -> bool:
    """Tell whether the length, the prefix and the checksum are right. Says nothing about whether the key exists."""
    if len(secret) != _LENGTH or not secret.startswith(PREFIX) or not secret.isascii():
        return False
    return secret[-8:] == _checksum(secret[len(PREFIX) : len(PREFIX) + _RANDOM_HEX])


def hash_secret(secret: str) -> str:
    """Return the SHA-256 of the secret, 64 lowercase hex digits: the key's public id and all that is kept of the secret."""
    digest = _NOTHING_HASHED.copy()
    digest.update(secret.encode())
    return digest.hexdigest()


def redact_secret(secret: str) -> str:
    """Return the label that people recognise a key by, such as 'sk-tw-v1-abc...123'."""
    body = secret.removeprefix(PREFIX)
    return f"{PREFIX}{body[:_LABEL_EDGE]}...{body[-_LABEL_EDGE:]}"
