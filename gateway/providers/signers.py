"""Which signer a provider's credential needs. Their libraries are large, so that they are loaded only where one is needed."""

from catalog.types import ProviderSpec
from gateway.providers.auth import Signer, UnknownAuth


def make_signer(provider: ProviderSpec, secret: str) -> Signer:
    """Return what signs calls to ``provider`` with ``secret``. Raises: UnknownAuth, BadAccessKey."""
    if provider.auth == "sigv4":
        from gateway.providers.sigv4 import SigV4Signer  # noqa: PLC0415 -- loads botocore

        return SigV4Signer(provider, secret)
    msg = f"provider {provider.slug} wants {provider.auth!r}, for which there is no signer"
    raise UnknownAuth(msg)
