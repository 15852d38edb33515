"""Answers of OpenAI Responses, whole and streamed, brought to canonical chat form. Pure."""

import time
from collections.abc import Callable
from typing import Any

import msgspec

from gateway.dialects.assembly import Assembler
from gateway.dialects.base import Answer, BadAnswer, Json, StreamDecoder, UpstreamFault
from gateway.dialects.faults import make_fault, malformed
from gateway.dialects.tool_deltas import arguments_text, new_call_id
from gateway.dialects.usage import usage_from_responses
from gateway.relay.sse import DONE_DATA, SseEvent

REASONING_FORMAT = "openai-responses-v1"

_decode_json = msgspec.json.Decoder().decode
_CALLS = ("function_call", "custom_tool_call")
_WORDS = "response.output_text.delta"
_INCOMPLETE = {"max_output_tokens": "length", "max_tokens": "length", "content_filter": "content_filter"}
_PICTURES = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}


def _text(value: Any) -> str:
    return value if value.__class__ is str else ""


def _fault(error: Any) -> UpstreamFault:
    return make_fault(error if isinstance(error, dict) else {"message": str(error or "")}, status=200)


class _Words(msgspec.Struct, tag_field="type", tag=_WORDS, gc=False):
    """What is wanted of an event with words."""

    delta: str
    output_index: int = 0
    logprobs: list[Any] | None = None


_decode_words = msgspec.json.Decoder(_Words).decode


