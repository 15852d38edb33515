"""Streamed answers: try endpoints until the first chunk, then relay with back-pressure, metering as it passes.

No other endpoint is tried after the first byte. A client that leaves stops the provider at once and pays for what was generated.
"""

import asyncio
import datetime as dt
import functools
import sys
import time
from dataclasses import dataclass
from typing import Any

from catalog.types import Usage
from gateway.dialects.base import InvalidRequest, Json, StreamDecoder, UpstreamFault
from gateway.dialects.client import StreamEncoder
from gateway.relay.attempts import fault_from_down, fault_from_refusal, is_large, prepare_call, prepare_large
from gateway.relay.catalog import Candidate
from gateway.relay.errors import ApiError
from gateway.relay.estimate import bound_nanos, estimated_prompt_tokens, estimated_tokens
from gateway.relay.exchange import Exchange
from gateway.relay.first_chunks import BrokenStream, decode_piece
from gateway.relay.generation import Generation, answer_head
from gateway.relay.hedging import Hedger
from gateway.relay.hold import Cashier
from gateway.relay.metadata import answer_headers, router_metadata
from gateway.relay.openings import Opening, open_stream
from gateway.relay.other_forms import begin_stream
from gateway.relay.outcomes import StreamedCalls
from gateway.relay.presence import work_while_present
from gateway.relay.settlement import Settler, estimate_usage, partial_usage, probable_nanos
from gateway.relay.sse import Frames
from gateway.relay.tries import Dispatcher, Tries
from gateway.relay.turns import ask_in_turn
from gateway.relay.types import Attempt, Bill
from gateway.relay.upstream import UpstreamClient, UpstreamDown, UpstreamStream

_OK = 200
# Characters of output that count as one token while a stream is watched against its hold: fewer than the average in English and
# about right in Chinese, so that the hold grows before it is needed.
_WATCH_CHARS_PER_TOKEN = 1


class CreditExhausted(Exception):
    """The answer outgrew its hold and the hold could not grow."""


@dataclass(slots=True)
class _Watch:
    """Compares a growing answer with its hold. Amounts in nanos; ``next_chars`` is when to look again."""

    next_chars: int
    nanos_per_1024_tokens: int  # estimated, for the heartbeat: what the reaper charges if this process dies
    prompt_nanos: int


