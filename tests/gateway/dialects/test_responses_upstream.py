"""OpenAI Responses as an upstream: requests written, answers read whole and streamed, thoughts there and back, and the fine print."""

import msgspec
import pytest
from msgspec.structs import replace

from catalog.types import Usage
from gateway.dialects.assembly import answer_from_stream
from gateway.dialects.base import BadAnswer, InvalidRequest
from gateway.dialects.registry import choose_dialect
from gateway.dialects.responses import ResponsesDialect
from gateway.dialects.responses_answers import ResponsesStreamDecoder, decode_responses_answer
from gateway.dialects.responses_client import ResponsesClient
from gateway.relay.sse import encode_event
from tests.gateway.dialects.builders import deltas, endpoint, provider, request, run_stream
from tests.gateway.dialects.conversations import CLOSING, HEAD

OPENAI = provider("openai")
THINKER = endpoint("gpt-6-sol", supports={"reasoning", "tools", "temperature"})
USAGE = {
    "input_tokens": 40,
    "input_tokens_details": {"cached_tokens": 10, "cache_write_tokens": 5},
    "output_tokens": 30,
    "output_tokens_details": {"reasoning_tokens": 20},
    "total_tokens": 70,
}
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}], "encrypted_content": "gAAA="}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": '{"x":1}', "status": "completed"}
WORDS = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "It is so.", "annotations": [], "logprobs": []}],
}


def encode(source, where=THINKER, *, host=OPENAI, stream=False):
    call = ResponsesDialect().encode_request(source, where, host, stream=stream, max_tokens=None)
    return msgspec.json.decode(call.body), call


def native(items, **fields):
    return ResponsesClient().decode_request(msgspec.json.encode({"model": "author/model", "input": items, **fields}))


def whole(*output, status="completed", **fields):
    body = {"id": "resp_1", "object": "response", "created_at": 7, "model": "gpt-6-sol-2026", "status": status, "output": list(output)}
    return {**body, "usage": USAGE, "service_tier": "priority", **fields}


