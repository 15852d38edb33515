"""Answers that come as a whole: try endpoints until one answers, price, settle, send."""

import time

from catalog.types import Usage
from gateway.dialects.base import Answer, BadAnswer, InvalidRequest, UpstreamFault
from gateway.relay.attempts import fault_from_down, fault_from_refusal, is_large, prepare_call, prepare_large
from gateway.relay.errors import ProviderFailed
from gateway.relay.exchange import JSON, SSE, Exchange
from gateway.relay.generation import Generation, answer_head
from gateway.relay.hedging import Hedger, can_hedge
from gateway.relay.hold import Cashier
from gateway.relay.metadata import answer_headers, router_metadata
from gateway.relay.other_forms import is_stream, read_streamed_answer
from gateway.relay.outcomes import calls_of
from gateway.relay.settlement import Settler, estimate_usage, unit_usage
from gateway.relay.tries import Dispatcher
from gateway.relay.turns import ask_in_turn
from gateway.relay.types import Attempt, Bill
from gateway.relay.upstream import UpstreamClient, UpstreamDown

_OK = 200
_TOKENS_ONLY = frozenset({"chat", "embedding"})  # kinds that are billed by what is reported, whatever that is


class AnswerRelay:
    """Serves requests with ``stream: false``. They are not cancelled when the client leaves: the work is done and is charged."""

    def __init__(self, *, client: UpstreamClient, cashier: Cashier, settler: Settler, dispatcher: Dispatcher) -> None:
        self._client = client
        self._cashier = cashier
        self._settler = settler
        self._dispatcher = dispatcher
        self._log = dispatcher.log
        self._hedger: Hedger[Answer] = Hedger(
            self._attempt, cashier=cashier, dispatcher=dispatcher, timeout_s=dispatcher.config.answer_timeout_s
        )

    async def serve(self, generation: Generation, exchange: Exchange) -> None:
        """Answer, or raise ApiError when every endpoint failed."""
        attempt, answer = await self._first_answer(generation)
        outcome = generation.outcome
        outcome.status = "ok"
        outcome.usage = self._usage(generation, answer)
        outcome.finish_reason = answer.finish_reason or ""
        outcome.native_finish_reason = answer.native_finish_reason or ""
        outcome.upstream_id = answer.upstream_id
        outcome.service_tier = answer.service_tier
        bill = self._settler.settle(generation)
        calls = calls_of(answer.body) if answer.finish_reason == "tool_calls" else None
        ended_ns = time.perf_counter_ns()
        try:
            await self._tell(generation, attempt, exchange, answer, bill)
        finally:  # the client need not wait for it
            self._log.finished(generation, attempt, calls=calls, ended_ns=ended_ns)

    @staticmethod
    async def _tell(generation: Generation, attempt: Attempt, exchange: Exchange, answer: Answer, bill: Bill) -> None:
        candidate, dialect = attempt.candidate, generation.dialect
        if answer.finish_reason == "error" and not dialect.shows_failed_finish:
            raise ProviderFailed(
                f"{candidate.host.spec.name}: the answer ended in an error ({answer.native_finish_reason})",
                metadata={"provider_name": candidate.host.spec.name, "model_slug": candidate.endpoint.model},
                remedy="Try again, or allow other providers or models (provider, models).",
            )
        closing = bill.closing(
            service_tier=answer.service_tier, stop_sequence=answer.stop_sequence, metadata=router_metadata(generation, attempt)
        )
        body = dialect.encode_answer(answer.body, generation.request, answer_head(generation, candidate), closing)
        exchange.extra_headers.extend(answer_headers(attempt))
        await exchange.respond(_OK, body, content_type=SSE if generation.request.stream else JSON)

    @staticmethod
    def _usage(generation: Generation, answer: Answer) -> Usage:
        candidate, request = generation.candidate, generation.request
        if request.kind in _TOKENS_ONLY or candidate is None:
            return answer.usage or estimate_usage(generation, answer.output_chars)
        return unit_usage(request, candidate.endpoint.price, answer.usage)

    async def _first_answer(self, generation: Generation) -> tuple[Attempt, Answer]:
        tries, timeout_s = self._dispatcher.begin(generation), self._dispatcher.config.answer_timeout_s
        if generation.route.is_hedged and can_hedge(generation.request) and (won := await self._hedger.race(generation, tries)) is not None:
            tries.end(won[0])
            self._log.answered(generation, won[0])
            return won
        found = await ask_in_turn(tries, generation, self._cashier, self._attempt, timeout_s=timeout_s)
        if found is None:
            raise tries.error()
        self._log.answered(generation, found[0])
        return found

    async def _attempt(self, generation: Generation, attempt: Attempt) -> Answer | UpstreamFault:
        candidate = attempt.candidate
        try:
            prepared = generation, candidate, attempt.secret
            call = await prepare_large(*prepared) if is_large(generation) else prepare_call(*prepared)
            attempt.dropped = call.dropped
            upstream = await self._client.send(call.target, call.body, timeout_s=attempt.timeout_s)
        except InvalidRequest as refusal:
            return fault_from_refusal(refusal)
        except UpstreamDown as down:
            return fault_from_down(down, candidate.host.spec.name)
        attempt.headers = upstream.headers
        try:
            if upstream.status == _OK and generation.request.kind == "chat" and is_stream(upstream):
                return read_streamed_answer(upstream, call.dialect)
            if upstream.status == _OK:
                return call.dialect.decode_answer(upstream.body)
            return call.dialect.decode_error(upstream.status, upstream.header, upstream.body)
        except BadAnswer as bad:
            return bad.fault
