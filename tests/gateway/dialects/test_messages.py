"""Chat requests in Anthropic's Messages, and its answers in chat form."""

import msgspec
import pytest

from catalog.types import Usage
from gateway.dialects.base import BadAnswer, InvalidRequest
from gateway.dialects.chat_completions import hashed_user
from gateway.dialects.messages import MessagesDialect
from gateway.dialects.messages_answers import MessagesStreamDecoder, decode_messages_answer
from tests.gateway.dialects.builders import HELLO, deltas, endpoint, provider, request, run_stream

CACHED = {"type": "ephemeral", "ttl": "1h"}
PNG = "data:image/png;base64,iVBORw0K"
BUDGETED = {
    "temperature",
    "top_p",
    "top_k",
    "tools",
    "tool_choice",
    "reasoning",
    "reasoning_effort",
    "structured_outputs",
    "response_format",
    "stop",
}
ADAPTIVE = BUDGETED - {"temperature", "top_p", "top_k"}


def encode(read, *, supports=BUDGETED, stream=False, max_tokens=None, max_output_tokens=0):
    spec = endpoint("claude-1", supports=supports, max_output_tokens=max_output_tokens)
    call = MessagesDialect().encode_request(
        read, spec, provider("anthropic", "messages", "x-api-key"), stream=stream, max_tokens=max_tokens
    )
    return msgspec.json.decode(call.body), call


def test_a_plain_request_in_messages_form():
    body, call = encode(
        request(messages=[{"role": "system", "content": "be brief"}, *HELLO], temperature=1.7, stop="END", user="eva", seed=1), stream=True
    )
    assert body == {
        "model": "claude-1",
        "max_tokens": 4096,
        "system": [{"type": "text", "text": "be brief"}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hello"}]}],
        "temperature": 1,
        "stop_sequences": ["END"],
        "metadata": {"user_id": hashed_user("eva")},
        "stream": True,
    }
    assert (call.path, call.dropped) == ("/messages", ("seed",))


@pytest.mark.parametrize(
    ("theirs", "relays", "most", "sent"),
    [(None, None, 0, 4096), (None, None, 1000, 1000), (50, None, 0, 50), (50, 20, 0, 20), (None, 20, 0, 20)],
)
def test_max_tokens_is_always_sent(theirs, relays, most, sent):
    read = request(max_tokens=theirs) if theirs else request()
    assert encode(read, max_tokens=relays, max_output_tokens=most)[0]["max_tokens"] == sent


def test_a_conversation_with_tools_keeps_order_pairs_and_signatures():
    messages = [
        {"role": "user", "name": "Eva", "content": "weather in Brno and Oslo?"},
        {
            "role": "assistant",
            "content": "I look.",
            "reasoning": "two calls",
            "reasoning_details": [
                {"type": "reasoning.text", "text": "two ", "format": "anthropic-claude-v1", "index": 0},
                {"type": "reasoning.text", "text": "calls", "signature": "sig", "format": "anthropic-claude-v1", "index": 0},
                {"type": "reasoning.encrypted", "data": "xyz", "format": "anthropic-claude-v1", "index": 1},
                {"type": "reasoning.text", "text": "unsigned", "format": "anthropic-claude-v1", "index": 2},
                {"type": "reasoning.text", "text": "another maker's", "signature": "s", "format": "unknown", "index": 3},
            ],
            "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Brno"}'}},
                {"id": "b", "type": "function", "function": {"name": "now", "arguments": ""}},
                {"id": "c", "type": "function", "function": {"name": "cut", "arguments": '{"x": "unfin'}},
            ],
        },
        {"role": "tool", "tool_call_id": "a", "content": "21 °C"},
        {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": "noon", "cache_control": CACHED}]},
        {"role": "user", "content": "and?"},
        {"role": "system", "content": "Be brief now."},
        {"role": "assistant", "content": "It is  "},
    ]
    read = request(messages=messages)
    before = msgspec.json.encode(read.body)
    body, _ = encode(read)
    assert body["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "Eva: weather in Brno and Oslo?"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "two calls", "signature": "sig"},
                {"type": "redacted_thinking", "data": "xyz"},
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "a", "name": "weather", "input": {"city": "Brno"}},
                {"type": "tool_use", "id": "b", "name": "now", "input": {}},
                {"type": "tool_use", "id": "c", "name": "cut", "input": {"arguments": '{"x": "unfin'}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "a", "content": "21 °C"},
                {"type": "tool_result", "tool_use_id": "b", "content": [{"type": "text", "text": "noon"}], "cache_control": CACHED},
                {"type": "text", "text": "and?"},
                {"type": "text", "text": "<system>\nBe brief now.\n</system>"},
            ],
        },
        {"role": "assistant", "content": [{"type": "text", "text": "It is"}]},
    ]
    assert "system" not in body
    assert msgspec.json.encode(read.body) == before


