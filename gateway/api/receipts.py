"""GET /api/v1/receipts/{id}: one request's receipt as signed JSON, for any key of the organization. And the keys that prove it."""

import msgspec
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from rest_framework.request import Request

from billing.queries import ReceiptArchived
from billing.receipts import signing
from billing.receipts.signing import PublishedKey
from gateway.api.views import ApiView
from gateway.drf import organization_of, utc_text
from gateway.receipts import receipt
from gateway.relay.errors import Gone, NotFound


class SignedReceipt(ApiView):
    """Either kind of key."""

    def get(self, request: Request, generation: str) -> HttpResponse:
        """Answer with the bytes that were signed. Raises: NotFound, Gone."""
        organization = organization_of(request)
        try:
            found = receipt.find(organization, generation)
        except ReceiptArchived as archived:
            raise Gone(str(archived)) from archived
        if found is None:
            raise NotFound(f"Generation {generation[:64]} not found")
        return HttpResponse(receipt.signed(found, organization), content_type="application/json")


@require_safe
def signing_keys(request: HttpRequest) -> HttpResponse:  # noqa: ARG001 -- Django's signature
    """Publish the public keys as a JSON Web Key Set (RFC 7517, RFC 8037), newest first."""
    body = msgspec.json.encode({"keys": [_web_key(key) for key in signing.published_keys()]})
    return HttpResponse(
        body, content_type="application/json", headers={"Cache-Control": "public, max-age=300", "Access-Control-Allow-Origin": "*"}
    )


def _web_key(key: PublishedKey) -> dict[str, str]:
    moments = {"created_at": key.created_at, "retired_at": key.retired_at, "revoked_at": key.revoked_at}
    return {
        "kty": "OKP",
        "crv": signing.ALGORITHM,
        "alg": "EdDSA",
        "use": "sig",
        "kid": key.key_id,
        "x": signing.base64url(key.public_key),
        **{name: text for name, moment in moments.items() if (text := utc_text(moment))},
    }
