"""AWS Bedrock's Converse: requests written, answers read whole and streamed, the binary framing at any border, and the fine print."""

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.types import Usage
from gateway.dialects.assembly import Assembler
from gateway.dialects.base import BadAnswer, InvalidRequest
from gateway.dialects.bedrock import BedrockDialect
from gateway.dialects.bedrock_answers import BedrockStreamDecoder, decode_bedrock_answer
from gateway.dialects.bedrock_frames import BedrockFrames
from gateway.relay.sse import MalformedStream, SseEvent
from gateway.simulator.bedrock_wire import BedrockWire
from gateway.simulator.wire import Frame
from tests.gateway.dialects.builders import deltas, endpoint, provider, request, run_stream

CLAUDE = endpoint("eu.anthropic.claude-sonnet-4-5-v1:0")
NOVA = endpoint("us.amazon.nova-2-lite-v1:0")
HOST = provider("amazon-bedrock", "bedrock", auth="sigv4")
USAGE = {
    "inputTokens": 25,
    "outputTokens": 30,
    "totalTokens": 70,
    "cacheReadInputTokens": 10,
    "cacheWriteInputTokens": 5,
    "cacheDetails": [{"ttl": "1h", "inputTokens": 2}, {"ttl": "5m", "inputTokens": 3}],
}
COUNTED = Usage(input_tokens=25, cache_read_tokens=10, cache_write_tokens=3, cache_write_1h_tokens=2, output_tokens=30)
TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}
PNG = "data:image/png;base64,iVBORw0="


def encode(where=CLAUDE, *, stream=False, max_tokens=None, **fields):
    call = BedrockDialect().encode_request(request(**fields), where, HOST, stream=stream, max_tokens=max_tokens)
    return msgspec.json.decode(call.body), call


def test_a_conversation_becomes_turns_of_blocks():
    body, call = encode(
        messages=[
            {"role": "system", "content": [{"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]},
            {"role": "user", "content": [
                {"type": "text", "text": "See"}, {"type": "image_url", "image_url": {"url": PNG}},
                {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "my_file  v2.pdf"}},
            ]},
            {"role": "assistant", "content": None, "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}},
                {"id": "c2", "type": "function", "function": {"name": "f", "arguments": ""}},
            ]},
            {"role": "tool", "tool_call_id": "c1", "content": "one"},
            {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "two"}]},
        ],
        tools=[TOOL], tool_choice="required", temperature=1.5, top_p=0.9, stop=["x", " "], max_tokens=50, seed=1,
    )  # fmt: skip

    assert call.path == "/model/eu.anthropic.claude-sonnet-4-5-v1%3A0/converse"
    assert body == {
        "system": [{"text": "Be kind."}, {"cachePoint": {"type": "default", "ttl": "1h"}}],
        "messages": [
            {"role": "user", "content": [
                {"text": "See"}, {"image": {"format": "png", "source": {"bytes": "iVBORw0="}}},
                {"document": {"name": "my file v2 pdf", "format": "pdf", "source": {"bytes": "AA=="}}},
            ]},
            {"role": "assistant", "content": [
                {"toolUse": {"toolUseId": "c1", "name": "f", "input": {"x": 1}}},
                {"toolUse": {"toolUseId": "c2", "name": "f", "input": {}}},
            ]},
            {"role": "user", "content": [
                {"toolResult": {"toolUseId": "c1", "content": [{"text": "one"}]}},
                {"toolResult": {"toolUseId": "c2", "content": [{"text": "two"}]}},
            ]},
        ],
        "toolConfig": {
            "tools": [{"toolSpec": {"name": "f", "description": "d", "inputSchema": {"json": {"type": "object"}}}}],
            "toolChoice": {"any": {}},
        },
        "inferenceConfig": {"temperature": 1, "topP": 0.9, "stopSequences": ["x"], "maxTokens": 50},
    }  # fmt: skip
    assert call.dropped == ("seed",)
    assert encode(stream=True)[1].path.endswith("/converse-stream")


