"""Access tokens for Google's service accounts, by google-auth."""

import datetime as dt
import time
from collections.abc import Mapping
from typing import Any

import httpx
import msgspec
from google.auth import exceptions, transport
from google.oauth2 import service_account

from gateway.providers.held_tokens import HeldToken, NoToken, Token

_SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
_TIMEOUT_S = 20.0
_LIFE_S = 900.0  # of a token that does not say


class BadServiceAccount(ValueError):
    """The credential is no service account that google-auth can use. The message repeats nothing of it."""


class _Response(transport.Response):
    def __init__(self, answer: httpx.Response) -> None:
        self._answer = answer

    @property
    def status(self) -> int:
        """Return the HTTP status."""
        return self._answer.status_code

    @property
    def headers(self) -> Mapping[str, str]:
        """Return the headers."""
        return self._answer.headers

    @property
    def data(self) -> bytes:
        """Return the body."""
        return self._answer.content


class _Request(transport.Request):
    """google-auth's door to the network, through the client that the house uses anyway. No redirects, no proxy of the environment."""

    def __call__(
        self, url: str, method: str = "GET", body: Any = None, headers: Any = None, timeout: float | None = None, **_: Any
    ) -> _Response:
        """Send a request. Raises: TransportError."""
        try:
            with httpx.Client(trust_env=False, timeout=timeout or _TIMEOUT_S) as client:
                return _Response(client.request(method, url, content=body, headers=headers))
        except httpx.HTTPError as error:
            raise exceptions.TransportError(type(error).__name__) from error  # type: ignore[no-untyped-call]


class GoogleTokens(HeldToken):
    """The token of one service account."""

    issuer = "Google"

    def __init__(self, account: str) -> None:
        super().__init__()
        try:
            make = service_account.Credentials.from_service_account_info
            self._credentials = make(msgspec.json.decode(account), scopes=_SCOPES)  # type: ignore[no-untyped-call]
        except (ValueError, msgspec.MsgspecError, exceptions.GoogleAuthError) as error:
            msg = f"the service account cannot be used ({type(error).__name__})"
            raise BadServiceAccount(msg) from error

    def fetch(self) -> Token:
        """Ask for a new one. Raises: NoToken."""
        try:
            self._credentials.refresh(_Request())
        except exceptions.GoogleAuthError as error:
            # Not its message: that may quote what was sent.
            raise NoToken(type(error).__name__) from error
        expiry = self._credentials.expiry  # UTC, without saying so
        return Token(self._credentials.token, expiry.replace(tzinfo=dt.UTC).timestamp() if expiry is not None else time.time() + _LIFE_S)
