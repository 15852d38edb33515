"""Providers that answer whole when asked for a stream, or in a stream when asked not to: the client gets what it asked for."""

import asyncio
import time
from typing import Any, NamedTuple

from gateway.dialects.assembly import answer_from_stream, chunks_from_answer
from gateway.dialects.base import Answer, BadAnswer, Json, StreamDecoder, UpstreamDialect
from gateway.dialects.faults import malformed
from gateway.relay.attempts import fault_from_down
from gateway.relay.first_chunks import BrokenStream, decode_piece, new_frames, read_first_chunks
from gateway.relay.sse import Frames, MalformedStream, SseEvent
from gateway.relay.upstream import UpstreamAnswer, UpstreamDown, UpstreamStream


class Beginning(NamedTuple):
    """What reads a stream, and the first chunks of it."""

    decoder: StreamDecoder
    parser: Frames
    chunks: list[dict[str, Any]]


class _WholeDecoder(StreamDecoder):
    """Knows an answer that came whole; there is nothing more to decode."""

    __slots__ = ()

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.usage = answer.usage
        self.finish_reason, self.native_finish_reason = answer.finish_reason, answer.native_finish_reason
        self.upstream_id, self.served_model = answer.upstream_id, answer.served_model
        self.service_tier, self.stop_sequence = answer.service_tier, answer.stop_sequence
        self.output_seen, self.output_chars = answer.output_seen, answer.output_chars
        self.done = True

    def decode(self, event: SseEvent) -> list[Json]:
        """Return nothing."""
        del event
        return []


def is_stream(answer: UpstreamAnswer) -> bool:
    """Whether a whole answer is a stream that nobody asked for."""
    for name, value in answer.headers:
        if name == b"content-type":
            return value.startswith(b"text/event-stream")
    return False


def read_streamed_answer(answer: UpstreamAnswer, dialect: UpstreamDialect) -> Answer:
    """Put a stream together to an answer. Raises: BadAnswer."""
    try:
        return answer_from_stream(answer.body, dialect.new_stream_decoder())
    except MalformedStream as error:
        raise BadAnswer(malformed("a stream that makes no sense")) from error


async def begin_stream(upstream: UpstreamStream, dialect: UpstreamDialect, name: str, *, until_s: float) -> Beginning:
    """Wait for the first chunks, until a monotonic moment; an answer that comes whole is all of them.

    Raises: BrokenStream, UpstreamDown.
    """
    decoder, parser = dialect.new_stream_decoder(), new_frames(dialect)
    chunks: list[dict[str, Any]] = []
    if (upstream.header("content-type") or "").startswith("application/json"):
        try:
            async with asyncio.timeout(until_s - time.monotonic()):
                begun = await _read_begun(upstream)
                if begun.lstrip().startswith(b"{"):
                    answer = dialect.decode_answer(begun + await upstream.read_all())
                    return Beginning(_WholeDecoder(answer), parser, chunks_from_answer(answer))
        except TimeoutError:
            raise BrokenStream(fault_from_down(UpstreamDown("timeout", "no answer in time", sent=True), name)) from None
        except BadAnswer as bad:
            raise BrokenStream(bad.fault) from bad
        chunks = decode_piece(parser, decoder, begun, name)  # events under a wrong name
    if not chunks and decoder.fault is None:
        chunks = await read_first_chunks(upstream, decoder, parser, name, until_s=until_s)
    return Beginning(decoder, parser, chunks)


async def _read_begun(upstream: UpstreamStream) -> bytes:
    """Return what there is up to the first bytes that are more than white space."""
    begun = b""
    while not begun.strip() and (piece := await upstream.read()) is not None:
        begun += piece
    return begun
