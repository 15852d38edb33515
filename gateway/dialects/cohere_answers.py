"""Answers of Cohere's chat (v2), whole and streamed, brought to canonical chat form. Pure."""

import time
from collections.abc import Callable
from typing import Any

import msgspec

from gateway.dialects.assembly import Assembler
from gateway.dialects.base import Answer, BadAnswer, Json, StreamDecoder
from gateway.dialects.faults import make_fault, malformed
from gateway.dialects.tool_deltas import ToolDeltas
from gateway.dialects.usage import usage_from_cohere
from gateway.relay.sse import DONE_DATA, SseEvent

# What marks Cohere's thoughts as its own: clients know a closed list of formats, and none of them is Cohere's.
THOUGHT_ID, PLAN_ID = "cohere-thought", "cohere-plan"

_decode_json = msgspec.json.Decoder().decode
_FINISH: dict[str, str] = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop",
    "MAX_TOKENS": "length",
    "TOOL_CALL": "tool_calls",
    "ERROR": "error",
    "TIMEOUT": "error",
}


def _text(value: Any) -> str:
    return value if value.__class__ is str else ""


class CohereStreamDecoder(StreamDecoder):
    """Streams of v2: events whose type is in their data; usage comes with the end of the message."""

    __slots__ = ("_tools",)

    def __init__(self) -> None:
        super().__init__()
        self._tools = ToolDeltas()

    def decode(self, event: SseEvent) -> list[Json]:
        """Return the chunk of ``event``, or nothing for beginnings and ends of parts."""
        try:
            body = _decode_json(event.data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            if event.data.strip() == DONE_DATA:
                self.done = True
            else:
                self.fault = malformed("a chunk that is not JSON")
            return []
        if body.__class__ is not dict:
            self.fault = malformed("a chunk that is not an object")
            return []
        kind = body.get("type")
        handler = _EVENTS.get(kind if kind.__class__ is str else event.event)
        if handler is None:
            if "message" in body and "type" not in body:  # an error in the shape of error answers
                self.fault = make_fault(body, status=200)
            return []
        delta = body.get("delta")
        return handler(self, delta if delta.__class__ is dict else {}, body)

    def _chunk(self, delta: Json, finish: str | None = None, native: str | None = None) -> list[Json]:
        self.created_s = self.created_s or int(time.time())
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "native_finish_reason": native, "logprobs": None}
        return [{"object": "chat.completion.chunk", "created": self.created_s, "choices": [choice]}]

    def _start(self, delta: Json, body: Json) -> list[Json]:
        del delta
        self.upstream_id = _text(body.get("id"))
        return self._chunk({"role": "assistant", "content": ""})

    def _content(self, delta: Json, body: Json) -> list[Json]:
        del body
        message = delta.get("message")
        content = message.get("content") if message.__class__ is dict else None
        return self.take_part(content) if content.__class__ is dict else []

    def take_part(self, part: Json) -> list[Json]:
        """Return the chunk of a part of the content, whole or a piece of one."""
        if text := _text(part.get("text")):
            self.output_seen = True
            self.output_chars += len(text)
            return self._chunk({"content": text})
        thought = _text(part.get("thinking"))
        return self._think(thought, {"id": THOUGHT_ID, "index": 0}) if thought else []

    def _think(self, text: str, marks: Json) -> list[Json]:
        self.output_seen = True
        self.output_chars += len(text)
        detail = {"type": "reasoning.text", "text": text, "format": "unknown", **marks}
        return self._chunk({"reasoning": text, "reasoning_details": [detail]})

    def _plan(self, delta: Json, body: Json) -> list[Json]:
        del body
        message = delta.get("message")
        return self.take_plan(message.get("tool_plan") if message.__class__ is dict else None)

    def take_plan(self, plan: Any) -> list[Json]:
        """Return the chunk of a plan for the calls to come: a thought, marked so that it goes back as what it was."""
        text = _text(plan)
        return self._think(text, {"id": PLAN_ID, "index": 1}) if text else []

    def _call(self, delta: Json, body: Json) -> list[Json]:
        message = delta.get("message")
        call = message.get("tool_calls") if message.__class__ is dict else None
        return self.take_call(call, body.get("index")) if isinstance(call, dict) else []

    def take_call(self, call: Json, index: Any) -> list[Json]:
        """Return the chunk of a tool call, whole or a piece of one."""
        found = self._tools.normalise({**call, "index": index})
        if found is None:
            return []
        self.output_seen = True
        function = found["function"]
        self.output_chars += len(function.get("name") or "") + len(function.get("arguments") or "")
        return self._chunk({"tool_calls": [found]})

    def _end(self, delta: Json, body: Json) -> list[Json]:
        del body
        if delta.get("error"):
            self.fault = make_fault({"message": _text(delta["error"]), "code": _text(delta.get("finish_reason"))}, status=200)
            return []
        return self.finish_with(delta)

    def finish_with(self, source: Json) -> list[Json]:
        """Take usage and how the answer ended."""
        self._report(usage_from_cohere(source.get("usage")))
        native = source.get("finish_reason")
        if not isinstance(native, str):
            return []
        self.native_finish_reason, self.finish_reason = native, _FINISH.get(native.upper(), "stop")
        return self._chunk({}, self.finish_reason, native)


_EVENTS: dict[str, Callable[[CohereStreamDecoder, Json, Json], list[Json]]] = {
    "message-start": CohereStreamDecoder._start,  # noqa: SLF001 -- the class's own table
    "content-start": CohereStreamDecoder._content,  # noqa: SLF001
    "content-delta": CohereStreamDecoder._content,  # noqa: SLF001
    "tool-plan-delta": CohereStreamDecoder._plan,  # noqa: SLF001
    "tool-call-start": CohereStreamDecoder._call,  # noqa: SLF001
    "tool-call-delta": CohereStreamDecoder._call,  # noqa: SLF001
    "message-end": CohereStreamDecoder._end,  # noqa: SLF001
}


def decode_cohere_answer(body: bytes) -> Answer:
    """Read an answer; its parts are a stream of one piece each. Raises: BadAnswer."""
    try:
        parsed = _decode_json(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadAnswer(malformed("an answer that is not JSON")) from error
    if not isinstance(parsed, dict):
        raise BadAnswer(malformed("an answer that is not an object"))
    message = parsed.get("message")
    if not isinstance(message, dict):
        raise BadAnswer(make_fault(parsed, status=200) if isinstance(message, str) else malformed("an answer without a message"))
    decoder, whole = CohereStreamDecoder(), Assembler()
    decoder.upstream_id = _text(parsed.get("id"))
    content, calls = message.get("content"), message.get("tool_calls")
    chunks = decoder.take_plan(message.get("tool_plan"))
    for part in content if isinstance(content, list) else [{"text": content}]:
        chunks += decoder.take_part(part) if isinstance(part, dict) else []
    for index, call in enumerate(calls if isinstance(calls, list) else ()):
        chunks += decoder.take_call(call, index) if isinstance(call, dict) else []
    for chunk in chunks + decoder.finish_with(parsed):
        whole.add(chunk)
    return Answer(
        body={**whole.body(), "created": decoder.created_s or int(time.time())},
        usage=decoder.usage,
        finish_reason=decoder.finish_reason,
        native_finish_reason=decoder.native_finish_reason,
        upstream_id=decoder.upstream_id,
        output_seen=decoder.output_seen,
        output_chars=decoder.output_chars,
    )
