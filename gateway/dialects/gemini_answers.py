"""Answers of Gemini, whole and streamed, brought to canonical chat form. Pure."""

import time
from typing import Any

import msgspec

from catalog.types import Usage
from gateway.dialects.base import Answer, BadAnswer, Json, StreamDecoder
from gateway.dialects.faults import make_fault, malformed
from gateway.dialects.tool_deltas import new_call_id
from gateway.dialects.usage import usage_from_gemini
from gateway.relay.sse import DONE_DATA, SseEvent

REASONING_FORMAT = "google-gemini-v1"

_decode_json = msgspec.json.Decoder().decode
_encode_json = msgspec.json.Encoder().encode
_FINISH: dict[str, str] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "MALFORMED_FUNCTION_CALL": "error",
    "UNEXPECTED_TOOL_CALL": "error",
    "TOO_MANY_TOOL_CALLS": "error",
    "MISSING_THOUGHT_SIGNATURE": "error",
    "OTHER": "error",
    "LANGUAGE": "error",
    "NO_IMAGE": "error",
}


class _Candidate:
    """What one candidate has said so far; a whole answer is a stream of one piece."""

    __slots__ = ("calls", "native")

    def __init__(self) -> None:
        self.calls = 0
        self.native: str | None = None


class _Delta:
    """Collects the parts of one piece into a delta."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.thoughts: list[str] = []
        self.details: list[Json] = []
        self.calls: list[Json] = []
        self.images: list[Json] = []
        self.annotations: list[Json] = []
        self.chars = 0

    def add(self, part: Json, candidate: _Candidate) -> None:
        """Take one part."""
        signature = part.get("thoughtSignature")
        call = part.get("functionCall")
        call_id = ""
        text = part.get("text")
        if isinstance(call, dict):
            call_id = self._add_call(call, candidate)
        elif isinstance(text, str) and text:
            self.chars += len(text)
            if part.get("thought"):
                self.thoughts.append(text)
                self.details.append({"type": "reasoning.text", "text": text, "format": REASONING_FORMAT, "index": 0})
            else:
                self.words.append(text)
        elif isinstance(part.get("inlineData"), dict):
            data = part["inlineData"]
            url = f"data:{data.get('mimeType', 'image/png')};base64,{data.get('data', '')}"
            self.images.append({"type": "image_url", "image_url": {"url": url}})
        if isinstance(signature, str) and signature:
            detail: Json = {"type": "reasoning.encrypted", "data": signature, "format": REASONING_FORMAT, "index": 0}
            if call_id:
                detail["id"] = call_id
            self.details.append(detail)

    def _add_call(self, call: Json, candidate: _Candidate) -> str:
        given = call.get("id")
        call_id = given if isinstance(given, str) and given else new_call_id()
        name = str(call.get("name") or "")
        arguments = _encode_json(call.get("args") or {}).decode()
        self.chars += len(name) + len(arguments)
        function = {"name": name, "arguments": arguments}
        self.calls.append({"index": candidate.calls, "id": call_id, "type": "function", "function": function})
        candidate.calls += 1
        return call_id

    def fields(self) -> Json:
        """Return the delta's fields that say something."""
        fields: Json = {}
        if self.words:
            fields["content"] = "".join(self.words)
        if self.thoughts:
            fields["reasoning"] = "".join(self.thoughts)
        if self.details:
            fields["reasoning_details"] = self.details
        if self.calls:
            fields["tool_calls"] = self.calls
        if self.images:
            fields["images"] = self.images
        if self.annotations:
            fields["annotations"] = self.annotations
        return fields


