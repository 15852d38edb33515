"""Streams put together to answers, answers cut into streams."""

import msgspec
import pytest

from gateway.dialects.assembly import answer_from_stream, chunks_from_answer
from gateway.dialects.base import BadAnswer
from gateway.dialects.chat_answers import ChatStreamDecoder, decode_chat_answer
from gateway.relay.sse import DONE, encode_data

USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


def chunk(delta, finish=None, index=0):
    return {"id": "c", "created": 7, "model": "m", "choices": [{"index": index, "delta": delta, "finish_reason": finish}]}


def stream(*chunks):
    return b"".join(encode_data(msgspec.json.encode(one)) for one in chunks) + DONE


def test_a_stream_that_nobody_asked_for_becomes_the_answer():
    call = {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}
    body = stream(
        chunk({"role": "assistant", "content": ""}), chunk({"reasoning": "h"}), chunk({"reasoning": "m"}), chunk({"content": "Hel"}),
        chunk({"content": "lo"}), chunk({"tool_calls": [call]}), chunk({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}),
        chunk({}, "tool_calls"), {"id": "c", "choices": [], "usage": USAGE},
    )  # fmt: skip
    answer = answer_from_stream(body, ChatStreamDecoder())
    assert answer.body["choices"] == [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "Hello",
                "refusal": None,
                "reasoning": "hm",
                "reasoning_details": [{"type": "reasoning.text", "text": "hm", "format": "unknown", "index": 0}],
                "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            },
            "finish_reason": "tool_calls",
            "native_finish_reason": "tool_calls",
            "logprobs": None,
        }
    ]
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.upstream_id) == (3, 4, "c")


def test_several_choices_keep_apart():
    answer = answer_from_stream(
        stream(chunk({"content": "a"}), chunk({"content": "b"}, index=1), chunk({}, "stop", 1), chunk({}, "length")), ChatStreamDecoder()
    )
    assert [(one["message"]["content"], one["finish_reason"]) for one in answer.body["choices"]] == [("a", "length"), ("b", "stop")]


def test_an_error_inside_the_stream_is_no_answer():
    with pytest.raises(BadAnswer):
        answer_from_stream(stream(chunk({"content": "a"}), {"error": {"message": "x"}}), ChatStreamDecoder())


def test_an_answer_cut_into_chunks_and_put_together_is_the_same():
    message = {
        "role": "assistant", "content": "hi", "refusal": None,
        "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    }  # fmt: skip
    whole = {
        "id": "c",
        "created": 7,
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
        "usage": USAGE,
    }
    answer = decode_chat_answer(msgspec.json.encode(whole))
    again = answer_from_stream(stream(*chunks_from_answer(answer)), ChatStreamDecoder())
    assert again.body["choices"] == answer.body["choices"]
