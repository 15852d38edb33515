"""Answers that come as a whole: try endpoints until one answers, price, settle, send."""

import time

import msgspec

from gateway.dialects.base import Answer, BadAnswer, UpstreamFault
from gateway.relay.attempts import AttemptLog, error_from, fault_from_down, may_try_next, prepare_call
from gateway.relay.catalog import Candidate
from gateway.relay.config import RelayConfig
from gateway.relay.exchange import Exchange
from gateway.relay.generation import Generation
from gateway.relay.hold import Cashier
from gateway.relay.settlement import Bill, Settler, estimate_usage, usage_object
from gateway.relay.upstream import UpstreamClient, UpstreamDown

_encode = msgspec.json.Encoder().encode
_OK = 200


class AnswerRelay:
    """Serves requests with ``stream: false``. They are not cancelled when the client leaves: the work is done and is charged."""

    def __init__(self, *, client: UpstreamClient, cashier: Cashier, settler: Settler, log: AttemptLog, config: RelayConfig) -> None:
        self._client = client
        self._cashier = cashier
        self._settler = settler
        self._log = log
        self._config = config

    async def serve(self, generation: Generation, exchange: Exchange) -> None:
        """Answer, or raise ApiError when every endpoint failed."""
        answer = await self._first_answer(generation)
        outcome = generation.outcome
        outcome.status = "ok"
        outcome.usage = answer.usage or estimate_usage(generation, answer.output_chars)
        outcome.finish_reason = answer.finish_reason or ""
        outcome.native_finish_reason = answer.native_finish_reason or ""
        outcome.upstream_id = answer.upstream_id
        outcome.service_tier = answer.service_tier
        bill = self._settler.settle(generation)
        await exchange.respond(_OK, self._body(generation, answer, bill))

    async def _first_answer(self, generation: Generation) -> Answer:
        faults: list[tuple[Candidate, UpstreamFault]] = []
        for candidate in generation.route.candidates[: self._config.attempts_max]:
            if not await self._cashier.cover(generation, candidate):
                continue
            began_ns = time.perf_counter_ns()
            result = await self._attempt(generation, candidate)
            if isinstance(result, Answer):
                self._log.answered(generation, candidate, began_ns)
                return result
            faults.append((candidate, result))
            self._log.failed(generation, candidate, result, began_ns)
            if not may_try_next(result):
                break
        raise error_from(faults)

    async def _attempt(self, generation: Generation, candidate: Candidate) -> Answer | UpstreamFault:
        call = prepare_call(generation, candidate)
        try:
            upstream = await self._client.send(call.url, body=call.body, headers=call.headers, timeout_s=self._config.answer_timeout_s)
        except UpstreamDown as down:
            return fault_from_down(down, candidate.host.spec.name)
        try:
            if upstream.status == _OK:
                return call.dialect.decode_answer(upstream.body)
            return call.dialect.decode_error(upstream.status, upstream.header, upstream.body)
        except BadAnswer as bad:
            return bad.fault

    @staticmethod
    def _body(generation: Generation, answer: Answer, bill: Bill) -> bytes:
        candidate = generation.candidate
        assert candidate is not None  # noqa: S101 -- set by AttemptLog.answered
        body = answer.body
        body["id"] = generation.id
        body["model"] = candidate.endpoint.model
        body["provider"] = candidate.host.spec.name
        body["usage"] = usage_object(bill)
        if answer.service_tier:
            body["service_tier"] = answer.service_tier
        return _encode(body)
