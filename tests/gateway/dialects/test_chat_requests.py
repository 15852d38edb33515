"""What clients may send to /chat/completions, and how a wrong field is named."""

import gc

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.base import InvalidRequest
from gateway.dialects.chat_completions import decode_request
from gateway.dialects.client_registry import CLIENT_DIALECTS
from tests.gateway.dialects.builders import HELLO, request

TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "properties": {"q": {"type": "string"}}}}}


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"messages": None}, "messages", "an array, not null"),
        ({"messages": []}, "messages", "at least 1 items"),
        ({"messages": "hi"}, "messages", "an array, not a string"),
        ({"messages": ["hi"]}, "messages[0]", "an object, not a string"),
        ({"messages": [{"content": "hi"}]}, "messages[0].role", "is required"),
        ({"messages": [{"role": "robot", "content": "hi"}]}, "messages[0].role", "one of system, developer, user, assistant, tool"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "is required"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content", "a string or an array, not an integer"),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content", "a string or an array, not null"),
        ({"messages": [*HELLO, {"role": "tool", "content": "x"}]}, "messages[1].tool_call_id", "is required"),
        ({"messages": [{"role": "user", "content": [{"type": "smell"}]}]}, "messages[0].content[0].type", "one of text, image_url"),
        ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, "messages[0].content[0].type", "is required"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": 1}]}]},
            "messages[0].content[0].text",
            "a string, not an integer",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
            "messages[0].content[0].image_url.url",
            "required",
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"id": "a", "type": "function"}]}]},
            "messages[0].tool_calls[0].function",
            "required",
        ),
        ({"model": 7}, "model", "a string or null, not an integer"),
        ({"model": ""}, "model", "at least 1 characters"),
        ({"models": "a"}, "models", "an array or null, not a string"),
        ({"models": [1]}, "models[0]", "a string, not an integer"),
        ({"stream": "yes"}, "stream", "a boolean or null, not a string"),
        ({"temperature": 2.1}, "temperature", "at most 2."),
        ({"temperature": -1}, "temperature", "at least 0."),
        ({"temperature": "hot"}, "temperature", "a number or null, not a string"),
        ({"top_p": 1.5}, "top_p", "at most 1."),
        ({"frequency_penalty": 3}, "frequency_penalty", "at most 2."),
        ({"presence_penalty": -3}, "presence_penalty", "at least -2."),
        ({"top_k": -1}, "top_k", "at least 0."),
        ({"top_logprobs": 21, "logprobs": True}, "top_logprobs", "at most 20."),
        ({"top_logprobs": 2}, "top_logprobs", "needs logprobs"),
        ({"max_tokens": 0}, "max_tokens", "at least 1."),
        ({"max_completion_tokens": -5}, "max_completion_tokens", "at least 1."),
        ({"max_tokens": 1.5}, "max_tokens", "an integer or null, not a number"),
        ({"n": 0}, "n", "at least 1."),
        ({"seed": "x"}, "seed", "an integer or null, not a string"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop", "at most 4 items"),
        ({"stop": [1]}, "stop[0]", "a string, not an integer"),
        ({"logit_bias": {"1": "x"}}, "logit_bias", "a number, not a string"),
        ({"tools": {}}, "tools", "an array or null, not an object"),
        ({"tools": [{"type": "function"}]}, "tools[0].function", "is required"),
        ({"tools": [{"function": {"name": "x"}}]}, "tools[0].type", "is required"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name", "is required"),
        ({"tools": [{"type": "function", "function": {"name": "x", "parameters": []}}]}, "tools[0].function.parameters", "not an array"),
        ({"tool_choice": "sometimes", "tools": [TOOL]}, "tool_choice", "none, auto, required"),
        ({"tool_choice": "required"}, "tool_choice", "tools is empty"),
        ({"tool_choice": {"type": "function"}, "tools": [TOOL]}, "tool_choice.function.name", "a string"),
        ({"parallel_tool_calls": 1}, "parallel_tool_calls", "a boolean or null"),
        ({"response_format": {"type": "xml"}}, "response_format.type", "one of text, json_object, json_schema"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", "is required"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": ""}}},
            "response_format.json_schema.name",
            "at least 1 characters",
        ),
        ({"reasoning": {"effort": "huge"}}, "reasoning.effort", "one of max, xhigh"),
        ({"reasoning_effort": "huge"}, "reasoning_effort", "one of max, xhigh"),
        ({"reasoning": {"effort": "low"}, "reasoning_effort": "high"}, "reasoning_effort", "differ"),
        ({"modalities": ["smell"]}, "modalities[0]", "one of text, image, audio"),
        ({"provider": []}, "provider", "an object or null, not an array"),
        ({"service_tier": "gold"}, "service_tier", "one of auto, default"),
        ({"session_id": "x" * 257}, "session_id", "at most 256 characters"),
        ({"metadata": {"a": 1}}, "metadata", "a string, not an integer"),
        ({"metadata": {str(at): "" for at in range(17)}}, "metadata", "at most 16 entries"),
        ({"metadata": {"a": "x" * 513}}, "metadata", "at most 512 characters"),
        ({"stream_options": {"include_usage": "yes"}}, "stream_options.include_usage", "a boolean or null"),
    ],
)
def test_a_wrong_field_is_named_with_what_it_must_be(fields, param, words):
    with pytest.raises(InvalidRequest) as caught:
        request(**fields)
    assert caught.value.param == param
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b"{", "not valid JSON"),
        (b"{'a': 1}", "not valid JSON"),
        (b'{"a": NaN}', "not valid JSON"),
        (b'{"a": "\xff"}', "not valid"),
        (b'{"messages": "\\ud800"}', "not valid"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[1]", "must be an object, not an array"),
        (b"null", "must be an object, not null"),
        (b"{}", "messages is required"),
    ],
)
def test_a_body_that_is_no_request_is_refused_in_words(data, words):
    with pytest.raises(InvalidRequest) as caught:
        decode_request(data)
    assert words in caught.value.message


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5), lambda inner: (
    st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["messages", "role", "content", "type", "tools", "stop", "n"]), inner)
), max_leaves=8))  # fmt: skip
def test_any_json_is_either_a_request_or_a_named_refusal(value):
    data = msgspec.json.encode({"messages": value, "tools": value} if not isinstance(value, dict) else value)
    refusal = None
    count = 0
    try:
        count = decode_request(data).message_count
    except InvalidRequest as error:
        refusal = error.message
    assert bool(refusal) != (count >= 1)


