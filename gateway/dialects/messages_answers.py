"""Answers in Anthropic Messages form, whole and streamed, brought to canonical chat form. Pure."""

import time
from collections.abc import Callable
from typing import Any

import msgspec

from gateway.dialects.base import Answer, BadAnswer, Json, StreamDecoder, UpstreamFault
from gateway.dialects.chat_answers import text_chars
from gateway.dialects.faults import make_fault, malformed
from gateway.dialects.signed_thoughts import REASONING_FORMAT
from gateway.dialects.usage import merge_messages_report, usage_from_messages
from gateway.relay.sse import SseEvent

_decode_json = msgspec.json.Decoder().decode
_encode_json = msgspec.json.Encoder().encode
_BLOCK_DELTA = "content_block_delta"
_TEXT_MARK = b'"text_delta"'
_FINISH: dict[str, str] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
    "pause_turn": "stop",
    "compaction": "stop",
}


def _finish(native: Any) -> str | None:
    return _FINISH.get(native, "stop") if isinstance(native, str) else None


def _fault(parsed: Json) -> UpstreamFault:
    error = parsed.get("error")
    return make_fault(error if isinstance(error, dict) else {"message": str(error or "")}, status=200)


def decode_messages_answer(body: bytes) -> Answer:
    """Read a message. Raises: BadAnswer."""
    try:
        parsed = _decode_json(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadAnswer(malformed("an answer that is not JSON")) from error
    if not isinstance(parsed, dict):
        raise BadAnswer(malformed("an answer that is not an object"))
    if parsed.get("type") == "error" or "error" in parsed:
        raise BadAnswer(_fault(parsed))
    blocks = parsed.get("content")
    if not isinstance(blocks, list):
        raise BadAnswer(malformed("an answer without content"))
    message = _message([block for block in blocks if isinstance(block, dict)])
    native = parsed.get("stop_reason")
    chars = text_chars(message)
    choice: Json = {
        "index": 0,
        "message": message,
        "finish_reason": _finish(native),
        "native_finish_reason": native if isinstance(native, str) else None,
        "logprobs": None,
    }
    usage = parsed.get("usage")
    tier = usage.get("service_tier") if isinstance(usage, dict) else None
    return Answer(
        body={"object": "chat.completion", "created": int(time.time()), "system_fingerprint": None, "choices": [choice]},
        usage=usage_from_messages(usage),
        finish_reason=choice["finish_reason"],
        native_finish_reason=choice["native_finish_reason"],
        upstream_id=parsed["id"] if isinstance(parsed.get("id"), str) else "",
        served_model=parsed["model"] if isinstance(parsed.get("model"), str) else "",
        service_tier=_tier(tier),
        stop_sequence=_stop_sequence(parsed),
        output_seen=chars > 0,
        output_chars=chars,
    )


def _tier(word: Any) -> str:
    return "default" if word == "standard" else word if isinstance(word, str) else ""


def _stop_sequence(source: Json) -> str | None:
    sequence = source.get("stop_sequence")
    return sequence if isinstance(sequence, str) else None


def _message(blocks: list[Json]) -> Json:
    words: list[str] = []
    thoughts: list[str] = []
    details: list[Json] = []
    calls: list[Json] = []
    annotations: list[Json] = []
    places: list[Json] = []
    for index, block in enumerate(blocks):
        kind = block.get("type")
        if kind == "text":
            words.append(str(block.get("text") or ""))
            _sort_citations(block.get("citations"), annotations, places)
        elif kind == "thinking":
            thoughts.append(str(block.get("thinking") or ""))
            details.append(_text_detail(index, thoughts[-1], block.get("signature")))
        elif kind == "redacted_thinking":
            details.append(_encrypted_detail(index, block.get("data")))
        elif kind == "tool_use":
            arguments = _encode_json(block.get("input") or {}).decode()
            calls.append(
                {"id": str(block.get("id")), "type": "function", "function": {"name": str(block.get("name")), "arguments": arguments}}
            )
    message: Json = {"role": "assistant", "content": "".join(words) if words or not calls else None, "refusal": None}
    if details:
        message["reasoning"] = "".join(thoughts) or None
        message["reasoning_details"] = details
    if calls:
        message["tool_calls"] = calls
    message.update({name: found for name, found in (("annotations", annotations), ("citations", places)) if found})
    return message


def _sort_citations(citations: Any, annotations: list[Json], places: list[Json]) -> None:
    """Add pages of the web to ``annotations``; what is a place in a document of the request goes to ``places`` as it is."""
    for one in citations if isinstance(citations, list) else ():
        if found := _annotation(one):
            annotations.append(found)
        elif isinstance(one, dict):
            places.append(one)


def _text_detail(index: int, text: str | None, signature: Any = None) -> Json:
    detail: Json = {"type": "reasoning.text", "text": text, "format": REASONING_FORMAT, "index": index}
    if signature:
        detail["signature"] = signature
    return detail


def _encrypted_detail(index: int, data: Any) -> Json:
    return {"type": "reasoning.encrypted", "data": str(data or ""), "format": REASONING_FORMAT, "index": index}


def _annotation(citation: Any) -> Json | None:
    if not isinstance(citation, dict) or not isinstance(citation.get("url"), str):
        return None
    cited = {"url": citation["url"], "title": citation.get("title") or "", "content": citation.get("cited_text") or ""}
    return {"type": "url_citation", "url_citation": {**cited, "start_index": 0, "end_index": 0}}


def _plain_words(data: bytes) -> str:
    """Return the words of an event that has nothing else, nearly every event of a stream; '' if it is anything else."""
    try:
        return _decode_words(data).delta.text
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""


class _TextDelta(msgspec.Struct, tag_field="type", tag="text_delta", gc=False):
    text: str


class _Words(msgspec.Struct, tag_field="type", tag=_BLOCK_DELTA, gc=False):
    """What is wanted of an event with words."""

    delta: _TextDelta


_decode_words = msgspec.json.Decoder(_Words).decode


class MessagesStreamDecoder(StreamDecoder):
    """Streams of Messages. Its usage reports are cumulative, and some counts come only with the last one."""

    __slots__ = ("_calls", "_kinds", "_usage", "_wrote_input")

    def __init__(self) -> None:
        super().__init__()
        self._usage: Json = {}
        self._calls: dict[int, int] = {}  # block index → index of the tool call
        self._kinds: dict[int, str] = {}
        self._wrote_input: set[int] = set()

    def decode(self, event: SseEvent) -> list[Json]:
        """Return the chunk of ``event``, or nothing for pings, ends of blocks and reports of usage."""
        if event.event == _BLOCK_DELTA and _TEXT_MARK in event.data and (text := _plain_words(event.data)):
            return self._text(text)
        try:
            body = _decode_json(event.data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self.fault = malformed("a chunk that is not JSON")
            return []
        if body.__class__ is not dict:
            self.fault = malformed("a chunk that is not an object")
            return []
        kind = body.get("type")
        handler = _EVENTS.get(kind if isinstance(kind, str) else event.event)
        return handler(self, body) if handler is not None else []

    def _chunk(self, delta: Json, finish: str | None = None, native: str | None = None) -> list[Json]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "native_finish_reason": native, "logprobs": None}
        return [{"object": "chat.completion.chunk", "created": self.created_s, "choices": [choice]}]

    def _start(self, body: Json) -> list[Json]:
        message = body.get("message")
        message = message if isinstance(message, dict) else {}
        self.upstream_id = message["id"] if isinstance(message.get("id"), str) else ""
        self.served_model = message["model"] if isinstance(message.get("model"), str) else ""
        self.created_s = int(time.time())
        self._take_usage(message.get("usage"))
        return self._chunk({"role": "assistant", "content": ""})

    def _take_usage(self, report: Any) -> None:
        if not isinstance(report, dict):
            return
        merge_messages_report(self._usage, report)
        self.usage = usage_from_messages(self._usage)
        if isinstance(report.get("service_tier"), str):
            self.service_tier = _tier(report["service_tier"])

    def _start_block(self, body: Json) -> list[Json]:
        block = body.get("content_block")
        block = block if isinstance(block, dict) else {}
        index = body["index"] if isinstance(body.get("index"), int) else len(self._kinds)
        kind = self._kinds[index] = str(block.get("type"))
        if kind == "tool_use":
            number = self._calls[index] = len(self._calls)
            self.output_seen = True
            name = str(block.get("name") or "")
            whole = block.get("input")
            arguments = _encode_json(whole).decode() if isinstance(whole, dict) and whole else ""
            if arguments:
                self._wrote_input.add(index)
            self.output_chars += len(name) + len(arguments)
            function = {"name": name, "arguments": arguments}
            return self._chunk({"tool_calls": [{"index": number, "id": str(block.get("id")), "type": "function", "function": function}]})
        if kind == "redacted_thinking":
            return self._chunk({"reasoning_details": [_encrypted_detail(index, block.get("data"))]})
        if kind == "text" and isinstance(block.get("text"), str) and block["text"]:
            return self._text(block["text"])
        return []

    def _text(self, text: str) -> list[Json]:
        self.output_seen = True
        self.output_chars += len(text)
        return self._chunk({"content": text})

    def _delta(self, body: Json) -> list[Json]:
        delta = body.get("delta")
        if delta.__class__ is not dict:
            return []
        kind = delta.get("type")
        handler = _DELTAS.get(kind) if isinstance(kind, str) else None
        index = body.get("index")
        return handler(self, index if isinstance(index, int) else 0, delta) if handler is not None else []

    def _text_delta(self, index: int, delta: Json) -> list[Json]:
        del index
        text = delta.get("text")
        return self._text(text) if text and text.__class__ is str else []

    def _thinking_delta(self, index: int, delta: Json) -> list[Json]:
        text = delta.get("thinking")
        if not text or text.__class__ is not str:
            return []
        self.output_seen = True
        self.output_chars += len(text)
        return self._chunk({"reasoning": text, "reasoning_details": [_text_detail(index, text)]})

    def _signature_delta(self, index: int, delta: Json) -> list[Json]:
        return self._chunk({"reasoning_details": [_text_detail(index, None, delta.get("signature"))]})

    def _input_delta(self, index: int, delta: Json) -> list[Json]:
        piece = str(delta.get("partial_json") or "")
        if not piece or index not in self._calls:
            return []
        self._wrote_input.add(index)
        self.output_chars += len(piece)
        return self._chunk({"tool_calls": [{"index": self._calls[index], "function": {"arguments": piece}}]})

    def _citation_delta(self, index: int, delta: Json) -> list[Json]:
        del index
        citation = delta.get("citation")
        if annotation := _annotation(citation):
            return self._chunk({"annotations": [annotation]})
        # A place in a document of the request: as it came.
        return self._chunk({"citations": [citation]}) if isinstance(citation, dict) else []

    def _stop_block(self, body: Json) -> list[Json]:
        index = body.get("index")
        if isinstance(index, int) and index in self._calls and index not in self._wrote_input:
            # A call without arguments: clients want an object, not nothing.
            self._wrote_input.add(index)
            return self._chunk({"tool_calls": [{"index": self._calls[index], "function": {"arguments": "{}"}}]})
        return []

    def _finish(self, body: Json) -> list[Json]:
        self._take_usage(body.get("usage"))
        delta = body.get("delta")
        delta = delta if isinstance(delta, dict) else {}
        native = delta.get("stop_reason")
        if not isinstance(native, str):
            return []
        self.native_finish_reason = native
        self.finish_reason = _finish(native)
        self.stop_sequence = _stop_sequence(delta)
        return self._chunk({}, self.finish_reason, native)

    def _stop(self, body: Json) -> list[Json]:
        del body
        self.done = True
        return []

    def _fail(self, body: Json) -> list[Json]:
        self.fault = _fault(body)
        return []


_EVENTS: dict[str, Callable[[MessagesStreamDecoder, Json], list[Json]]] = {
    "message_start": MessagesStreamDecoder._start,  # noqa: SLF001 -- the class's own table
    "content_block_start": MessagesStreamDecoder._start_block,  # noqa: SLF001
    "content_block_delta": MessagesStreamDecoder._delta,  # noqa: SLF001
    "content_block_stop": MessagesStreamDecoder._stop_block,  # noqa: SLF001
    "message_delta": MessagesStreamDecoder._finish,  # noqa: SLF001
    "message_stop": MessagesStreamDecoder._stop,  # noqa: SLF001
    "error": MessagesStreamDecoder._fail,  # noqa: SLF001
}
_DELTAS: dict[str, Callable[[MessagesStreamDecoder, int, Json], list[Json]]] = {
    "text_delta": MessagesStreamDecoder._text_delta,  # noqa: SLF001 -- the class's own table
    "thinking_delta": MessagesStreamDecoder._thinking_delta,  # noqa: SLF001
    "signature_delta": MessagesStreamDecoder._signature_delta,  # noqa: SLF001
    "input_json_delta": MessagesStreamDecoder._input_delta,  # noqa: SLF001
    "citations_delta": MessagesStreamDecoder._citation_delta,  # noqa: SLF001
}
