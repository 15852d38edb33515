"""The shape of an Anthropic Messages request, checked at C speed. Unknown fields are left alone. Pure."""

from typing import Annotated, Any, Literal

import msgspec

from gateway.dialects.base import InvalidRequest, Json
from gateway.dialects.chat_checks import explain
from gateway.dialects.chat_tools import check_tool_count

_NotEmpty = Annotated[str, msgspec.Meta(min_length=1)]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class TextBlock(msgspec.Struct, tag_field="type", tag="text"):
    """Words."""

    text: str
    cache_control: Json | None = None


class Base64Source(msgspec.Struct, tag_field="type", tag="base64"):
    """Media inside the request."""

    media_type: str
    data: str


class UrlSource(msgspec.Struct, tag_field="type", tag="url"):
    """Media by address."""

    url: _NotEmpty


class TextSource(msgspec.Struct, tag_field="type", tag="text"):
    """A document of plain text."""

    data: str


class ImageBlock(msgspec.Struct, tag_field="type", tag="image"):
    """A picture."""

    source: Base64Source | UrlSource
    cache_control: Json | None = None


class ContentSource(msgspec.Struct, tag_field="type", tag="content"):
    """A document of blocks."""

    content: str | list[TextBlock | ImageBlock]


class DocumentBlock(msgspec.Struct, tag_field="type", tag="document"):
    """A document."""

    source: Base64Source | UrlSource | TextSource | ContentSource
    title: str | None = None
    context: str | None = None
    cache_control: Json | None = None


class SearchResultBlock(msgspec.Struct, tag_field="type", tag="search_result"):
    """Something found, to be cited."""

    source: str
    title: str
    content: list[TextBlock]
    cache_control: Json | None = None


class ToolUseBlock(msgspec.Struct, tag_field="type", tag="tool_use"):
    """A call that the model made in an earlier turn."""

    id: str
    name: str
    input: Json = {}
    cache_control: Json | None = None


class ThinkingBlock(msgspec.Struct, tag_field="type", tag="thinking"):
    """Thoughts of an earlier turn. An empty signature is one of a provider that signs nothing."""

    thinking: str
    signature: str = ""


class RedactedThinkingBlock(msgspec.Struct, tag_field="type", tag="redacted_thinking"):
    """Thoughts that only their provider can read."""

    data: str


_OPAQUE_TAGS = (
    "server_tool_use", "web_search_tool_result", "web_fetch_tool_result", "code_execution_tool_result", "bash_code_execution_tool_result",
    "text_editor_code_execution_tool_result", "tool_search_tool_result", "mcp_tool_use", "mcp_tool_result", "compaction",
    "tool_reference", "advisor_tool_result", "tool_addition", "tool_removal",
)  # fmt: skip


class OpaqueBlock(msgspec.Struct):
    """Base of blocks that mean something to Anthropic's own tools alone."""


_OPAQUE: Any = tuple(
    msgspec.defstruct(f"Opaque{tag.title().replace('_', '')}", [], bases=(OpaqueBlock,), tag_field="type", tag=tag) for tag in _OPAQUE_TAGS
)
_INNER: Any = TextBlock | ImageBlock | DocumentBlock | SearchResultBlock
for _one in _OPAQUE:
    _INNER = _INNER | _one


class ToolResultBlock(msgspec.Struct, tag_field="type", tag="tool_result"):
    """What a tool answered."""

    tool_use_id: str
    content: str | list[_INNER] | None = None
    is_error: bool | None = None
    cache_control: Json | None = None


_BLOCK: Any = _INNER | ToolUseBlock | ToolResultBlock | ThinkingBlock | RedactedThinkingBlock


class Turn(msgspec.Struct):
    """One message."""

    role: Literal["user", "assistant", "system"]
    content: str | list[_BLOCK]


class Tool(msgspec.Struct):
    """A tool of the client's; those with a ``type`` other than custom are Anthropic's own."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=128)] | None = None
    type: str | None = None
    description: str | None = None
    input_schema: Json | None = None
    strict: bool | None = None
    cache_control: Json | None = None


class _Auto(msgspec.Struct, tag_field="type", tag="auto"):
    disable_parallel_tool_use: bool | None = None


class _Any(msgspec.Struct, tag_field="type", tag="any"):
    disable_parallel_tool_use: bool | None = None


class _None(msgspec.Struct, tag_field="type", tag="none"):
    disable_parallel_tool_use: bool | None = None


class NamedTool(msgspec.Struct, tag_field="type", tag="tool"):
    """The tool that must be called."""

    name: str
    disable_parallel_tool_use: bool | None = None


class ThinkingOn(msgspec.Struct, tag_field="type", tag="enabled"):
    """Think, within a budget."""

    budget_tokens: Annotated[int, msgspec.Meta(ge=1)]
    display: str | None = None


class ThinkingOff(msgspec.Struct, tag_field="type", tag="disabled"):
    """Do not think."""


class ThinkingAdaptive(msgspec.Struct, tag_field="type", tag="adaptive"):
    """Think as much as it takes."""

    display: str | None = None


class _Format(msgspec.Struct, tag_field="type", tag="json_schema"):
    schema: Json


class _OutputConfig(msgspec.Struct):
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: _Format | None = None


class _Reasoning(msgspec.Struct):
    """Not Anthropic's: how clients of all formats ask not to see thoughts."""

    exclude: bool | None = None


