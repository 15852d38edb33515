"""The shape of an OpenAI Responses request, checked at C speed. Unknown fields are left alone. Pure."""

from collections import Counter
from typing import Annotated, Any, Literal

import msgspec

from gateway.dialects.base import InvalidRequest, Json
from gateway.dialects.chat_checks import explain
from gateway.dialects.chat_schema import Effort
from gateway.dialects.chat_tools import check_tool_count

_NotEmpty = Annotated[str, msgspec.Meta(min_length=1)]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
_Penalty = Annotated[float, msgspec.Meta(ge=-2, le=2)] | None


class InputText(msgspec.Struct, tag_field="type", tag="input_text"):
    """Words of a person."""

    text: str


class PlainText(msgspec.Struct, tag_field="type", tag="text"):
    """Words, by the name of Chat Completions."""

    text: str


class OutputText(msgspec.Struct, tag_field="type", tag="output_text"):
    """Words of the model in an earlier turn."""

    text: str


class Refusal(msgspec.Struct, tag_field="type", tag="refusal"):
    """What the model said when it declined."""

    refusal: str


class InputImage(msgspec.Struct, tag_field="type", tag="input_image"):
    """A picture by address or as a data URL."""

    image_url: _NotEmpty | None = None
    file_id: str | None = None
    detail: Literal["auto", "low", "high", "original"] | None = None


class InputFile(msgspec.Struct, tag_field="type", tag="input_file"):
    """A document by address, id, or as a data URL."""

    file_data: str | None = None
    file_url: str | None = None
    file_id: str | None = None
    filename: str | None = None


class _Audio(msgspec.Struct):
    data: str
    format: str


class InputAudio(msgspec.Struct, tag_field="type", tag="input_audio"):
    """Sound in base64."""

    input_audio: _Audio


class InputVideo(msgspec.Struct, tag_field="type", tag="input_video"):
    """A film by address or as a data URL."""

    video_url: _NotEmpty


Content = str | list[InputText | PlainText | OutputText | Refusal | InputImage | InputFile | InputAudio | InputVideo]


class MessageItem(msgspec.Struct):
    """One message of the conversation."""

    role: Literal["user", "system", "developer", "assistant"]
    content: Content | None = None


class FunctionCallItem(msgspec.Struct):
    """A call that the model made."""

    call_id: _NotEmpty
    name: str
    arguments: str


class FunctionOutputItem(msgspec.Struct):
    """What the function answered."""

    call_id: _NotEmpty
    output: Content


class CustomCallItem(msgspec.Struct):
    """A call with free text that the model made."""

    call_id: _NotEmpty
    name: str
    input: str


class _Thought(msgspec.Struct):
    text: str


class ReasoningItem(msgspec.Struct):
    """Thoughts of an earlier turn."""

    summary: list[_Thought] | None = None
    content: list[_Thought] | None = None
    encrypted_content: str | None = None


Item = MessageItem | FunctionCallItem | CustomCallItem | FunctionOutputItem | ReasoningItem
_ITEMS: dict[str, type[Item]] = {
    "message": MessageItem,
    "function_call": FunctionCallItem,
    "function_call_output": FunctionOutputItem,
    "custom_tool_call": CustomCallItem,
    "custom_tool_call_output": FunctionOutputItem,
    "reasoning": ReasoningItem,
}


class CustomFormat(msgspec.Struct):
    """What the text of a custom tool must be."""

    type: Literal["text", "grammar"]
    syntax: Literal["lark", "regex"] | None = None
    definition: str | None = None


class Tool(msgspec.Struct):
    """A function, or a custom tool, whose calls are free text."""

    type: str
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=128)] | None = None
    description: str | None = None
    parameters: Json | None = None
    strict: bool | None = None
    format: CustomFormat | None = None


class Format(msgspec.Struct):
    """What the answer's text must be."""

    type: Literal["text", "json_object", "json_schema"]
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] | None = None
    schema: Json | None = None
    strict: bool | None = None
    description: str | None = None


class _Text(msgspec.Struct):
    format: Format | None = None
    verbosity: str | None = None


class _Reasoning(msgspec.Struct):
    effort: Effort | None = None
    summary: str | None = None
    enabled: bool | None = None
    max_tokens: Annotated[int, msgspec.Meta(ge=0)] | None = None
    exclude: bool | None = None


