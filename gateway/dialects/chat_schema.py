"""The shape of a Chat Completions request, checked at C speed. Unknown fields are left alone. Pure."""

from typing import Annotated, Literal

import msgspec

from gateway.dialects.base import Json
from gateway.dialects.chat_tools import Tool, ToolCall

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
