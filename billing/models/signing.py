"""The keys under which receipts, statements and exports are signed."""

from typing import ClassVar

from django.db import models
from django.db.models import Q


class SigningKey(models.Model):
    """An Ed25519 key pair. The newest that is not retired signs; public halves stay published for ever, so that old papers hold."""

    key_id = models.CharField(max_length=43, unique=True, help_text="Thumbprint of the public key (RFC 7638), base64url.")
    public_key = models.BinaryField(max_length=32, help_text="32 bytes.")
    sealed_private_key = models.BinaryField(max_length=512, help_text="Sealed under SECRET_KEY (accounts.secrets).")
    created_at = models.DateTimeField(auto_now_add=True)
    retired_at = models.DateTimeField(null=True, blank=True, help_text="Signs nothing from then on; what it signed holds.")
    revoked_at = models.DateTimeField(null=True, blank=True, help_text="Fell into wrong hands: nothing that it signed is to be believed.")

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(
                condition=Q(revoked_at__isnull=True) | Q(retired_at__isnull=False), name="billing_signingkey_revoked_is_retired"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.key_id}{' (retired)' if self.retired_at else ''}"