class ResponsesBody(msgspec.Struct):
    """Every field whose type or range is known; all others pass through unread."""

    input: str | Annotated[list[Json], msgspec.Meta(min_length=1)]
    model: _Name | None = None
    models: list[_Name] | None = None
    instructions: str | None = None
    stream: bool | None = None
    max_output_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    top_k: Annotated[int, msgspec.Meta(ge=0)] | None = None
    frequency_penalty: _Penalty = None
    presence_penalty: _Penalty = None
    top_logprobs: Annotated[int, msgspec.Meta(ge=0, le=20)] | None = None
    include: list[str] | None = None
    truncation: Literal["auto", "disabled"] | None = None
    max_tool_calls: Annotated[int, msgspec.Meta(ge=1)] | None = None
    tools: list[Tool] | None = None
    tool_choice: str | Json | None = None
    parallel_tool_calls: bool | None = None
    text: _Text | None = None
    reasoning: _Reasoning | None = None
    include_reasoning: bool | None = None
    store: bool | None = None
    background: bool | None = None
    previous_response_id: str | None = None
    conversation: Any = None
    prompt: Json | None = None
    provider: Json | None = None
    plugins: list[Json] | None = None
    service_tier: Literal["auto", "default", "fast", "flex", "priority", "scale"] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    session_id: Annotated[str, msgspec.Meta(max_length=256)] | None = None
    metadata: dict[str, str] | None = None


_CHOICES: dict[str, str] = {
    "role": "user, system, developer, assistant",
    "content.type": "input_text, output_text, refusal, input_image, input_file, input_audio, input_video",
    "output.type": "input_text, input_image, input_file",
    "text.format.type": "text, json_object, json_schema",
    "format.type": "text, grammar",
    "format.syntax": "lark, regex",
    "detail": "auto, low, high, original",
    "truncation": "auto, disabled",
    "effort": "max, xhigh, high, medium, low, minimal, none",
    "service_tier": "auto, default, fast, flex, priority, scale",
}
_STATELESS = "Nothing is stored here: send the whole conversation in input."


def check_responses(body: Any) -> ResponsesBody:
    """Return ``body`` typed. Raises: InvalidRequest that names the field and what it must be."""
    try:
        typed = msgspec.convert(body, ResponsesBody)
    except msgspec.ValidationError as error:
        explain(str(error), _CHOICES)
    for name in ("store", "previous_response_id", "background", "conversation", "prompt"):
        if getattr(typed, name):
            raise InvalidRequest(f"{name} is not supported. {_STATELESS}", name)
    if typed.tools:
        _check_tools(typed.tools)
    form = typed.text.format if typed.text else None
    if form is not None and form.type == "json_schema" and (form.schema is None or form.name is None):
        param = f"text.format.{'schema' if form.schema is None else 'name'}"
        raise InvalidRequest(f"{param} is required when the format's type is json_schema.", param)
    return typed


def _check_tools(tools: list[Tool]) -> None:
    check_tool_count(tools)
    taken = Counter(tool.name for tool in tools)
    for index, tool in enumerate(tools):
        if tool.type not in ("function", "custom"):
            param = f"tools[{index}].type"
            raise InvalidRequest(f"{param}: only function and custom tools are supported here, not {tool.type}.", param)
        if tool.name is None:
            param = f"tools[{index}].name"
            raise InvalidRequest(f"{param} is required.", param)
        if tool.type == "custom":
            _check_custom(tool, index, taken)


def _check_custom(tool: Tool, index: int, taken: Counter[str | None]) -> None:
    """``taken`` counts the tools of each name."""
    form = tool.format
    if form is not None and form.type == "grammar" and (form.syntax is None or form.definition is None):
        param = f"tools[{index}].format.{'syntax' if form.syntax is None else 'definition'}"
        raise InvalidRequest(f"{param} is required when the format's type is grammar.", param)
    if taken[tool.name] > 1:
        param = f"tools[{index}].name"
        raise InvalidRequest(f"{param}: another tool is called {tool.name} too.", param)


def check_item(item: Json, index: int) -> Item:
    """Return one item of the input typed; one without a type is a message. Raises: InvalidRequest."""
    kind = item.get("type") or "message"
    shape = _ITEMS.get(kind) if isinstance(kind, str) else None
    if shape is None:
        param = f"input[{index}].type"
        hint = _STATELESS if kind == "item_reference" else f"It must be one of {', '.join(_ITEMS)}."
        raise InvalidRequest(f"{param}: items of type {kind} are not supported. {hint}", param)
    try:
        return msgspec.convert(item, shape)
    except msgspec.ValidationError as error:
        text = str(error)
        here = f"$.input[{index}]"
        explain(text.replace("- at `$", f"- at `{here}", 1) if "- at `$" in text else f"{text} - at `{here}`", _CHOICES)
