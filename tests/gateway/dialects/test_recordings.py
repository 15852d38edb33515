"""Streams as providers really sent them (recordings/README.md): what each says, calls and counts, whole and at any border of pieces."""

import random
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.types import Usage
from gateway.dialects.assembly import Assembler
from gateway.dialects.registry import dialect_for
from gateway.relay.sse import SseDecoder, SseEvent

RECORDINGS = {path.stem: path.read_bytes().splitlines() for path in sorted(Path(__file__).with_name("recordings").glob("*.jsonl"))}
DIALECTS = {"anthropic": "messages", "google": "gemini", "cohere": "cohere", "bedrock": "bedrock"}
# Name → finish reason, the provider's word for it, calls, whether there are thoughts, usage.
EXPECTED: dict[str, tuple] = {
    "alibaba-call": (
        "tool_calls",
        "tool_calls",
        [("weather", '{"location": "San Francisco"}')],
        False,
        Usage(input_tokens=295, output_tokens=22),
    ),
    "anthropic-call": ("tool_calls", "tool_use", [("updateIssueList", "{}")], False, Usage(input_tokens=565, output_tokens=48)),
    "anthropic-fallback": ("stop", "end_turn", [], False, Usage(input_tokens=820, output_tokens=264)),
    "anthropic-late-count": ("stop", "end_turn", [], False, Usage(input_tokens=61, output_tokens=2)),
    "anthropic-refusal": ("content_filter", "refusal", [], False, Usage(input_tokens=18, output_tokens=5)),
    "anthropic-searches": ("stop", "end_turn", [], False, Usage(input_tokens=15665, output_tokens=795, searches=1)),
    "anthropic-text": ("stop", "end_turn", [], False, Usage(input_tokens=12, output_tokens=30)),
    "anthropic-thoughts": ("stop", "end_turn", [], True, Usage(input_tokens=69, output_tokens=53)),
    "azure-router": ("stop", "stop", [], False, Usage(input_tokens=15, output_tokens=14, reasoning_tokens=64)),
    "bedrock-call": ("tool_calls", "tool_use", [("updateIssueList", "{}")], False, Usage(input_tokens=100, output_tokens=25)),
    "bedrock-text": ("stop", "end_turn", [], False, Usage(input_tokens=22, output_tokens=55)),
    "bedrock-thoughts": ("stop", "end_turn", [], True, Usage(input_tokens=51, output_tokens=94)),
    "cohere-calls": (
        "tool_calls",
        "TOOL_CALL",
        [("weather", '{"location": "San Francisco"}'), ("cityAttractions", '{"city": "San Francisco"}')],
        True,
        Usage(input_tokens=119, output_tokens=44),
    ),
    "cohere-empty-call": ("tool_calls", "TOOL_CALL", [("currentTime", "{}")], True, Usage(input_tokens=46, output_tokens=14)),
    "cohere-thoughts": ("stop", "COMPLETE", [], True, Usage(input_tokens=8, output_tokens=50)),
    "deepseek-call": (
        "tool_calls",
        "tool_calls",
        [("weather", '{"location": "San Francisco"}')],
        True,
        Usage(input_tokens=19, cache_read_tokens=320, output_tokens=44, reasoning_tokens=39),
    ),
    "deepseek-thoughts": ("stop", "stop", [], True, Usage(input_tokens=18, output_tokens=14, reasoning_tokens=205)),
    "google-call": (
        "tool_calls",
        "STOP",
        [("weather", '{"location":"San Francisco"}')],
        False,
        Usage(input_tokens=29, output_tokens=15, reasoning_tokens=804),
    ),
    "google-text": ("stop", "STOP", [], False, Usage(input_tokens=9, output_tokens=23, reasoning_tokens=185)),
    "google-thoughts": ("stop", "STOP", [], False, Usage(input_tokens=9, output_tokens=29, reasoning_tokens=256)),
    "groq-call": ("tool_calls", "tool_calls", [("weather", "{}")], False, Usage(input_tokens=210, output_tokens=15)),
    "groq-thoughts": ("stop", "stop", [], True, Usage(input_tokens=17, output_tokens=144, reasoning_tokens=963)),
    "mistral-call": (
        "tool_calls",
        "tool_calls",
        [("webSearchTool", '{"query": "current Berlin weather"}')],
        False,
        Usage(input_tokens=43, cache_read_tokens=128, output_tokens=14),
    ),
    "mistral-thoughts": ("stop", "stop", [], True, Usage(input_tokens=10, output_tokens=46)),
    "moonshotai-thoughts": ("stop", "stop", [], True, Usage(input_tokens=9, output_tokens=5, reasoning_tokens=7)),
    "openai-responses-calls": (
        "tool_calls",
        "completed",
        [
            ("calculator", '{"a":12,"b":7,"op":"add"}'),
            ("calculator", '{"a":19,"b":3,"op":"multiply"}'),
            ("calculator", '{"a":57,"b":10,"op":"multiply"}'),
        ],
        True,
        Usage(input_tokens=299, output_tokens=12),
    ),
    "openai-text": ("stop", "stop", [], False, Usage(input_tokens=16, output_tokens=300)),
    "perplexity-citations": ("stop", "stop", [], False, Usage(input_tokens=10, output_tokens=336)),
    "xai-call": (
        "tool_calls",
        "tool_calls",
        [("weather", '{"location":"San Francisco"}')],
        True,
        Usage(input_tokens=1, cache_read_tokens=290, output_tokens=26, reasoning_tokens=196),
    ),
    "xai-responses-thoughts": (
        "stop",
        "completed",
        [],
        True,
        Usage(input_tokens=24, cache_read_tokens=192, output_tokens=578, reasoning_tokens=253),
    ),
}


