"""The beginning of a provider's stream: from the call to the first chunk, before which another endpoint may still take over."""

import asyncio
import time
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

import msgspec

from gateway.dialects.base import InvalidRequest, StreamDecoder, UpstreamDialect, UpstreamFault
from gateway.relay.attempts import fault_from_down, fault_from_refusal, prepare_call
from gateway.relay.generation import Generation
from gateway.relay.sse import Frames, MalformedStream, SseDecoder
from gateway.relay.tries import Attempt
from gateway.relay.upstream import UpstreamClient, UpstreamDown, UpstreamStream

_OK = 200


class BrokenStream(Exception):
    """The provider failed in the middle of an answer; ``fault`` says how."""

    def __init__(self, fault: UpstreamFault) -> None:
        super().__init__(fault.message)
        self.fault = fault


class Opening(NamedTuple):
    """A stream whose first chunks are here. Closing ``stack`` gives the connection back, or stops the provider before its end."""

    attempt: Attempt
    upstream: UpstreamStream
    decoder: StreamDecoder
    parser: Frames
    chunks: list[dict[str, Any]]
    stack: AsyncExitStack


async def open_stream(client: UpstreamClient, generation: Generation, attempt: Attempt) -> Opening | UpstreamFault:
    """Call the endpoint and wait for its first chunk, or return why there is none."""
    candidate, until_s = attempt.candidate, time.monotonic() + attempt.timeout_s
    name = candidate.host.spec.name
    async with AsyncExitStack() as stack:
        try:
            call = prepare_call(generation, candidate, attempt.secret)
            attempt.dropped = call.dropped
            upstream = await stack.enter_async_context(
                client.stream(
                    call.url, body=call.body, headers=call.headers, timeout_s=attempt.timeout_s, is_public_only=call.is_public_only
                )
            )
            attempt.headers = upstream.headers
            if upstream.status != _OK:
                return call.dialect.decode_error(upstream.status, upstream.header, await upstream.read_all())
            decoder, parser = call.dialect.new_stream_decoder(), new_frames(call.dialect)
            chunks = await read_first_chunks(upstream, decoder, parser, name, until_s=until_s)
            if decoder.fault is not None:
                return decoder.fault
            return Opening(attempt, upstream, decoder, parser, chunks, stack.pop_all())
        except BrokenStream as broken:
            return broken.fault
        except InvalidRequest as refusal:
            return fault_from_refusal(refusal)
        except UpstreamDown as down:
            return fault_from_down(down, name)


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
