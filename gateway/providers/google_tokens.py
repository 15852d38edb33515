"""Access tokens for Google's service accounts, by google-auth: refreshed early in a thread; a request only reads what is there."""

import datetime as dt
import logging
import threading
import time
from collections.abc import Mapping
from typing import Any

import httpx
import msgspec
from google.auth import exceptions, transport
from google.oauth2 import service_account

from gateway.providers.auth import NotReady

_log = logging.getLogger(__name__)
_SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
_EARLY_S = 900.0  # a token lasts an hour
_RETRY_S = 10.0
_TIMEOUT_S = 20.0
_FIRST_WAIT_S = 2.0
_MARGIN_S = 30.0  # a token this near its end is not shown any more


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


class GoogleTokens:
    """The token of one service account. ``start`` begins its thread; the token is there a moment later and is then always fresh."""

    def __init__(self, account: str) -> None:
        try:
            make = service_account.Credentials.from_service_account_info
            self._credentials = make(msgspec.json.decode(account), scopes=_SCOPES)  # type: ignore[no-untyped-call]
        except (ValueError, msgspec.MsgspecError, exceptions.GoogleAuthError) as error:
            msg = f"the service account cannot be used ({type(error).__name__})"
            raise BadServiceAccount(msg) from error
        self._token = ""
        self._ends_s = 0.0
        self._is_ready = threading.Event()

    def headers(self, url: str, headers: Mapping[str, str], body: bytes) -> dict[str, str]:
        """Return the token that is held. Raises: NotReady."""
        del url, headers, body
        if not self._token or time.time() > self._ends_s - _MARGIN_S:
            msg = "no access token is held at the moment"
            raise NotReady(msg)
        return {"authorization": f"Bearer {self._token}"}

    def start(self) -> None:
        """Begin to hold a token for as long as the process lives, and wait a moment for the first. Not in an event loop's thread."""
        threading.Thread(target=self._hold, name="google-tokens", daemon=True).start()
        self._is_ready.wait(_FIRST_WAIT_S)

    def refresh(self) -> float:
        """Fetch a token; return in how many seconds the next is due. Raises: GoogleAuthError."""
        self._credentials.refresh(_Request())
        expiry = self._credentials.expiry  # UTC, without saying so
        self._ends_s = expiry.replace(tzinfo=dt.UTC).timestamp() if expiry is not None else time.time() + _EARLY_S
        self._token = self._credentials.token
        self._is_ready.set()
        return max(self._ends_s - time.time() - _EARLY_S, _RETRY_S)

    def _hold(self) -> None:
        while True:
            try:
                wait_s = self.refresh()
            except exceptions.GoogleAuthError as error:
                # Not its message: that may quote what was sent.
                _log.warning("no access token from Google: %s", type(error).__name__)
                wait_s = _RETRY_S
            time.sleep(wait_s)
