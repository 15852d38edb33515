"""Composition root: Channels' routers send the hot paths to the data plane, websockets to consumers, the rest to Django."""

import os
from collections.abc import Awaitable
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway.settings")

from django.conf import settings
from django.core.asgi import get_asgi_application

_django = get_asgi_application()

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from catalog import list_page
from gateway import celery  # noqa: F401 -- makes tasks of this process go to our broker
from gateway.body_limit import BodyLimit
from gateway.live import websocket_urlpatterns
from gateway.relay.exchange import Message, Receive, Send
from gateway.relay.plane import DataPlane
from gateway.relay_settings import relay_config

# Pages show the snapshot that requests are priced with: decoded once, kept once.
plane = DataPlane(relay_config(), on_catalog=list_page.prepare)


class Lifespan:
    """Starts and stops the data plane with the server process."""

    async def __call__(self, _scope: Message, receive: Receive, send: Send) -> None:
        """Speak the lifespan protocol."""
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                try:
                    await plane.start()
                except Exception as error:
                    await send({"type": "lifespan.startup.failed", "message": str(error)})
                    raise
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await plane.close()
                await send({"type": "lifespan.shutdown.complete"})
                return


django_application = BodyLimit(_django, max_bytes=settings.DATA_UPLOAD_MAX_MEMORY_SIZE)


def _behind_proxies(application: Any) -> Any:
    """Let an application see the client's address and scheme as the operator's proxies tell them. The data plane asks for neither."""
    return ProxyHeadersMiddleware(application, trusted_hosts=settings.FORWARDED_ALLOW_IPS)


class HttpRouter:
    """Sends the data plane its paths and Django the rest. One look-up: the hot paths do not wait for a list of patterns."""

    def __init__(self) -> None:
        self._paths = frozenset(plane.app.paths)
        self._prefixes = plane.app.prefixes
        self._django = _behind_proxies(django_application)

    def __call__(self, scope: Message, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one request."""
        path: str = scope["path"]
        # A slash at the end is forgiven, by the data plane as by Django.
        if path in self._paths or path.startswith(self._prefixes) or path.removesuffix("/") in self._paths:
            return plane.app(scope, receive, send)
        answer: Awaitable[None] = self._django(scope, receive, send)
        return answer


class Application:
    """Channels' router, past which requests of HTTP go straight to theirs."""

    def __init__(self) -> None:
        self._http = HttpRouter()
        websocket = AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter(websocket_urlpatterns)))
        self._others = ProtocolTypeRouter({"websocket": _behind_proxies(websocket), "lifespan": Lifespan()})

    def __call__(self, scope: Message, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one request, one websocket, or the process's life."""
        if scope["type"] == "http":
            return self._http(scope, receive, send)
        others: Awaitable[None] = self._others(scope, receive, send)
        return others


application = Application()