def test_fields_that_nobody_here_knows_pass_through():
    read = request(brand_new={"a": [1, 2.5]}, temperature=None, stop="x", user="u")
    assert read.body["brand_new"] == {"a": [1, 2.5]}
    assert read.user == "u"


def test_the_router_reads_what_it_needs():
    read = request(
        models=["a/b", "c/d"], stream=True, stream_options={"include_usage": False}, max_tokens=5, max_completion_tokens=9, n=2,
        provider={"order": ["x"]}, service_tier="fast", session_id="s", metadata={"k": "v"},
    )  # fmt: skip
    assert (read.model, read.models, read.stream, read.include_usage, read.max_tokens, read.n) == (
        "author/model", ("a/b", "c/d"), True, False, 9, 2,
    )  # fmt: skip
    assert (read.provider, read.service_tier, read.session_id, read.metadata) == ({"order": ["x"]}, "priority", "s", {"k": "v"})


def test_all_text_that_the_model_reads_is_counted_in_bytes():
    read = request(
        messages=[
            {"role": "system", "content": "ab"},
            {"role": "user", "name": "Eva", "content": [{"type": "text", "text": "žž"}]},
            {"role": "assistant", "content": None, "reasoning": "hm", "tool_calls": [
                {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
            ]},
            {"role": "tool", "tool_call_id": "1", "content": "done"},
        ],
        tools=[TOOL],
    )  # fmt: skip
    assert read.prompt_bytes == 2 + 3 + 4 + 2 + 1 + 2 + 4 + len(msgspec.json.encode([TOOL]))
    assert read.message_count == 4


def test_parts_that_are_not_text_are_counted_by_kind():
    read = request(
        messages=[
            {"role": "user", "content": [
                {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
                {"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}},
                {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}},
            ]},
        ],
    )  # fmt: skip
    assert (read.image_parts, read.audio_parts, read.video_parts, read.file_parts, read.prompt_bytes) == (2, 1, 1, 1, 0)
    assert read.media_bytes == 26 + 4 + 32


@pytest.mark.parametrize("path", CLIENT_DIALECTS)
def test_a_body_of_very_many_small_values_is_refused_before_it_is_read(path):
    heavy = b'{"model":"a/b","messages":[],"more":[' + b"[]," * 400_000 + b"0]}"
    with pytest.raises(InvalidRequest, match="more than 500,000 values"):
        CLIENT_DIALECTS[path].decode_request(heavy)


def test_a_long_text_and_a_large_picture_are_few_values():
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 3_000_000}}
    read = request(messages=[{"role": "user", "content": [{"type": "text", "text": "a road, " * 200_000}, picture]}])
    assert (read.prompt_bytes, read.image_parts) == (1_600_000, 1)
    assert gc.isenabled()


@pytest.mark.parametrize("call", [{"id": "a", "type": "function"}, {"id": "a", "type": "web"}, {"id": "a"}])
def test_an_earlier_call_of_nothing_is_refused_by_name(call):
    with pytest.raises(InvalidRequest) as refusal:
        request(messages=[{"role": "user", "content": "hi"}, {"role": "assistant", "content": None, "tool_calls": [call]}])
    assert refusal.value.param == "messages[1].tool_calls[0].function"