def test_tools_are_named_wherever_a_turn_used_one_even_if_none_may_be_called():
    asked = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    history = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": None, "tool_calls": [asked]},
        {"role": "tool", "tool_call_id": "c1", "content": "ok"},
    ]
    body, call = encode(messages=history, tools=[TOOL], tool_choice="none")
    assert "toolChoice" not in body["toolConfig"]
    assert call.dropped == ("tool_choice",)
    assert "toolConfig" not in encode(tools=[TOOL], tool_choice="none")[0]


@pytest.mark.parametrize(
    ("where", "extra"),
    [
        (CLAUDE, {"thinking": {"type": "enabled", "budget_tokens": 1600}}),
        (NOVA, {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}}),
        (endpoint("openai.gpt-oss-120b-1:0"), {"reasoning_effort": "high"}),
    ],
)
def test_thinking_is_asked_for_in_the_words_of_the_models_maker(where, extra):
    body, _ = encode(where, reasoning={"effort": "high"}, max_tokens=2000)
    assert body["additionalModelRequestFields"] == extra


def test_what_thinking_forbids_is_left_out_and_reported():
    body, call = encode(reasoning={"max_tokens": 1024}, max_tokens=2000, temperature=0.5, tools=[TOOL], tool_choice="required")
    assert body["inferenceConfig"] == {"maxTokens": 2000}
    assert body["toolConfig"]["toolChoice"] == {"auto": {}}
    assert sorted(call.dropped) == ["temperature", "tool_choice"]
    assert encode(endpoint("us.meta.llama4-scout-17b-instruct-v1:0"), reasoning={"effort": "low"})[1].dropped == ("reasoning",)


def test_a_schema_is_enforced_where_the_model_can():
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
    body, _ = encode(response_format=form)
    assert body["outputConfig"]["textFormat"]["structure"]["jsonSchema"] == {"name": "n", "schema": '{"type":"object"}'}
    assert encode(endpoint("x", supports={"temperature"}), response_format=form)[1].dropped == ("response_format",)


@pytest.mark.parametrize(
    ("part", "says"),
    [
        ({"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}, "only inline"),
        ({"type": "image_url", "image_url": {"url": "data:image/bmp;base64,AA=="}}, "image/bmp"),
        ({"type": "file", "file": {"file_data": "https://a.example/b.pdf"}}, "only inline"),
    ],
)
def test_media_that_it_does_not_take_are_refused_by_name(part, says):
    with pytest.raises(InvalidRequest, match=says) as caught:
        encode(messages=[{"role": "user", "content": [part]}])
    assert caught.value.param == "messages[0].content"


def test_thoughts_come_back_with_their_signature_first():
    answer = {"output": {"message": {"role": "assistant", "content": [
        {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "s=="}}}, {"reasoningContent": {"redactedContent": "AA=="}},
        {"text": "Yes."}, {"toolUse": {"toolUseId": "c1", "name": "f", "input": {}}},
    ]}}, "stopReason": "tool_use", "usage": USAGE}  # fmt: skip
    read = decode_bedrock_answer(msgspec.json.encode(answer))
    message = read.body["choices"][0]["message"]
    assert (message["reasoning"], message["content"], message["tool_calls"][0]["function"]["arguments"]) == ("Hm.", "Yes.", "{}")
    assert (read.usage, read.finish_reason) == (COUNTED, "tool_calls")

    history = [{"role": "user", "content": "hi"}, message, {"role": "tool", "tool_call_id": "c1", "content": "ok"}]
    assert encode(messages=history, tools=[TOOL])[0]["messages"][1]["content"] == answer["output"]["message"]["content"]


