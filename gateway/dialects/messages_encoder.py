"""Answers, streams and errors in Anthropic's Messages, written from the canonical form. Pure.

Usage has Anthropic's meaning (input_tokens without what the cache served or took) and, beyond theirs, ``cost``.
"""

from typing import Any

import msgspec

from catalog.types import Usage
from gateway.dialects.base import Json, raw_usd
from gateway.dialects.blocks import BlockEncoder, Call
from gateway.dialects.client import Closing, Head
from gateway.dialects.content import call_arguments
from gateway.dialects.custom_tools import arguments_for, function_call_of
from gateway.dialects.sealed_details import seal_detail
from gateway.dialects.signed_thoughts import REASONING_FORMAT
from gateway.relay.sse import KEEPALIVE

_encode_json = msgspec.json.Encoder().encode
_PING = b'event: ping\ndata: {"type":"ping"}\n\n'
_STOP: dict[str, str] = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
# Anthropic's own words, kept where an Anthropic provider said them.
_NATIVE = frozenset({"stop_sequence", "pause_turn", "model_context_window_exceeded", "compaction"})
_TYPES: dict[int, str] = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    524: "timeout_error",
    529: "overloaded_error",
}
_SERVER_ERROR = 500
_PLACES = frozenset({"char_location", "page_location", "content_block_location", "search_result_location"})
# What nearly all of a stream is, written in one stroke.
_TEXT_DELTA = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"text_delta","text":%b}}\n\n'


def message_id(head: Head) -> str:
    """Return the id of a message: the generation's, with Anthropic's prefix."""
    return head.id.replace("gen-", "msg_", 1)


def stop_reason(finish: str, native: str, stop_sequence: str | None) -> str:
    """Return Anthropic's word for why an answer ended."""
    if native in _NATIVE:
        return native
    return "stop_sequence" if stop_sequence is not None else _STOP.get(finish, "end_turn")


def messages_usage(usage: Usage, service_tier: str = "") -> Json:
    """Return the counts of a usage object."""
    written = usage.cache_write_tokens + usage.cache_write_1h_tokens
    return {
        "input_tokens": usage.prompt_tokens - usage.cache_read_tokens - written,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": usage.cache_read_tokens,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write_tokens,
            "ephemeral_1h_input_tokens": usage.cache_write_1h_tokens,
        },
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"thinking_tokens": usage.reasoning_tokens},
        "server_tool_use": {"web_search_requests": usage.searches, "web_fetch_requests": 0} if usage.searches else None,
        "service_tier": "standard" if service_tier in ("", "default") else service_tier,
        "inference_geo": None,
    }


def _charged_usage(closing: Closing) -> Json:
    return {
        **messages_usage(closing.usage, closing.service_tier),
        "cost": raw_usd(closing.cost_nanos),
        "is_byok": False,
        "cost_details": {
            "upstream_inference_cost": raw_usd(closing.cost_nanos),
            "upstream_inference_prompt_cost": raw_usd(closing.prompt_cost_nanos),
            "upstream_inference_completions_cost": raw_usd(closing.cost_nanos - closing.prompt_cost_nanos),
        },
    }


def places_of(citations: Any) -> list[Json]:
    """Return those of ``citations`` that are Anthropic's own, of documents in the request; hosts of other formats have the name too."""
    listed = citations if isinstance(citations, list) else ()
    return [one for one in listed if isinstance(one, dict) and one.get("type") in _PLACES]


def citation_of(annotation: Json) -> Json:
    """Return a citation of the web as Anthropic writes it."""
    cited = annotation.get("url_citation") or {}
    return {
        "type": "web_search_result_location",
        "url": cited.get("url", ""),
        "title": cited.get("title") or None,
        "cited_text": cited.get("content") or "",
        "encrypted_index": "",
    }


def encode_message(body: Json, head: Head, closing: Closing) -> bytes:
    """Write a whole answer."""
    choices = body["choices"]
    choice = choices[0] if choices else {"message": {}}
    finish, native = choice.get("finish_reason") or "", choice.get("native_finish_reason") or ""
    return _encode_json(
        {
            "id": message_id(head),
            "type": "message",
            "role": "assistant",
            "model": head.model,
            "provider": head.provider,
            "content": _blocks(choice["message"]),
            "stop_reason": stop_reason(finish, native, closing.stop_sequence) if finish else None,
            "stop_sequence": closing.stop_sequence,
            "stop_details": None,
            "container": None,
            "usage": _charged_usage(closing),
            **closing.extras,
        }
    )


def _blocks(message: Json) -> list[Json]:
    blocks = _thoughts(message.get("reasoning_details") or [])
    words = message.get("content") or message.get("refusal")
    annotations = [one for one in message.get("annotations") or () if one.get("type") == "url_citation"]
    places = places_of(message.get("citations"))
    if words or annotations or places:
        citations = [*(citation_of(one) for one in annotations), *places] or None
        blocks.append({"type": "text", "text": _words(words), "citations": citations})
    for call in message.get("tool_calls") or ():
        function = function_call_of(call)
        # ``caller`` says that the model itself made the call, not its code.
        block = {"type": "tool_use", "id": call["id"], "name": function["name"], "input": call_arguments(function["arguments"])}
        blocks.append({**block, "caller": {"type": "direct"}})
    return blocks


def _words(content: Any) -> str:
    if isinstance(content, list):
        return "".join(part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str))
    return content or ""


