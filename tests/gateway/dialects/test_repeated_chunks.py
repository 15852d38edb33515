"""Chunks that are like the one before but for their words mean what they mean when each is read by itself."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.chat_answers import ChatStreamDecoder
from gateway.dialects.repeated_chunks import RepeatedChunk
from gateway.relay.sse import SseEvent

SPACED = {"separators": (", ", ": ")}
words = st.text(max_size=8) | st.sampled_from(['"content":', '"content":"a"', "\\", '"', "}]}", "é😀"])
#: What else a chunk may have, of which some change the meaning of its words.
extras = st.sampled_from(
    [
        {},
        {"usage": None},
        {"usage": {"prompt_tokens": 3, "completion_tokens": 1}},
        {"obfuscation": "x7"},
        {"service_tier": "flex"},
        {"error": {"message": "gone"}},
        {"delta": {"role": "assistant"}},
        {"delta": {"reasoning_content": "hm"}},
        {"delta": {"refusal": "no"}},
        {"choice": {"finish_reason": "stop"}},
        {"choice": {"index": 1}},
        {"choice": {"logprobs": {"content": [{"token": "a", "logprob": -1}]}}},
    ]
)


def chunk_of(text, extra):
    more = {name: value for name, value in extra.items() if name not in ("delta", "choice")}
    choice = {"index": 0, "delta": {**extra.get("delta", {}), "content": text}, "finish_reason": None, **extra.get("choice", {})}
    return {"id": "chatcmpl-1", "created": 5, "model": "m", "system_fingerprint": 'odd "content" here', "choices": [choice], **more}


def looks(decoder):
    names = ("usage", "fault", "finish_reason", "output_seen", "upstream_id", "served_model", "service_tier")
    return {name: getattr(decoder, name) for name in names}


@given(st.lists(st.tuples(words, extras), min_size=1, max_size=8), st.booleans(), st.booleans())
def test_a_stream_says_the_same_as_its_chunks_one_by_one(chunks, is_spaced, ascii_only):
    told, alone = [], []
    decoder, chars = ChatStreamDecoder(), 0
    for text, extra in [("first", {}), *chunks]:
        data = json.dumps(chunk_of(text, extra), ensure_ascii=ascii_only, **(SPACED if is_spaced else {"separators": (",", ":")})).encode()
        event = SseEvent("", data)
        told += decoder.decode(event)
        fresh = ChatStreamDecoder()
        alone += fresh.decode(event)
        chars += fresh.output_chars
        if fresh.fault is not None:
            break
    assert msgspec.json.encode(told) == msgspec.json.encode(alone)
    assert decoder.output_chars == chars


def test_words_alone_are_read_from_the_second_chunk_on():
    decoder, pattern = ChatStreamDecoder(), RepeatedChunk()
    first, second = (json.dumps(chunk_of(text, {})).encode() for text in ("one", 'two "quoted" \\ é'))
    assert pattern.read(first) == ""
    (chunk,) = decoder.decode(SseEvent("", first))
    pattern.learn(first, chunk)
    assert pattern.read(second) == 'two "quoted" \\ é'
    assert pattern.chunk_with("x")["choices"][0]["delta"] == {"content": "x"}
    assert looks(decoder)["upstream_id"] == "chatcmpl-1"


@pytest.mark.parametrize("wrong", [b'"cut', b'"a" "b"', b'"a","logprobs":[]', b"null", b'["a"]', b'"\xff"', b'"raw\x01"', b""])
def test_what_is_no_text_is_left_to_the_reader_of_everything(wrong):
    decoder, pattern = ChatStreamDecoder(), RepeatedChunk()
    data = json.dumps(chunk_of("one", {})).encode()
    pattern.learn(data, decoder.decode(SseEvent("", data))[0])
    assert pattern.read(data.replace(b'"one"', wrong)) == ""


def test_a_host_that_changes_every_chunk_is_not_learned_for_ever():
    pattern = RepeatedChunk()
    for turn in range(9):
        chunk = chunk_of("one", {"obfuscation": str(turn)})
        pattern.learn(json.dumps(chunk).encode(), chunk)
    assert pattern.read(json.dumps(chunk_of("x", {"obfuscation": "2"})).encode()) == "x"
    assert pattern.read(json.dumps(chunk_of("x", {"obfuscation": "8"})).encode()) == ""