def test_pictures_and_documents_go_by_address_or_inside():
    parts = [
        {"type": "image_url", "image_url": {"url": PNG}, "cache_control": CACHED},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}},
        {"type": "text", "text": ""},
    ]
    body, _ = encode(request(messages=[{"role": "user", "content": parts}]))
    assert body["messages"][0]["content"] == [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0K"}, "cache_control": CACHED},
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}, "title": "a.pdf"},
    ]


def test_what_messages_cannot_carry_is_refused_with_its_place():
    part = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
    with pytest.raises(InvalidRequest) as caught:
        encode(request(messages=[*HELLO, {"role": "user", "content": [{"type": "text", "text": "x"}, part]}]))
    assert caught.value.param == "messages[1].content[1]"
    with pytest.raises(InvalidRequest) as caught:
        encode(request(n=2))
    assert caught.value.param == "n"


def test_a_prompt_of_orders_alone_opens_the_conversation():
    body, _ = encode(request(messages=[{"role": "system", "content": "Say hi."}]))
    assert body["messages"] == [{"role": "user", "content": [{"type": "text", "text": "Say hi."}]}]


SCHEMA = {"type": "object", "properties": {"q": {"type": "string"}}}
TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": SCHEMA, "strict": True}, "cache_control": CACHED}


@pytest.mark.parametrize(
    ("fields", "choice"),
    [
        ({}, None),
        ({"tool_choice": "auto"}, {"type": "auto"}),
        ({"tool_choice": "none"}, {"type": "none"}),
        ({"tool_choice": "required"}, {"type": "any"}),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, {"type": "tool", "name": "f"}),
        ({"parallel_tool_calls": False}, {"type": "auto", "disable_parallel_tool_use": True}),
        ({"tool_choice": "required", "parallel_tool_calls": False}, {"type": "any", "disable_parallel_tool_use": True}),
    ],
)
def test_tools_and_the_choice_among_them(fields, choice):
    body, _ = encode(request(tools=[TOOL, {"type": "function", "function": {"name": "g"}}], **fields))
    assert body["tools"] == [
        {"name": "f", "input_schema": SCHEMA, "description": "d", "strict": True, "cache_control": CACHED},
        {"name": "g", "input_schema": {"type": "object", "properties": {}}},
    ]
    assert body.get("tool_choice") == choice


