"""Random answers through the client dialects: cut anywhere they say the same, and sent back they mean the same."""

from unittest import mock

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.dialects.base import ChatRequest
from gateway.dialects.client_registry import CLIENT_DIALECTS
from gateway.dialects.messages_client import MessagesClient
from gateway.dialects.responses_client import ResponsesClient
from tests.gateway.dialects.conversations import CLOSING, HEAD, messages, read_named_events, streams

REQUEST = ChatRequest(body={"messages": [{"role": "user", "content": "x"}]})

fuzz = settings(max_examples=40, deadline=None)


def whole(client, message):
    finish = "tool_calls" if message.get("tool_calls") else "stop"
    choice = {"index": 0, "message": message, "finish_reason": finish, "native_finish_reason": finish, "logprobs": None}
    return msgspec.json.decode(client.encode_answer({"choices": [choice]}, REQUEST, HEAD, CLOSING))


def streamed(client, chunks, sizes):
    encoder = client.new_stream_encoder(REQUEST, HEAD)
    data, rest = b"", chunks
    for size in [*sizes, len(chunks)]:
        data += encoder.encode(rest[:size]) if rest[:size] else b""
        rest = rest[size:]
    return data + encoder.finish(CLOSING)


def as_sent_back(message):
    """Return what of a message a later turn must still have: words, calls, and thoughts by their content."""
    details = [
        {name: value for name, value in detail.items() if name != "index" and value} for detail in message.get("reasoning_details") or []
    ]
    return message.get("content") or None, message.get("tool_calls") or [], details


@fuzz
@given(stream=streams(), sizes=st.lists(st.integers(1, 5), max_size=6))
def test_a_messages_stream_tells_the_whole_message_block_by_block(stream, sizes):
    message, chunks = stream

    events = read_named_events(streamed(MessagesClient(), chunks, sizes))

    blocks, is_open = [], False
    for event in events:
        if event["type"] == "content_block_start":
            assert not is_open
            assert event["index"] == len(blocks)
            is_open = True
            blocks.append({**event["content_block"], "pieces": ""})
        elif event["type"] == "content_block_delta":
            assert is_open
            assert event["index"] == len(blocks) - 1
            delta = event["delta"]
            name = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}.get(delta["type"], "pieces")
            blocks[-1][name] += delta["partial_json" if name == "pieces" else name]
        elif event["type"] == "content_block_stop":
            assert is_open
            is_open = False
            pieces = blocks[-1].pop("pieces")
            if blocks[-1]["type"] == "tool_use":
                blocks[-1]["input"] = msgspec.json.decode(pieces or "{}")
    assert not is_open
    assert blocks == whole(MessagesClient(), message)["content"]
    assert [event["type"] for event in events[-2:]] == ["message_delta", "message_stop"]


@fuzz
@given(stream=streams(), sizes=st.lists(st.integers(1, 5), max_size=6))
def test_a_responses_stream_tells_the_whole_response_item_by_item(stream, sizes):
    message, chunks = stream

    events = read_named_events(streamed(ResponsesClient(), chunks, sizes))

    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    final = events[-1]["response"]
    assert final["output"] == whole(ResponsesClient(), message)["output"]
    assert [event["item"] for event in events if event["type"] == "response.output_item.done"] == final["output"]
    spoken = "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
    assert spoken == (message["content"] or "")


@pytest.mark.parametrize("path", [path for path, dialect in CLIENT_DIALECTS.items() if dialect.api_type == "completions"])
@fuzz
@given(stream=streams(), sizes=st.lists(st.integers(1, 5), max_size=6))
def test_how_chunks_arrive_together_changes_no_byte(path, stream, sizes):
    client = CLIENT_DIALECTS[path]

    # A second may end between the two.
    with mock.patch("gateway.dialects.responses_encoder.time.time", return_value=1_800_000_000.0):
        assert streamed(client, stream[1], sizes) == streamed(client, stream[1], [1] * len(stream[1]))


@fuzz
@given(message=messages())
def test_an_answer_sent_back_as_messages_means_the_same(message):
    answer = whole(MessagesClient(), msgspec.json.decode(msgspec.json.encode(message)))
    turns = [{"role": "user", "content": "x"}, {"role": "assistant", "content": answer["content"]}]

    request = MessagesClient().decode_request(msgspec.json.encode({"model": "m", "max_tokens": 9, "messages": turns}))

    assert as_sent_back(request.body["messages"][1]) == as_sent_back(message)


@fuzz
@given(message=messages())
def test_an_answer_sent_back_as_responses_items_means_the_same(message):
    answer = whole(ResponsesClient(), msgspec.json.decode(msgspec.json.encode(message)))
    items = [{"role": "user", "content": "x"}, *answer["output"]]

    request = ResponsesClient().decode_request(msgspec.json.encode({"model": "m", "input": items}))

    (turn,) = [one for one in request.body["messages"] if one["role"] == "assistant"]
    assert as_sent_back(turn) == as_sent_back(message)
