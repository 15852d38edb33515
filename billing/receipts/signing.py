"""Sign papers with Ed25519, publish the public keys, change the key.

A signature lies inside its document, under ``signature``; what is signed is the canonical form of all the rest and of the signature's own
``algorithm`` and ``key``.
"""

import base64
import datetime as dt
import hashlib
import logging
from typing import Any, Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from accounts.secrets import CannotOpen, Sealer
from billing.models import SigningKey
from billing.receipts import canonical

ALGORITHM: Final = "Ed25519"
SIGNATURE_CHARS: Final = 128  # 64 bytes in hex
_LOCK: Final = 0x70_61_70_65_72_73  # of the making of keys

_log = logging.getLogger(__name__)


class PublishedKey(NamedTuple):
    """A public key as the world sees it. ``public_key`` are its 32 bytes."""

    key_id: str
    public_key: bytes
    created_at: dt.datetime
    retired_at: dt.datetime | None
    revoked_at: dt.datetime | None


class Signer:
    """Signs with one key. ``key_id`` is known before, so that a document can be measured before it is signed."""

    def __init__(self, key_id: str, private_key: Ed25519PrivateKey) -> None:
        self.key_id = key_id
        self._private_key = private_key

    def sign(self, document: dict[str, Any]) -> bytes:
        """Return the canonical bytes of ``document`` with its signature. Raises: TypeError for a fraction."""
        head = {"algorithm": ALGORITHM, "key": self.key_id}
        value = self._private_key.sign(canonical.encode({**document, "signature": head})).hex()
        return canonical.encode({**document, "signature": {**head, "value": value}})


def current_signer() -> Signer:
    """Return the signer in force; the first call of an installation makes its key."""
    return _open_newest() or _make_first()


def sign(document: dict[str, Any]) -> bytes:
    """Return the canonical bytes of ``document``, signed with the key in force. Raises: TypeError for a fraction."""
    return current_signer().sign(document)


def published_keys() -> list[PublishedKey]:
    """Return every public key there ever was, newest first. There is always one."""
    columns = ("key_id", "public_key", "created_at", "retired_at", "revoked_at")
    rows = SigningKey.objects.order_by("-pk").values_list(*columns)
    if not rows:
        current_signer()
    return [PublishedKey(key_id, bytes(public_key), *moments) for key_id, public_key, *moments in rows.all()]


@transaction.atomic
def rotate(*, revoke: bool = False) -> str:
    """Retire the key in force and make a new one. Return the new key's id.

    ``revoke`` says that the old one fell into wrong hands; receipts and statements asked for again are signed anew anyway.
    """
    _lock()
    now = timezone.now()
    old = SigningKey.objects.filter(retired_at=None)
    old.update(retired_at=now, **({"revoked_at": now} if revoke else {}))
    return _make().key_id


def _sealer() -> Sealer:
    return Sealer(settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)


def _open_newest() -> Signer | None:
    key = SigningKey.objects.filter(retired_at=None).order_by("-pk").first()
    if key is None:
        return None
    try:
        secret = bytes.fromhex(_sealer().open_sealed(bytes(key.sealed_private_key)))
    except CannotOpen:
        # SECRET_KEY was changed without keeping the old one. Papers must go on being signed; the old public key still vouches for the old.
        _log.exception("signing key %s cannot be opened and is retired", key.key_id)
        SigningKey.objects.filter(pk=key.pk).update(retired_at=timezone.now())
        return None
    return Signer(key.key_id, Ed25519PrivateKey.from_private_bytes(secret))


@transaction.atomic
def _make_first() -> Signer:
    _lock()
    return _open_newest() or _make()  # whoever waited for the lock finds the other's key


def _make() -> Signer:
    private_key = Ed25519PrivateKey.generate()
    public_key = private_key.public_key().public_bytes_raw()
    key_id = _thumbprint(public_key)
    sealed = _sealer().seal(private_key.private_bytes_raw().hex())
    SigningKey.objects.create(key_id=key_id, public_key=public_key, sealed_private_key=sealed)
    return Signer(key_id, private_key)


def base64url(value: bytes) -> str:
    """Write bytes as JSON web keys have them: base64url without padding."""
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _thumbprint(public_key: bytes) -> str:
    # RFC 7638 with the members that RFC 8037 names.
    members = canonical.encode({"crv": ALGORITHM, "kty": "OKP", "x": base64url(public_key)})
    return base64url(hashlib.sha256(members).digest())


def _lock() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
