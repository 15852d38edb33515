"""Calls signed for AWS (Signature Version 4), by botocore's own signer. The body must be final: it is part of what is signed."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from catalog.types import ProviderSpec

_HOST_PARTS_MIN = 4  # bedrock-runtime.<region>.amazonaws.com
_DEFAULT_REGION = "us-east-1"


class BadAccessKey(ValueError):
    """A credential for AWS is not ACCESS_KEY_ID:SECRET or ACCESS_KEY_ID:SECRET:SESSION_TOKEN."""


class SigV4Signer:
    """Signs for one account, region and service."""

    def __init__(self, provider: ProviderSpec, secret: str, *, service: str = "bedrock") -> None:
        parts = secret.split(":", 2)
        if not all(parts) or len(parts) == 1:
            msg = f"the credential of {provider.slug} must be ACCESS_KEY_ID:SECRET, with :SESSION_TOKEN after it if it has one"
            raise BadAccessKey(msg)
        self._auth = SigV4Auth(Credentials(*parts), service, region_of(provider))

    def headers(self, url: str, headers: Mapping[str, str], body: bytes) -> dict[str, str]:
        """Return the signature and what belongs to it."""
        request = AWSRequest(method="POST", url=url, data=body, headers={"content-type": headers.get("content-type", "")})
        self._auth.add_auth(request)
        return {name.lower(): value for name, value in request.headers.items() if name.lower() != "content-type"}


def region_of(provider: ProviderSpec) -> str:
    """Return the region that the provider's options or address name."""
    labels = (urlsplit(provider.base_url).hostname or "").split(".")
    named = labels[1] if len(labels) >= _HOST_PARTS_MIN and "amazonaws" in labels else ""
    return provider.options.get("region") or named or _DEFAULT_REGION
