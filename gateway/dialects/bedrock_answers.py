"""Answers of Bedrock's Converse, whole and streamed, brought to canonical chat form. Pure."""

import time
from collections.abc import Callable
from typing import Any

import msgspec

from gateway.dialects.assembly import Assembler
from gateway.dialects.base import Answer, BadAnswer, Json, StreamDecoder
from gateway.dialects.faults import make_fault, malformed
from gateway.dialects.signed_thoughts import REASONING_FORMAT
from gateway.dialects.tool_deltas import arguments_text, new_call_id
from gateway.dialects.usage import usage_from_bedrock
from gateway.relay.sse import SseEvent

EXCEPTION = "exception:"  # stands before the name of an event that is an error

_decode_json = msgspec.json.Decoder().decode
_FINISH: dict[str, str] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
    "malformed_model_output": "error",
    "malformed_tool_use": "error",
}


def _text(value: Any) -> str:
    return value if value.__class__ is str else ""


class BedrockStreamDecoder(StreamDecoder):
    """Streams of ConverseStream: events by name; usage comes after the end of the message."""

    __slots__ = ("_calls", "_wrote_input")

    def __init__(self) -> None:
        super().__init__()
        self._calls: dict[int, int] = {}  # block index → index of the tool call
        self._wrote_input: set[int] = set()

    def decode(self, event: SseEvent) -> list[Json]:
        """Return the chunk of ``event``, or nothing for ends of blocks and reports of usage."""
        try:
            body = _decode_json(event.data) if event.data else {}
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self.fault = malformed("a chunk that is not JSON")
            return []
        if body.__class__ is not dict:
            self.fault = malformed("a chunk that is not an object")
            return []
        if event.event.startswith(EXCEPTION):
            self.fault = make_fault({"message": body.get("message"), "code": event.event.removeprefix(EXCEPTION)}, status=200)
            return []
        handler = _EVENTS.get(event.event)
        return handler(self, body) if handler is not None else []

    def _chunk(self, delta: Json, finish: str | None = None, native: str | None = None) -> list[Json]:
        self.created_s = self.created_s or int(time.time())
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "native_finish_reason": native, "logprobs": None}
        return [{"object": "chat.completion.chunk", "created": self.created_s, "choices": [choice]}]

    def _start(self, body: Json) -> list[Json]:
        del body
        return self._chunk({"role": "assistant", "content": ""})

    @staticmethod
    def _index(body: Json) -> int:
        index = body.get("contentBlockIndex")
        return index if index.__class__ is int else 0

    def _start_block(self, body: Json) -> list[Json]:
        start = body.get("start")
        use = start.get("toolUse") if isinstance(start, dict) else None
        return self.open_call(use, self._index(body), "") if isinstance(use, dict) else []

    def open_call(self, use: Json, index: int, arguments: str) -> list[Json]:
        """Return the chunk that begins a tool call."""
        number = self._calls[index] = len(self._calls)
        name = _text(use.get("name"))
        self.output_seen = True
        self.output_chars += len(name) + len(arguments)
        if arguments:
            self._wrote_input.add(index)
        function = {"name": name, "arguments": arguments}
        call_id = _text(use.get("toolUseId")) or new_call_id()
        return self._chunk({"tool_calls": [{"index": number, "id": call_id, "type": "function", "function": function}]})

    def _delta(self, body: Json) -> list[Json]:
        delta = body.get("delta")
        return self.take(delta, self._index(body)) if delta.__class__ is dict else []

    def take(self, delta: Json, index: int) -> list[Json]:
        """Return the chunk of one piece of a block."""
        text = delta.get("text")
        if text and text.__class__ is str:
            self.output_seen = True
            self.output_chars += len(text)
            return self._chunk({"content": text})
        thought = delta.get("reasoningContent")
        if thought.__class__ is dict:
            return self._think(thought, index)
        use = delta.get("toolUse")
        if use.__class__ is dict:
            piece = _text(use.get("input"))
            if not piece or index not in self._calls:
                return []
            self._wrote_input.add(index)
            self.output_chars += len(piece)
            return self._chunk({"tool_calls": [{"index": self._calls[index], "function": {"arguments": piece}}]})
        found = _annotation(delta.get("citation"))
        return self._chunk({"annotations": [found]}) if found else []

    def _think(self, thought: Json, index: int) -> list[Json]:
        if data := _text(thought.get("redactedContent")):
            detail: Json = {"type": "reasoning.encrypted", "data": data, "format": REASONING_FORMAT, "index": index}
            return self._chunk({"reasoning_details": [detail]})
        text = _text(thought.get("text"))
        detail = {"type": "reasoning.text", "text": text or None, "format": REASONING_FORMAT, "index": index}
        if signature := _text(thought.get("signature")):
            detail["signature"] = signature
        elif not text:
            return []
        self.output_seen = self.output_seen or bool(text)
        self.output_chars += len(text)
        return self._chunk({"reasoning": text, "reasoning_details": [detail]} if text else {"reasoning_details": [detail]})

    def _stop_block(self, body: Json) -> list[Json]:
        index = self._index(body)
        if index in self._calls and index not in self._wrote_input:
            self._wrote_input.add(index)
            return self._chunk({"tool_calls": [{"index": self._calls[index], "function": {"arguments": "{}"}}]})
        return []

    def finish_with(self, body: Json) -> list[Json]:
        """Take how the answer ended."""
        native = body.get("stopReason")
        if not isinstance(native, str):
            return []
        self.native_finish_reason, self.finish_reason = native, _FINISH.get(native, "stop")
        extra = body.get("additionalModelResponseFields")
        sequence = extra.get("stop_sequence") if isinstance(extra, dict) else None
        self.stop_sequence = sequence if isinstance(sequence, str) else None
        return self._chunk({}, self.finish_reason, native)

    def take_metadata(self, body: Json) -> list[Json]:
        """Take usage and service tier, of which nothing is told."""
        self._report(usage_from_bedrock(body.get("usage")))
        tier = body.get("serviceTier")
        self.service_tier = _text(tier.get("type")) if isinstance(tier, dict) else self.service_tier
        self.done = self.finish_reason is not None
        return []