def _thoughts(details: list[Json]) -> list[Json]:
    """Return thinking blocks; pieces of one block are joined, what only its provider can read is packed."""
    blocks: list[Json] = []
    open_key: Any = None
    for detail in details:
        kind = detail.get("type")
        if kind in ("reasoning.text", "reasoning.summary"):
            key = (kind, detail.get("format"), detail.get("index"))
            if key != open_key:
                blocks.append({"type": "thinking", "thinking": "", "signature": ""})
            blocks[-1]["thinking"] += _thought(detail)
            blocks[-1]["signature"] = _signature(detail) or blocks[-1]["signature"]
            open_key = None if detail.get("signature") else key
        else:
            blocks.append({"type": "redacted_thinking", "data": _redacted(detail)})
            open_key = None
    return blocks


def _thought(detail: Json) -> str:
    return detail.get("text") or detail.get("summary") or ""


def _signature(detail: Json) -> str:
    return detail.get("signature") or "" if detail.get("format") in (REASONING_FORMAT, None) else ""


def _redacted(detail: Json) -> str:
    if detail.get("type") == "reasoning.encrypted" and detail.get("format") == REASONING_FORMAT:
        return str(detail.get("data") or "")
    return seal_detail(detail)


def messages_error(error: Json) -> Json:
    """Return the error object of Messages for that of ``ApiError``."""
    status = error["code"]
    kind = _TYPES.get(status) or ("api_error" if status >= _SERVER_ERROR else "invalid_request_error")
    return {"type": kind, "message": error["message"], "error_type": error["metadata"]["error_type"]}


def encode_messages_error(error: Json, generation_id: str) -> bytes:
    """Write an error body."""
    extra = {"availability": error["availability"]} if "availability" in error else {}
    body = {"type": "error", "error": messages_error(error), "request_id": generation_id or None, "metadata": error["metadata"], **extra}
    return _encode_json(body)


class MessagesStreamEncoder(BlockEncoder):
    """Named events: the message, its blocks one after the other, then the stop reason with usage and cost."""

    __slots__ = ("_head", "_index", "keepalive")

    def __init__(self, head: Head) -> None:
        super().__init__()
        self._head = head
        self._index = 0
        self.keepalive = KEEPALIVE

    def _event(self, kind: str, fields: Json) -> None:
        self._out.append(b"event: %b\ndata: %b\n\n" % (kind.encode(), _encode_json({"type": kind, **fields})))

    def _write_start(self) -> None:
        """Counts that the provider has not reported yet are zero here; those at the end are what counts."""
        head = self._head
        self.keepalive = _PING
        message: Json = {
            "id": message_id(head),
            "type": "message",
            "role": "assistant",
            "model": head.model,
            "provider": head.provider,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "stop_details": None,
            "container": None,
            "usage": messages_usage(head.usage or Usage()),
        }
        self._event("message_start", {"message": message})

    def _open(self, block: Json) -> None:
        self._event("content_block_start", {"index": self._index, "content_block": block})

    def _write(self, delta: Json) -> None:
        self._event("content_block_delta", {"index": self._index, "delta": delta})

    def _open_text(self) -> None:
        self._open({"type": "text", "text": "", "citations": None})

    def _words(self, text: str) -> bytes:
        return _TEXT_DELTA % (self._index, _encode_json(text))

    def _open_thoughts(self, detail: Json) -> None:
        del detail
        self._open({"type": "thinking", "thinking": "", "signature": ""})

    def _write_thoughts(self, detail: Json) -> None:
        if text := _thought(detail):
            self._write({"type": "thinking_delta", "thinking": text})
        if signature := _signature(detail):
            self._write({"type": "signature_delta", "signature": signature})

    def _write_sealed(self, detail: Json) -> None:
        self._open({"type": "redacted_thinking", "data": _redacted(detail)})
        self._write_end_of_block()

    def _open_call(self, call: Call) -> None:
        self._open({"type": "tool_use", "id": call.id, "name": call.name, "input": {}, "caller": {"type": "direct"}})

    def _write_arguments(self, piece: str) -> None:
        if self._call is None or not self._call.is_custom:  # free text has no place here: its stand-in is written when it is whole
            self._write({"type": "input_json_delta", "partial_json": piece})

    def _write_citations(self, annotations: list[Json]) -> None:
        for one in annotations:
            if one.get("type") == "url_citation":
                self._write({"type": "citations_delta", "citation": citation_of(one)})

    def _write_places(self, citations: list[Any]) -> None:
        for one in places_of(citations):
            self._write({"type": "citations_delta", "citation": one})

    def _write_end_of_block(self) -> None:
        if self._call is not None and self._call.is_custom:
            self._write({"type": "input_json_delta", "partial_json": arguments_for(self._call.arguments)})
        self._event("content_block_stop", {"index": self._index})
        self._index += 1

    def finish(self, closing: Closing) -> bytes:
        """Return the end of the open block, the stop reason with usage and cost, and the end mark."""
        self._out = []
        self._end()
        if self._finish_reason == "error":
            metadata = {"error_type": "provider_unavailable"}
            return self._failure({"code": 502, "message": f"{self._head.provider}: {self._native}", "metadata": metadata})
        reason = stop_reason(self._finish_reason, self._native, closing.stop_sequence)
        delta = {"stop_reason": reason, "stop_sequence": closing.stop_sequence, "stop_details": None, "container": None}
        self._event("message_delta", {"delta": delta, "usage": _charged_usage(closing)})
        self._event("message_stop", closing.extras)
        return b"".join(self._out)

    def fail(self, error: Json, closing: Closing | None) -> bytes:
        """Return the error event, which ends a stream here."""
        del closing
        self._out = []
        return self._failure(error)

    def _failure(self, error: Json) -> bytes:
        self._event("error", {"error": messages_error(error), "request_id": self._head.id})
        return b"".join(self._out)
