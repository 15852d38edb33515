"""Spoken answers: try endpoints until the first sound, then relay it as it comes, with back-pressure.

No other endpoint is tried after the first byte. A client that leaves stops the provider, and pays as if it had stayed: a text is charged
when it begins to be read.
"""

import asyncio
import functools
import time
from typing import cast

from gateway.dialects.base import BadAnswer, InvalidRequest, UpstreamFault
from gateway.dialects.speech import SoundDecoder, SoundDialect
from gateway.dialects.speech_client import SOUND_TYPES, closing_events, failing_events, sound_event
from gateway.relay.attempts import fault_from_down, fault_from_refusal, prepare_call
from gateway.relay.exchange import SSE, AnswerCut, Exchange
from gateway.relay.generation import Generation
from gateway.relay.hold import Cashier
from gateway.relay.metadata import answer_headers
from gateway.relay.presence import work_while_present
from gateway.relay.settlement import Settler, unit_usage
from gateway.relay.streams import fault_error
from gateway.relay.tries import Dispatcher
from gateway.relay.turns import ask_in_turn
from gateway.relay.types import Attempt, Bill
from gateway.relay.upstream import UpstreamClient, UpstreamDown, UpstreamStream

_OK = 200


class SoundRelay:
    """Serves requests for speech: as sound, or as events where the client asked for those (``stream``)."""

    def __init__(self, *, client: UpstreamClient, cashier: Cashier, settler: Settler, dispatcher: Dispatcher) -> None:
        self._client = client
        self._cashier = cashier
        self._settler = settler
        self._dispatcher = dispatcher
        self._log = dispatcher.log
        self._config = dispatcher.config

    async def serve(self, generation: Generation, exchange: Exchange) -> None:
        """Answer in sound. Raises: ApiError when every endpoint failed and nothing was sent yet; AnswerCut when one failed later."""
        await work_while_present(exchange, self._try_endpoints(generation, exchange))

    async def _try_endpoints(self, generation: Generation, exchange: Exchange) -> None:
        tries = self._dispatcher.begin(generation)
        ask = functools.partial(self._attempt, exchange)
        if await ask_in_turn(tries, generation, self._cashier, ask, timeout_s=self._config.first_byte_timeout_s) is None:
            raise tries.error()

    async def _attempt(self, exchange: Exchange, generation: Generation, attempt: Attempt) -> UpstreamFault | None:
        """Relay the endpoint's sound to its end and return None, or return why it failed before its first byte."""
        name, until_s = attempt.candidate.host.spec.name, time.monotonic() + attempt.timeout_s
        try:
            call = prepare_call(generation, attempt.candidate, attempt.secret)
            attempt.dropped = call.dropped
            async with self._client.stream(call.target, call.body, timeout_s=attempt.timeout_s) as upstream:
                attempt.headers = upstream.headers
                if upstream.status != _OK:
                    return call.dialect.decode_error(upstream.status, upstream.header, await upstream.read_all())
                decoder = cast("SoundDialect", call.dialect).new_sound_decoder(upstream.header("content-type") or "")
                async with asyncio.timeout(max(until_s - time.monotonic(), 0)):
                    sound, ended = await _first_sound(upstream, decoder)
                self._log.answered(generation, attempt)
                await self._relay(generation, attempt, exchange, (upstream, decoder), sound, ended=ended)
                return None
        except BadAnswer as bad:
            return bad.fault
        except InvalidRequest as refusal:
            return fault_from_refusal(refusal)
        except TimeoutError:
            return fault_from_down(UpstreamDown("timeout", "no answer in time", sent=True), name)
        except UpstreamDown as down:
            return fault_from_down(down, name)

    async def _relay(
        self,
        generation: Generation,
        attempt: Attempt,
        exchange: Exchange,
        source: tuple[UpstreamStream, SoundDecoder],
        sound: bytes,
        *,
        ended: bool,
    ) -> None:
        upstream, decoder = source
        request, outcome, host = generation.request, generation.outcome, attempt.candidate.host
        exchange.extra_headers.extend(answer_headers(attempt))
        exchange.content_type = SSE if request.stream else (b"content-type", SOUND_TYPES[request.body["response_format"]])
        outcome.status = "cancelled"  # until it has ended otherwise
        broken: UpstreamFault | None = None
        try:
            while True:
                if sound:
                    await exchange.write(sound_event(sound) if request.stream else sound)
                if ended:
                    break
                piece = await upstream.read()
                ended = piece is None
                sound = decoder.decode(piece)
            outcome.status = "ok"
        except (BadAnswer, UpstreamDown) as error:
            broken = error.fault if isinstance(error, BadAnswer) else fault_from_down(error, host.spec.name)
            outcome.status, outcome.error_type = "error", broken.error_type
        finally:
            bill = self._close(generation, attempt, decoder, broken)
        if broken is not None and not request.stream:
            # Sound has no place for an error: its end must not look like one.
            raise AnswerCut
        if request.stream:
            closing = bill.closing(service_tier="", stop_sequence=None)
            await exchange.write(closing_events(closing) if broken is None else failing_events(fault_error(broken, host.spec.name)))
        await exchange.finish()

    def _close(self, generation: Generation, attempt: Attempt, decoder: SoundDecoder, broken: UpstreamFault | None) -> Bill:
        generation.outcome.usage = unit_usage(generation.request, attempt.candidate.endpoint.price, decoder.usage)
        bill = self._settler.settle(generation)
        self._log.finished(generation, attempt, fault=broken, calls=None)
        return bill


async def _first_sound(upstream: UpstreamStream, decoder: SoundDecoder) -> tuple[bytes, bool]:
    """Wait for the first sound; the flag says that it was the last as well. Raises: BadAnswer, UpstreamDown."""
    while True:
        piece = await upstream.read()
        sound = decoder.decode(piece)
        if sound or piece is None:
            return sound, piece is None
