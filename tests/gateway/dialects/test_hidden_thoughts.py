"""Thoughts that a client asked not to see reach it in no format, whole or streamed; words, calls and counts stay."""

import msgspec
import pytest

from gateway.dialects.client_registry import CLIENT_DIALECTS
from tests.gateway.dialects.conversations import CLOSING, HEAD, read_named_events

HELLO = [{"role": "user", "content": "hello"}]
BODIES = {
    "/api/v1/chat/completions": {"messages": HELLO},
    "/api/v1/completions": {"prompt": "hello"},
    "/api/v1/messages": {"messages": HELLO, "max_tokens": 100},
    "/api/v1/responses": {"input": "hello"},
}
WISHES = [{"reasoning": {"exclude": True}}, {"include_reasoning": False}]
SIGNED = {"type": "reasoning.text", "format": "anthropic-claude-v1", "index": 0}
SEALED = {"type": "reasoning.encrypted", "data": "c2VjcmV0", "format": "anthropic-claude-v1", "index": 1}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
MESSAGE = {
    "role": "assistant",
    "content": "Hello.",
    "reasoning": "SECRET",
    "reasoning_details": [{**SIGNED, "text": "SECRET", "signature": "sig"}, SEALED],
    "tool_calls": [CALL],
}
DELTAS = [
    {"role": "assistant", "content": "", "reasoning": "SEC", "reasoning_details": [{**SIGNED, "text": "SEC"}]},
    {"role": "assistant", "content": "", "reasoning": "RET", "reasoning_details": [{**SIGNED, "text": "RET"}]},
    {"reasoning_details": [{**SIGNED, "signature": "sig"}]},
    {"reasoning_details": [SEALED]},
    {"content": "Hel", "reasoning": "SECRET"},
    {"content": "lo."},
    {"tool_calls": [{"index": 0, **CALL}]},
]


def choice(finish=None, **said):
    return {"index": 0, "finish_reason": finish, "native_finish_reason": finish, "logprobs": None, **said}


def decode(path, **wishes):
    return CLIENT_DIALECTS[path].decode_request(msgspec.json.encode({"model": "author/model", **BODIES[path], **wishes}))


def whole(path, message=MESSAGE, **wishes):
    body = {"created": 1, "choices": [choice("tool_calls", message=dict(message))]}
    return CLIENT_DIALECTS[path].encode_answer(body, decode(path, **wishes), HEAD, CLOSING)


def streamed(path, deltas=DELTAS, **wishes):
    encoder = CLIENT_DIALECTS[path].new_stream_encoder(decode(path, **wishes), HEAD)
    chunks = [{"created": 1, "choices": [choice(delta=delta)]} for delta in deltas]
    data = b"".join(encoder.encode([chunk]) for chunk in [*chunks, {"created": 1, "choices": [choice("tool_calls", delta={})]}])
    return data + encoder.finish(CLOSING)


def chunks_of(data):
    return [msgspec.json.decode(line.removeprefix(b"data: ")) for line in data.split(b"\n\n") if line and not line.endswith(b"[DONE]")]


@pytest.mark.parametrize("wish", WISHES, ids=["exclude", "include_reasoning"])
@pytest.mark.parametrize("path", BODIES)
def test_thoughts_that_were_not_wanted_are_left_out_and_all_else_stays(path, wish):
    shown, hidden = (whole(path), streamed(path)), (whole(path, **wish), streamed(path, **wish))

    bare = {name: value for name, value in MESSAGE.items() if not name.startswith("reasoning")}
    reasonless = [{name: value for name, value in delta.items() if not name.startswith("reasoning")} for delta in DELTAS]
    expected = whole(path, bare), streamed(path, [delta for delta in reasonless if delta.get("content") or delta.get("tool_calls")])
    if path.endswith("/chat/completions"):
        expected = expected[0], streamed(path, [reasonless[0], *reasonless[4:]])  # the first chunk still tells the role
    assert all(b"SEC" in data for data in shown)
    for data, wanted in zip(hidden, expected, strict=True):
        assert b"SEC" not in data
        assert b"c2VjcmV0" not in data
        assert without_wish(data) == without_wish(wanted)


