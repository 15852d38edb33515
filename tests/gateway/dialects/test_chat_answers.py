"""Answers of Chat Completions hosts, whole and streamed, with what hosts do differently."""

import msgspec
import pytest

from catalog.types import Usage
from gateway.dialects.base import BadAnswer, StreamDecoder
from gateway.dialects.chat_answers import ChatStreamDecoder, decode_chat_answer
from tests.gateway.dialects.builders import deltas, run_stream

USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


def chunk(delta=None, finish=None, **more):
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 7, "model": "served", "choices": choices, **more}


def answer(message, finish="stop", **more):
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return msgspec.json.encode(
        {"id": "chatcmpl-1", "object": "chat.completion", "created": 7, "model": "served", "choices": [choice], **more}
    )


@pytest.mark.parametrize("finish", ["stop", "length"])
@pytest.mark.parametrize("more", [{}, {"refusal": None, "annotations": []}, {"annotations": [{"type": "url_citation"}]}])
def test_an_answer_of_words_alone_is_read_as_one_with_something_beside_them(more, finish):
    plain = decode_chat_answer(answer({"role": "assistant", "content": "Hi there", **more}, finish, usage=USAGE))
    other = decode_chat_answer(answer({"role": "model", "content": "Hi there", **more, "x": 1}, finish, usage=USAGE))
    assert other.body["choices"][0]["message"].pop("x") == 1
    assert msgspec.json.encode(plain, order="deterministic") == msgspec.json.encode(other, order="deterministic")
    assert (plain.output_chars, plain.body["choices"][0]["native_finish_reason"]) == (8, finish)


def test_a_stream_gives_its_words_and_keeps_ids_models_and_usage_to_the_relay():
    decoder = ChatStreamDecoder()
    chunks = run_stream(
        decoder, chunk({"role": "assistant", "content": ""}), chunk({"content": "Hel"}), chunk({"content": "lo"}), chunk({}, "stop"),
        chunk(usage=USAGE), b"[DONE]",
    )  # fmt: skip
    assert deltas(chunks) == [{"role": "assistant", "content": ""}, {"content": "Hel"}, {"content": "lo"}, {}]
    assert all(set(one) == {"object", "created", "choices"} for one in chunks)
    assert chunks[-1]["choices"][0]["finish_reason"] == chunks[-1]["choices"][0]["native_finish_reason"] == "stop"
    assert decoder.usage == Usage(input_tokens=10, output_tokens=5)
    assert (decoder.upstream_id, decoder.served_model, decoder.output_chars, decoder.done, decoder.complete) == (
        "chatcmpl-1", "served", 5, True, True,
    )  # fmt: skip


@pytest.mark.parametrize(
    "tail",
    [
        [chunk({}, "stop"), chunk(usage=USAGE)],
        [chunk({}, "stop"), chunk({}, usage=USAGE)],
        [chunk({}, "stop", usage=USAGE)],
        [chunk({}, "stop", usage=None), chunk(usage=USAGE)],
        [chunk({"content": ""}, "stop"), chunk({"role": "assistant", "content": ""}, usage=USAGE)],
    ],
    ids=["no choices", "an empty delta", "with the finish reason", "null before", "an opening delta"],
)
def test_usage_is_found_in_every_shape_of_the_last_chunk(tail):
    decoder = ChatStreamDecoder()
    chunks = run_stream(decoder, chunk({"content": "hi"}, usage=None), *tail, b"[DONE]")
    assert decoder.usage == Usage(input_tokens=10, output_tokens=5)
    assert [one["choices"][0]["finish_reason"] for one in chunks if one["choices"][0]["finish_reason"]] == ["stop"]
    assert all("usage" not in one for one in chunks)


def test_usage_in_every_chunk_is_taken_once_and_zeros_first_do_not_win():
    zero = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    decoder = ChatStreamDecoder()
    run_stream(
        decoder, chunk({"content": "a"}, usage=zero), chunk({"content": "b"}, usage={**USAGE, "completion_tokens": 2}),
        chunk({}, "stop", usage=USAGE), chunk(usage=zero), b"[DONE]",
    )  # fmt: skip
    assert decoder.usage == Usage(input_tokens=10, output_tokens=5)


