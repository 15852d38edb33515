"""What is translated when translation is measured: a request of 2 KiB in each client's format, an answer in each provider's."""

from typing import Any, Final

import msgspec

from gateway.dialects.base import Json

_ORDERS = "You are the help desk of a shop that sells garden tools. Answer briefly, in the language of the customer, and never guess. " * 4
_QUESTION = "My hedge trimmer stopped after ten minutes and smells of burnt oil. I bought it in May. What can I do about it? " * 5
_FOUND = '{"order":"A-1077","bought":"2026-05-14","item":"hedge trimmer HT 520","warranty_until":"2028-05-14","returned":false}'
_WORDS = "Please stop using it. The warranty runs until May 2028, so we will repair or replace it; I have opened a case for you. " * 8
_SCHEMA: Final[Json] = {
    "type": "object",
    "properties": {
        "order": {"type": "string", "description": "Number of the order, such as A-1077"},
        "include_returns": {"type": "boolean", "description": "Whether returned items are to be listed too"},
    },
    "required": ["order"],
}
_TOOL_SAYS = "Look up what is known of an order: when it was bought, its items, its warranty."
_ARGUMENTS = '{"order":"A-1077"}'


def _chat() -> Json:
    call = {"id": "call_1", "type": "function", "function": {"name": "find_order", "arguments": _ARGUMENTS}}
    return {
        "model": "author/model",
        "messages": [
            {"role": "system", "content": _ORDERS},
            {"role": "user", "content": _QUESTION},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": _FOUND},
            {"role": "user", "content": [{"type": "text", "text": "And how long does it take?"}]},
        ],
        "tools": [{"type": "function", "function": {"name": "find_order", "description": _TOOL_SAYS, "parameters": _SCHEMA}}],
        "max_tokens": 800,
        "temperature": 0.2,
        "stop": ["\n\nCustomer:"],
    }


def _messages() -> Json:
    return {
        "model": "author/model",
        "max_tokens": 800,
        "system": _ORDERS,
        "messages": [
            {"role": "user", "content": _QUESTION},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "find_order", "input": {"order": "A-1077"}}]},
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "toolu_1", "content": _FOUND},
                    {"type": "text", "text": "And how long does it take?"},
                ],
            },
        ],
        "tools": [{"name": "find_order", "description": _TOOL_SAYS, "input_schema": _SCHEMA}],
        "temperature": 0.2,
        "stop_sequences": ["\n\nCustomer:"],
    }


def _responses() -> Json:
    return {
        "model": "author/model",
        "instructions": _ORDERS,
        "input": [
            {"role": "user", "content": _QUESTION},
            {"type": "function_call", "call_id": "call_1", "name": "find_order", "arguments": _ARGUMENTS},
            {"type": "function_call_output", "call_id": "call_1", "output": _FOUND},
            {"role": "user", "content": "And how long does it take?"},
        ],
        "tools": [{"type": "function", "name": "find_order", "description": _TOOL_SAYS, "parameters": _SCHEMA}],
        "max_output_tokens": 800,
        "temperature": 0.2,
    }


REQUESTS: Final[dict[str, Json]] = {"chat": _chat(), "messages": _messages(), "responses": _responses()}

_CHAT_NAMES: Final[Json] = {"id": "chatcmpl-1", "created": 1_790_000_000, "model": "model-1"}
_CHAT_USAGE: Final[Json] = {"prompt_tokens": 420, "completion_tokens": 200, "total_tokens": 620}
_RESPONSES_ITEM: Final[Json] = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed"}

ANSWERS: Final[dict[str, Json]] = {
    "chat_completions": {
        **_CHAT_NAMES,
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": _WORDS}, "finish_reason": "stop"}],
        "usage": _CHAT_USAGE,
    },
    "messages": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "model-1",
        "content": [{"type": "text", "text": _WORDS}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 420, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0, "output_tokens": 200},
    },
    "responses": {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_790_000_000,
        "status": "completed",
        "model": "model-1",
        "output": [{**_RESPONSES_ITEM, "content": [{"type": "output_text", "text": _WORDS, "annotations": []}]}],
        "usage": {"input_tokens": 420, "output_tokens": 200, "total_tokens": 620},
    },
    "gemini": {
        "candidates": [{"index": 0, "content": {"role": "model", "parts": [{"text": _WORDS}]}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 420, "candidatesTokenCount": 200, "totalTokenCount": 620},
        "modelVersion": "model-1",
    },
    "cohere": {
        "id": "c-1",
        "finish_reason": "COMPLETE",
        "message": {"role": "assistant", "content": [{"type": "text", "text": _WORDS}]},
        "usage": {"billed_units": {"input_tokens": 420, "output_tokens": 200}},
    },
    "bedrock": {
        "output": {"message": {"role": "assistant", "content": [{"text": _WORDS}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 420, "outputTokens": 200, "totalTokens": 620},
    },
}


def _event(body: Json, name: str = "") -> bytes:
    return (b"event: %b\n" % name.encode() if name else b"") + b"data: %b\n\n" % msgspec.json.encode(body)


def _named(body: Json) -> bytes:
    return _event(body, body["type"])


def _chat_chunk(delta: Json) -> bytes:
    choice: Any = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}
    return _event({**_CHAT_NAMES, "object": "chat.completion.chunk", "system_fingerprint": "fp_1", "choices": [choice]})


def _responses_delta() -> Json:
    return {
        "type": "response.output_text.delta",
        "sequence_number": 7,
        "item_id": "msg_1",
        "output_index": 0,
        "content_index": 0,
        "delta": " word",
    }


# Provider's format → what opens a stream, and the piece of it that comes over and over: one event with one word.
STREAMS: Final[dict[str, tuple[bytes, bytes]]] = {
    "chat_completions": (_chat_chunk({"role": "assistant", "content": ""}), _chat_chunk({"content": " word"})),
    "messages": (
        _named({"type": "message_start", "message": {**ANSWERS["messages"], "content": [], "stop_reason": None}})
        + _named({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        _named({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": " word"}}),
    ),
    "responses": (
        _named(
            {"type": "response.created", "sequence_number": 0, "response": {"id": "resp_1", "model": "model-1", "status": "in_progress"}}
        )
        + _named(
            {"type": "response.output_item.added", "sequence_number": 1, "output_index": 0, "item": {**_RESPONSES_ITEM, "content": []}}
        ),
        _named(_responses_delta()),
    ),
    "gemini": (
        b"",
        _event(
            {
                "candidates": [{"content": {"parts": [{"text": " word"}], "role": "model"}, "index": 0}],
                "usageMetadata": {"promptTokenCount": 420, "candidatesTokenCount": 7, "totalTokenCount": 427},
                "modelVersion": "model-1",
                "responseId": "r-1",
            }
        ),
    ),
    "cohere": (
        _named({"type": "message-start", "id": "c-1", "delta": {"message": {"role": "assistant", "content": []}}})
        + _named({"type": "content-start", "index": 0, "delta": {"message": {"content": {"type": "text", "text": ""}}}}),
        _named({"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": " word"}}}}),
    ),
}