STREAM = [
    ("messageStart", {"role": "assistant"}),
    ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": "Hm."}}}),
    ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"reasoningContent": {"signature": "s=="}}}),
    ("contentBlockStop", {"contentBlockIndex": 0}),
    ("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"text": "Grüß"}}),
    ("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"text": " dich 👋"}}),
    ("contentBlockStop", {"contentBlockIndex": 1}),
    ("contentBlockStart", {"contentBlockIndex": 2, "start": {"toolUse": {"toolUseId": "c1", "name": "f"}}}),
    ("contentBlockDelta", {"contentBlockIndex": 2, "delta": {"toolUse": {"input": '{"x"'}}}),
    ("contentBlockDelta", {"contentBlockIndex": 2, "delta": {"toolUse": {"input": ":1}"}}}),
    ("contentBlockStop", {"contentBlockIndex": 2}),
    ("contentBlockStart", {"contentBlockIndex": 3, "start": {"toolUse": {"toolUseId": "c2", "name": "g"}}}),
    ("contentBlockStop", {"contentBlockIndex": 3}),
    ("messageStop", {"stopReason": "tool_use"}),
    ("metadata", {"usage": USAGE, "serviceTier": {"type": "flex"}}),
]
BYTES = b"".join(BedrockWire().pack(Frame(name, msgspec.json.encode(body))) for name, body in STREAM)


def test_a_stream_says_what_a_whole_answer_says():
    decoder, whole = BedrockStreamDecoder(), Assembler()
    for chunk in run_stream(decoder, *STREAM):
        whole.add(chunk)
    message = whole.body()["choices"][0]["message"]
    assert (message["reasoning"], message["content"]) == ("Hm.", "Grüß dich 👋")
    assert [(call["id"], call["function"]["arguments"]) for call in message["tool_calls"]] == [("c1", '{"x":1}'), ("c2", "{}")]
    assert message["reasoning_details"][0]["signature"] == "s=="
    assert (decoder.usage, decoder.finish_reason, decoder.service_tier, decoder.complete) == (COUNTED, "tool_calls", "flex", True)


@given(st.integers(0, 2**32))
def test_frames_are_the_same_at_any_border(seed):
    rng, frames, events, start = random.Random(seed), BedrockFrames(), [], 0
    while start < len(BYTES):
        end = start + rng.randint(1, 200)
        events += frames.feed(BYTES[start:end])
        start = end
    assert events + frames.finish() == [SseEvent(name, msgspec.json.encode(body)) for name, body in STREAM]


def test_a_frame_whose_checksum_is_wrong_ends_the_stream():
    frames = BedrockFrames()
    with pytest.raises(MalformedStream):
        frames.feed(BYTES[:20] + b"\xff" + BYTES[21:])


def test_exceptions_inside_a_stream_are_faults_with_their_reason():
    decoder = BedrockStreamDecoder()
    (event,) = BedrockFrames().feed(BedrockWire().pack(Frame("exception:throttlingException", b'{"message":"Too many tokens"}')))
    assert deltas(decoder.decode(event)) == []
    assert (decoder.fault.error_type, decoder.fault.message) == ("rate_limit_exceeded", "Too many tokens")


@pytest.mark.parametrize(
    ("status", "kind", "message", "error_type"),
    [
        (429, "ThrottlingException:http://internal.amazon.com/coral/", "Too many requests", "rate_limit_exceeded"),
        (400, "ValidationException", "Input is too long for requested model.", "context_length_exceeded"),
        (503, "ServiceUnavailableException", "", "provider_overloaded"),
        (408, "ModelTimeoutException", "", "timeout"),
        (403, "UnrecognizedClientException", "The security token AKIDEXAMPLE is invalid.", "provider_unavailable"),
    ],
)
def test_error_answers_say_their_kind_in_a_header(status, kind, message, error_type):
    body = msgspec.json.encode({"message": message})
    fault = BedrockDialect().decode_error(status, {"x-amzn-errortype": kind}.get, body)
    assert fault.error_type == error_type
    assert "AKID" not in fault.message


@pytest.mark.parametrize("body", [b"", b"[]", b'{"message":"x"}', b'{"output":{}}'])
def test_what_is_no_answer_is_refused(body):
    with pytest.raises(BadAnswer):
        decode_bedrock_answer(body)


def test_a_conversation_with_calls_lists_them_although_the_request_has_no_tools():
    calls = [{"id": "a", "type": "function", "function": {"name": "look", "arguments": "{}"}}]
    turns = [{"role": "assistant", "content": None, "tool_calls": calls}, {"role": "tool", "tool_call_id": "a", "content": "seen"}]
    body, call = encode(messages=[{"role": "user", "content": "hi"}, *turns, *turns])
    (tool,) = body["toolConfig"]["tools"]
    assert (tool["toolSpec"]["name"], tool["toolSpec"]["description"]) == ("look", "No longer available. Do not call it.")
    assert not call.dropped
