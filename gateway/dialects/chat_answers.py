"""Answers in Chat Completions form, whole and streamed, cleaned of what hosts do differently. Pure."""

import time
from typing import Any

import msgspec
from mypy_extensions import mypyc_attr

from gateway.dialects.base import Answer, BadAnswer, Json, StreamDecoder
from gateway.dialects.faults import make_fault, malformed
from gateway.dialects.repeated_chunks import RepeatedChunk
from gateway.dialects.signed_thoughts import details_of
from gateway.dialects.tool_deltas import ToolDeltas, arguments_text, new_call_id
from gateway.dialects.usage import usage_from_chat
from gateway.relay.sse import DONE_DATA, SseEvent

_decode_json = msgspec.json.Decoder().decode

_FINISH: dict[str, str] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "error": "error",
    "function_call": "tool_calls",
    "eos": "stop",
    "eos_token": "stop",
    "end_turn": "stop",
    "complete": "stop",
    "completed": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "model_length": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "tool_call": "tool_calls",
    "safety": "content_filter",
    "sensitive": "content_filter",
    "refusal": "content_filter",
    "network_error": "error",
    "insufficient_system_resource": "error",
    "abort": "error",
}


_PLAIN_MESSAGE = frozenset({"role", "content", "refusal", "annotations"})
_PLAIN_ENDS = ("stop", "length")  # which are called so by us too


def finish_reason(native: Any) -> str | None:
    """Return the normalised finish reason; an unknown word of a provider counts as stop, null as not finished."""
    return _FINISH.get(native.lower(), "stop") if isinstance(native, str) and native else None


def _flatten_content(message: Json) -> None:
    """Bring content in parts to text; thoughts among them (Mistral's) become ``reasoning``, pictures ``images``."""
    words: list[str] = []
    thoughts: list[str] = []
    for part in message["content"]:
        if part.__class__ is not dict:
            continue
        kind = part.get("type")
        if kind in ("thinking", "reasoning"):
            thoughts.append(_joined(part.get("thinking") or part.get("text")))
        elif kind == "image_url":
            message.setdefault("images", []).append(part)
        else:
            words.append(_joined(part.get("text")))
    message["content"] = "".join(words) or None
    if said := "".join(thoughts):
        message.setdefault("reasoning_content", said)


def _joined(value: Any) -> str:
    if isinstance(value, list):
        return "".join(_joined(part.get("text")) for part in value if isinstance(part, dict))
    return value if isinstance(value, str) else ""


def _clean_reasoning(message: Json) -> None:
    """Bring hosts' spellings of thoughts to ``reasoning`` and ``reasoning_details``."""
    if message.get("content").__class__ is list:
        _flatten_content(message)
    blocks = message.pop("thinking_blocks", None)
    if isinstance(blocks, list) and "reasoning_details" not in message and (details := details_of(blocks)):
        message["reasoning_details"] = details
    thoughts = message.pop("reasoning_content", None)
    if isinstance(thoughts, str) and not message.get("reasoning"):
        message["reasoning"] = thoughts
    thoughts = message.get("reasoning")
    if isinstance(thoughts, str) and thoughts and "reasoning_details" not in message:
        message["reasoning_details"] = [{"type": "reasoning.text", "text": thoughts, "format": "unknown", "index": 0}]


def text_chars(message: Json) -> int:
    """Count the characters that a message or delta adds to the output, thoughts and tool arguments included."""
    total = 0
    for name in ("content", "reasoning", "refusal"):
        value = message.get(name)
        if value.__class__ is str:
            total += len(value)
        elif isinstance(value, list):
            total += sum(len(part["text"]) for part in value if isinstance(part, dict) and isinstance(part.get("text"), str))
    for call in message.get("tool_calls") or ():
        function = call.get("function") or call.get("custom") or {}
        total += len(function.get("name") or "") + len(function.get("arguments") or function.get("input") or "")
    return total


def _has_media(message: Json) -> bool:
    return bool(message.get("images") or message.get("audio"))


