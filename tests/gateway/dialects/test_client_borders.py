"""From a provider's bytes to the client's: wherever the network cuts them, every client gets the same bytes."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.dialects.base import ChatRequest
from gateway.dialects.client_registry import CLIENT_DIALECTS
from gateway.dialects.registry import dialect_for
from gateway.relay.sse import SseDecoder, encode_data, encode_event
from tests.gateway.dialects.conversations import CLOSING, HEAD

REQUEST = ChatRequest(body={"messages": []})
CLIENTS = [path for path, dialect in CLIENT_DIALECTS.items() if dialect.api_type == "completions"]


def _chat():
    deltas = [
        {"role": "assistant", "content": ""}, {"reasoning_content": "é… "}, {"content": "grüß "}, {"content": "dich 🛣️"},
        {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}]},
        {"tool_calls": [{"index": 1, "id": "b", "function": {"name": "g", "arguments": '{"x"'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"y":1}'}}]},
        {"tool_calls": [{"index": 1, "function": {"arguments": ":2}"}}]},
    ]  # fmt: skip
    chunks = [{"created": 1, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks.append({"created": 1, "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})
    return b": hello\r\n\r\n" + b"".join(encode_data(msgspec.json.encode(chunk)) for chunk in chunks) + b"data: [DONE]\n\n"


def _messages():
    events = [
        {"type": "message_start", "message": {"id": "m", "model": "x", "usage": {"input_tokens": 5, "output_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm 🤔"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "sig"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "grüß dich"}},
        {"type": "content_block_stop", "index": 1},
        {"type": "message_delta", "delta": {"stop_reason": "stop_sequence", "stop_sequence": "."}, "usage": {"output_tokens": 9}},
        {"type": "message_stop"},
    ]
    return b"".join(encode_event(event["type"], msgspec.json.encode(event)) for event in events)


def _gemini():
    parts = [{"text": "hm", "thought": True}, {"text": "grüß "}, {"text": "dich 🛣️"}]
    pieces = [{"candidates": [{"index": 0, "content": {"parts": [part]}}]} for part in parts]
    pieces.append(
        {"candidates": [{"index": 0, "finishReason": "STOP"}], "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 4}}
    )
    return b"".join(encode_data(msgspec.json.encode(piece)).replace(b"\n", b"\r\n") for piece in pieces)


STREAMS = {"chat_completions": _chat(), "messages": _messages(), "gemini": _gemini()}


def relay(name, path, pieces):
    parser, decoder = SseDecoder(), dialect_for(name).new_stream_decoder()
    encoder = CLIENT_DIALECTS[path].new_stream_encoder(REQUEST, HEAD)
    sent = b""
    for piece in pieces:
        chunks = [{**chunk, "created": 1} for event in parser.feed(piece) for chunk in decoder.decode(event)]
        sent += encoder.encode(chunks) if chunks else b""
    assert decoder.complete
    return sent + encoder.finish(CLOSING)


@pytest.mark.parametrize("name", list(STREAMS))
@pytest.mark.parametrize("path", CLIENTS)
@settings(max_examples=25, deadline=None)
@given(borders=st.sets(st.integers(1, 900), max_size=12))
def test_borders_change_nothing(name, path, borders):
    data = STREAMS[name]
    cuts = sorted(border for border in borders if border < len(data))
    pieces = [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]

    relayed, at_once = relay(name, path, pieces), relay(name, path, [data])

    # The one clock in a stream is the moment at which a response was completed.
    assert relayed.partition(b'"completed_at":17')[0] == at_once.partition(b'"completed_at":17')[0]
    assert len(relayed) == len(at_once)
    assert relayed.decode().count("grüß") >= 1


@pytest.mark.parametrize("path", ["/api/v1/messages", "/api/v1/responses"])
def test_words_between_the_pieces_of_a_call_keep_their_order(path):
    def call(piece, **opening):
        return {"tool_calls": [{"index": 0, **opening, "function": {"arguments": piece, **({"name": "f"} if opening else {})}}]}

    deltas = [call('{"a"', id="c", type="function"), {"content": "first, "}, call(":1}"), {"content": "second, "}, {"content": "third"}]
    encoder = CLIENT_DIALECTS[path].new_stream_encoder(REQUEST, HEAD)
    sent = b"".join(encoder.encode([{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}]) for delta in deltas)
    events = [msgspec.json.decode(event.data) for event in SseDecoder().feed(sent + encoder.finish(CLOSING)) if event.data != b"[DONE]"]
    if path.endswith("messages"):
        words = [event["delta"]["text"] for event in events if event.get("delta", {}).get("type") == "text_delta"]
    else:
        words = [event["delta"] for event in events if event["type"] == "response.output_text.delta"]
    assert words == ["first, ", "second, ", "third"]