@pytest.mark.parametrize(
    ("supports", "fields", "sent"),
    [
        (BUDGETED, {"reasoning": {"effort": "high"}, "max_tokens": 10_000}, {"thinking": {"type": "enabled", "budget_tokens": 8000}}),
        (BUDGETED, {"reasoning": {"max_tokens": 2000}, "max_tokens": 10_000}, {"thinking": {"type": "enabled", "budget_tokens": 2000}}),
        (BUDGETED, {"reasoning": {"max_tokens": 90_000}, "max_tokens": 10_000}, {"thinking": {"type": "enabled", "budget_tokens": 9999}}),
        (BUDGETED, {"reasoning": {"effort": "low"}, "max_tokens": 2000}, {"thinking": {"type": "enabled", "budget_tokens": 1024}}),
        (BUDGETED, {"reasoning": {"effort": "low"}, "max_tokens": 1000}, {}),
        (BUDGETED, {"reasoning": {"enabled": False}}, {"thinking": {"type": "disabled"}}),
        (BUDGETED, {}, {}),
        (
            ADAPTIVE,
            {"reasoning": {"effort": "minimal"}},
            {"thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": "low"}},
        ),
        (ADAPTIVE, {"reasoning": {"enabled": True}}, {"thinking": {"type": "adaptive", "display": "summarized"}}),
        (ADAPTIVE, {"reasoning": {"enabled": False}}, {}),
        (BUDGETED - {"reasoning", "reasoning_effort"}, {"reasoning": {"effort": "high"}}, {}),
    ],
)
def test_the_wish_to_think_becomes_a_budget_or_an_effort(supports, fields, sent):
    body, _ = encode(request(**fields), supports=supports)
    assert {name: body[name] for name in ("thinking", "output_config") if name in body} == sent


def test_thinking_goes_with_neither_sampling_nor_a_forced_tool():
    body, call = encode(
        request(tools=[TOOL], tool_choice="required", temperature=0.5, top_k=5, reasoning={"effort": "high"}, max_tokens=9000)
    )
    assert body["tool_choice"] == {"type": "auto"}
    assert "temperature" not in body
    assert set(call.dropped) == {"temperature", "top_k", "tool_choice"}


def test_structured_output_by_schema_where_known_and_in_words_where_not():
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}
    assert encode(request(response_format=form))[0]["output_config"] == {"format": {"type": "json_schema", "schema": SCHEMA}}
    worded, _ = encode(request(response_format=form), supports=BUDGETED - {"structured_outputs"})
    assert '"q":{"type":"string"}' in worded["system"][0]["text"]
    assert "JSON" in encode(request(response_format={"type": "json_object"}))[0]["system"][0]["text"]


