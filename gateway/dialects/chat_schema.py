"""The shape of a Chat Completions request, checked at C speed, and errors that name the field. Unknown fields are left alone. Pure."""

import re
from typing import Annotated, Any, Literal, NoReturn

import msgspec

from gateway.dialects.base import ChatRequest, InvalidRequest, Json
from gateway.dialects.chat_tools import Tool, ToolCall, check_calls, check_choice, check_tools
from gateway.dialects.custom_tools import stand_in_bytes

_Name = Annotated[str, msgspec.Meta(max_length=256)]
_Unit = Annotated[float, msgspec.Meta(ge=0, le=1)] | None
_Penalty = Annotated[float, msgspec.Meta(ge=-2, le=2)] | None
_Count = Annotated[int, msgspec.Meta(ge=1)] | None
Effort = Literal["max", "xhigh", "high", "medium", "low", "minimal", "none"]


class TextPart(msgspec.Struct, tag_field="type", tag="text"):
    """Words."""

    text: str
    cache_control: Json | None = None


class RefusalPart(msgspec.Struct, tag_field="type", tag="refusal"):
    """What an assistant said when it declined."""

    refusal: str


class _ImageUrl(msgspec.Struct):
    url: Annotated[str, msgspec.Meta(min_length=1)]
    detail: Literal["auto", "low", "high", "original"] | None = None


class ImagePart(msgspec.Struct, tag_field="type", tag="image_url"):
    """A picture by address or as a data URL."""

    image_url: _ImageUrl


class _InputAudio(msgspec.Struct):
    data: str
    format: str


class AudioPart(msgspec.Struct, tag_field="type", tag="input_audio"):
    """Sound in base64."""

    input_audio: _InputAudio


class _VideoUrl(msgspec.Struct):
    url: Annotated[str, msgspec.Meta(min_length=1)]


class VideoPart(msgspec.Struct, tag_field="type", tag="video_url"):
    """A film by address or as a data URL."""

    video_url: _VideoUrl


class LegacyVideoPart(msgspec.Struct, tag_field="type", tag="input_video"):
    """The older spelling of the same."""

    video_url: _VideoUrl


class _File(msgspec.Struct):
    file_data: str | None = None
    file_id: str | None = None
    filename: str | None = None


class FilePart(msgspec.Struct, tag_field="type", tag="file"):
    """A document by address, id, or as a data URL."""

    file: _File


Part = TextPart | RefusalPart | ImagePart | AudioPart | VideoPart | LegacyVideoPart | FilePart


class SystemMessage(msgspec.Struct, tag_field="role", tag="system"):
    """Standing orders."""

    content: str | list[Part]
    name: str | None = None


class DeveloperMessage(msgspec.Struct, tag_field="role", tag="developer"):
    """Standing orders, by OpenAI's newer name."""

    content: str | list[Part]
    name: str | None = None


class UserMessage(msgspec.Struct, tag_field="role", tag="user"):
    """What the person said."""

    content: str | list[Part]
    name: str | None = None


class AssistantMessage(msgspec.Struct, tag_field="role", tag="assistant"):
    """What the model said in an earlier turn; as the last message it is to be continued."""

    content: str | list[Part] | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    reasoning_details: list[Json] | None = None
    refusal: str | None = None


class ToolMessage(msgspec.Struct, tag_field="role", tag="tool"):
    """What a tool answered."""

    content: str | list[Part]
    tool_call_id: str


Message = SystemMessage | DeveloperMessage | UserMessage | AssistantMessage | ToolMessage


class _JsonSchema(msgspec.Struct):
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    schema: Json | None = None
    strict: bool | None = None
    description: str | None = None


class _ResponseFormat(msgspec.Struct):
    type: Literal["text", "json_object", "json_schema", "grammar", "python"]
    json_schema: _JsonSchema | None = None


class _Reasoning(msgspec.Struct):
    effort: Effort | None = None
    max_tokens: Annotated[int, msgspec.Meta(ge=0)] | None = None
    exclude: bool | None = None
    enabled: bool | None = None


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class ChatBody(msgspec.Struct):
    """Every field whose type or range is known; all others pass through unread."""

    messages: Annotated[list[Message], msgspec.Meta(min_length=1)]
    model: Annotated[str, msgspec.Meta(min_length=1, max_length=256)] | None = None
    models: list[_Name] | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: _Count = None
    max_completion_tokens: _Count = None
    n: Annotated[int, msgspec.Meta(ge=1, le=128)] | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    top_p: _Unit = None
    min_p: _Unit = None
    top_a: _Unit = None
    top_k: Annotated[int, msgspec.Meta(ge=0)] | None = None
    frequency_penalty: _Penalty = None
    presence_penalty: _Penalty = None
    repetition_penalty: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    seed: int | None = None
    stop: str | Annotated[list[str], msgspec.Meta(max_length=4)] | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, msgspec.Meta(ge=0, le=20)] | None = None
    tools: list[Tool] | None = None
    tool_choice: str | Json | None = None
    parallel_tool_calls: bool | None = None
    response_format: _ResponseFormat | None = None
    reasoning: _Reasoning | None = None
    reasoning_effort: Effort | None = None
    include_reasoning: bool | None = None
    modalities: list[Literal["text", "image", "audio"]] | None = None
    prediction: Json | None = None
    provider: Json | None = None
    plugins: list[Json] | None = None
    service_tier: Literal["auto", "default", "fast", "flex", "priority", "scale"] | None = None
    user: str | None = None
    session_id: Annotated[str, msgspec.Meta(max_length=256)] | None = None
    metadata: Annotated[
        dict[Annotated[str, msgspec.Meta(max_length=64)], Annotated[str, msgspec.Meta(max_length=512)]], msgspec.Meta(max_length=16)
    ] | None = None  # fmt: skip
    prompt_cache_key: str | None = None
    cache_control: Json | None = None


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
