"""An access token that is held for as long as the process lives: refreshed early in a thread; a request only reads what is there."""

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import NamedTuple

from gateway.providers.auth import NotReady

_log = logging.getLogger(__name__)
_EARLY_S = 900.0  # a token lasts an hour
_RETRY_S = 10.0
_FIRST_WAIT_S = 2.0
_MARGIN_S = 30.0  # a token this near its end is not shown any more


class Token(NamedTuple):
    """What is shown, and the second since 1970 at which it ends."""

    text: str
    ends_s: float


class NoToken(Exception):
    """The issuer gave none. The message is fit for the log: it repeats nothing of what was sent."""


class HeldToken(ABC):
    """The token of one account. ``start`` begins its thread; the token is there a moment later and is then always fresh."""

    issuer = ""  # whose tokens these are, for the log

    def __init__(self) -> None:
        self._token = Token("", 0.0)
        self._is_ready = threading.Event()

    @abstractmethod
    def fetch(self) -> Token:
        """Ask for a new one. Raises: NoToken."""

    def headers(self, url: str, headers: Mapping[str, str], body: bytes) -> dict[str, str]:
        """Return the token that is held. Raises: NotReady."""
        del url, headers, body
        if not self._token.text or time.time() > self._token.ends_s - _MARGIN_S:
            msg = "no access token is held at the moment"
            raise NotReady(msg)
        return {"authorization": f"Bearer {self._token.text}"}

    def start(self) -> None:
        """Begin to hold a token for as long as the process lives, and wait a moment for the first. Not in an event loop's thread."""
        threading.Thread(target=self._hold, name=f"{self.issuer}-tokens", daemon=True).start()
        self._is_ready.wait(_FIRST_WAIT_S)

    def refresh(self) -> float:
        """Fetch a token; return in how many seconds the next is due: a quarter of an hour before the end. Raises: NoToken."""
        self._token = self.fetch()
        self._is_ready.set()
        return max(self._token.ends_s - time.time() - _EARLY_S, _RETRY_S)

    def _hold(self) -> None:
        while True:
            try:
                wait_s = self.refresh()
            except NoToken as error:
                _log.warning("no access token from %s: %s", self.issuer, error)
                wait_s = _RETRY_S
            except Exception as error:  # noqa: BLE001 -- without this thread the provider is dead; what it says may repeat what was sent
                _log.error("no access token from %s: %s", self.issuer, type(error).__name__)
                wait_s = _RETRY_S
            time.sleep(wait_s)