class _ContextManagement(msgspec.Struct):
    edits: list[Json] | None = None


class _Metadata(msgspec.Struct):
    user_id: str | None = None


class _Fallback(msgspec.Struct):
    model: _Name


class MessagesBody(msgspec.Struct):
    """Every field whose type or range is known; all others pass through unread."""

    messages: Annotated[list[Turn], msgspec.Meta(min_length=1)]
    model: _Name | None = None
    max_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None
    system: str | list[TextBlock] | None = None
    stream: bool | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    top_k: Annotated[int, msgspec.Meta(ge=0)] | None = None
    stop_sequences: list[str] | None = None
    tools: list[Tool] | None = None
    tool_choice: _Auto | _Any | _None | NamedTool | None = None
    thinking: ThinkingOn | ThinkingOff | ThinkingAdaptive | None = None
    output_config: _OutputConfig | None = None
    reasoning: _Reasoning | None = None
    include_reasoning: bool | None = None
    context_management: _ContextManagement | None = None
    metadata: _Metadata | None = None
    service_tier: str | None = None
    speed: Literal["fast", "standard"] | None = None
    cache_control: Json | None = None
    models: list[_Name] | None = None
    fallbacks: list[_Fallback] | None = None
    provider: Json | None = None
    plugins: list[Json] | None = None
    session_id: Annotated[str, msgspec.Meta(max_length=256)] | None = None


_CHOICES: dict[str, str] = {
    "role": "user, assistant, system",
    "content.type": "text, image, document, search_result, tool_use, tool_result, thinking, redacted_thinking",
    "source.type": "base64, url, text, content (files are sent inline)",
    "tool_choice.type": "auto, any, none, tool",
    "thinking.type": "enabled, disabled, adaptive",
    "output_config.effort": "low, medium, high, xhigh, max",
    "format.type": "json_schema",
    "speed": "fast, standard",
}


# Tools of Anthropic's making that the client's own code runs. Those that Anthropic runs cannot be bounded in price.
_CLIENT_RUN = ("bash_", "text_editor_", "computer_", "memory_")
_PROVIDER_RUN = ("mcp_servers", "container")
_NOT_OFFERED = "is run or kept by the provider and is not offered; use tools that your own code answers, and send files inline."


def check_messages(body: Any) -> MessagesBody:
    """Return ``body`` typed. Raises: InvalidRequest that names the field and what it must be."""
    try:
        typed = msgspec.convert(body, MessagesBody)
    except msgspec.ValidationError as error:
        explain(str(error), _CHOICES)
    for name in _PROVIDER_RUN:
        if body.get(name):
            raise InvalidRequest(f"{name} {_NOT_OFFERED}", name)
    edits = typed.context_management.edits if typed.context_management else None
    if any(str(edit.get("type")).startswith("compact") for edit in edits or ()):
        param = "context_management.edits"
        raise InvalidRequest(f"{param}: compaction {_NOT_OFFERED}", param)
    check_tool_count(typed.tools or ())
    for index, tool in enumerate(typed.tools or ()):
        if tool.type not in (None, "custom") and not tool.type.startswith(_CLIENT_RUN):
            param = f"tools[{index}].type"
            raise InvalidRequest(f"{param}: {tool.type} {_NOT_OFFERED}", param)
        if tool.type in (None, "custom") and (tool.name is None or tool.input_schema is None):
            param = f"tools[{index}].{'name' if tool.name is None else 'input_schema'}"
            raise InvalidRequest(f"{param} is required.", param)
    if typed.tool_choice is not None and not isinstance(typed.tool_choice, _Auto | _None) and not typed.tools:
        raise InvalidRequest("tool_choice demands a tool, but tools is empty.", "tool_choice")
    if isinstance(typed.tool_choice, NamedTool) and all(tool.name != typed.tool_choice.name for tool in typed.tools or ()):
        raise InvalidRequest("tool_choice.name must be the name of one of the tools.", "tool_choice.name")
    return typed


def choice_word(typed: MessagesBody) -> str:
    """Return how Chat Completions says the tool choice that names no tool."""
    return "required" if isinstance(typed.tool_choice, _Any) else "none" if isinstance(typed.tool_choice, _None) else "auto"