class ResponsesStreamDecoder(StreamDecoder):
    """Streams of Responses: named events, items one after the other. Deltas are told; what came without any is told when it is done."""

    __slots__ = ("_calls", "_custom", "_parts", "_speaks", "_told")

    def __init__(self) -> None:
        super().__init__()
        self._calls: dict[int, int] = {}  # output index → index of the tool call
        self._custom: set[int] = set()  # output indexes of calls whose input is free text
        self._told: set[tuple[str, int]] = set()  # what of which item came in deltas
        self._parts: dict[int, int] = {}  # output index → the part of its summary that was told last
        self._speaks = -1  # output index of the words that came last

    def decode(self, event: SseEvent) -> list[Json]:
        """Return the chunk of ``event``, or nothing for the many events that repeat what was said."""
        if event.event == _WORDS and (chunk := self._plain_words(event.data)) is not None:
            return [chunk]
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
        return handler(self, body) if handler is not None else []

    def _plain_words(self, data: bytes) -> Json | None:
        """Return the chunk of more words of the item that spoke last, nearly every event of a stream; None if it is anything else."""
        try:
            words = _decode_words(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        text = words.delta
        if not text or words.output_index != self._speaks or words.logprobs:
            return None
        self.output_chars += len(text)
        choice = {"index": 0, "delta": {"content": text}, "finish_reason": None, "native_finish_reason": None, "logprobs": None}
        return {"object": "chat.completion.chunk", "created": self.created_s, "choices": [choice]}

    def _chunk(self, delta: Json, finish: str | None = None, native: str | None = None, logprobs: Json | None = None) -> list[Json]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "native_finish_reason": native, "logprobs": logprobs}
        self.created_s = self.created_s or int(time.time())
        return [{"object": "chat.completion.chunk", "created": self.created_s, "choices": [choice]}]

    def _index(self, body: Json) -> int:
        index = body.get("output_index")
        return index if index.__class__ is int else 0

    def _start(self, body: Json) -> list[Json]:
        self.take_head(body.get("response"))
        return self._chunk({"role": "assistant", "content": ""})

    def take_head(self, response: Any) -> None:
        """Take who answers, and when, from a response."""
        if not isinstance(response, dict):
            return
        self.upstream_id = self.upstream_id or _text(response.get("id"))
        self.served_model = _text(response.get("model")) or self.served_model
        created = response.get("created_at")
        if not self.created_s and isinstance(created, int | float):
            self.created_s = int(created)

    def _words(self, body: Json) -> list[Json]:
        text = body.get("delta")
        if not text or text.__class__ is not str:
            return []
        self._speaks = self._index(body)
        self._told.add(("text", self._speaks))
        logprobs = body.get("logprobs")
        return self._say("content", text, {"content": logprobs} if logprobs and isinstance(logprobs, list) else None)

    def _say(self, name: str, text: str, logprobs: Json | None = None) -> list[Json]:
        self.output_seen = True
        self.output_chars += len(text)
        return self._chunk({name: text}, logprobs=logprobs)

    def _refusal(self, body: Json) -> list[Json]:
        text = _text(body.get("delta"))
        self._told.add(("text", self._index(body)))
        return self._say("refusal", text) if text else []

    def _thought(self, body: Json) -> list[Json]:
        text = _text(body.get("delta"))
        return self._think({"type": "reasoning.text", "text": text}, text, self._index(body)) if text else []

    def _summary(self, body: Json) -> list[Json]:
        text, index, part = _text(body.get("delta")), self._index(body), body.get("summary_index")
        if not text:
            return []
        part = part if part.__class__ is int else 0
        if self._parts.setdefault(index, part) != part:
            self._parts[index], text = part, "\n\n" + text
        return self._think({"type": "reasoning.summary", "summary": text}, text, index)

    def _think(self, detail: Json, text: str, index: int) -> list[Json]:
        self._told.add(("thoughts", index))
        self.output_seen = True
        self.output_chars += len(text)
        return self._chunk({"reasoning": text, "reasoning_details": [{**detail, "format": REASONING_FORMAT, "index": index}]})

    def _open_item(self, body: Json) -> list[Json]:
        item = body.get("item")
        if not isinstance(item, dict) or item.get("type") not in _CALLS:
            return []
        return self._open_call(item, self._index(body), "")

    def _open_call(self, item: Json, index: int, arguments: str) -> list[Json]:
        number = self._calls[index] = len(self._calls)
        name = _text(item.get("name"))
        self.output_seen = True
        self.output_chars += len(name) + len(arguments)
        call_id = _text(item.get("call_id")) or _text(item.get("id")) or new_call_id()
        call: Json = {"index": number, "id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
        if item.get("type") == "custom_tool_call":
            self._custom.add(index)
            call = {"index": number, "id": call_id, "type": "custom", "custom": {"name": name, "input": arguments}}
        return self._chunk({"tool_calls": [call]})

    def _arguments(self, body: Json) -> list[Json]:
        index, piece = self._index(body), _text(body.get("delta"))
        return self._add_arguments(index, piece) if piece and index in self._calls else []

    def _add_arguments(self, index: int, piece: str) -> list[Json]:
        self._told.add(("arguments", index))
        self.output_chars += len(piece)
        added: Json = {"custom": {"input": piece}} if index in self._custom else {"function": {"arguments": piece}}
        return self._chunk({"tool_calls": [{"index": self._calls[index], **added}]})

    def _annotation(self, body: Json) -> list[Json]:
        found = _citation(body.get("annotation"))
        return self._chunk({"annotations": [found]}) if found else []

    def _close_item(self, body: Json) -> list[Json]:
        """Tell what of an item came without deltas, and what of thoughts only their maker can read."""
        item = body.get("item")
        return self.take_item(item, self._index(body)) if isinstance(item, dict) else []

    def take_item(self, item: Json, index: int) -> list[Json]:
        """Return the chunks of a whole item, less what was told of it."""
        kind = item.get("type")
        if kind in _CALLS:
            arguments = _text(item.get("input")) if kind == "custom_tool_call" else arguments_text(item.get("arguments")) or "{}"
            if index not in self._calls:
                return self._open_call(item, index, arguments)
            is_told = not arguments or ("arguments", index) in self._told
            return [] if is_told else self._add_arguments(index, arguments)
        if kind == "reasoning":
            return self._take_thoughts(item, index)
        if kind == "message" and ("text", index) not in self._told:
            return self._take_message(item, index)
        if kind == "image_generation_call" and isinstance(item.get("result"), str) and item["result"]:
            self.output_seen = True
            mime = _PICTURES.get(_text(item.get("output_format")), "image/png")
            return self._chunk({"images": [{"type": "image_url", "image_url": {"url": f"data:{mime};base64,{item['result']}"}}]})
        return []

    def _take_message(self, item: Json, index: int) -> list[Json]:
        chunks: list[Json] = []
        content = item.get("content")
        for part in content if isinstance(content, list) else ():
            if not isinstance(part, dict):
                continue
            if text := _text(part.get("text")):
                logprobs = part.get("logprobs")
                chunks += self._words({"delta": text, "output_index": index, "logprobs": logprobs})
            elif text := _text(part.get("refusal")):
                chunks += self._refusal({"delta": text, "output_index": index})
            notes = part.get("annotations")
            if found := [one for note in (notes if isinstance(notes, list) else ()) if (one := _citation(note))]:
                chunks += self._chunk({"annotations": found})
        return chunks

    def _take_thoughts(self, item: Json, index: int) -> list[Json]:
        chunks: list[Json] = []
        if ("thoughts", index) not in self._told:
            for name, tell in (("summary", self._summary), ("content", self._thought)):
                parts = item.get(name)
                for number, part in enumerate(parts if isinstance(parts, list) else ()):
                    text = _text(part.get("text")) if isinstance(part, dict) else ""
                    chunks += tell({"delta": text, "output_index": index, "summary_index": number})
        if data := _text(item.get("encrypted_content")):
            detail: Json = {"type": "reasoning.encrypted", "data": data, "format": REASONING_FORMAT, "index": index}
            if item_id := _text(item.get("id")):
                detail["id"] = item_id
            chunks += self._chunk({"reasoning_details": [detail]})
        return chunks

    def finish_with(self, response: Any, status: str = "") -> list[Json]:
        """Take the final response: usage, tier, and how it ended."""
        response = response if isinstance(response, dict) else {}
        self.take_head(response)
        self._report(usage_from_responses(response.get("usage")))
        self.service_tier = _text(response.get("service_tier")) or self.service_tier
        status = _text(response.get("status")) or status
        if status == "failed" or response.get("error"):
            self.fault = _fault(response.get("error") or {"message": "The response failed."})
            return []
        if status == "incomplete":
            why = response.get("incomplete_details")
            native = _text(why.get("reason")) if isinstance(why, dict) else ""
            finish = _INCOMPLETE.get(native, "length")
        else:
            native, finish = status or "completed", "tool_calls" if self._calls else "stop"
        self.finish_reason, self.native_finish_reason = finish, native or "incomplete"
        return self._chunk({}, finish, self.native_finish_reason)

    def _completed(self, body: Json) -> list[Json]:
        return self.finish_with(body.get("response"), "completed")

    def _ended_early(self, body: Json) -> list[Json]:
        return self.finish_with(body.get("response"), "incomplete")

    def _failed(self, body: Json) -> list[Json]:
        return self.finish_with(body.get("response"), "failed")

    def _error(self, body: Json) -> list[Json]:
        error = body.get("error")
        self.fault = _fault(error if isinstance(error, dict) else {name: body.get(name) for name in ("message", "code")})
        return []


_EVENTS: dict[str, Callable[[ResponsesStreamDecoder, Json], list[Json]]] = {
    "response.created": ResponsesStreamDecoder._start,  # noqa: SLF001 -- the class's own table
    "response.output_item.added": ResponsesStreamDecoder._open_item,  # noqa: SLF001
    "response.output_item.done": ResponsesStreamDecoder._close_item,  # noqa: SLF001
    _WORDS: ResponsesStreamDecoder._words,  # noqa: SLF001
    "response.output_text.annotation.added": ResponsesStreamDecoder._annotation,  # noqa: SLF001
    "response.refusal.delta": ResponsesStreamDecoder._refusal,  # noqa: SLF001
    "response.reasoning_text.delta": ResponsesStreamDecoder._thought,  # noqa: SLF001
    "response.reasoning_summary_text.delta": ResponsesStreamDecoder._summary,  # noqa: SLF001
    "response.function_call_arguments.delta": ResponsesStreamDecoder._arguments,  # noqa: SLF001
    "response.custom_tool_call_input.delta": ResponsesStreamDecoder._arguments,  # noqa: SLF001
    "response.completed": ResponsesStreamDecoder._completed,  # noqa: SLF001
    "response.incomplete": ResponsesStreamDecoder._ended_early,  # noqa: SLF001
    "response.failed": ResponsesStreamDecoder._failed,  # noqa: SLF001
    "error": ResponsesStreamDecoder._error,  # noqa: SLF001
    "response.error": ResponsesStreamDecoder._error,  # noqa: SLF001
}


def _citation(note: Any) -> Json | None:
    if not isinstance(note, dict) or not isinstance(note.get("url"), str):
        return None
    places = {name: note[name] if note.get(name).__class__ is int else 0 for name in ("start_index", "end_index")}
    return {"type": "url_citation", "url_citation": {"url": note["url"], "title": _text(note.get("title")), "content": "", **places}}


def decode_responses_answer(body: bytes) -> Answer:
    """Read a response; its items are a stream of done items. Raises: BadAnswer."""
    try:
        parsed = _decode_json(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadAnswer(malformed("an answer that is not JSON")) from error
    if not isinstance(parsed, dict):
        raise BadAnswer(malformed("an answer that is not an object"))
    output = parsed.get("output")
    if not isinstance(output, list) and not parsed.get("error"):
        raise BadAnswer(malformed("an answer without output"))
    decoder, whole = ResponsesStreamDecoder(), Assembler()
    decoder.take_head(parsed)
    for index, item in enumerate(output if isinstance(output, list) else ()):
        for chunk in decoder.take_item(item, index) if isinstance(item, dict) else ():
            whole.add(chunk)
    for chunk in decoder.finish_with(parsed):
        whole.add(chunk)
    if decoder.fault is not None:
        raise BadAnswer(decoder.fault)
    return Answer(
        body={**whole.body(), "created": decoder.created_s},
        usage=decoder.usage,
        finish_reason=decoder.finish_reason,
        native_finish_reason=decoder.native_finish_reason,
        upstream_id=decoder.upstream_id,
        served_model=decoder.served_model,
        service_tier=decoder.service_tier,
        output_seen=decoder.output_seen,
        output_chars=decoder.output_chars,
    )