def test_a_conversation_becomes_items():
    body, call = encode(
        request(
            messages=[
                {"role": "system", "content": "Be kind."},
                {"role": "user", "name": "Eve", "content": [
                    {"type": "text", "text": "See"},
                    {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}},
                    {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"}},
                ]},
                {"role": "assistant", "content": "Yes.", "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}},
                ]},
                {"role": "tool", "tool_call_id": "c1", "content": "ok"},
            ],
            tools=[{"type": "function", "function": {"name": "f"}}],
            tool_choice={"type": "function", "function": {"name": "f"}},
            response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True}},
            max_tokens=50, user="eve", seed=1, stop=["x"], temperature=0.5,
        )
    )  # fmt: skip

    assert body["input"] == [
        {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "Be kind."}]},
        {"type": "message", "role": "user", "content": [
            {"type": "input_text", "text": "Eve: See"},
            {"type": "input_image", "image_url": "https://a.example/b.png", "detail": "auto"},
            {"type": "input_file", "file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"},
        ]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Yes."}]},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "ok"},
    ]  # fmt: skip
    assert body["tools"] == [{"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}, "strict": False}]
    assert body["tool_choice"] == {"type": "function", "name": "f"}
    assert body["text"] == {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}}
    assert (body["max_output_tokens"], body["store"], body["temperature"]) == (50, False, 0.5)
    assert body["safety_identifier"] != "eve"
    assert not {"stop", "seed", "user", "messages", "max_tokens"} & set(body)
    assert (call.path, sorted(call.dropped)) == ("/responses", ["seed", "stop"])


def test_thinking_is_asked_for_with_what_the_next_turn_needs_and_never_of_a_model_without():
    body, _ = encode(request(reasoning={"effort": "high"}))
    assert body["reasoning"] == {"effort": "high", "summary": "auto"}
    assert body["include"] == ["reasoning.encrypted_content"]
    assert encode(request(reasoning={"effort": "high", "exclude": True}))[0]["reasoning"] == {"effort": "high"}

    body, call = encode(request(reasoning={"effort": "high"}), endpoint("gpt-4o", supports={"temperature"}))
    assert not {"reasoning", "include"} & set(body)
    assert call.dropped == ("reasoning",)


@pytest.mark.parametrize("part", [{"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}])
def test_parts_that_it_does_not_take_are_refused_by_name(part):
    with pytest.raises(InvalidRequest, match=r"messages\[0\].content\[0\]"):
        encode(request(messages=[{"role": "user", "content": [part]}]))


def test_a_whole_answer_is_read():
    answer = decode_responses_answer(msgspec.json.encode(whole(THOUGHT, WORDS, CALL)))

    (choice,) = answer.body["choices"]
    message = choice["message"]
    assert (message["content"], message["reasoning"]) == ("It is so.", "Hm.")
    assert message["tool_calls"] == [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}]
    assert [detail["type"] for detail in message["reasoning_details"]] == ["reasoning.summary", "reasoning.encrypted"]
    assert (answer.finish_reason, answer.service_tier, answer.upstream_id) == ("tool_calls", "priority", "resp_1")
    assert answer.usage == Usage(input_tokens=25, cache_read_tokens=10, cache_write_tokens=5, output_tokens=10, reasoning_tokens=20)


@pytest.mark.parametrize(
    ("fields", "finish", "native"),
    [
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "length", "max_output_tokens"),
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, "content_filter", "content_filter"),
        ({}, "stop", "completed"),
    ],
)
def test_endings_have_their_reasons(fields, finish, native):
    answer = decode_responses_answer(msgspec.json.encode(whole(WORDS, **fields)))
    assert (answer.finish_reason, answer.native_finish_reason) == (finish, native)


def test_a_failed_response_is_a_fault_with_its_reason():
    failed = whole(status="failed", error={"code": "rate_limit_exceeded", "message": "Slow down."})
    with pytest.raises(BadAnswer) as caught:
        decode_responses_answer(msgspec.json.encode(failed))
    assert (caught.value.fault.error_type, caught.value.fault.message) == ("rate_limit_exceeded", "Slow down.")
    decoder = ResponsesStreamDecoder()
    run_stream(decoder, {"type": "response.failed", "response": failed})
    assert decoder.fault.error_type == "rate_limit_exceeded"
    decoder = ResponsesStreamDecoder()
    run_stream(decoder, ("error", {"type": "error", "code": "server_error", "message": "Oh."}))
    assert decoder.fault.message == "Oh."


def test_what_streams_without_deltas_is_told_once_when_it_is_done():
    decoder = ResponsesStreamDecoder()
    said = deltas(
        run_stream(
            decoder,
            {"type": "response.output_item.added", "output_index": 0, "item": {**CALL, "arguments": ""}},
            {"type": "response.output_item.done", "output_index": 0, "item": CALL},
            {"type": "response.output_item.done", "output_index": 1, "item": WORDS},
            {"type": "response.completed", "response": whole(CALL, WORDS)},
        )
    )
    assert [delta.get("tool_calls", delta.get("content")) for delta in said] == [
        [{"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": ""}}],
        [{"index": 0, "function": {"arguments": '{"x":1}'}}],
        "It is so.",
        None,
    ]
    assert decoder.complete


def test_parts_of_a_summary_stay_apart():
    decoder = ResponsesStreamDecoder()
    pieces = [(0, "One"), (0, " two."), (1, "Three.")]
    events = [
        {"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": part, "delta": text} for part, text in pieces
    ]
    assert "".join(delta["reasoning"] for delta in deltas(run_stream(decoder, *events))) == "One two.\n\nThree."


def round_trip(items):
    """Send a client what a provider thought, and the provider what the client then sends back."""
    answer = decode_responses_answer(msgspec.json.encode(whole(*items)))
    shown = msgspec.json.decode(ResponsesClient().encode_answer(answer.body, native("hi"), HEAD, CLOSING))["output"]
    back = native([{"role": "user", "content": "hi"}, *shown, {"type": "function_call_output", "call_id": "call_1", "output": "ok"}])
    return shown, back


def test_encrypted_thoughts_survive_a_round_trip_through_a_responses_client():
    shown, back = round_trip([THOUGHT, CALL])
    assert [item["type"] for item in shown] == ["reasoning", "function_call"]  # the seal sits in the summary's own item
    assert shown[0]["summary"] == THOUGHT["summary"]

    passed = encode(back)[0]["input"]
    assert passed[1] == THOUGHT
    assert passed[2] == {name: CALL[name] for name in ("type", "status", "call_id", "name", "arguments")}
    back.native_dialect = ""  # and so when it has to be translated
    assert encode(back)[0]["input"][1] == THOUGHT


