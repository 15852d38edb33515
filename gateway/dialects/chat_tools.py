"""The tools of a Chat Completions request: their shapes, and what must fit together. Pure."""

from collections import Counter
from collections.abc import Sized
from typing import Annotated, Any, Literal

import msgspec

from gateway.dialects.base import ChatRequest, InvalidRequest, Json

TOOLS_MAX = 512


class _CalledFunction(msgspec.Struct):
    name: str
    arguments: str


class _CalledCustom(msgspec.Struct):
    name: str
    input: str


class ToolCall(msgspec.Struct):
    """A call that the model made in an earlier turn."""

    id: str
    type: str = "function"
    function: _CalledFunction | None = None
    custom: _CalledCustom | None = None


class _Function(msgspec.Struct):
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    description: str | None = None
    parameters: Json | None = None
    strict: bool | None = None


class Grammar(msgspec.Struct):
    """What the text of a custom tool must follow."""

    syntax: Literal["lark", "regex"]
    definition: str


class _CustomFormat(msgspec.Struct):
    type: Literal["text", "grammar"]
    grammar: Grammar | None = None


class _Custom(msgspec.Struct):
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    description: str | None = None
    format: _CustomFormat | None = None


class Tool(msgspec.Struct):
    """What the model may call: a function with arguments in JSON, or a custom tool with free text."""

    type: str
    function: _Function | None = None
    custom: _Custom | None = None


def check_tool_count(tools: Sized) -> None:
    """Raises: InvalidRequest for more tools than a request may have, before any of them is looked at."""
    if len(tools) > TOOLS_MAX:
        raise InvalidRequest(f"at most {TOOLS_MAX} tools can be given", "tools")


def check_tools(tools: list[Tool]) -> None:
    """Raises: InvalidRequest for too many tools, one that lacks what its type needs, or a free-text tool whose name is taken."""
    check_tool_count(tools)
    taken = Counter(named.name for tool in tools if (named := _named(tool)) is not None)
    for index, tool in enumerate(tools):
        if tool.type == "function" and tool.function is None:
            raise _missing(f"tools[{index}].function", "tool", tool.type)
        if tool.type == "custom":
            _check_custom(tool, index, taken)


def check_calls(calls: list[ToolCall], place: str) -> None:
    """Raises: InvalidRequest for a call that lacks what its type needs; ``place`` is the message's."""
    for number, call in enumerate(calls):
        if call.type != "custom" and call.function is None:
            raise _missing(f"{place}.tool_calls[{number}].function", "call", call.type)
        if call.type == "custom" and call.custom is None:
            raise _missing(f"{place}.tool_calls[{number}].custom", "call", call.type)


def _missing(param: str, what: str, kind: str) -> InvalidRequest:
    return InvalidRequest(f"{param} is required for a {what} of type {kind}.", param)


def _named(tool: Tool) -> _Function | _Custom | None:
    return tool.function if tool.type == "function" else tool.custom


def _check_custom(tool: Tool, index: int, taken: Counter[str]) -> None:
    """``taken`` counts the tools of each name."""
    if tool.custom is None:
        raise _missing(f"tools[{index}].custom", "tool", tool.type)
    form = tool.custom.format
    if form is not None and form.type == "grammar" and form.grammar is None:
        raise InvalidRequest(f"tools[{index}].custom.format.grammar is required.", f"tools[{index}].custom.format.grammar")
    if taken[tool.custom.name] > 1:
        param = f"tools[{index}].custom.name"
        raise InvalidRequest(f"{param}: another tool is called {tool.custom.name} too.", param)


def check_choice(choice: str | Json, tools: list[Tool]) -> None:
    """Raises: InvalidRequest for a choice of tools that says nothing, or that none of the tools can be."""
    if isinstance(choice, str) and choice not in ("none", "auto", "required"):
        raise InvalidRequest(f"tool_choice must be none, auto, required or a named tool, not {choice!r}.", "tool_choice")
    if (choice == "required" or isinstance(choice, dict)) and not tools:
        raise InvalidRequest("tool_choice demands a tool, but tools is empty.", "tool_choice")
    if isinstance(choice, dict):
        _check_named_choice(choice, tools)


def _check_named_choice(choice: Json, tools: list[Tool]) -> None:
    kind = choice.get("type")
    if not isinstance(kind, str):
        raise InvalidRequest("tool_choice.type must be a string.", "tool_choice.type")
    if kind == "function":
        function = choice.get("function")
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise InvalidRequest("tool_choice.function.name must be a string.", "tool_choice.function.name")
        if all(tool.function is None or tool.function.name != function["name"] for tool in tools):
            raise InvalidRequest("tool_choice.function.name must be the name of one of the tools.", "tool_choice.function.name")
    elif kind == "custom":
        custom = choice.get("custom")
        name = custom.get("name") if isinstance(custom, dict) else None
        if not any(tool.custom is not None and tool.custom.name == name for tool in tools):
            raise InvalidRequest("tool_choice.custom.name must be the name of a custom tool in tools.", "tool_choice.custom.name")
    elif kind == "allowed_tools":
        _check_allowed(choice.get("allowed_tools"), tools)
    else:
        raise InvalidRequest(f"tool_choice.type must be one of function, custom, allowed_tools, not {kind[:80]!r}.", "tool_choice.type")


def _check_allowed(allowed: Any, tools: list[Tool]) -> None:
    if not isinstance(allowed, dict) or allowed.get("mode") not in ("auto", "required"):
        raise InvalidRequest("tool_choice.allowed_tools.mode must be auto or required.", "tool_choice.allowed_tools.mode")
    known = {(tool.type, named.name) for tool in tools if (named := _named(tool)) is not None}
    listed = allowed.get("tools")
    if not isinstance(listed, list) or not listed:
        raise InvalidRequest("tool_choice.allowed_tools.tools must name one of the tools at least.", "tool_choice.allowed_tools.tools")
    for place, tool in enumerate(listed):
        kind = tool.get("type") if isinstance(tool, dict) else None
        named = tool.get(kind) if isinstance(kind, str) else None
        name = named.get("name") if isinstance(named, dict) else None
        if not isinstance(name, str) or (kind, name) not in known:
            param = f"tool_choice.allowed_tools.tools[{place}]"
            raise InvalidRequest(f"{param} must be one of the tools.", param)


def note_custom(request: ChatRequest, tools: list[Tool] | None, choice: str | Json | None) -> None:
    """Note on ``request`` which tools are free text, and whether anything about tools is OpenAI's own."""
    names = [tool.custom.name for tool in tools or () if tool.type == "custom" and tool.custom is not None]
    if names or (isinstance(choice, dict) and choice.get("type") == "allowed_tools"):
        request.custom_tools = tuple(names)
        request.has_custom = True