_EVENTS: dict[str, Callable[[BedrockStreamDecoder, Json], list[Json]]] = {
    "messageStart": BedrockStreamDecoder._start,  # noqa: SLF001 -- the class's own table
    "contentBlockStart": BedrockStreamDecoder._start_block,  # noqa: SLF001
    "contentBlockDelta": BedrockStreamDecoder._delta,  # noqa: SLF001
    "contentBlockStop": BedrockStreamDecoder._stop_block,  # noqa: SLF001
    "messageStop": BedrockStreamDecoder.finish_with,
    "metadata": BedrockStreamDecoder.take_metadata,
}


def _annotation(citation: Any) -> Json | None:
    location = citation.get("location") if isinstance(citation, dict) else None
    web = location.get("web") if isinstance(location, dict) else None
    if not isinstance(web, dict) or not isinstance(web.get("url"), str):
        return None
    cited = {"url": web["url"], "title": _text(citation.get("title")), "content": "", "start_index": 0, "end_index": 0}
    return {"type": "url_citation", "url_citation": cited}


def decode_bedrock_answer(body: bytes) -> Answer:
    """Read an answer of Converse; its blocks are a stream of one piece each. Raises: BadAnswer."""
    try:
        parsed = _decode_json(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadAnswer(malformed("an answer that is not JSON")) from error
    if not isinstance(parsed, dict):
        raise BadAnswer(malformed("an answer that is not an object"))
    output = parsed.get("output")
    message = output.get("message") if isinstance(output, dict) else None
    blocks = message.get("content") if isinstance(message, dict) else None
    if not isinstance(blocks, list):
        raise BadAnswer(make_fault(parsed, status=200) if "message" in parsed else malformed("an answer without a message"))
    decoder, whole = BedrockStreamDecoder(), Assembler()
    for index, block in enumerate(blocks):
        for chunk in _block_chunks(decoder, block, index) if isinstance(block, dict) else ():
            whole.add(chunk)
    for chunk in decoder.finish_with(parsed):
        whole.add(chunk)
    decoder.take_metadata(parsed)
    created_s = decoder.created_s or int(time.time())
    return Answer(
        body={**whole.body(), "created": created_s},
        usage=decoder.usage,
        finish_reason=decoder.finish_reason,
        native_finish_reason=decoder.native_finish_reason,
        service_tier=decoder.service_tier,
        stop_sequence=decoder.stop_sequence,
        output_seen=decoder.output_seen,
        output_chars=decoder.output_chars,
    )


def _block_chunks(decoder: BedrockStreamDecoder, block: Json, index: int) -> list[Json]:
    use, thought, cited = block.get("toolUse"), block.get("reasoningContent"), block.get("citationsContent")
    if isinstance(use, dict):
        return decoder.open_call(use, index, arguments_text(use.get("input")) or "{}")
    if isinstance(thought, dict):
        inner = thought.get("reasoningText")
        return decoder.take({"reasoningContent": inner if isinstance(inner, dict) else thought}, index)
    if isinstance(cited, dict):
        parts = [*(cited.get("content") or ()), *({"citation": one} for one in cited.get("citations") or ())]
        return [chunk for part in parts if isinstance(part, dict) for chunk in decoder.take(part, index)]
    return decoder.take({"text": block.get("text")}, index)
