"""The provider that the gateway calls while it is measured: the same answer to everybody, or chunks at a set pace with the time in them.

``python -m bench.upstream PORT``. A streamed answer has ``max_tokens`` chunks, one every ``seed`` microseconds (0: as fast as they are
taken). Each chunk's text is ``@t<monotonic ns>;``, which the client compares with its own clock.
"""

import asyncio
import json
import re
import sys
import time
from typing import cast

PROMPT_TOKENS = 12
COMPLETION_TOKENS = 9
# As OpenAI writes it, all details included.
_USAGE = {
    "prompt_tokens": PROMPT_TOKENS,
    "completion_tokens": COMPLETION_TOKENS,
    "total_tokens": PROMPT_TOKENS + COMPLETION_TOKENS,
    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
    "completion_tokens_details": {
        "reasoning_tokens": 0,
        "audio_tokens": 0,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    },
}
ANSWER = json.dumps(
    {
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": 1_760_000_000,
        "model": "bench",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "The quick brown fox jumps over the lazy dog.",
                    "refusal": None,
                    "annotations": [],
                },
                "logprobs": None,
                "finish_reason": "stop",
            },
        ],
        "usage": _USAGE,
        "service_tier": "default",
        "system_fingerprint": "fp_bench",
    },
)
_WHOLE = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(ANSWER)}\r\n\r\n{ANSWER}".encode()
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_ENVELOPE = {"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1_760_000_000, "model": "bench"}
_EMPTY = {"index": 0, "delta": {}, "finish_reason": "stop"}
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_STREAM = re.compile(rb'"stream": *true')
_CHUNKS = re.compile(rb'"max_(?:completion_)?tokens": *(\d+)')
_PACE = re.compile(rb'"seed": *(\d+)')


def _frame(payload: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(payload), payload)


def _event(chunk: dict[str, object]) -> bytes:
    return b"data: " + json.dumps({**_ENVELOPE, **chunk}, separators=(",", ":")).encode() + b"\n\n"


_BEFORE, _AFTER = _event({"choices": [{"index": 0, "delta": {"content": "|"}, "finish_reason": None}]}).replace(b"\n\n", b"").split(b"|")
_TAIL = _frame(
    _event({"choices": [_EMPTY]})
    + _event({"choices": [], "usage": _USAGE})
    + b"data: [DONE]\n\n",
) + b"0\r\n\r\n"  # fmt: skip


def _first_number(pattern: re.Pattern[bytes], data: bytes, otherwise: int) -> int:
    found = pattern.search(data)
    return int(found[1]) if found else otherwise


class Connection(asyncio.Protocol):
    """One keep-alive connection; requests come one after the other."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._left = 0
        self._pace_s = 0.0
        self._due_s = 0.0
        self._can_write = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- the protocol's signature
        """Stop the stream."""
        self._transport = None

    def pause_writing(self) -> None:
        """The client reads more slowly than we write."""
        self._can_write = False

    def resume_writing(self) -> None:
        """Go on."""
        self._can_write = True
        if self._left and not self._pace_s:
            self._burst()

    def data_received(self, data: bytes) -> None:
        """Answer each complete request."""
        self._buffer += data
        while True:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            total = end + 4 + _first_number(_LENGTH, self._buffer[:end], 0)
            if len(self._buffer) < total:
                return
            body, self._buffer = self._buffer[end + 4 : total], self._buffer[total:]
            self._answer(body)

    def _answer(self, body: bytes) -> None:
        if self._transport is None:
            return
        if not _STREAM.search(body):
            self._transport.write(_WHOLE)
            return
        self._left = _first_number(_CHUNKS, body, 100)
        self._pace_s = _first_number(_PACE, body, 0) / 1e6
        self._due_s = self._loop.time()
        self._transport.write(_HEAD)
        if self._pace_s:
            self._tick()
        else:
            self._burst()

    def _write_chunk(self, transport: asyncio.Transport) -> None:
        transport.write(_frame(b"%b@t%d;%b\n\n" % (_BEFORE, time.monotonic_ns(), _AFTER)))
        self._left -= 1
        if not self._left:
            transport.write(_TAIL)

    def _tick(self) -> None:
        if self._transport is None:
            return
        self._write_chunk(self._transport)
        if self._left:
            self._due_s += self._pace_s
            self._loop.call_at(self._due_s, self._tick)

    def _burst(self) -> None:
        for _ in range(16):
            if not self._left or not self._can_write or self._transport is None:
                return
            self._write_chunk(self._transport)
        self._loop.call_soon(self._burst)


async def serve(port: int) -> None:
    """Answer on 127.0.0.1:``port`` for ever."""
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    uvloop.run(serve(int(sys.argv[1])))
