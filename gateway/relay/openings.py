"""The beginning of a provider's stream: from the call to the first chunk, before which another endpoint may still take over."""

import time
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

from gateway.dialects.base import InvalidRequest, StreamDecoder, UpstreamFault
from gateway.relay.attempts import fault_from_down, fault_from_refusal, is_large, prepare_call, prepare_large
from gateway.relay.first_chunks import BrokenStream
from gateway.relay.generation import Generation
from gateway.relay.other_forms import begin_stream
from gateway.relay.sse import Frames
from gateway.relay.types import Attempt
from gateway.relay.upstream import UpstreamClient, UpstreamDown, UpstreamStream

_OK = 200


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
            prepared = generation, candidate, attempt.secret
            call = await prepare_large(*prepared) if is_large(generation) else prepare_call(*prepared)
            attempt.dropped = call.dropped
            upstream = await stack.enter_async_context(client.stream(call.target, call.body, timeout_s=attempt.timeout_s))
            attempt.headers = upstream.headers
            if upstream.status != _OK:
                return call.dialect.decode_error(upstream.status, upstream.header, await upstream.read_all())
            decoder, parser, chunks = await begin_stream(upstream, call.dialect, name, until_s=until_s)
            if decoder.fault is not None:
                return decoder.fault
            return Opening(attempt, upstream, decoder, parser, chunks, stack.pop_all())
        except BrokenStream as broken:
            return broken.fault
        except InvalidRequest as refusal:
            return fault_from_refusal(refusal)
        except UpstreamDown as down:
            return fault_from_down(down, name)