def test_a_stream_without_usage_says_so_and_one_of_zeros_is_a_report():
    decoder = ChatStreamDecoder()
    run_stream(decoder, chunk({"content": "four"}), chunk({}, "stop"), b"[DONE]")
    assert (decoder.usage, decoder.output_chars) == (None, 4)
    decoder = ChatStreamDecoder()
    run_stream(decoder, chunk({"content": "x"}), chunk(usage={"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}))
    assert decoder.usage == Usage()


def test_a_stream_without_its_end_mark_is_complete_once_it_has_a_finish_reason():
    decoder = ChatStreamDecoder()
    run_stream(decoder, chunk({"content": "a"}))
    assert not decoder.complete
    run_stream(decoder, chunk({}, "length"))
    assert (decoder.complete, decoder.done, decoder.finish_reason) == (True, False, "length")


@pytest.mark.parametrize(
    ("native", "canonical"),
    [
        ("stop", "stop"), ("length", "length"), ("tool_calls", "tool_calls"), ("content_filter", "content_filter"), ("eos", "stop"),
        ("function_call", "tool_calls"), ("max_tokens", "length"), ("model_length", "length"), ("end_turn", "stop"), ("STOP", "stop"),
        ("sensitive", "content_filter"), ("insufficient_system_resource", "error"), ("never heard of", "stop"),
    ],
)  # fmt: skip
def test_finish_reasons_are_normalised_and_the_providers_word_kept(native, canonical):
    decoder = ChatStreamDecoder()
    run_stream(decoder, chunk({}, native))
    assert (decoder.finish_reason, decoder.native_finish_reason) == (canonical, native)
    read = decode_chat_answer(answer({"content": "x"}, native))
    assert (read.finish_reason, read.native_finish_reason) == (canonical, native)


def call(index=None, call_id=None, name=None, arguments=None):
    function = {**({"name": name} if name is not None else {}), **({"arguments": arguments} if arguments is not None else {})}
    return {**({"index": index} if index is not None else {}), **({"id": call_id} if call_id else {}), "function": function}


@pytest.mark.parametrize(
    "pieces",
    [
        [call(0, "a", "f", ""), call(0, None, None, '{"x"'), call(0, None, None, ":1}"), call(1, "b", "g", ""), call(1, None, None, "{}")],
        [call(0, "a", "f", ""), call(1, "b", "g", "{"), call(0, None, None, '{"x":1}'), call(1, None, None, "}")],
        [call(0, "a", "f", '{"x":1}'), call(0, "b", "g", "{}")],
        [call(None, "a", "f", '{"x":'), call(None, "a", None, "1}"), call(None, "b", "g", "{}")],
        [call(0, "a", "f", '{"x":'), call(0, "a", "f", "1}"), call(1, "b", "g", "{}")],
        [call(0, "a", "f", {"x": 1}), call(1, "b", "g", {})],
        [call(0, "a", "f", '{"x":'), call(0, "zz", None, "1}"), call(1, "b", "g", "{}")],
        [call(0, "a", "f", '{"x":1}'), call(7, "b", "g", None), call(7, None, None, "{}")],
    ],
    ids=["in turn", "interleaved", "one index for both", "no index", "id in every piece", "objects", "made-up ids", "gaps"],
)
def test_tool_calls_come_out_with_one_index_one_id_and_whole_arguments(pieces):
    calls: dict[int, dict] = {}
    for delta in deltas(run_stream(ChatStreamDecoder(), *(chunk({"tool_calls": [piece]}) for piece in pieces))):
        for one in delta["tool_calls"]:
            held = calls.setdefault(one["index"], {"ids": [], "name": "", "arguments": ""})
            held["ids"] += [one["id"]] if "id" in one else []
            held["name"] += one["function"].get("name", "")
            held["arguments"] += one["function"].get("arguments", "")
    assert [held["ids"] for held in calls.values()] == [["a"], ["b"]]
    assert [held["name"] for held in calls.values()] == ["f", "g"]
    assert [msgspec.json.decode(held["arguments"]) for held in calls.values()] == [{"x": 1}, {}]


def test_a_call_without_an_id_gets_one():
    (delta,) = deltas(run_stream(ChatStreamDecoder(), chunk({"tool_calls": [call(0, None, "f", "{}")]})))
    assert delta["tool_calls"][0]["id"].startswith("call_")
    read = decode_chat_answer(answer({"content": None, "tool_calls": [{"function": {"name": "f", "arguments": None}}]}, "tool_calls"))
    (made,) = read.body["choices"][0]["message"]["tool_calls"]
    assert made["id"].startswith("call_")
    assert made["function"] == {"name": "f", "arguments": "{}"}


@pytest.mark.parametrize("spelling", ["reasoning", "reasoning_content"])
def test_thoughts_come_out_under_one_name(spelling):
    details = [{"type": "reasoning.text", "text": "hm", "format": "unknown", "index": 0}]
    assert deltas(run_stream(ChatStreamDecoder(), chunk({spelling: "hm"}))) == [{"reasoning": "hm", "reasoning_details": details}]
    message = decode_chat_answer(answer({"content": "x", spelling: "hm"})).body["choices"][0]["message"]
    assert (message["reasoning"], message["reasoning_details"], "reasoning_content" in message) == ("hm", details, False)


@pytest.mark.parametrize(
    ("event", "status", "error_type"),
    [
        ({"error": {"message": "overloaded", "code": 503}}, 503, "provider_overloaded"),
        ({"error": {"message": "slow down", "code": "rate_limit_exceeded"}}, 429, "rate_limit_exceeded"),
        ({"error": "it broke"}, 502, "provider_unavailable"),
        (("error", {"message": "it broke"}), 502, "provider_unavailable"),
        (b'{"choices": [', 502, "provider_unavailable"),
        (b"[1]", 502, "provider_unavailable"),
        (b"\xff", 502, "provider_unavailable"),
        ({"choices": [1]}, 502, "provider_unavailable"),
    ],
)
def test_an_error_inside_a_stream_is_a_fault_and_no_chunk(event, status, error_type):
    decoder = ChatStreamDecoder()
    assert run_stream(decoder, event) == []
    assert (decoder.fault.status, decoder.fault.error_type, decoder.complete) == (status, error_type, False)


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"{}", b'{"choices": null}', b'{"choices": [1]}', b'{"error": {"message": "x"}}', b'{"id": ']
)
def test_a_success_that_is_no_answer_is_refused(body):
    with pytest.raises(BadAnswer) as caught:
        decode_chat_answer(body)
    assert caught.value.fault.status == 502


def test_a_whole_answer_keeps_what_is_not_the_relays_to_write():
    read = decode_chat_answer(
        answer({"role": "assistant", "content": "hi", "tool_calls": []}, usage=USAGE, system_fingerprint="fp", service_tier="flex")
    )
    assert read.body == {
        "object": "chat.completion",
        "created": 7,
        "system_fingerprint": "fp",
        "service_tier": "flex",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "hi"},
                "finish_reason": "stop",
                "native_finish_reason": "stop",
                "logprobs": None,
            }
        ],
    }
    assert (read.usage, read.upstream_id, read.served_model, read.service_tier, read.output_seen, read.output_chars) == (
        Usage(input_tokens=10, output_tokens=5), "chatcmpl-1", "served", "flex", True, 2,
    )  # fmt: skip


