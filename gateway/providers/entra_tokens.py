"""Access tokens of Microsoft Entra ID for Azure, by an application's own credentials (the OAuth client-credentials grant).

learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow: a form to the tenant's token endpoint; the scope is that of
Azure's AI services (learn.microsoft.com/azure/ai-foundry/openai/how-to/managed-identity). One HTTPS call an hour, to one fixed host.
"""

import re
import time
from typing import Final

import httpx
import msgspec

from gateway.providers.held_tokens import HeldToken, NoToken, Token

HOST: Final = "https://login.microsoftonline.com"
SCOPE: Final = "https://cognitiveservices.azure.com/.default"
_TIMEOUT_S = 20.0
_OK = 200
# A tenant is an id or a domain; it becomes part of an address.
_TENANT = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?")


class BadApplication(ValueError):
    """The credential is no application that tokens can be asked for. The message repeats nothing of it."""


class _Application(msgspec.Struct):
    tenant_id: str
    client_id: str
    client_secret: str


class _Given(msgspec.Struct):
    access_token: str
    expires_in: float


class EntraTokens(HeldToken):
    """The token of one application: ``{"tenant_id": …, "client_id": …, "client_secret": …}``."""

    issuer = "Microsoft Entra"

    def __init__(self, application: str) -> None:
        super().__init__()
        try:
            read = msgspec.json.decode(application, type=_Application)
        except msgspec.MsgspecError as error:
            msg = "the application cannot be used: it needs tenant_id, client_id and client_secret"
            raise BadApplication(msg) from error
        if not _TENANT.fullmatch(read.tenant_id) or not read.client_id or not read.client_secret:
            msg = "the application cannot be used: tenant_id must be an id or a domain, client_id and client_secret not empty"
            raise BadApplication(msg)
        self._url = f"{HOST}/{read.tenant_id}/oauth2/v2.0/token"
        self._form = {
            "grant_type": "client_credentials",
            "client_id": read.client_id,
            "client_secret": read.client_secret,
            "scope": SCOPE,
        }

    def fetch(self) -> Token:
        """Ask for a new one. Raises: NoToken."""
        try:
            # No redirects, no proxy of the environment: the secret goes to this host alone.
            with httpx.Client(trust_env=False, timeout=_TIMEOUT_S) as client:
                answer = client.post(self._url, data=self._form)
        except httpx.HTTPError as error:
            raise NoToken(type(error).__name__) from error
        if answer.status_code != _OK:
            raise NoToken(f"status {answer.status_code}")
        try:
            given = msgspec.json.decode(answer.content, type=_Given)
        except msgspec.MsgspecError as error:
            msg = "an answer without a token"
            raise NoToken(msg) from error
        return Token(given.access_token, time.time() + given.expires_in)
