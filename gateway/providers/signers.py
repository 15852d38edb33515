"""Which signer a provider's credential needs. Their libraries are large, so that they are loaded only where one is needed."""

from functools import lru_cache

from catalog.types import ProviderSpec
from gateway.providers.auth import Signer, UnknownAuth


def make_signer(provider: ProviderSpec, secret: str) -> Signer:
    """Return what signs calls to ``provider`` with ``secret``.

    Raises: UnknownAuth, BadAccessKey, BadServiceAccount, BadApplication.
    """
    if provider.auth == "sigv4":
        from gateway.providers.sigv4 import SigV4Signer  # noqa: PLC0415 -- loads botocore

        return SigV4Signer(provider, secret)
    if provider.auth in ("oauth2", "api-key"):
        return _tokens_of(provider.auth, secret)
    msg = f"provider {provider.slug} wants {provider.auth!r}, for which there is no signer"
    raise UnknownAuth(msg)


@lru_cache(maxsize=256)
def _tokens_of(auth: str, account: str) -> Signer:
    """Return the one holder of this account's tokens: a new version of the catalog must not fetch them anew."""
    if auth == "oauth2":
        from gateway.providers.google_tokens import GoogleTokens  # noqa: PLC0415 -- loads google-auth

        google = GoogleTokens(account)
        google.start()
        return google
    from gateway.providers.entra_tokens import EntraTokens  # noqa: PLC0415 -- loads httpx

    entra = EntraTokens(account)
    entra.start()
    return entra