def test_an_answer_of_nothing_is_seen_as_such():
    read = decode_chat_answer(answer({"content": ""}, None))
    assert (read.output_seen, read.output_chars, read.finish_reason, read.usage) == (False, 0, None, None)


@pytest.mark.parametrize("delta", [{"content": "héllo"}, {"role": "assistant", "content": "héllo"}])
@pytest.mark.parametrize("more", [{}, {"usage": USAGE}, {"created": None}, {"provider": "Host", "service_tier": "flex"}])
@pytest.mark.parametrize("finish", [None, ""])
def test_a_chunk_of_words_alone_is_read_as_one_with_fields_that_say_nothing(delta, more, finish):
    plain, padded = ChatStreamDecoder(), ChatStreamDecoder()
    plain.created_s = padded.created_s = 5

    (words,) = run_stream(plain, chunk(delta, finish, **more))
    (beside,) = run_stream(padded, chunk({**delta, "refusal": None}, finish, **more))

    assert beside["choices"][0].pop("delta") == {**words["choices"][0].pop("delta"), "refusal": None}
    assert words == beside
    assert words["choices"] == [{"index": 0, "finish_reason": None, "native_finish_reason": None}]
    assert [getattr(plain, name) for name in StreamDecoder.__slots__] == [getattr(padded, name) for name in StreamDecoder.__slots__]
    assert (plain.output_chars, plain.output_seen) == (5, True)


def test_content_in_parts_is_told_as_words_and_thoughts():
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}, {"type": "text", "text": "."}]},
        {"type": "text", "text": "Four"},
        {"type": "reference", "reference_ids": [1]},
    ]
    (message,) = [
        choice["message"]
        for choice in decode_chat_answer(msgspec.json.encode({"choices": [{"message": {"content": parts}}]})).body["choices"]
    ]
    assert (message["content"], message["reasoning"]) == ("Four", "Hm.")

    decoder = ChatStreamDecoder()
    told = deltas(run_stream(decoder, *(chunk({"content": [part]}) for part in parts[:2])))
    assert [(delta.get("content"), delta.get("reasoning")) for delta in told] == [(None, "Hm."), ("Four", None)]
    assert told[0]["reasoning_details"] == [{"type": "reasoning.text", "text": "Hm.", "format": "unknown", "index": 0}]
    assert (decoder.output_chars, decoder.output_seen) == (7, True)


@pytest.mark.parametrize(("reasons", "whole"), [(("error", "stop"), "stop"), (("stop", "error"), "stop"), (("error", "error"), "error")])
def test_one_of_several_choices_that_failed_is_not_the_answers_failure(reasons, whole):
    choices = [{"index": place, "message": {"content": "a"}, "finish_reason": reason} for place, reason in enumerate(reasons)]
    answer = decode_chat_answer(msgspec.json.encode({"choices": choices, "usage": USAGE}))
    assert (answer.finish_reason, [choice["finish_reason"] for choice in answer.body["choices"]]) == (whole, list(reasons))

    decoder = ChatStreamDecoder()
    run_stream(decoder, *({"choices": [{"index": place, "delta": {}, "finish_reason": reason}]} for place, reason in enumerate(reasons)))
    assert (decoder.finish_reason, decoder.native_finish_reason) == (whole, whole)
