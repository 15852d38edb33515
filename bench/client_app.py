"""The same minimal ASGI application around different HTTP clients: ``python -m bench.client_app CLIENT PORT UPSTREAM_PORT``.

It reads the request, passes it to the upstream and gives back the answer, whole or chunk by chunk; nothing else. Run by uvicorn with
uvloop and httptools, as the gateway is.
"""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any, Protocol

import uvicorn

_Message = MutableMapping[str, Any]
_Send = Callable[[_Message], Awaitable[None]]
_Receive = Callable[[], Awaitable[_Message]]
OWN = "tollway"
CLIENTS = (OWN, "pyreqwest", "aiohttp", "httpx")
_HEADERS = {"content-type": "application/json", "authorization": "Bearer upstream"}


class _Client(Protocol):
    async def start(self) -> None: ...
    async def whole(self, body: bytes) -> bytes: ...
    def pieces(self, body: bytes) -> AsyncIterator[bytes]: ...


class _Tollway:
    def __init__(self, url: str) -> None:
        self._url = url

    async def start(self) -> None:
        from gateway.relay.upstream import UpstreamClient, aim  # noqa: PLC0415 -- one client per process is loaded

        self._client = UpstreamClient(connect_timeout_s=5, idle_timeout_s=60)
        self._target = aim(self._url, _HEADERS)

    async def whole(self, body: bytes) -> bytes:
        answer = await self._client.send(self._target, body, timeout_s=60)
        return answer.body

    async def pieces(self, body: bytes) -> AsyncIterator[bytes]:
        async with self._client.stream(self._target, body, timeout_s=60) as answer:
            while (piece := await answer.read()) is not None:
                yield piece


class _Pyreqwest:
    def __init__(self, url: str) -> None:
        self._url = url

    async def start(self) -> None:
        from pyreqwest.client import ClientBuilder  # noqa: PLC0415 -- not a dependency: measured only where it is installed

        self._client = ClientBuilder().pool_max_idle_per_host(1024).no_proxy().tcp_nodelay(True).build()  # noqa: FBT003

    async def whole(self, body: bytes) -> bytes:
        response = await self._client.post(self._url).headers(_HEADERS).body_bytes(body).build().send()
        return bytes(await response.bytes())

    async def pieces(self, body: bytes) -> AsyncIterator[bytes]:
        request = self._client.post(self._url).headers(_HEADERS).body_bytes(body).streamed_read_buffer_limit(0).build_streamed()
        async with request as response:
            while (piece := await response.body_reader.read_chunk()) is not None:
                yield bytes(piece)


class _Aiohttp:
    def __init__(self, url: str) -> None:
        self._url = url

    async def start(self) -> None:
        import aiohttp  # noqa: PLC0415 -- not a dependency: measured only where it is installed

        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60), auto_decompress=False)

    async def whole(self, body: bytes) -> bytes:
        async with self._session.post(self._url, data=body, headers=_HEADERS) as response:
            data: bytes = await response.read()
            return data

    async def pieces(self, body: bytes) -> AsyncIterator[bytes]:
        async with self._session.post(self._url, data=body, headers=_HEADERS) as response:
            async for piece in response.content.iter_any():
                yield piece


class _Httpx:
    def __init__(self, url: str) -> None:
        self._url = url

    async def start(self) -> None:
        import httpx  # noqa: PLC0415 -- not the hot path's

        self._client = httpx.AsyncClient(
            limits=httpx.Limits(max_connections=2048, max_keepalive_connections=1024), trust_env=False, timeout=60
        )

    async def whole(self, body: bytes) -> bytes:
        response = await self._client.post(self._url, content=body, headers=_HEADERS)
        return response.content

    async def pieces(self, body: bytes) -> AsyncIterator[bytes]:
        async with self._client.stream("POST", self._url, content=body, headers=_HEADERS) as response:
            async for piece in response.aiter_raw():
                yield piece


class App:
    """The application."""

    def __init__(self, client: _Client) -> None:
        self._client = client

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        """Serve the lifespan or a request."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        body: bytes = (await receive())["body"]
        if b'"stream": true' in body:
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
            async for piece in self._client.pieces(body):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
            return
        answer = await self._client.whole(body)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    async def _live(self, receive: _Receive, send: _Send) -> None:
        await receive()
        await self._client.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})


if __name__ == "__main__":
    name, port, upstream = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    kinds: dict[str, Callable[[str], _Client]] = {OWN: _Tollway, "pyreqwest": _Pyreqwest, "aiohttp": _Aiohttp, "httpx": _Httpx}
    made = kinds[name](f"http://127.0.0.1:{upstream}/v1/chat/completions")
    uvicorn.run(App(made), host="127.0.0.1", port=port, loop="uvloop", http="httptools", log_level="warning", access_log=False)
