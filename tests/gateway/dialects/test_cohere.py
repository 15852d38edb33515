"""Cohere's chat: requests written, answers read whole and streamed, plans and thoughts there and back, and the fine print."""

import msgspec
import pytest

from catalog.types import Usage
from gateway.dialects.assembly import answer_from_stream
from gateway.dialects.base import BadAnswer, InvalidRequest
from gateway.dialects.cohere import CohereDialect
from gateway.dialects.cohere_answers import CohereStreamDecoder, decode_cohere_answer
from gateway.relay.sse import encode_event
from tests.gateway.dialects.builders import HELLO, endpoint, provider, request, run_stream

TOOLS = [{"type": "function", "function": {"name": name, "parameters": {"type": "object"}}} for name in ("f", "g")]
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}
USAGE = {"billed_units": {"input_tokens": 5, "output_tokens": 9}, "tokens": {"input_tokens": 71, "output_tokens": 9}}


def encode(where=None, **fields):
    call = CohereDialect().encode_request(
        request(**fields), where or endpoint("command-a"), provider("cohere", "cohere"), stream=False, max_tokens=None
    )
    return msgspec.json.decode(call.body), call


def test_a_conversation_keeps_its_form_under_other_names():
    body, call = encode(
        messages=[
            {"role": "developer", "content": "Be kind."},
            {"role": "user", "content": [{"type": "text", "text": "See"}, {"type": "image_url", "image_url": {"url": "https://a.example/b"}}]},
            {"role": "assistant", "content": None, "tool_calls": [{**CALL, "function": {"name": "f", "arguments": ""}}]},
            {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "ok"}]},
        ],
        tools=TOOLS, temperature=0.5, top_p=1, top_k=5, seed=3, stop="x", max_tokens=50, logprobs=True, user="eve",
        response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}},
    )  # fmt: skip

    assert body["messages"] == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": [{"type": "text", "text": "See"}, {"type": "image_url", "image_url": {"url": "https://a.example/b"}}]},
        {"role": "assistant", "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "ok"},
    ]
    assert {name: body[name] for name in ("temperature", "p", "k", "seed", "stop_sequences", "max_tokens", "stream")} == {
        "temperature": 0.5, "p": 0.99, "k": 5, "seed": 3, "stop_sequences": ["x"], "max_tokens": 50, "stream": False,
    }  # fmt: skip
    assert body["response_format"] == {"type": "json_object", "json_schema": {"type": "object"}}
    assert (call.path, call.dropped) == ("/chat", ("logprobs",))
    assert not {"user", "top_p", "stop", "logprobs"} & set(body)


@pytest.mark.parametrize(
    ("choice", "names", "word"),
    [
        ("auto", ["f", "g"], None),
        ("none", ["f", "g"], "NONE"),
        ("required", ["f", "g"], "REQUIRED"),
        ({"type": "function", "function": {"name": "g"}}, ["g"], "REQUIRED"),
    ],
)
def test_a_named_tool_is_the_only_one_offered(choice, names, word):
    body, _ = encode(tools=TOOLS, tool_choice=choice)
    assert [tool["function"]["name"] for tool in body["tools"]] == names
    assert body.get("tool_choice") == word


def test_thinking_has_a_budget_or_is_off():
    assert encode(reasoning={"effort": "low"}, max_tokens=1000)[0]["thinking"] == {"type": "enabled", "token_budget": 200}
    assert encode(reasoning={"enabled": False})[0]["thinking"] == {"type": "disabled"}
    assert encode(endpoint("r7b", supports={"temperature"}), reasoning={"effort": "low"})[1].dropped == ("reasoning",)


def test_parts_and_choices_that_it_does_not_take_are_refused():
    with pytest.raises(InvalidRequest, match=r"messages\[0\].content\[0\]"):
        encode(messages=[{"role": "user", "content": [{"type": "file", "file": {"file_data": "data:application/pdf;base64,AA=="}}]}])
    with pytest.raises(InvalidRequest, match="n above 1"):
        encode(n=2)


