"""Seals secrets that must be read again, such as provider keys. No Django: the data plane opens them with the same keys."""

import base64
from typing import Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

# Separates this use of SECRET_KEY from every other (sessions, tokens).
_PURPOSE: Final = b"tollway sealed secrets v1"
_KEY_BYTES: Final = 32


class CannotOpen(Exception):
    """The sealed bytes were made under a key that is not among ours, or were changed."""


class Sealer:
    """Seals under the first of ``secret_keys`` and opens under any of them: SECRET_KEY, then SECRET_KEY_FALLBACKS.

    Deriving a key takes about 20 µs; keep one instance where many secrets are opened.
    """

    def __init__(self, *secret_keys: str) -> None:
        self._fernet = MultiFernet([Fernet(_derive(key)) for key in secret_keys])

    def seal(self, text: str) -> bytes:
        """Return ``text`` encrypted and authenticated; two seals of the same text differ."""
        return self._fernet.encrypt(text.encode())

    def open_sealed(self, sealed: bytes) -> str:
        """Return what was sealed. Raises: CannotOpen."""
        try:
            return self._fernet.decrypt(bytes(sealed)).decode()
        except InvalidToken as error:
            msg = "a sealed secret cannot be opened: SECRET_KEY has changed and the old one is not in SECRET_KEY_FALLBACKS"
            raise CannotOpen(msg) from error

    def reseal(self, sealed: bytes) -> bytes:
        """Return the same secret sealed under the newest key. Raises: CannotOpen."""
        return self.seal(self.open_sealed(sealed))


def _derive(secret_key: str) -> bytes:
    return base64.urlsafe_b64encode(HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=_PURPOSE).derive(secret_key.encode()))