class GeminiStreamDecoder(StreamDecoder):
    """Streams of Gemini. There is no end mark: every candidate's finish reason is the end."""

    __slots__ = ("_candidates", "_opened", "_searches", "_unread", "_usage")

    def __init__(self) -> None:
        self._unread: Json | None = None  # the latest report
        super().__init__()
        self._candidates: dict[int, _Candidate] = {}
        self._opened: set[int] = set()
        self._searches = 0

    @property
    def usage(self) -> Usage | None:
        """The largest report so far. Every piece of a stream has one, and only the last is wanted, so they are read when asked for."""
        unread, self._unread = self._unread, None
        if unread is not None:
            self._report(usage_from_gemini(unread, searches=self._searches))
        return self._usage

    @usage.setter
    def usage(self, usage: Usage | None) -> None:
        self._usage = usage

    def _take_report(self, report: Any) -> None:
        unread = self._unread
        if unread is not None and not _grows(unread, report):
            self._report(usage_from_gemini(unread, searches=self._searches))
        self._unread = report if isinstance(report, dict) else None

    def decode(self, event: SseEvent) -> list[Json]:
        """Return the chunks of one response piece, one per candidate that says something."""
        if event.data == DONE_DATA:
            self.done = True
            return []
        try:
            body = _decode_json(event.data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self.fault = malformed("a chunk that is not JSON")
            return []
        if body.__class__ is dict and (chunk := self._plain_words(body)) is not None:
            return [chunk]
        return self.take(body)

    def _plain_words(self, body: Json) -> Json | None:
        """Return the chunk of more words of one candidate, nearly every piece of a stream; None if it is anything else."""
        candidates = body.get("candidates")
        if candidates.__class__ is not list or len(candidates) != 1 or "error" in body:
            return None
        source = candidates[0]
        index = source.get("index", 0) if source.__class__ is dict else None
        if index.__class__ is not int or index not in self._opened or not (words := _plain_words(source)):
            return None
        self.output_chars += len(words)
        self.output_seen = True
        if (report := body.get("usageMetadata")) is not None:
            self._take_report(report)
        return self._chunk(index, {"content": words}, None, None)

    def take(self, body: Any) -> list[Json]:
        """Return the chunks of a parsed response, whole or a piece of one."""
        if isinstance(body, list) and len(body) == 1:
            body = body[0]
        if not isinstance(body, dict):
            self.fault = malformed("a chunk that is not an object")
            return []
        if body.get("error"):
            error = body["error"]
            self.fault = make_fault(error if isinstance(error, dict) else {"message": str(error)}, status=200)
            return []
        if not self.created_s:
            self.created_s = int(time.time())
            self.upstream_id = body["responseId"] if isinstance(body.get("responseId"), str) else ""
            self.served_model = body["modelVersion"] if isinstance(body.get("modelVersion"), str) else ""
        candidates = body.get("candidates")
        chunks = [
            chunk
            for place, candidate in enumerate(candidates if isinstance(candidates, list) else ())
            if isinstance(candidate, dict) and (chunk := self._candidate(candidate, place)) is not None
        ]
        if not chunks and (blocked := self._blocked(body)) is not None:
            chunks = [blocked]
        report = body.get("usageMetadata")
        if report is not None:
            self._take_report(report)
        return chunks

    def _blocked(self, body: Json) -> Json | None:
        """Return the end of an answer whose prompt was refused."""
        feedback = body.get("promptFeedback")
        reason = feedback.get("blockReason") if isinstance(feedback, dict) else None
        if not isinstance(reason, str):
            return None
        self.finish_reason, self.native_finish_reason = "content_filter", reason
        return self._chunk(0, {"role": "assistant", "content": ""}, "content_filter", reason)

    def _chunk(self, index: int, delta: Json, finish: str | None, native: str | None) -> Json:
        choice = {"index": index, "delta": delta, "finish_reason": finish, "native_finish_reason": native, "logprobs": None}
        return {"object": "chat.completion.chunk", "created": self.created_s, "choices": [choice]}

    def _candidate(self, source: Json, place: int) -> Json | None:
        index = source["index"] if isinstance(source.get("index"), int) else place
        candidate = self._candidates.get(index)
        if candidate is None:
            candidate = self._candidates[index] = _Candidate()
        delta = _Delta()
        content = source.get("content")
        parts = content.get("parts") if isinstance(content, dict) else None
        for part in parts if isinstance(parts, list) else ():
            if isinstance(part, dict):
                delta.add(part, candidate)
        self._take_grounding(source, delta)
        fields = delta.fields()
        self.output_chars += delta.chars
        self.output_seen = self.output_seen or delta.chars > 0 or bool(delta.images)
        native = source.get("finishReason")
        finish = None
        if isinstance(native, str) and native != "FINISH_REASON_UNSPECIFIED":
            finish = _FINISH.get(native, "stop")
            finish = "tool_calls" if finish == "stop" and candidate.calls else finish
            self._note_end(finish, native)
        if not fields and finish is None:
            return None
        if index not in self._opened:
            self._opened.add(index)
            fields = {"role": "assistant", "content": "", **fields}
        return self._chunk(index, fields, finish, native if finish else None)

    def _take_grounding(self, source: Json, delta: _Delta) -> None:
        """Count searches (each query is billed) and turn what was found into annotations."""
        grounding = source.get("groundingMetadata")
        if not isinstance(grounding, dict):
            return
        queries = grounding.get("webSearchQueries")
        self._searches = max(self._searches, len(queries) if isinstance(queries, list) else 0)
        chunks = grounding.get("groundingChunks")
        for chunk in chunks if isinstance(chunks, list) else ():
            web = chunk.get("web") if isinstance(chunk, dict) else None
            if isinstance(web, dict) and isinstance(web.get("uri"), str):
                cited = {"url": web["uri"], "title": str(web.get("title") or ""), "content": "", "start_index": 0, "end_index": 0}
                delta.annotations.append({"type": "url_citation", "url_citation": cited})


def _grows(old: Json, new: Any) -> bool:
    """Whether a report says at least as much as the one before it; the totals alone are compared."""
    before, now = old.get("totalTokenCount"), new.get("totalTokenCount") if isinstance(new, dict) else None
    return isinstance(before, int) and isinstance(now, int) and now >= before


def _plain_words(source: Json) -> str:
    """Return what a candidate's piece says if that is words and nothing else: nearly every piece of a stream. '' otherwise."""
    content = source.get("content")
    parts = content.get("parts") if content.__class__ is dict else None
    if parts.__class__ is not list or len(parts) != 1 or source.get("finishReason") or source.get("groundingMetadata"):
        return ""
    part = parts[0]
    words = part.get("text") if part.__class__ is dict and len(part) == 1 else None
    return words if words.__class__ is str else ""


def decode_gemini_answer(body: bytes) -> Answer:
    """Read a GenerateContentResponse. Raises: BadAnswer."""
    try:
        parsed = _decode_json(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadAnswer(malformed("an answer that is not JSON")) from error
    decoder = GeminiStreamDecoder()
    chunks = decoder.take(parsed)
    if decoder.fault is not None:
        raise BadAnswer(decoder.fault)
    choices = []
    for chunk in chunks:
        choice = chunk["choices"][0]
        message = choice.pop("delta")
        message["role"] = "assistant"
        message["refusal"] = None
        for call in message.get("tool_calls", ()):
            del call["index"]
        if message.get("tool_calls") and not message.get("content"):
            message["content"] = None
        choice["message"] = message
        choices.append(choice)
    return Answer(
        body={"object": "chat.completion", "created": decoder.created_s, "system_fingerprint": None, "choices": choices},
        usage=decoder.usage,
        finish_reason=decoder.finish_reason,
        native_finish_reason=decoder.native_finish_reason,
        upstream_id=decoder.upstream_id,
        served_model=decoder.served_model,
        output_seen=decoder.output_seen,
        output_chars=decoder.output_chars,
    )
