"""The bytes of a provider's stream read up to its first chunk, and piece by piece after it."""

import asyncio
import time
from typing import Any

import msgspec

from gateway.dialects.base import StreamDecoder, UpstreamDialect, UpstreamFault
from gateway.relay.attempts import fault_from_down
from gateway.relay.sse import Frames, MalformedStream, SseDecoder
from gateway.relay.upstream import UpstreamDown, UpstreamStream


class BrokenStream(Exception):
    """The provider failed in the middle of an answer; ``fault`` says how."""

    def __init__(self, fault: UpstreamFault) -> None:
        super().__init__(fault.message)
        self.fault = fault


async def read_first_chunks(
    upstream: UpstreamStream, decoder: StreamDecoder, parser: Frames, name: str, *, until_s: float
) -> list[dict[str, Any]]:
    """Wait for the first chunk, until a monotonic moment.

    Raises: BrokenStream when the stream ends, breaks or makes no sense before.
    """
    try:
        async with asyncio.timeout(until_s - time.monotonic()):
            while (piece := await upstream.read()) is not None:
                chunks = decode_piece(parser, decoder, piece, name)
                if chunks or decoder.fault is not None:
                    return chunks
    except TimeoutError:
        raise BrokenStream(fault_from_down(UpstreamDown("timeout", "no answer in time", sent=True), name)) from None
    raise BrokenStream(fault_from_down(UpstreamDown("network", "the stream ended before it began", sent=True), name))


def new_frames(dialect: UpstreamDialect) -> Frames:
    """Return what takes a stream of ``dialect`` apart: events of text, unless it has a framing of its own."""
    make = getattr(dialect, "new_frames", SseDecoder)
    frames: Frames = make()
    return frames


def decode_piece(parser: Frames, decoder: StreamDecoder, piece: bytes | None, name: str) -> list[dict[str, Any]]:
    """Return the chunks that ``piece`` completes; None is the end, which may complete one more.

    Raises: BrokenStream when the bytes are not what the dialect allows.
    """
    try:
        chunks: list[dict[str, Any]] = []
        for event in parser.finish() if piece is None else parser.feed(piece):
            chunks.extend(decoder.decode(event))
    except (msgspec.DecodeError, MalformedStream, UnicodeDecodeError) as error:
        raise BrokenStream(fault_from_down(UpstreamDown("network", "sent a malformed event", sent=True), name)) from error
    return chunks
