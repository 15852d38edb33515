"""Where the money store is, as its URL tells."""

import asyncio
import ssl
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

_SCHEMES = {"redis", "rediss", "unix"}
_Protocol = TypeVar("_Protocol", bound=asyncio.BaseProtocol)


class BadStoreUrl(ValueError):
    """The URL is not redis://, rediss:// or unix://."""


class StoreAddress:
    """The address and the credentials in a store URL, as redis-py writes them."""

    def __init__(self, *, host: str, port: int, path: str, tls: ssl.SSLContext | None, user: str, password: str, db: int) -> None:
        self.host, self.port, self.path, self.tls = host, port, path, tls
        self.user, self.password, self.db = user, password, db

    def __str__(self) -> str:
        return f"{self.path or f'{self.host}:{self.port}'}/{self.db}"

    @classmethod
    def parse(cls, url: str) -> "StoreAddress":
        """Raises: BadStoreUrl."""
        parts = urlsplit(url)
        if parts.scheme not in _SCHEMES:
            msg = f"the money store's URL must start with redis://, rediss:// or unix://, not {parts.scheme}://"
            raise BadStoreUrl(msg)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        unix = parts.scheme == "unix"
        db = query.get("db", "0" if unix else parts.path.strip("/") or "0")
        tls = None
        if parts.scheme == "rediss":
            tls = ssl.create_default_context(cafile=query.get("ssl_ca_certs"))
            if query.get("ssl_cert_reqs") == "none":
                tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
        return cls(
            host=parts.hostname or "127.0.0.1",
            port=parts.port or 6379,
            path=unquote(parts.path) if unix else "",
            tls=tls,
            user=unquote(parts.username or ""),
            password=unquote(parts.password or "") or query.get("password", ""),
            db=int(db),
        )

    async def open(self, factory: Callable[[], _Protocol]) -> _Protocol:
        """Connect. Raises: OSError."""
        loop = asyncio.get_running_loop()
        if self.path:
            _, link = await loop.create_unix_connection(factory, self.path)
        else:
            _, link = await loop.create_connection(factory, self.host, self.port, ssl=self.tls)
        return link

    def hello(self) -> list[tuple[str, ...]]:
        """Return the commands that open the session."""
        commands: list[tuple[str, ...]] = []
        if self.password:
            commands.append(("AUTH", self.user, self.password) if self.user else ("AUTH", self.password))
        if self.db:
            commands.append(("SELECT", str(self.db)))
        return commands