def dialect_of(name: str) -> str:
    return "responses" if "-responses-" in name else DIALECTS.get(name.partition("-")[0], "chat_completions")


def events_of(name: str):
    """Yield each event with the name that its stream gives it."""
    for line in RECORDINGS[name]:
        body = msgspec.json.decode(line)
        if dialect_of(name) == "bedrock":
            ((kind, data),) = body.items()
            yield SseEvent(kind, msgspec.json.encode(data))
        else:
            yield SseEvent(str(body.get("type", "")), line)


def play(name: str, events):
    """Return the answer's choices and the decoder."""
    decoder, whole = dialect_for(dialect_of(name)).new_stream_decoder(), Assembler()
    for event in events:
        for chunk in decoder.decode(event):
            whole.add(chunk)
    return whole.body()["choices"], decoder


@pytest.mark.parametrize("name", EXPECTED)
def test_a_recorded_stream_is_read_in_full(name):
    finish, native, calls, thinks, usage = EXPECTED[name]
    ((choice,), decoder) = play(name, events_of(name))
    message = choice["message"]
    assert (decoder.fault, decoder.complete) == (None, True)
    assert (choice["finish_reason"], choice["native_finish_reason"]) == (finish, native)
    assert [(call["function"]["name"], call["function"]["arguments"]) for call in message.get("tool_calls") or []] == calls
    assert bool(message.get("reasoning")) is thinks
    assert isinstance(message.get("content") or "", str)
    assert decoder.usage == usage


def test_an_error_that_was_recorded_is_a_fault_that_blames_nobody_else():
    ((choice,), decoder) = play("openai-responses-error", events_of("openai-responses-error"))
    assert (choice["message"]["content"], choice["finish_reason"]) == ("", None)
    assert decoder.fault is not None
    assert (decoder.fault.error_type, decoder.fault.retryable) == ("provider_unavailable", True)


def test_every_recording_is_looked_at():
    assert set(RECORDINGS) == {*EXPECTED, "openai-responses-error"}


@pytest.mark.parametrize("name", [name for name in EXPECTED if dialect_of(name) != "bedrock"])
@given(seed=st.integers(0, 2**32))
def test_borders_change_nothing(name, seed):
    data = b"".join(b"event: %b\ndata: %b\n\n" % (event.event.encode(), event.data) for event in events_of(name))
    rng, frames, events, start = random.Random(seed), SseDecoder(), [], 0
    while start < len(data):
        end = start + rng.choice((1, 3, 40, 400, 4000))
        events += frames.feed(data[start:end])
        start = end
    choices, decoder = play(name, events)
    expected, whole = play(name, events_of(name))
    for one in (*choices, *expected):
        for call in one["message"].get("tool_calls") or []:
            call.pop("id")  # some providers give none, and then it is made up
        for detail in one["message"].get("reasoning_details") or []:
            detail.pop("id", None)
    assert choices == expected
    assert (decoder.usage, decoder.output_chars) == (whole.usage, whole.output_chars)
