"""Presets in requests: which one a request names, and the body with what the preset fills in. Pure.

A preset's ``config`` has the field names of Chat Completions; it is put into the client's own wire format before that is read, so that
what a provider of the same format is sent has it too. The request wins, field by field; tools are united.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from accounts.request_rules import Preset, RequestRules
from gateway.dialects.base import ChatRequest, InvalidRequest, Json
from gateway.dialects.chat_completions import parse_json
from gateway.dialects.client import ClientDialect
from gateway.dialects.custom_tools import flat_custom, flat_function, function_for
from gateway.relay.errors import BadRequest, NotFound

MARK: Final = "@preset/"
# What a preset never keeps: the conversation itself, and how one answer is delivered.
_OF_ONE_REQUEST: Final = frozenset({"messages", "prompt", "input", "stream", "stream_options", "preset", "user", "session_id", "metadata"})


def preset_named(request: ChatRequest) -> str:
    """Return the slug of the preset that the request names, or ''. Costs two look-ups where there is none."""
    model = request.model
    if model is not None and MARK in model:
        return model.rpartition(MARK)[2]
    named = (request.native or request.body).get("preset")
    return named if isinstance(named, str) else ""


def preset_in(data: bytes) -> str:
    """Return the slug of the preset that a body names which is no request by itself, or ''."""
    try:
        body = parse_json(data)
    except InvalidRequest:
        return ""
    if not isinstance(body, dict):
        return ""
    model, named = body.get("model"), body.get("preset")
    if isinstance(model, str) and MARK in model:
        return model.rpartition(MARK)[2]
    return named if isinstance(named, str) else ""


def apply_preset(data: bytes, slug: str, rules: RequestRules, api: str) -> bytes:
    """Return the body with the preset in it. ``api`` is chat, messages or responses. Raises: NotFound, BadRequest."""
    if api not in _WRITERS:
        raise BadRequest("Presets apply to chat completions, messages and responses.", metadata={"param": "preset"})
    preset = rules.presets.get(slug)
    if preset is None:
        raise NotFound(
            f"Preset {slug[:64]!r} not found",
            metadata={"param": "preset"},
            remedy="GET /api/v1/presets lists those of your organization; a disabled one cannot be used.",
        )
    body: Json = {name: value for name, value in parse_json(data).items() if value is not None}  # null says nothing
    model = body.get("model")
    body.pop("preset", None)
    if isinstance(model, str) and MARK in model:
        concrete = model.partition(MARK)[0]
        if concrete:
            body["model"] = concrete
        else:
            del body["model"]
    return msgspec.json.encode(_WRITERS[api](body, preset))


def config_of(dialect: ClientDialect, data: bytes, api: str) -> tuple[Json, str]:
    """Return what a preset made of this request body keeps: its config and its system prompt. Raises: InvalidRequest.

    The conversation may be missing; of one that is there, only the system prompt is kept.
    """
    body = parse_json(data)
    if not isinstance(body, dict):
        raise InvalidRequest("The body must be an object.")
    request = dialect.decode_request(msgspec.json.encode(_with_a_word(body, api)))
    config = {name: value for name, value in request.body.items() if name not in _OF_ONE_REQUEST and value is not None}
    extra = {"model": request.model, "models": list(request.models), "provider": request.provider, "service_tier": request.service_tier}
    config |= {name: value for name, value in extra.items() if value}
    config.pop("max_completion_tokens", None)
    if request.max_tokens is not None:
        config["max_tokens"] = request.max_tokens
    systems = [one for one in request.body.get("messages", ()) if one.get("role") in ("system", "developer")]
    return config, "\n\n".join(text for text in map(_text_of, systems) if text)


def _with_a_word(body: Json, api: str) -> Json:
    """Return the body with a conversation that its format accepts."""
    if api == "responses":
        return {**body, "input": "-"}
    kept = [one for one in body.get("messages") or () if isinstance(one, dict) and one.get("role") in ("system", "developer")]
    return {**body, "messages": [*(kept if api == "chat" else ()), {"role": "user", "content": "-"}]}


def _text_of(message: Json) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content or () if isinstance(part, dict))


def _to_chat(body: Json, preset: Preset) -> Json:
    merged = {**preset.config, **body}
    if "max_completion_tokens" in body and "max_tokens" not in body:
        merged.pop("max_tokens", None)
    _unite_tools(merged, preset.config.get("tools"), body.get("tools"), lambda tool: tool)
    messages = body.get("messages")
    if preset.system_prompt and isinstance(messages, list):
        has_orders = any(isinstance(one, dict) and one.get("role") in ("system", "developer") for one in messages)
        if not has_orders:
            merged["messages"] = [{"role": "system", "content": preset.system_prompt}, *messages]
    return merged


def _to_messages(body: Json, preset: Preset) -> Json:
    config = dict(preset.config)
    stop = config.pop("stop", None)
    if stop is not None:
        config["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    tools, choice = config.pop("tools", None), config.pop("tool_choice", None)
    merged = {**{name: value for name, value in config.items() if name in _MESSAGES_FIELDS}, **body}
    _unite_tools(merged, tools, body.get("tools"), _messages_tool)
    if choice in ("auto", "none", "required") and "tool_choice" not in body and merged.get("tools"):
        merged["tool_choice"] = {"type": "any" if choice == "required" else choice}
    if preset.system_prompt:
        merged.setdefault("system", preset.system_prompt)
    return merged


def _to_responses(body: Json, preset: Preset) -> Json:
    config = dict(preset.config)
    if "max_tokens" in config:
        config["max_output_tokens"] = config.pop("max_tokens")
    tools, form = config.pop("tools", None), config.pop("response_format", None)
    merged = {**{name: value for name, value in config.items() if name in _RESPONSES_FIELDS}, **body}
    _unite_tools(merged, tools, body.get("tools"), _responses_tool)
    if form is not None and "text" not in body:
        merged["text"] = {"format": {**(form.get("json_schema") or {}), "type": form.get("type")}}
    if preset.system_prompt:
        merged.setdefault("instructions", preset.system_prompt)
    return merged


_WRITERS: Final[Mapping[str, Callable[[Json, Preset], Json]]] = {"chat": _to_chat, "messages": _to_messages, "responses": _to_responses}
_MESSAGES_FIELDS: Final = frozenset(
    {
        *("model", "models", "max_tokens", "temperature", "top_p", "top_k", "stop_sequences", "reasoning", "include_reasoning", "provider"),
        *("plugins", "service_tier", "cache_control"),
    }
)
_RESPONSES_FIELDS: Final = frozenset(
    {
        *("model", "models", "max_output_tokens", "temperature", "top_p", "top_k", "frequency_penalty", "presence_penalty", "reasoning"),
        *("include_reasoning", "provider", "plugins", "service_tier", "cache_control", "prompt_cache_key", "parallel_tool_calls"),
        *("tool_choice", "modalities"),
    }
)


def _unite_tools(merged: Json, preset_tools: Any, own_tools: Any, write: Callable[[Json], Json]) -> None:
    """Put the preset's tools first, then the request's; one of the same name is the request's."""
    if not preset_tools:
        return
    own = own_tools if isinstance(own_tools, list) else []
    names = {_identity(tool) for tool in own if isinstance(tool, dict)}
    merged["tools"] = [write(tool) for tool in preset_tools if _identity(tool) not in names] + own


def _identity(tool: Json) -> str:
    function = tool.get("function") or tool.get("custom")
    if isinstance(function, dict):
        return str(function.get("name"))
    return str(tool.get("name") or tool.get("type"))


def _messages_tool(tool: Json) -> Json:
    custom = tool.get("custom")
    function = function_for(custom) if isinstance(custom, dict) else tool.get("function") or {}
    shape = {"name": function.get("name"), "input_schema": function.get("parameters") or {"type": "object"}}
    return {**shape, "description": function["description"]} if function.get("description") else shape


def _responses_tool(tool: Json) -> Json:
    if isinstance(tool.get("custom"), dict):
        return flat_custom(tool["custom"])
    return flat_function(tool.get("function") or {})
