"""The gateway's application with a profiler inside, for ``python -m bench profile``: POST /profile/start and /profile/stop.

cProfile is switched on in the loop's own thread. It counts every call, which makes small Python functions look dearer than they are:
compare functions with each other, not with the figures of a run without it.
"""

import cProfile
import io
import pstats
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from gateway.asgi import application as gateway

_Message = MutableMapping[str, Any]
_TOP = 60
_profiler = cProfile.Profile()


async def application(scope: _Message, receive: Callable[[], Awaitable[_Message]], send: Callable[[_Message], Awaitable[None]]) -> None:
    """Serve the two paths; pass everything else on."""
    path = scope.get("path")
    if scope["type"] != "http" or path not in {"/profile/start", "/profile/stop"}:
        await gateway(scope, receive, send)
        return
    report = ""
    if path == "/profile/start":
        _profiler.enable()
    else:
        _profiler.disable()
        text = io.StringIO()
        pstats.Stats(_profiler, stream=text).sort_stats("tottime").print_stats(_TOP)
        report = text.getvalue()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": report.encode()})