class StreamRelay:
    """Serves requests with ``stream: true``."""

    def __init__(self, *, client: UpstreamClient, cashier: Cashier, settler: Settler, dispatcher: Dispatcher) -> None:
        self._client = client
        self._cashier = cashier
        self._settler = settler
        self._dispatcher = dispatcher
        self._log = dispatcher.log
        self._config = dispatcher.config
        self._hedger: Hedger[Opening] = Hedger(
            functools.partial(open_stream, client), cashier=cashier, dispatcher=dispatcher, timeout_s=self._config.first_byte_timeout_s
        )
        self._open: set[Exchange] = set()
        self._comments: set[asyncio.Task[None]] = set()

    async def keep_alive_forever(self) -> None:
        """Send a comment to every stream that has been silent for ``keepalive_s``. One task for all streams of the process."""
        pause_s = self._config.keepalive_s / 4
        while True:
            await asyncio.sleep(pause_s)
            late = time.monotonic() - self._config.keepalive_s
            for exchange in [one for one in self._open if one.silent_since < late and not one.writing]:
                # A task each: a client that reads slowly makes its own comment wait, not those of the others.
                task = asyncio.create_task(exchange.keep_alive())
                self._comments.add(task)
                task.add_done_callback(self._comments.discard)

    async def serve(self, generation: Generation, exchange: Exchange) -> None:
        """Answer in events. Raises: ApiError when every endpoint failed and nothing was sent yet."""
        self._open.add(exchange)
        try:
            await work_while_present(exchange, self._try_endpoints(generation, exchange))
        finally:
            self._open.discard(exchange)

    async def _try_endpoints(self, generation: Generation, exchange: Exchange) -> None:
        tries = self._dispatcher.begin(generation)
        if generation.route.is_hedged and (won := await self._hedger.race(generation, tries)) is not None:
            await self._relay_opening(generation, won[1], exchange, tries)
            return
        ask = functools.partial(self._attempt, exchange)
        if await ask_in_turn(tries, generation, self._cashier, ask, timeout_s=self._config.first_byte_timeout_s) is not None:
            return
        error = tries.error()
        if not exchange.started:
            raise error
        generation.outcome.error_type, generation.outcome.http_status = error.error_type, error.status
        self._settler.settle(generation)
        await exchange.write(_new_encoder(generation, tries.last).fail(error.to_dict(), None))
        await exchange.finish()

    async def _relay_opening(self, generation: Generation, opening: Opening, exchange: Exchange, tries: Tries) -> None:
        source = opening.upstream, opening.decoder, opening.parser
        try:
            self._log.answered(generation, opening.attempt)
            await self._relay(generation, opening.attempt, exchange, source, opening.chunks)
        finally:
            await opening.stack.aclose()
            tries.end(opening.attempt)

    async def _attempt(self, exchange: Exchange, generation: Generation, attempt: Attempt) -> UpstreamFault | None:
        """Relay the endpoint's answer to its end and return None, or return why it failed before its first chunk."""
        candidate, until_s = attempt.candidate, time.monotonic() + attempt.timeout_s
        name = candidate.host.spec.name
        try:
            prepared = generation, candidate, attempt.secret
            call = await prepare_large(*prepared) if is_large(generation) else prepare_call(*prepared)
            attempt.dropped = call.dropped
            async with self._client.stream(call.target, call.body, timeout_s=attempt.timeout_s) as upstream:
                attempt.headers = upstream.headers
                if upstream.status != _OK:
                    return call.dialect.decode_error(upstream.status, upstream.header, await upstream.read_all())
                decoder, parser, chunks = await begin_stream(upstream, call.dialect, name, until_s=until_s)
                if decoder.fault is not None:
                    return decoder.fault
                self._log.answered(generation, attempt)
                await self._relay(generation, attempt, exchange, (upstream, decoder, parser), chunks)
                return None
        except BrokenStream as broken:
            return broken.fault
        except InvalidRequest as refusal:
            return fault_from_refusal(refusal)
        except UpstreamDown as down:
            return fault_from_down(down, name)

    async def _relay(
        self,
        generation: Generation,
        attempt: Attempt,
        exchange: Exchange,
        source: tuple[UpstreamStream, StreamDecoder, Frames],
        chunks: list[dict[str, Any]],
    ) -> None:
        upstream, decoder, parser = source
        candidate = attempt.candidate
        name, outcome = candidate.host.spec.name, generation.outcome
        exchange.extra_headers.extend(answer_headers(attempt))
        encoder = _new_encoder(generation, candidate, decoder.usage)
        exchange.keepalive = encoder.keepalive
        watch = self._watch(generation, candidate)
        outcome.status = "cancelled"  # until it has ended otherwise
        tail = b""
        failure: Json | None = None
        broken: UpstreamFault | None = None
        tools = StreamedCalls() if "tools" in generation.request.body else None
        piece: bytes | None = b""
        try:
            while True:
                if tools is not None and chunks:
                    tools.feed(chunks)
                if chunks and (data := encoder.encode(chunks)):
                    exchange.keepalive = encoder.keepalive  # some dialects have an event for it once they have begun
                    await exchange.write(data)
                if decoder.output_chars >= watch.next_chars:
                    await self._grow_hold(generation, decoder, watch)
                if decoder.fault is not None:
                    raise BrokenStream(decoder.fault)
                if piece is None:
                    break
                piece = await upstream.read()
                chunks = decode_piece(parser, decoder, piece, name)
            if not decoder.complete:
                raise BrokenStream(fault_from_down(UpstreamDown("network", "the stream broke off", sent=True), name))
            outcome.status = "ok"
        except (BrokenStream, UpstreamDown) as error:
            fault = broken = error.fault if isinstance(error, BrokenStream) else fault_from_down(error, name)
            outcome.status, outcome.error_type, outcome.finish_reason = "error", fault.error_type, "error"
            failure = fault_error(fault, name)
        except CreditExhausted:
            outcome.status, outcome.finish_reason, outcome.native_finish_reason = "ok", "length", "credit_exhausted"
            tail = encoder.encode([_finish_chunk("length", "credit_exhausted")])
        finally:
            bill = self._close(generation, decoder)
            self._log.finished(generation, attempt, fault=broken, calls=tools.calls if tools is not None else None)
        metadata = router_metadata(generation, attempt)
        closing = bill.closing(service_tier=decoder.service_tier, stop_sequence=decoder.stop_sequence, metadata=metadata)
        await exchange.write(tail + (encoder.finish(closing) if failure is None else encoder.fail(failure, closing)))
        await exchange.finish()

    def _close(self, generation: Generation, decoder: StreamDecoder) -> Bill:
        """Take over what the decoder counted and settle. Runs also when the relay is cancelled."""
        outcome = generation.outcome
        if decoder.finish_reason is None:
            outcome.usage = partial_usage(generation, decoder.usage, decoder.output_chars)
        else:
            outcome.usage = decoder.usage or self._missing_usage(generation, decoder)
        outcome.finish_reason = outcome.finish_reason or (decoder.finish_reason or "")
        outcome.native_finish_reason = outcome.native_finish_reason or decoder.native_finish_reason or ""
        outcome.upstream_id, outcome.service_tier = decoder.upstream_id, decoder.service_tier
        return self._settler.settle(generation)

    @staticmethod
    def _missing_usage(generation: Generation, decoder: StreamDecoder) -> Usage:
        return estimate_usage(generation, decoder.output_chars)

    def _watch(self, generation: Generation, candidate: Candidate) -> _Watch:
        plan, hold, request = generation.plan, generation.hold, generation.request
        assert plan is not None and hold is not None  # noqa: S101, PT018 -- reserve() came first
        if candidate.endpoint.is_free:
            return _Watch(sys.maxsize, 0, 0)
        at = dt.datetime.fromtimestamp(generation.started_at_ms / 1000, tz=dt.UTC)
        prompt_tokens = estimated_prompt_tokens(request)
        prompt_nanos = probable_nanos(candidate.endpoint, prompt_tokens=prompt_tokens, output_tokens=0, at=at)
        with_output = probable_nanos(candidate.endpoint, prompt_tokens=prompt_tokens, output_tokens=1024, at=at)
        hold.spent_nanos = prompt_nanos
        return _Watch(min(1024, plan.output_tokens * _WATCH_CHARS_PER_TOKEN // 2), with_output - prompt_nanos, prompt_nanos)

    async def _grow_hold(self, generation: Generation, decoder: StreamDecoder, watch: _Watch) -> None:
        """Tell the heartbeat what was spent, and extend the hold before the answer outgrows it. Raises: CreditExhausted."""
        plan, hold, request = generation.plan, generation.hold, generation.request
        assert plan is not None and hold is not None  # noqa: S101, PT018 -- reserve() came first
        hold.spent_nanos = watch.prompt_nanos + estimated_tokens(decoder.output_chars) * watch.nanos_per_1024_tokens // 1024
        watch.next_chars = decoder.output_chars + 1024
        covered_chars = plan.output_tokens * _WATCH_CHARS_PER_TOKEN
        if request.max_tokens is not None or plan.cap_tokens is not None or decoder.output_chars + 1024 < covered_chars:
            return
        limit = candidate_limit(generation)
        if limit and plan.output_tokens >= limit * request.n:
            return  # the provider stops there by itself
        more = self._config.hold_output_tokens
        candidate = generation.candidate
        assert candidate is not None  # noqa: S101 -- set by AttemptLog.answered
        by_nanos = bound_nanos(request, candidate.endpoint, prompt_tokens=0, output_tokens=more)
        if await self._cashier.extend(generation, by_nanos):
            plan = generation.plan = type(plan)(
                plan.amount_nanos + by_nanos, plan.prompt_tokens, plan.output_tokens + more, plan.cap_tokens
            )
        elif decoder.output_chars >= covered_chars:
            raise CreditExhausted


def candidate_limit(generation: Generation) -> int:
    """Return the most tokens that the answering endpoint puts into one choice; 0 is unknown."""
    assert generation.candidate is not None  # noqa: S101 -- set by AttemptLog.answered
    endpoint = generation.candidate.endpoint
    return endpoint.max_output_tokens or endpoint.context_length


def _new_encoder(generation: Generation, candidate: Candidate, usage: Usage | None = None) -> StreamEncoder:
    return generation.dialect.new_stream_encoder(generation.request, answer_head(generation, candidate, usage))


def _finish_chunk(reason: str, native: str) -> Json:
    choice = {"index": 0, "delta": {"content": ""}, "finish_reason": reason, "native_finish_reason": native}
    return {"object": "chat.completion.chunk", "choices": [choice]}


def fault_error(fault: UpstreamFault, name: str) -> dict[str, Any]:
    """Return the error object of a failure in the middle of an answer."""
    error = ApiError(
        fault.message,
        status=fault.status if fault.status >= 400 else 502,  # noqa: PLR2004 -- HTTP
        error_type=fault.error_type,
        retryable=fault.retryable,
        metadata={"provider_name": name, "source": "provider", **({"provider_code": fault.code} if fault.code else {})},
    )
    return error.to_dict()
