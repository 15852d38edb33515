"""Whatever a provider sends, a decoder gives chunks of the canonical shape or a fault; it never fails and never counts below zero."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.base import BadAnswer
from gateway.dialects.registry import dialect_for
from gateway.relay.sse import SseEvent

_WORDS = [
    "type", "index", "delta", "choices", "content", "text", "usage", "error", "message", "candidates", "parts", "tool_calls", "function",
    "finish_reason", "finishReason", "id", "name", "arguments", "args", "content_block", "partial_json", "functionCall", "usageMetadata",
    "input_tokens", "prompt_tokens", "completion_tokens", "promptTokenCount", "reasoning", "reasoning_content", "stop_reason", "thinking",
    "tool_plan", "billed_units", "tokens",
    "start", "toolUse", "toolUseId", "contentBlockIndex", "reasoningContent", "stopReason", "inputTokens", "location", "web", "url",
    "response", "item", "output", "summary", "encrypted_content", "summary_index", "output_index", "call_id", "status", "annotation",
    "groundingMetadata", "promptFeedback", "blockReason", "input", "model", "citation", "signature", "iterations", "images", "inlineData",
]  # fmt: skip
_BEDROCK = ["messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata", "exception:x"]
_COHERE = ["message-start", "content-delta", "tool-plan-delta", "tool-call-start", "tool-call-delta", "message-end"]
_NAMES = ["", "error", "message_delta", *_BEDROCK, *_COHERE]
_VALUES = [
    "content_block_start", "content_block_delta", "content_block_stop", "message_start", "message_delta", "message_stop", "text_delta",
    "response.created", "response.output_item.added", "response.output_item.done", "response.output_text.delta", "response.completed",
    "response.reasoning_summary_text.delta", "response.function_call_arguments.delta", "response.incomplete", "function_call", "message",
    "thinking_delta", "input_json_delta", "signature_delta", "tool_use", "text", "thinking", "stop", "STOP", "tool_calls", "f",
]  # fmt: skip
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 300) | st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(_VALUES),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_WORDS), inner, max_size=5),
    max_leaves=25,
)
_EVENTS = st.lists(
    st.tuples(st.sampled_from(_NAMES), _JSON.map(msgspec.json.encode) | st.binary(max_size=12)),
    max_size=6,
)
DIALECTS = ["chat_completions", "messages", "gemini", "responses", "bedrock", "cohere"]


@pytest.mark.parametrize("name", DIALECTS)
@given(events=_EVENTS)
def test_any_events_make_canonical_chunks_or_a_fault(name, events):
    decoder = dialect_for(name).new_stream_decoder()
    for event, data in events:
        for chunk in decoder.decode(SseEvent(event, data)):
            assert chunk["object"] == "chat.completion.chunk"
            assert isinstance(chunk["created"], int)
            assert not {"id", "model", "provider", "usage"} & set(chunk)
            for choice in chunk["choices"]:
                assert isinstance(choice["index"], int)
                assert isinstance(choice["delta"], dict)
                assert choice["finish_reason"] in (None, "stop", "length", "tool_calls", "content_filter", "error")
            msgspec.json.encode(chunk)
    if decoder.usage is not None:
        assert all(getattr(decoder.usage, field) >= 0 for field in decoder.usage.__struct_fields__)
    assert decoder.output_chars >= 0


@pytest.mark.parametrize("name", DIALECTS)
@given(body=_JSON.map(msgspec.json.encode) | st.binary(max_size=20))
def test_any_body_is_an_answer_or_refused(name, body):
    try:
        answer = dialect_for(name).decode_answer(body)
    except BadAnswer:
        return
    msgspec.json.encode(answer.body)
    assert answer.output_chars >= 0
    if answer.usage is not None:
        assert all(getattr(answer.usage, field) >= 0 for field in answer.usage.__struct_fields__)