STREAM = [
    (
        "message_start",
        {
            "type": "message_start",
            "message": {
                "id": "msg_1",
                "model": "claude-1",
                "usage": {"input_tokens": 4, "cache_read_input_tokens": 100, "output_tokens": 1, "service_tier": "standard"},
            },
        },
    ),
    ("ping", {"type": "ping"}),
    (
        "content_block_start",
        {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}},
    ),
    ("content_block_delta", {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}}),
    ("content_block_delta", {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "sig"}}),
    ("content_block_stop", {"type": "content_block_stop", "index": 0}),
    ("content_block_start", {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}}),
    ("content_block_delta", {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "I look"}}),
    ("content_block_stop", {"type": "content_block_stop", "index": 1}),
    (
        "content_block_start",
        {"type": "content_block_start", "index": 2, "content_block": {"type": "tool_use", "id": "a", "name": "f", "input": {}}},
    ),
    ("content_block_delta", {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": ""}}),
    ("content_block_delta", {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": '{"x":'}}),
    ("content_block_delta", {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": "1}"}}),
    ("content_block_stop", {"type": "content_block_stop", "index": 2}),
    (
        "content_block_start",
        {"type": "content_block_start", "index": 3, "content_block": {"type": "tool_use", "id": "b", "name": "g", "input": {}}},
    ),
    ("content_block_stop", {"type": "content_block_stop", "index": 3}),
    (
        "message_delta",
        {
            "type": "message_delta",
            "delta": {"stop_reason": "tool_use", "stop_sequence": None},
            "usage": {
                "output_tokens": 60,
                "cache_creation": {"ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 8},
                "cache_creation_input_tokens": 10,
            },
        },
    ),
    ("message_stop", {"type": "message_stop"}),
]
WHOLE = {
    "id": "msg_1",
    "type": "message",
    "model": "claude-1",
    "stop_reason": "tool_use",
    "content": [
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        {"type": "text", "text": "I look"},
        {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}},
        {"type": "tool_use", "id": "b", "name": "g", "input": {}},
    ],
    "usage": {
        "input_tokens": 4,
        "cache_read_input_tokens": 100,
        "cache_creation_input_tokens": 10,
        "output_tokens": 60,
        "service_tier": "standard",
        "cache_creation": {"ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 8},
    },
}
USAGE = Usage(input_tokens=4, cache_read_tokens=100, cache_write_tokens=2, cache_write_1h_tokens=8, output_tokens=60)


def test_a_stream_becomes_chat_chunks():
    decoder = MessagesStreamDecoder()
    thought = {"format": "anthropic-claude-v1", "index": 0, "type": "reasoning.text"}
    assert deltas(run_stream(decoder, *STREAM)) == [
        {"role": "assistant", "content": ""},
        {"reasoning": "hm", "reasoning_details": [{**thought, "text": "hm"}]},
        {"reasoning_details": [{**thought, "text": None, "signature": "sig"}]},
        {"content": "I look"},
        {"tool_calls": [{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"x":'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}]},
        {"tool_calls": [{"index": 1, "id": "b", "type": "function", "function": {"name": "g", "arguments": ""}}]},
        {"tool_calls": [{"index": 1, "function": {"arguments": "{}"}}]},
        {},
    ]
    assert (decoder.finish_reason, decoder.native_finish_reason, decoder.done, decoder.upstream_id, decoder.served_model) == (
        "tool_calls",
        "tool_use",
        True,
        "msg_1",
        "claude-1",
    )
    assert decoder.usage == USAGE


def test_a_whole_answer_says_the_same_as_its_stream():
    read = decode_messages_answer(msgspec.json.encode(WHOLE))
    assert read.usage == USAGE
    (choice,) = read.body["choices"]
    assert choice["message"] == {
        "role": "assistant",
        "content": "I look",
        "refusal": None,
        "reasoning": "hm",
        "reasoning_details": [{"type": "reasoning.text", "text": "hm", "format": "anthropic-claude-v1", "index": 0, "signature": "sig"}],
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}},
            {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
        ],
    }
    assert (read.finish_reason, read.native_finish_reason, read.upstream_id, read.service_tier) == (
        "tool_calls",
        "tool_use",
        "msg_1",
        "default",
    )


def test_thoughts_come_back_as_they_left():
    message = decode_messages_answer(msgspec.json.encode(WHOLE)).body["choices"][0]["message"]
    body, _ = encode(request(messages=[*HELLO, message]))
    assert body["messages"][1]["content"] == WHOLE["content"]


@pytest.mark.parametrize(
    ("native", "canonical"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "content_filter"),
        ("pause_turn", "stop"),
        ("tool_use", "tool_calls"),
        ("new word", "stop"),
        (None, None),
    ],
)
def test_stop_reasons_are_normalised(native, canonical):
    assert decode_messages_answer(msgspec.json.encode({**WHOLE, "stop_reason": native})).finish_reason == canonical


def test_a_stream_without_usage_reports_none():
    decoder = MessagesStreamDecoder()
    run_stream(
        decoder,
        ("message_start", {"type": "message_start", "message": {}}),
        ("message_delta", {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}),
    )
    assert (decoder.usage, decoder.complete) == (None, True)


@pytest.mark.parametrize(
    ("event", "error_type"),
    [
        (("error", {"type": "error", "error": {"type": "overloaded_error", "message": "x"}}), "provider_overloaded"),
        (("content_block_delta", b'{"type": "content_bl'), "provider_unavailable"),
        (("x", b"[]"), "provider_unavailable"),
    ],
)
def test_an_error_inside_a_stream_is_a_fault(event, error_type):
    decoder = MessagesStreamDecoder()
    assert run_stream(decoder, event) == []
    assert decoder.fault.error_type == error_type


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"type":"error","error":{"type":"api_error","message":"x"}}', b'{"content": "x"}'])
def test_a_success_that_is_no_message_is_refused(body):
    with pytest.raises(BadAnswer):
        decode_messages_answer(body)
