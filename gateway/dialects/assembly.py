"""Between whole and streamed: chunks put together to an answer, an answer cut into chunks. Pure.

For hosts that stream when asked not to, or the reverse.
"""

from typing import Any

from gateway.dialects.base import Answer, BadAnswer, Json, StreamDecoder
from gateway.relay.sse import SseDecoder

_TEXTS = ("content", "reasoning", "refusal")
_LISTS = ("reasoning_details", "annotations", "citations", "images")


class Assembler:
    """Puts canonical chunks together to the body of a chat.completion."""

    def __init__(self) -> None:
        self._choices: dict[int, Json] = {}
        self._created_s = 0
        self._fingerprint: Any = None

    def add(self, chunk: Json) -> None:
        """Take one chunk."""
        self._created_s = self._created_s or chunk.get("created", 0)
        self._fingerprint = self._fingerprint or chunk.get("system_fingerprint")
        for choice in chunk["choices"]:
            held = self._choices.get(choice["index"])
            if held is None:
                message: Json = {"role": "assistant", "content": None, "refusal": None}
                held = self._choices[choice["index"]] = {
                    "index": choice["index"],
                    "message": message,
                    "finish_reason": None,
                    "native_finish_reason": None,
                    "logprobs": None,
                }
            _add_delta(held["message"], choice["delta"])
            if choice.get("finish_reason") is not None:
                held["finish_reason"] = choice["finish_reason"]
                held["native_finish_reason"] = choice.get("native_finish_reason")
            if isinstance(choice.get("logprobs"), dict):
                _add_logprobs(held, choice["logprobs"])

    def body(self) -> Json:
        """Return the chat.completion, without id, model, provider and usage."""
        choices = [self._choices[index] for index in sorted(self._choices)]
        for choice in choices:
            message = choice["message"]
            if message["content"] is None and "tool_calls" not in message:
                message["content"] = ""
            for call in message.get("tool_calls", ()):
                if "function" in call:
                    call["function"]["arguments"] = call["function"]["arguments"] or "{}"
        return {"object": "chat.completion", "created": self._created_s, "system_fingerprint": self._fingerprint, "choices": choices}


def _add_delta(message: Json, delta: Json) -> None:
    for name in _TEXTS:
        if isinstance(delta.get(name), str) and delta[name]:
            message[name] = (message.get(name) or "") + delta[name]
    for name in _LISTS:
        if delta.get(name):
            message.setdefault(name, []).extend(delta[name])
    if "reasoning_details" in delta:
        message["reasoning_details"] = _joined_details(message["reasoning_details"])
    for call in delta.get("tool_calls") or ():
        calls = message.setdefault("tool_calls", [])
        if "id" in call:
            kind = "custom" if "custom" in call else "function"
            calls.append({"id": call["id"], "type": call["type"], kind: dict(call[kind])})
        elif call["index"] < len(calls):
            _add_to_call(calls[call["index"]], call)


def _add_to_call(call: Json, delta: Json) -> None:
    for kind, takes in (("function", "arguments"), ("custom", "input")):
        if kind in delta and kind in call:
            call[kind][takes] += delta[kind].get(takes, "")


def _joined_details(details: list[Json]) -> list[Json]:
    """Join pieces of text that belong to one block; a signature closes its block."""
    joined: list[Json] = []
    for detail in details:
        last = joined[-1] if joined else None
        if (
            last is not None
            and detail.get("type") == last.get("type")
            and detail.get("type") in ("reasoning.text", "reasoning.summary")
            and detail.get("index") == last.get("index")
            and detail.get("format") == last.get("format")
        ):
            name = str(detail["type"]).removeprefix("reasoning.")  # text or summary, which is also where its words are
            joined[-1] = {**last, **detail, name: (last.get(name) or "") + (detail.get(name) or "")}
        else:
            joined.append(detail)
    return joined


def _add_logprobs(choice: Json, logprobs: Json) -> None:
    held = choice["logprobs"] or {}
    for name, values in logprobs.items():
        held[name] = [*(held.get(name) or []), *values] if isinstance(values, list) else held.get(name, values)
    choice["logprobs"] = held


def answer_from_stream(body: bytes, decoder: StreamDecoder) -> Answer:
    """Read a whole answer that came as a stream. Raises: BadAnswer, SseTooLarge."""
    frames = SseDecoder()
    assembler = Assembler()
    for event in [*frames.feed(body), *frames.finish()]:
        for chunk in decoder.decode(event):
            assembler.add(chunk)
        if decoder.fault is not None:
            raise BadAnswer(decoder.fault)
    return Answer(
        body=assembler.body(),
        usage=decoder.usage,
        finish_reason=decoder.finish_reason,
        native_finish_reason=decoder.native_finish_reason,
        upstream_id=decoder.upstream_id,
        served_model=decoder.served_model,
        service_tier=decoder.service_tier,
        output_seen=decoder.output_seen,
        output_chars=decoder.output_chars,
    )


def chunks_from_answer(answer: Answer) -> list[Json]:
    """Return a whole answer as the chunks of a stream: what was said, then the finish reason."""
    created = answer.body.get("created", 0)
    chunks = []
    for choice in answer.body["choices"]:
        delta = {name: value for name, value in choice["message"].items() if value is not None}
        if "tool_calls" in delta:
            delta["tool_calls"] = [{"index": index, **call} for index, call in enumerate(delta["tool_calls"])]
        endings: tuple[tuple[Json, Any, Any], ...] = (
            (delta, None, None),
            ({}, choice["finish_reason"], choice["native_finish_reason"]),
        )
        for fields, finish, native in endings:
            piece = {"index": choice["index"], "delta": fields, "finish_reason": finish, "native_finish_reason": native, "logprobs": None}
            chunks.append({"object": "chat.completion.chunk", "created": created, "choices": [piece]})
    return chunks