EVENTS = [
    {"type": "message-start", "id": "m1", "delta": {"message": {"role": "assistant", "content": []}}},
    {"type": "content-start", "index": 0, "delta": {"message": {"content": {"type": "thinking", "thinking": ""}}}},
    {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"thinking": "Hm."}}}},
    {"type": "content-end", "index": 0},
    {"type": "content-delta", "index": 1, "delta": {"message": {"content": {"text": "Grüß "}}}},
    {"type": "content-delta", "index": 1, "delta": {"message": {"content": {"text": "dich"}}}},
    {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": "I will "}}},
    {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": "look."}}},
    {"type": "tool-call-start", "index": 0, "delta": {"message": {"tool_calls": {**CALL, "function": {"name": "f", "arguments": ""}}}}},
    {"type": "tool-call-delta", "index": 0, "delta": {"message": {"tool_calls": {"function": {"arguments": '{"x"'}}}}},
    {"type": "tool-call-delta", "index": 0, "delta": {"message": {"tool_calls": {"function": {"arguments": ":1}"}}}}},
    {"type": "tool-call-end", "index": 0},
    {"type": "citation-start", "index": 0, "delta": {"message": {"citations": {"start": 0, "end": 4}}}},
    {"type": "message-end", "delta": {"finish_reason": "TOOL_CALL", "usage": USAGE}},
]


def test_a_stream_says_and_counts_what_a_whole_answer_does():
    data = b"".join(encode_event(event["type"], msgspec.json.encode(event)) for event in EVENTS) + b"data: [DONE]\n\n"
    streamed = answer_from_stream(data, CohereStreamDecoder())
    content = [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Grüß dich"}]
    message = {"role": "assistant", "tool_plan": "I will look.", "content": content, "tool_calls": [CALL]}
    whole = decode_cohere_answer(msgspec.json.encode({"id": "m1", "message": message, "finish_reason": "TOOL_CALL", "usage": USAGE}))

    for answer in (streamed, whole):
        said = answer.body["choices"][0]["message"]
        assert (said["content"], said["tool_calls"]) == ("Grüß dich", [CALL])
        assert {detail["text"] for detail in said["reasoning_details"]} == {"Hm.", "I will look."}
        assert (answer.usage, answer.finish_reason, answer.upstream_id) == (Usage(input_tokens=5, output_tokens=9), "tool_calls", "m1")
        history = [{"role": "user", "content": "hi"}, said, {"role": "tool", "tool_call_id": "c1", "content": "ok"}]
        assert encode(messages=history, tools=TOOLS)[0]["messages"][1] == message


def test_a_message_that_ends_in_an_error_is_a_fault():
    decoder = CohereStreamDecoder()
    run_stream(decoder, {"type": "message-end", "delta": {"finish_reason": "ERROR", "error": "Model broke."}})
    assert decoder.fault.message == "Model broke."


@pytest.mark.parametrize("body", [b"", b"[]", b'{"message":"invalid api token"}', b"{}"])
def test_what_is_no_answer_is_refused(body):
    with pytest.raises(BadAnswer):
        decode_cohere_answer(body)


def test_errors_have_their_reasons():
    fault = CohereDialect().decode_error(429, {}.get, b'{"id":"x","message":"Please wait and try again later"}')
    assert (fault.error_type, fault.message) == ("rate_limit_exceeded", "Please wait and try again later")
    assert CohereDialect().decode_error(498, {}.get, b'{"message":"blocked"}').error_type == "content_policy_violation"


def test_pictures_in_results_of_tools_follow_in_a_message_of_the_users():
    calls = [{"id": name, "type": "function", "function": {"name": "look", "arguments": "{}"}} for name in "ab"]
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    results = [{"role": "tool", "tool_call_id": name, "content": [{"type": "text", "text": name}, picture]} for name in "ab"]
    asked = request(messages=[*HELLO, {"role": "assistant", "content": None, "tool_calls": calls}, *results, *HELLO])
    call = CohereDialect().encode_request(asked, endpoint(), provider("cohere", "cohere"), stream=False, max_tokens=None)
    sent = msgspec.json.decode(call.body)["messages"]
    assert [message["role"] for message in sent] == ["user", "assistant", "tool", "tool", "user", "user"]
    assert sent[4]["content"] == [picture, picture]
