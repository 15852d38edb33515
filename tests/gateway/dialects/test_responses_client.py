"""Requests in OpenAI's Responses: items brought to messages; and blocks whose calls arrive in turns."""

import msgspec
import pytest

from gateway.dialects.base import ChatRequest, InvalidRequest
from gateway.dialects.responses_client import ResponsesClient
from tests.gateway.dialects.conversations import CLOSING, HEAD, read_named_events

TOOLS = [{"type": "function", "name": name, "parameters": {"type": "object"}} for name in ("f", "g")]


def decode(items="hello", **fields):
    return ResponsesClient().decode_request(msgspec.json.encode({"model": "author/model", "input": items, **fields}))


def call(number, name="f"):
    return {"type": "function_call", "call_id": f"c{number}", "name": name, "arguments": "{}"}


def output(number, value="ok"):
    return {"type": "function_call_output", "call_id": f"c{number}", "output": value}


def test_parameters_become_those_of_chat():
    request = decode(
        instructions="Be kind.",
        max_output_tokens=50,
        temperature=0.5,
        tools=TOOLS,
        tool_choice={"type": "function", "name": "g"},
        reasoning={"effort": "high", "summary": "auto"},
        text={"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}, "verbosity": "low"},
        include=["message.output_text.logprobs"],
        top_logprobs=2,
        safety_identifier="u",
        service_tier="fast",
        previous_response_id=None,
        store=False,
    )

    assert request.body == {
        "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "hello"}],
        "temperature": 0.5,
        "tools": [{"type": "function", "function": {"name": name, "parameters": {"type": "object"}}} for name in ("f", "g")],
        "tool_choice": {"type": "function", "function": {"name": "g"}},
        "verbosity": "low",
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True}},
        "reasoning": {"effort": "high"},
        "logprobs": True,
        "top_logprobs": 2,
    }
    assert (request.max_tokens, request.user, request.service_tier) == (50, "u", "priority")


def test_only_the_allowed_tools_are_offered():
    choice = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "g"}]}

    request = decode(tools=TOOLS, tool_choice=choice)

    assert [tool["function"]["name"] for tool in request.body["tools"]] == ["g"]
    assert request.body["tool_choice"] == "required"


def test_what_a_model_did_in_one_turn_becomes_one_message():
    picture = {"type": "input_image", "image_url": "https://e.example/a.png"}
    request = decode(
        [
            {"role": "user", "content": [{"type": "input_text", "text": "go"}, {**picture, "detail": "low"}]},
            {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "theirs"},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look."}]},
            call(1),
            call(2),
            output(1),
            output(2, [{"type": "input_text", "text": "seen"}, picture]),
            call(3, "g"),
            output(3),
        ]
    )

    messages = request.body["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "tool", "user", "assistant", "tool"]
    assert messages[1]["content"] == "I look."
    assert [one["id"] for one in messages[1]["tool_calls"]] == ["c1", "c2"]
    assert [detail["type"] for detail in messages[1]["reasoning_details"]] == ["reasoning.summary", "reasoning.encrypted"]
    assert messages[3]["content"] == "seen"
    assert messages[4]["content"] == [{"type": "image_url", "image_url": {"url": "https://e.example/a.png"}}]
    assert [one["id"] for one in messages[5]["tool_calls"]] == ["c3"]


@pytest.mark.parametrize(
    ("item", "param"),
    [
        ({"role": "robot", "content": "x"}, "input[0].role"),
        ({"role": "user", "content": [{"type": "input_image"}]}, "input[0].content[0].image_url"),
        ({"type": "function_call", "name": "f", "arguments": "{}"}, "input[0].call_id"),
        ({"type": "web_search_call", "id": "w"}, "input[0].type"),
        ({"role": "user", "content": [{"type": "smell"}]}, "input[0].content[0].type"),
    ],
)
def test_a_mistake_is_named_by_its_place(item, param):
    with pytest.raises(InvalidRequest) as caught:
        decode([item])

    assert caught.value.param == param


def chunk(*calls, **delta):
    delta = {"tool_calls": list(calls)} if calls else delta
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}


def opened(index, name):
    return {"index": index, "id": f"c{index}", "type": "function", "function": {"name": name, "arguments": ""}}


def piece(index, text):
    return {"index": index, "function": {"arguments": text}}


def stream(*chunks, finish="tool_calls"):
    encoder = ResponsesClient().new_stream_encoder(ChatRequest(body={}), HEAD)
    data = b"".join(encoder.encode([one]) for one in chunks)
    data += encoder.encode([{"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}])
    return read_named_events(data + encoder.finish(CLOSING))


def test_calls_told_in_turns_are_written_one_after_the_other():
    told = [opened(0, "f"), opened(1, "g"), piece(0, '{"a"'), piece(1, '{"b":2}'), piece(0, ":1}")]

    events = stream(*(chunk(one) for one in told), chunk(content="done"))

    kinds = [event["type"].removeprefix("response.") for event in events]
    assert kinds == [
        "created", "in_progress", "output_item.added", "function_call_arguments.delta", "function_call_arguments.delta",
        "function_call_arguments.done", "output_item.done", "output_item.added", "function_call_arguments.delta",
        "function_call_arguments.done", "output_item.done", "output_item.added", "content_part.added", "output_text.delta",
        "output_text.done", "content_part.done", "output_item.done", "completed",
    ]  # fmt: skip
    assert [(item.get("name"), item.get("arguments")) for item in events[-1]["response"]["output"]] == [
        ("f", '{"a":1}'), ("g", '{"b":2}'), (None, None),
    ]  # fmt: skip


def test_a_call_is_passed_on_as_it_comes_and_not_when_it_is_whole():
    encoder = ResponsesClient().new_stream_encoder(ChatRequest(body={}), HEAD)
    encoder.encode([chunk(opened(0, "f"))])

    assert b'"delta":"{\\"a\\""' in encoder.encode([chunk(piece(0, '{"a"'))])


def test_a_call_without_arguments_has_an_empty_object_and_words_inside_one_wait():
    events = stream(chunk(opened(0, "f")), chunk(content="meanwhile"), finish="tool_calls")

    items = events[-1]["response"]["output"]
    assert items[0]["arguments"] == "{}"
    assert items[1]["content"][0]["text"] == "meanwhile"


def test_an_answer_cut_short_is_incomplete():
    final = stream(chunk(content="half"), finish="length")[-1]

    assert final["type"] == "response.incomplete"
    assert final["response"]["incomplete_details"] == {"reason": "max_output_tokens"}
    assert final["response"]["output"][0]["status"] == "incomplete"


def test_pictures_that_a_model_made_are_items():
    events = stream(chunk(images=[{"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}]), finish="stop")

    (item,) = events[-1]["response"]["output"]
    assert (item["type"], item["result"], item["status"]) == ("image_generation_call", "aGk=", "completed")


@pytest.mark.parametrize(
    "part",
    [
        {"type": "input_image", "image_url": "https://a.example/p.png", "file_id": "file-1"},
        {"type": "input_file", "file_data": "data:application/pdf;base64,AA==", "file_id": "file-1"},
        {"type": "input_file", "file_url": "https://a.example/p.pdf", "file_id": "file-1"},
    ],
)
def test_a_file_of_the_operators_is_not_reached_beside_one_of_the_clients(part):
    for items in ([{"role": "user", "content": [part]}], [call(1), output(1, [part])]):
        with pytest.raises(InvalidRequest) as caught:
            decode(items)
        assert caught.value.param.endswith("[0].file_id")
