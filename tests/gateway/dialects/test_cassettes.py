"""One conversation as each provider streams it, in the shapes of their public documentation: the same answer at any border of pieces."""

import random
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.types import Usage
from gateway.dialects.assembly import Assembler
from gateway.dialects.registry import dialect_for
from gateway.relay.sse import SseDecoder

CASSETTES = {path.stem: path.read_bytes() for path in sorted(Path(__file__).with_name("cassettes").glob("*.sse"))}
CACHED = Usage(input_tokens=60, cache_read_tokens=40, output_tokens=20, reasoning_tokens=10)
USAGE = {"cohere": Usage(input_tokens=100, output_tokens=30)}


def play(name, pieces):
    """Return the answer and the decoder after ``pieces``."""
    frames, decoder, whole = SseDecoder(), dialect_for(name).new_stream_decoder(), Assembler()
    for piece in pieces:
        for event in frames.feed(piece):
            for chunk in decoder.decode(event):
                whole.add(chunk)
    for event in frames.finish():
        for chunk in decoder.decode(event):
            whole.add(chunk)
    return whole.body()["choices"], decoder


@pytest.mark.parametrize("name", CASSETTES)
def test_each_provider_says_the_same(name):
    ((choice,), decoder) = play(name, [CASSETTES[name]])
    message = choice["message"]
    assert message["content"] == "Grüß dich 👋"
    calls = [(call["id"], call["function"]["name"], msgspec.json.decode(call["function"]["arguments"])) for call in message["tool_calls"]]
    assert calls == [("call_a", "look", {"at": "hills"}), ("call_b", "look", {})]
    assert (choice["finish_reason"], decoder.complete, decoder.fault) == ("tool_calls", True, None)
    assert message.get("reasoning") == (None if name == "chat_completions" else "Hm.")
    assert decoder.usage == USAGE.get(name, CACHED)


@pytest.mark.parametrize("name", CASSETTES)
@given(seed=st.integers(0, 2**32))
def test_borders_change_nothing(name, seed):
    rng, data, pieces, start = random.Random(seed), CASSETTES[name], [], 0
    while start < len(data):
        end = start + rng.choice((1, 2, 3, 7, 40, 400))
        pieces.append(data[start:end])
        start = end
    choices, decoder = play(name, pieces)
    expected, whole = play(name, [data])
    assert choices == expected
    assert (decoder.usage, decoder.output_chars, decoder.complete) == (whole.usage, whole.output_chars, True)
