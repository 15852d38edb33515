"""Random answers in canonical form and the readers of client streams: what fuzz tests of the client dialects share."""

from typing import Any

import msgspec
from hypothesis import strategies as st

from catalog.types import Usage
from gateway.dialects.client import Closing, Head

HEAD = Head("gen-0123456789abcdef0123456789abcdef", "test/model", "Test", 1_700_000_000)
CLOSING = Closing(Usage(input_tokens=10, output_tokens=20, cache_read_tokens=3, reasoning_tokens=5), 123_456, 23_456)

texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), min_size=1, max_size=12)
arguments = st.dictionaries(st.sampled_from(["at", "size", "note"]), st.integers(0, 99) | texts, max_size=2)
_thoughts = st.builds(
    lambda text, signature: {
        "type": "reasoning.text",
        "text": text,
        "format": "anthropic-claude-v1" if signature else "unknown",
        **({"signature": signature} if signature else {}),
    },
    texts,
    st.sampled_from(["", "sig-1", "sig-2"]),
)
_sealed = st.sampled_from(
    [
        {"type": "reasoning.encrypted", "data": "abc", "format": "anthropic-claude-v1"},
        {"type": "reasoning.encrypted", "data": "def", "format": "google-gemini-v1", "id": "call_0"},
        {"type": "reasoning.encrypted", "data": "ghi", "format": "openai-responses-v1"},
    ]
)


@st.composite
def messages(draw: st.DrawFn) -> dict[str, Any]:
    """An assistant's message: thoughts, then words, then calls; at least one of the last two."""
    details = draw(st.lists(_thoughts | _sealed, max_size=3))
    calls = draw(st.lists(arguments, max_size=3))
    content = draw(texts if not calls else st.none() | texts)
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if details:
        message["reasoning_details"] = [{**detail, "index": place} for place, detail in enumerate(details)]
    if calls:
        message["tool_calls"] = [
            {
                "id": f"call_{place}",
                "type": "function",
                "function": {"name": "look", "arguments": msgspec.json.encode(value).decode()},
            }
            for place, value in enumerate(calls)
        ]
    return message


def _cut(draw: st.DrawFn, text: str) -> list[str]:
    borders = sorted(draw(st.sets(st.integers(1, len(text) - 1), max_size=3))) if len(text) > 1 else []
    return [text[start:end] for start, end in zip([0, *borders], [*borders, len(text)], strict=True)]


@st.composite
def streams(draw: st.DrawFn) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A message and chunks that tell it: text cut anywhere, parallel calls in turns."""
    message = draw(messages())
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    for detail in message.get("reasoning_details", ()):
        pieces = _cut(draw, detail["text"]) if "text" in detail else []
        bare = {name: value for name, value in detail.items() if name not in {"text", "signature"}}
        deltas += [{"reasoning": piece, "reasoning_details": [{**bare, "text": piece}]} for piece in pieces]
        if "text" not in detail:
            deltas.append({"reasoning_details": [detail]})
        elif "signature" in detail:
            deltas.append({"reasoning_details": [{**bare, "text": None, "signature": detail["signature"]}]})
    deltas += [{"content": piece} for piece in _cut(draw, message["content"] or "") if piece]
    deltas += _call_deltas(draw, message.get("tool_calls", []))
    finish = "tool_calls" if message.get("tool_calls") else "stop"
    chunks = [{"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    ending = {"index": 0, "delta": {}, "finish_reason": finish, "native_finish_reason": finish}
    return message, [*chunks, {"object": "chat.completion.chunk", "choices": [ending]}]


def _call_deltas(draw: st.DrawFn, calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    queues = []
    for index, call in enumerate(calls):
        pieces = _cut(draw, call["function"]["arguments"])
        opening = {"index": index, "id": call["id"], "type": "function", "function": {"name": "look", "arguments": ""}}
        queues.append(
            [{"tool_calls": [opening]}, *({"tool_calls": [{"index": index, "function": {"arguments": piece}}]} for piece in pieces)]
        )
    told = []
    while queues:
        queue = queues[draw(st.integers(0, len(queues) - 1))] if told and draw(st.booleans()) else queues[0]
        told.append(queue.pop(0))
        queues = [one for one in queues if one]
    # Whatever the turns, calls are opened in order: hosts number them so.
    opened = sorted((delta for delta in told if "id" in delta["tool_calls"][0]), key=lambda delta: delta["tool_calls"][0]["index"])
    return [opened.pop(0) if "id" in delta["tool_calls"][0] else delta for delta in _opened_first(told)]


def _opened_first(told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Move each call's opening before its first piece, which another order of openings may have left behind."""
    seen: set[int] = set()
    ordered: list[dict[str, Any]] = []
    openings = {delta["tool_calls"][0]["index"]: delta for delta in told if "id" in delta["tool_calls"][0]}
    for delta in told:
        index = delta["tool_calls"][0]["index"]
        for missing in range(index + 1):
            if missing not in seen:
                seen.add(missing)
                ordered.append(openings[missing])
        if "id" not in delta["tool_calls"][0]:
            ordered.append(delta)
    return ordered


def read_named_events(data: bytes) -> list[dict[str, Any]]:
    """Return the parsed events of a stream with named events; the end mark is left out."""
    events = []
    for block in data.decode().split("\n\n"):
        if not block or block == "data: [DONE]":
            continue
        name, _, text = block.partition("\n")
        event = msgspec.json.decode(text.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        events.append(event)
    return events