def without_wish(data):
    """Return an answer without the request's own words in it, which Responses repeats, nor the time at which it ended."""
    if data.startswith(b"{"):
        events = [msgspec.json.decode(data)]
    else:
        events = [msgspec.json.decode(line[6:]) for line in data.split(b"\n") if line.startswith(b"data: {")]
    for event in events:
        response = event.get("response", event)
        response.pop("reasoning", None)
        response.pop("completed_at", None)
    return events


@pytest.mark.parametrize("path", BODIES)
def test_hidden_thoughts_are_still_counted(path):
    data = whole(path, reasoning={"exclude": True})

    usage = msgspec.json.decode(data)["usage"]
    details = usage.get("completion_tokens_details") or usage.get("output_tokens_details")
    assert CLOSING.usage.reasoning_tokens in details.values()


def test_the_wish_to_see_thoughts_and_no_wish_at_all_change_nothing():
    path = "/api/v1/chat/completions"
    shown = streamed(path)

    assert streamed(path, reasoning={"exclude": False}, include_reasoning=True) == shown
    assert type(CLIENT_DIALECTS[path].new_stream_encoder(decode(path), HEAD)).__name__ == "ChatStreamEncoder"


def test_a_chunk_of_thoughts_that_ends_the_answer_keeps_the_end_but_not_their_probabilities():
    path = "/api/v1/chat/completions"
    encoder = CLIENT_DIALECTS[path].new_stream_encoder(decode(path, include_reasoning=False), HEAD)
    last = {**choice("length", delta={"reasoning": "SECRET"}), "logprobs": {"content": [{"token": "SECRET", "logprob": -1}]}}

    (chunk,) = chunks_of(encoder.encode([{"created": 1, "choices": [last]}]))

    assert chunk["choices"] == [choice("length", delta={})]


def test_parts_of_thoughts_among_the_words_are_left_out():
    mixed = [{"type": "thinking", "thinking": [{"type": "text", "text": "SECRET"}]}, {"type": "text", "text": "Hello."}]
    path = "/api/v1/chat/completions"

    answer = msgspec.json.decode(whole(path, {"role": "assistant", "content": mixed}, reasoning={"exclude": True}))

    assert answer["choices"][0]["message"]["content"] == [{"type": "text", "text": "Hello."}]


def test_a_failure_is_told_to_a_client_that_hides_thoughts():
    path = "/api/v1/chat/completions"
    encoder = CLIENT_DIALECTS[path].new_stream_encoder(decode(path, include_reasoning=False), HEAD)

    failed, usage = chunks_of(encoder.fail({"code": 502, "message": "gone", "metadata": {}}, CLOSING))

    assert failed["error"]["message"] == "gone"
    assert usage["usage"]["completion_tokens_details"]["reasoning_tokens"] == CLOSING.usage.reasoning_tokens


def test_display_omitted_keeps_signatures_without_words_as_anthropic_does():
    path = "/api/v1/messages"
    wish = {"max_tokens": 2000, "thinking": {"type": "enabled", "budget_tokens": 1024, "display": "omitted"}}

    blocks = msgspec.json.decode(whole(path, **wish))["content"]
    events = read_named_events(streamed(path, **wish))

    thoughts = [{"type": "thinking", "thinking": "", "signature": "sig"}, {"type": "redacted_thinking", "data": "c2VjcmV0"}]
    assert [block for block in blocks if "thinking" in block["type"]] == thoughts
    opened = [event["content_block"]["type"] for event in events if event["type"] == "content_block_start"]
    assert opened == ["thinking", "redacted_thinking", "text", "tool_use"]
    deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    assert [delta for delta in deltas if "thinking" in delta["type"] or "signature" in delta["type"]] == [
        {"type": "signature_delta", "signature": "sig"}
    ]


def test_omitted_and_excluded_at_once_leave_the_blocks_out():
    wish = {"max_tokens": 2000, "thinking": {"type": "adaptive", "display": "omitted"}, "include_reasoning": False}

    blocks = msgspec.json.decode(whole("/api/v1/messages", **wish))["content"]

    assert [block["type"] for block in blocks] == ["text", "tool_use"]