def test_encrypted_thoughts_survive_a_round_trip_through_a_chat_client():
    message = decode_responses_answer(msgspec.json.encode(whole(THOUGHT, CALL))).body["choices"][0]["message"]
    again = request(messages=[{"role": "user", "content": "hi"}, message, {"role": "tool", "tool_call_id": "call_1", "content": "ok"}])
    assert encode(again)[0]["input"][1] == THOUGHT


def test_thoughts_of_another_provider_are_not_sent_to_openai():
    claude = {"type": "reasoning.text", "text": "x", "signature": "s", "format": "anthropic-claude-v1", "index": 0}
    source = request(messages=[{"role": "user", "content": "hi"}, {"role": "assistant", "content": "y", "reasoning_details": [claude]}])
    assert [item["type"] for item in encode(source)[0]["input"]] == ["message", "message"]
    words_alone = {"type": "reasoning", "id": "rs_9", "summary": [], "content": [{"type": "reasoning_text", "text": "x"}]}
    assert encode(native([words_alone, {"role": "user", "content": "hi"}]))[0]["input"] == [{"role": "user", "content": "hi"}]


def test_a_clients_own_body_passes_but_for_the_needed_edits():
    body, call = encode(
        native(
            [{"type": "message", "id": "msg_ours", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}],
            instructions="Be kind.", truncation="auto", reasoning={"effort": "low", "summary": "detailed"}, prompt_cache_key="k",
            background=False, metadata={"a": "b"}, include=["message.output_text.logprobs", "file_search_call.results"], top_p=0.9,
        ),
        stream=True,
    )  # fmt: skip
    assert body == {
        "model": "gpt-6-sol",
        "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}],
        "instructions": "Be kind.",
        "truncation": "auto",
        "prompt_cache_key": "k",
        "reasoning": {"summary": "detailed", "effort": "low"},
        "include": ["message.output_text.logprobs", "reasoning.encrypted_content"],
        "store": False,
        "stream": True,
    }
    assert call.dropped == ("top_p",)


def test_hosts_of_both_forms_are_asked_in_the_one_that_the_client_or_the_model_needs():
    def form(source, model, slug="openai", **fields):
        return type(choose_dialect(source, endpoint(model), replace(provider(slug), **fields))).__name__

    chat, responses = request(), native("hi")
    assert form(chat, "gpt-6-sol") == "ChatCompletionsDialect"
    assert form(responses, "gpt-6-sol") == form(responses, "o3") == "ResponsesDialect"
    assert form(chat, "gpt-5-pro") == form(chat, "gpt-5.3-codex") == form(chat, "o3-pro") == "ResponsesDialect"
    assert form(responses, "gpt-audio") == "ChatCompletionsDialect"
    assert form(responses, "llama-4", "house") == form(chat, "gpt-5-pro", "house") == "ChatCompletionsDialect"
    assert form(responses, "gpt-6-sol", "house", like="openai") == "ResponsesDialect"


def test_the_same_answer_streamed_and_whole_says_and_counts_the_same():
    events = [
        {"type": "response.created", "response": {"id": "resp_1", "created_at": 7, "model": "gpt-6-sol-2026"}},
        {"type": "response.output_item.added", "output_index": 0, "item": {**THOUGHT, "summary": [], "encrypted_content": ""}},
        {"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": 0, "delta": "Hm."},
        {"type": "response.output_item.done", "output_index": 0, "item": THOUGHT},
        {"type": "response.output_text.delta", "output_index": 1, "delta": "It is "},
        {"type": "response.output_text.delta", "output_index": 1, "delta": "so."},
        {"type": "response.output_item.done", "output_index": 1, "item": WORDS},
        {"type": "response.output_item.added", "output_index": 2, "item": {**CALL, "arguments": ""}},
        {"type": "response.function_call_arguments.delta", "output_index": 2, "delta": '{"x"'},
        {"type": "response.function_call_arguments.delta", "output_index": 2, "delta": ":1}"},
        {"type": "response.output_item.done", "output_index": 2, "item": CALL},
        {"type": "response.completed", "response": whole(THOUGHT, WORDS, CALL)},
    ]
    data = b"".join(encode_event(event["type"], msgspec.json.encode(event)) for event in events)
    streamed = answer_from_stream(data, ResponsesStreamDecoder())
    once = decode_responses_answer(msgspec.json.encode(whole(THOUGHT, WORDS, CALL)))
    assert streamed == once
