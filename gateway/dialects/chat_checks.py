"""What a Chat Completions request must be, errors that name the field, and how much of it a model reads. Pure."""

import re
from typing import Any, NoReturn

import msgspec

from gateway.dialects.base import ChatRequest, InvalidRequest
from gateway.dialects.chat_schema import (
    AssistantMessage,
    AudioPart,
    ChatBody,
    FilePart,
    ImagePart,
    LegacyVideoPart,
    Part,
    TextPart,
    ToolMessage,
    VideoPart,
)
from gateway.dialects.chat_tools import check_calls, check_choice, check_tools
from gateway.dialects.custom_tools import stand_in_bytes

# Beside the messages, what a model reads of a request.
_READ_AS_JSON = frozenset({"tools", "response_format", "prediction"})
_CHOICES: dict[str, str] = {
    "role": "system, developer, user, assistant, tool",
    "content.type": "text, image_url, input_audio, video_url, file",
    "response_format.type": "text, json_object, json_schema, grammar, python",
    "format.type": "text, grammar",
    "syntax": "lark, regex",
    "detail": "auto, low, high, original",
    "effort": "max, xhigh, high, medium, low, minimal, none",
    "reasoning_effort": "max, xhigh, high, medium, low, minimal, none",
    "modalities": "text, image, audio",
    "service_tier": "auto, default, fast, flex, priority, scale",
}
_KINDS = {"str": "a string", "int": "an integer", "float": "a number", "bool": "a boolean", "array": "an array", "object": "an object"}
_INDEX = re.compile(r"\[[^\]]*\]")
_MISSING = re.compile(r"Object missing required field `(.+?)`")
_WRONG_TYPE = re.compile(r"Expected `(.+?)`, got `(.+?)`")
_LENGTH = re.compile(r"Expected `(array|str|object)` of length (>=|<=) (\d+)")
_RANGE = re.compile(r"Expected `(?:int|float)` (>=|<=) ([-\d.]+)")
_INVALID = re.compile(r"Invalid (?:enum )?value (.+)")
_UNITS = {"array": "items", "str": "characters", "object": "entries"}


def check_body(body: Any) -> ChatBody:
    """Return ``body`` typed. Raises: InvalidRequest that names the field and what it must be."""
    try:
        typed = msgspec.convert(body, ChatBody)
    except msgspec.ValidationError as error:
        explain(str(error), _CHOICES)
    _check_together(typed)
    return typed


def _check_together(typed: ChatBody) -> None:
    """Check what one field alone does not show."""
    if typed.tools:
        check_tools(typed.tools)
    for index, message in enumerate(typed.messages):
        if message.__class__ is AssistantMessage and message.tool_calls:
            check_calls(message.tool_calls, f"messages[{index}]")
    if typed.tool_choice is not None:
        check_choice(typed.tool_choice, typed.tools or [])
    form = typed.response_format
    if form is not None and form.type == "json_schema" and form.json_schema is None:
        raise InvalidRequest("response_format.json_schema is required when its type is json_schema.", "response_format.json_schema")
    if typed.top_logprobs is not None and not typed.logprobs:
        raise InvalidRequest("top_logprobs needs logprobs to be true.", "top_logprobs")
    effort = typed.reasoning.effort if typed.reasoning else None
    if effort and typed.reasoning_effort and effort != typed.reasoning_effort:
        raise InvalidRequest("reasoning_effort and reasoning.effort differ; send one of them.", "reasoning_effort")


def explain(text: str, choices_of: dict[str, str]) -> NoReturn:
    """Turn msgspec's words into a sentence about a field. ``choices_of`` maps ends of paths to the words that are allowed there."""
    what, _, path = text.partition(" - at `")
    param = path.rstrip("`").removeprefix("$").removeprefix(".").replace("[...]", "")
    if match := _MISSING.search(what):
        param = f"{param}.{match[1]}" if param else match[1]
        raise InvalidRequest(f"{param} is required.", param)
    name = param or "The body"
    if match := _WRONG_TYPE.search(what):
        wanted = " or ".join(_KINDS.get(kind, kind) for kind in match[1].split(" | "))
        raise InvalidRequest(f"{name} must be {wanted}, not {_KINDS.get(match[2], match[2])}.", param)
    if match := _LENGTH.search(what):
        bound = "at least" if match[2] == ">=" else "at most"
        raise InvalidRequest(f"{name} must have {bound} {match[3]} {_UNITS[match[1]]}.", param)
    if match := _RANGE.search(what):
        bound = "at least" if match[1] == ">=" else "at most"
        raise InvalidRequest(f"{name} must be {bound} {match[2].removesuffix('.0')}.", param)
    if match := _INVALID.search(what):
        plain = _INDEX.sub("", param)
        choices = next((words for end, words in choices_of.items() if plain == end or plain.endswith(f".{end}")), None)
        if choices:
            raise InvalidRequest(f"{name} must be one of {choices}, not {match[1][:80]}.", param)
    raise InvalidRequest(f"{name}: {what}.", param)


def measure(request: ChatRequest, typed: ChatBody) -> None:
    """Fill in the counts of ``request``: bytes of text, and parts that are not text."""
    total = 0
    for message in typed.messages:
        content = message.content
        if content.__class__ is str:
            total += len(content) if content.isascii() else len(content.encode())
        elif content is not None:
            for part in content:
                total += _measure_part(request, part)  # type: ignore[arg-type]
        if isinstance(message, AssistantMessage):
            total += _assistant_extra_bytes(request, message)
        elif not isinstance(message, ToolMessage) and message.name:
            total += _size(message.name)
    body = request.body
    if not _READ_AS_JSON.isdisjoint(body):
        total += sum(len(msgspec.json.encode(body[name])) for name in _READ_AS_JSON if body.get(name))
    if request.custom_tools:
        request.stand_in_bytes = stand_in_bytes(body["tools"])
    request.prompt_bytes = total
    request.message_count = len(typed.messages)
    request.is_text = not (request.image_parts or request.audio_parts or request.video_parts or request.file_parts)


def _measure_part(request: ChatRequest, part: Part) -> int:
    """Count one part; returns its bytes of text."""
    if isinstance(part, TextPart):
        return _size(part.text)
    if isinstance(part, ImagePart):
        request.image_parts += 1
        request.media_bytes += _inline_chars(part.image_url.url)
    elif isinstance(part, AudioPart):
        request.audio_parts += 1
        request.media_bytes += len(part.input_audio.data)
    elif isinstance(part, VideoPart | LegacyVideoPart):
        request.video_parts += 1
        request.media_bytes += _inline_chars(part.video_url.url)
    elif isinstance(part, FilePart):
        request.file_parts += 1
        request.media_bytes += len(part.file.file_data or "")
    else:
        return _size(part.refusal)
    return 0


def _assistant_extra_bytes(request: ChatRequest, message: AssistantMessage) -> int:
    total = _size(message.reasoning or message.reasoning_content or "") + _size(message.refusal or "")
    if message.reasoning_details:
        total += len(msgspec.json.encode(message.reasoning_details))
    for call in message.tool_calls or ():
        if call.function is not None:
            total += _size(call.function.name) + _size(call.function.arguments)
        elif call.custom is not None:
            request.has_custom = True
            total += _size(call.custom.name) + len(msgspec.json.encode(call.custom))  # as a stand-in has it, escapes included
    return total


def _inline_chars(url: str) -> int:
    return len(url) if url.startswith("data:") else 0


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
