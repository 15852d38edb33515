"""A TCP proxy before the money store that delays replies, or cuts the connection after the server has acted and before it is heard."""

import asyncio
import contextlib
import random
from urllib.parse import urlsplit


class Proxy:
    """Forwards to the server of a redis URL. ``cut_share`` of the replies are lost with their connection; each takes ``delay_s`` more."""

    def __init__(self, url: str, *, seed: int) -> None:
        self._target = urlsplit(url)
        self._random = random.Random(seed)
        self._server: asyncio.Server | None = None
        self._busy: set[asyncio.Task[None]] = set()
        self.cut_share = 0.0
        self.delay_s = 0.0
        self.cuts = 0

    async def start(self) -> str:
        """Listen; return the URL to connect to."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        return self._target._replace(netloc=f"{self._target.netloc.rpartition('@')[0]}@127.0.0.1:{port}".removeprefix("@")).geturl()

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in [*self._busy]:
            task.cancel()
        await asyncio.gather(*self._busy, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._busy.add(task)
        try:
            up_reader, up_writer = await asyncio.open_connection(self._target.hostname, self._target.port)
            sending = asyncio.create_task(self._forward(reader, up_writer))
            try:
                await self._answer(up_reader, writer)
            finally:
                sending.cancel()
                for one in (writer, up_writer):
                    with contextlib.suppress(Exception):
                        one.transport.abort()
        except OSError:
            pass
        finally:
            self._busy.discard(task)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                if self._random.random() < self.cut_share:
                    self.cuts += 1
                    return
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                writer.write(data)
                await writer.drain()