def decode_chat_answer(body: bytes) -> Answer:
    """Read a chat.completion of any compatible host. Raises: BadAnswer."""
    try:
        parsed = _decode_json(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadAnswer(malformed("an answer that is not JSON")) from error
    if not isinstance(parsed, dict):
        raise BadAnswer(malformed("an answer that is not an object"))
    if parsed.get("error"):
        error_object = parsed["error"] if isinstance(parsed["error"], dict) else {"message": str(parsed["error"])}
        raise BadAnswer(make_fault(error_object, status=200))
    choices = parsed.get("choices")
    if not isinstance(choices, list) or not {dict}.issuperset(map(type, choices)):
        raise BadAnswer(malformed("an answer without choices"))
    chars = _plain_chars(choices)
    if chars:
        clean, last = choices, choices[0]
    else:
        clean = [_clean_choice(choice, place) for place, choice in enumerate(choices)]
        chars = sum([text_chars(choice["message"]) for choice in clean])
        last = next((choice for choice in reversed(clean) if choice["finish_reason"] != "error"), clean[-1] if clean else {})
    created = parsed.get("created")
    upstream_id, model, usage = parsed.pop("id", None), parsed.pop("model", None), parsed.pop("usage", None)
    parsed.pop("provider", None)
    parsed["object"] = "chat.completion"
    parsed["created"] = created if isinstance(created, int) else int(time.time())
    parsed.setdefault("system_fingerprint", None)
    parsed["choices"] = clean
    tier = parsed.get("service_tier")
    return Answer(
        body=parsed,
        usage=usage_from_chat(usage),
        finish_reason=last.get("finish_reason"),
        native_finish_reason=last.get("native_finish_reason"),
        upstream_id=upstream_id if isinstance(upstream_id, str) else "",
        served_model=model if isinstance(model, str) else "",
        service_tier=tier if isinstance(tier, str) else "",
        output_seen=chars > 0 or any(_has_media(choice["message"]) for choice in clean),
        output_chars=chars,
    )


def _plain_chars(choices: list[Json]) -> int:
    """Bring the one choice of nearly every answer, words and nothing else, into its form and return how many characters it has.

    Returns 0 for anything else, which is left as it is.
    """
    if len(choices) != 1:
        return 0
    choice = choices[0]
    message = choice.get("message")
    native = choice.get("finish_reason")
    if (
        message.__class__ is not dict
        or not message.keys() <= _PLAIN_MESSAGE
        or (words := message.get("content")).__class__ is not str
        or message.get("refusal")
        or choice.get("index") != 0
        or native not in _PLAIN_ENDS
    ):
        return 0
    message["role"] = "assistant"
    choice["native_finish_reason"] = native
    choice.setdefault("logprobs", None)
    return len(words)


def _clean_choice(choice: Json, place: int) -> Json:
    message = choice.get("message")
    message = message if isinstance(message, dict) else {}
    message["role"] = "assistant"
    message.setdefault("content", None)
    _clean_reasoning(message)
    calls = message.get("tool_calls")
    if isinstance(calls, list) and calls:
        message["tool_calls"] = [_clean_call(call) for call in calls if isinstance(call, dict)]
    elif calls is not None:
        del message["tool_calls"]  # some hosts send null or [], which strict clients take for calls
    native = choice.get("finish_reason")
    choice["message"] = message
    choice["index"] = choice["index"] if isinstance(choice.get("index"), int) else place
    choice["finish_reason"] = finish_reason(native)
    choice["native_finish_reason"] = native if isinstance(native, str) else None
    choice.setdefault("logprobs", None)
    return choice


def _clean_call(call: Json) -> Json:
    known = {name: value for name, value in call.items() if name != "index"}
    known["id"] = call["id"] if isinstance(call.get("id"), str) and call["id"] else new_call_id()
    custom, function = call.get("custom"), call.get("function")
    if isinstance(custom, dict):
        text = {"name": str(custom.get("name") or ""), "input": arguments_text(custom.get("input"))}
        return {**known, "type": "custom", "custom": {**custom, **text}}
    function = function if isinstance(function, dict) else {}
    return {
        **known,
        "type": call["type"] if isinstance(call.get("type"), str) else "function",
        "function": {**function, "name": str(function.get("name") or ""), "arguments": arguments_text(function.get("arguments")) or "{}"},
    }


def _plain_words(choices: list[Any]) -> str:
    """Return the words of one choice that has nothing else to say, as nearly every chunk of a stream; '' otherwise."""
    choice = choices[0]
    if len(choices) != 1 or choice.__class__ is not dict or choice.get("finish_reason") or choice.get("index").__class__ is not int:
        return ""
    delta = choice.get("delta")
    if delta.__class__ is not dict or not (len(delta) == 1 or (len(delta) == 2 and "role" in delta)):  # noqa: PLR2004 -- words and role
        return ""
    words: Any = delta.get("content")
    return words if words.__class__ is str else ""


@mypyc_attr(native_class=False)
class ChatStreamDecoder(StreamDecoder):
    """Streams of OpenAI and its many imitators."""

    __slots__ = ("_repeated", "_tools")

    def __init__(self) -> None:
        super().__init__()
        self._repeated = RepeatedChunk()
        self._tools: dict[int, ToolDeltas] = {}

    def decode(self, event: SseEvent) -> list[Json]:
        """Return the chunk of ``event``, or nothing for end marks, usage reports and pieces that say nothing."""
        if not event.event and (words := self._repeated.read(event.data)):
            self.output_chars += len(words)
            return [self._repeated.chunk_with(words)]
        try:
            chunk = _decode_json(event.data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            if event.data.strip() == DONE_DATA:  # which is no JSON either, and comes once
                self.done = True
            else:
                self.fault = malformed("a chunk that is not JSON")
            return []
        if chunk.__class__ is not dict:
            self.fault = malformed("a chunk that is not an object")
            return []
        if chunk.get("error") or event.event == "error":
            error = chunk.get("error", chunk)
            self.fault = make_fault(error if isinstance(error, dict) else {"message": str(error)}, status=200)
            return []
        return self._chunk(chunk, event)

    def _take_head(self, chunk: Json) -> bool:
        """Take out of a chunk who answers; says whether it reported usage."""
        pop = chunk.pop
        upstream_id, model, usage = pop("id", None), pop("model", None), pop("usage", None)
        if "provider" in chunk:
            del chunk["provider"]
        if not self.upstream_id and upstream_id.__class__ is str:
            self.upstream_id = upstream_id
        if not self.served_model and model.__class__ is str:
            self.served_model = model
        if "service_tier" in chunk and chunk["service_tier"].__class__ is str:
            self.service_tier = chunk["service_tier"]
        if usage is not None:
            self._report(usage_from_chat(usage))
        return usage is not None

    def _chunk(self, chunk: Json, event: SseEvent) -> list[Json]:
        has_usage = self._take_head(chunk)
        choices = chunk.get("choices")
        if not choices or choices.__class__ is not list:
            return []
        if words := _plain_words(choices):
            choices[0]["finish_reason"] = choices[0]["native_finish_reason"] = None
            self.output_chars += len(words)
            self.output_seen = True
        elif not self._clean_choices(choices, has_usage=has_usage):
            return []
        created = chunk.get("created")
        if created.__class__ is int:
            self.created_s = created
        else:
            self.created_s = self.created_s or int(time.time())
            chunk["created"] = self.created_s
        chunk["object"] = "chat.completion.chunk"
        if words and not has_usage and not event.event:
            self._repeated.learn(event.data, chunk)
        return [chunk]

    def _clean_choices(self, choices: list[Any], *, has_usage: bool) -> bool:
        """Clean choices in place; says whether they are to be told: not if they are malformed, or a report of usage dressed as a chunk."""
        says_something = False
        for place, choice in enumerate(choices):
            if choice.__class__ is not dict:
                self.fault = malformed("a chunk whose choices are not objects")
                return False
            says_something |= self._clean_choice(choice, place)
        return says_something or not has_usage

    def _clean_choice(self, choice: Json, place: int) -> bool:
        """Clean one choice in place; says whether it carries anything."""
        delta = choice.get("delta")
        if delta.__class__ is not dict:
            delta = choice["delta"] = {}
        index = choice.get("index")
        if index.__class__ is not int:
            index = choice["index"] = place
        native = choice.get("finish_reason")
        if native:
            choice["finish_reason"] = finish_reason(native)
            choice["native_finish_reason"] = native if isinstance(native, str) else None
            self._note_end(choice["finish_reason"], choice["native_finish_reason"])
        else:
            choice["finish_reason"] = choice["native_finish_reason"] = None
        if "reasoning_content" in delta or "reasoning" in delta or "thinking_blocks" in delta or delta.get("content").__class__ is list:
            _clean_reasoning(delta)
        calls = delta.get("tool_calls")
        if calls:
            self._clean_calls(delta, calls, index)
        elif calls is not None:
            del delta["tool_calls"]
        chars = text_chars(delta)
        if chars:
            self.output_chars += chars
            self.output_seen = True
        elif _has_media(delta):
            self.output_seen = True
        elif not native and not delta.get("reasoning_details"):
            return bool(delta.get("role"))
        return True

    def _clean_calls(self, delta: Json, calls: Any, index: int) -> None:
        tools = self._tools.get(index)
        if tools is None:
            tools = self._tools[index] = ToolDeltas()
        clean = [found for call in (calls if isinstance(calls, list) else ()) if (found := tools.normalise(call)) is not None]
        if clean:
            delta["tool_calls"] = clean
        else:
            del delta["tool_calls"]
