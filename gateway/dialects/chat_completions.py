"""Chat Completions: the clients' requests read, and the many hosts that speak it. Pure.

Same dialect on both sides: the body passes through with only the needed edits, so that unknown fields survive.
"""

import gc
import hashlib
from typing import Any

import msgspec
from mypy_extensions import mypyc_attr

from catalog.types import EndpointSpec, ProviderSpec
from gateway.dialects.base import Answer, ChatRequest, HeaderLookup, InvalidRequest, Json, StreamDecoder, UpstreamCall, UpstreamFault
from gateway.dialects.chat_answers import ChatStreamDecoder, decode_chat_answer
from gateway.dialects.chat_checks import check_body, measure
from gateway.dialects.chat_schema import ChatBody
from gateway.dialects.chat_tools import note_custom
from gateway.dialects.faults import fault_from_status
from gateway.dialects.prompts import message_from_prompt
from gateway.dialects.reasoning import FIELDS as REASONING_FIELDS
from gateway.dialects.reasoning import Thinking, nearest_effort, resolve_thinking
from gateway.dialects.signed_thoughts import signed_blocks
from gateway.providers.table import Quirks, quirks_for

_decode_json = msgspec.json.Decoder().decode
_encode_json = msgspec.json.Encoder().encode
_JSON_HEADERS = {"content-type": "application/json"}

# Fields that speak to the router; no provider ever sees them.
ROUTER_FIELDS = frozenset(
    {
        "models", "provider", "route", "plugins", "transforms", "session_id", "trace", "debug", "usage", "preset", "include_reasoning",
        "reasoning", "reasoning_effort", "stop_server_tools_when", "max_tool_calls", "image_config", "prompt_cache_options",
        "x_search_filter", "structured_outputs", "metadata",
    }
)  # fmt: skip
_REPLACED = frozenset({"model", "stream", "stream_options", "max_tokens", "max_completion_tokens", "service_tier", "user", "cache_control"})
_NOT_PASSED = ROUTER_FIELDS | _REPLACED
# Parameters that the catalog lists per endpoint; one that is not listed is left out, as OpenRouter does.
LISTED_PARAMETERS = frozenset(
    {
        "temperature", "top_p", "top_k", "seed", "frequency_penalty", "presence_penalty", "stop", "tools", "tool_choice",
        "response_format",
    }
)  # fmt: skip
_TOOL_FIELDS = ("parallel_tool_calls",)
_REASONING_FIELDS = frozenset(REASONING_FIELDS)
# What only routers and reasoning hosts know on a message.
_MESSAGE_EXTRAS = ("reasoning", "reasoning_content", "reasoning_details", "annotations", "model", "images", "cache_control")
_EXTRA_MARKS = (b'"cache_control"', b'"reasoning', b'"developer"', b'"annotations"', b'"images"', b'"function_call"')
_MODEL_MARK = b'"model"'
_TIERS = {"fast": "priority"}
_BOM = b"\xef\xbb\xbf"
# From the one on a body is looked at before it is read; the other bounds its commas and brackets, those of its texts included.
_HEAVY_BYTES, _VALUES_MAX = 1024 * 1024, 500_000
_SLICE_BYTES = 64 * 1024


def decode_request(data: bytes) -> ChatRequest:
    """Read a client's body. Raises: InvalidRequest with the field and what it must be."""
    body = parse_json(data)
    if body.__class__ is dict and "prompt" in body:
        return _read_prompt_form(body, has_extras=_has_extras(data))
    return read_request(body, has_extras=_has_extras(data))


def _read_prompt_form(body: Json, *, has_extras: bool) -> ChatRequest:
    """Read a body that may have ``prompt`` in place of messages, as the older clients of routers send it. Raises: InvalidRequest."""
    canonical = {name: value for name, value in body.items() if name != "prompt"}
    if body["prompt"] is None:
        return read_request(canonical, has_extras=has_extras)
    if body.get("messages") is not None:
        raise InvalidRequest("Send messages or prompt, not both.", "prompt")
    canonical["messages"] = [message_from_prompt(body["prompt"])]
    request = read_request(canonical, has_extras=has_extras)
    request.native, request.native_dialect = body, "completions"
    return request


def _has_extras(data: bytes) -> bool:
    if len(data) >= _HEAVY_BYTES:
        return True  # looking would take longer than the walk that it saves
    for mark in _EXTRA_MARKS:
        if data.find(mark) >= 0:  # `in` would try whether the mark is a number first, and raise and catch an exception
            return True
    return data.count(_MODEL_MARK) > 1  # one of them may be on a message


def read_request(body: Any, *, has_extras: bool) -> ChatRequest:
    """Check a parsed body; ``has_extras`` says that some message may have what not every host takes. Raises: InvalidRequest."""
    typed = check_body(body)
    request = ChatRequest(
        body=body,
        model=typed.model,
        models=tuple(typed.models or ()),
        stream=bool(typed.stream),
        include_usage=typed.stream_options.include_usage if typed.stream_options else None,
        max_tokens=_max_tokens(typed),
        n=typed.n or 1,
        provider=typed.provider or {},
        service_tier=_TIERS.get(typed.service_tier or "", typed.service_tier or ""),
        user=typed.user or "",
        session_id=typed.session_id or "",
        metadata=typed.metadata or {},
        has_extras=has_extras,
    )
    if typed.tools or typed.tool_choice.__class__ is dict:
        note_custom(request, typed.tools, typed.tool_choice)
    measure(request, typed)
    return request


def parse_json(data: bytes) -> Any:
    """Read JSON. Raises: InvalidRequest for anything that is not."""
    if not data or data.isspace():
        raise InvalidRequest("The body is empty; send a JSON object.")
    try:
        return _decode_json(data.removeprefix(_BOM)) if len(data) < _HEAVY_BYTES else _parse_heavy(data.removeprefix(_BOM))
    except RecursionError as too_deep:
        raise InvalidRequest("The body is nested too deeply.") from too_deep
    except UnicodeDecodeError as no_text:
        raise InvalidRequest("The body is not valid UTF-8.") from no_text
    except msgspec.MsgspecError as no_json:
        raise InvalidRequest(f"The body is not valid JSON: {str(no_json).removeprefix('JSON is malformed: ')}.") from no_json


def _parse_heavy(data: bytes) -> Any:
    """Read a large body: not if it is of more small values than any model can read, which take seconds to make. Raises: InvalidRequest.

    The collector would walk over all that was made, again and again while more is made.
    """
    if _count_values(data) > _VALUES_MAX:
        raise InvalidRequest(f"The body has more than {_VALUES_MAX:,} values, or commas and brackets in its texts; send less.")
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        return _decode_json(data)
    finally:
        if was_enabled:
            gc.enable()


def _count_values(data: bytes) -> int:
    """Return how many commas and brackets ``data`` has. Pictures have none, and to find none is thirty times as fast as to count."""
    total = 0
    for start in range(0, len(data), _SLICE_BYTES):
        for sign in (b",", b"[", b"{"):
            if data.find(sign, start, start + _SLICE_BYTES) >= 0:
                total += data.count(sign, start, start + _SLICE_BYTES)
    return total


def _max_tokens(typed: ChatBody) -> int | None:
    newer = typed.max_completion_tokens
    return typed.max_tokens if newer is None else newer


def hashed_user(user: str) -> str:
    """Return an end user's id as providers see it: a hash, so that abuse can be told apart and nobody named."""
    return hashlib.sha256(user.encode()).hexdigest()[:32]


@mypyc_attr(allow_interpreted_subclasses=True)
class ChatCompletionsDialect:
    """OpenAI's Chat Completions and every host compatible with it; differences are rows of ``gateway.providers.table``."""

    def encode_request(
        self, request: ChatRequest, endpoint: EndpointSpec, provider: ProviderSpec, *, stream: bool, max_tokens: int | None
    ) -> UpstreamCall:
        """Pass the client's body through with the needed edits."""
        quirks = quirks_for(provider)
        source = request.body
        dropped = _unknown_parameters(source, endpoint, quirks)
        body: Json = {"model": endpoint.provider_model_id}
        for name, value in source.items():
            if name not in _NOT_PASSED and name not in dropped:
                body[name] = value
        if request.has_extras:
            body["messages"] = [_plain_message(message, quirks) for message in source["messages"]]
            if "tools" in body and not quirks.keeps_cache_control:
                body["tools"] = [_without(tool, ("cache_control",)) for tool in body["tools"]]
        limit = request.max_tokens if max_tokens is None else max_tokens
        if limit is not None:
            body[quirks.max_tokens_field] = limit
        if stream:
            body["stream"] = True
            if quirks.inject_include_usage:
                body["stream_options"] = {**(source.get("stream_options") or {}), "include_usage": True}
        _set_replaced(request, body, quirks)
        _ask_for_thinking(source, body, endpoint, quirks)
        if quirks.body:
            body.update(quirks.body)
        return UpstreamCall(path="/chat/completions", body=_encode_json(body), headers=_JSON_HEADERS, dropped=dropped)

    def decode_answer(self, body: bytes) -> Answer:
        """Read a chat.completion. Raises: BadAnswer."""
        return decode_chat_answer(body)

    def new_stream_decoder(self) -> StreamDecoder:
        """Return a decoder for one stream."""
        return ChatStreamDecoder()

    def decode_error(self, status: int, header: HeaderLookup, body: bytes) -> UpstreamFault:
        """Read an error answer."""
        return fault_from_status(status, header, body)


def _unknown_parameters(source: Json, endpoint: EndpointSpec, quirks: Quirks) -> tuple[str, ...]:
    supported = endpoint.supported_parameters
    # Most requests have none of these, which a set sees at once.
    dropped: list[str] = []
    if supported and not LISTED_PARAMETERS.isdisjoint(source):
        dropped += [name for name in source if name in LISTED_PARAMETERS and name not in supported]
        if "tools" in dropped:
            dropped += [name for name in _TOOL_FIELDS if name in source]
    if not quirks.refuses.isdisjoint(source):
        dropped += [name for name in source if name in quirks.refuses and name not in dropped]
    if supported and not _REASONING_FIELDS.isdisjoint(source) and "reasoning" not in supported and "reasoning_effort" not in supported:
        dropped += [name for name in REASONING_FIELDS if source.get(name) is not None]
    return tuple(dropped)


def _set_replaced(request: ChatRequest, body: Json, quirks: Quirks) -> None:
    """Put in what a host takes only in its own way."""
    if quirks.service_tiers and request.service_tier:
        body["service_tier"] = request.service_tier
    if request.user and quirks.user_field:
        body["user"] = hashed_user(request.user)
    if quirks.keeps_cache_control and request.body.get("cache_control"):
        body["cache_control"] = request.body["cache_control"]


def _ask_for_thinking(source: Json, body: Json, endpoint: EndpointSpec, quirks: Quirks) -> None:
    """Put the client's wish about reasoning into ``body``, in the provider's words."""
    supported = endpoint.supported_parameters
    if supported and "reasoning" not in supported and "reasoning_effort" not in supported:
        return
    thinking = resolve_thinking(source)
    if thinking.asked is None:
        return
    if quirks.reasoning == "object":
        body.update({name: source[name] for name in ("reasoning", "reasoning_effort") if source.get(name) is not None})
    elif quirks.reasoning == "thinking_type":
        body["thinking"] = {"type": "enabled" if thinking.asked else "disabled"}
    elif quirks.reasoning == "enable_thinking":
        body["enable_thinking"] = thinking.asked
        if thinking.asked and thinking.budget_tokens:
            body["thinking_budget"] = thinking.budget_tokens
    elif quirks.reasoning == "effort":
        _set_effort(body, thinking, quirks)


def _set_effort(body: Json, thinking: Thinking, quirks: Quirks) -> None:
    effort = thinking.effort or ("medium" if thinking.asked else "none")
    if effort != "none" or "none" in quirks.efforts:
        body["reasoning_effort"] = nearest_effort(effort, quirks.efforts)


def _plain_message(message: Json, quirks: Quirks) -> Json:
    """Return ``message`` without what a host may refuse: roles and fields that only routers know."""
    kept = _without(message, _MESSAGE_EXTRAS)
    if kept["role"] == "developer" and not quirks.developer_role:
        kept = {**kept, "role": "system"}
    if quirks.reasoning == "object":
        return {**kept, **{name: message[name] for name in _MESSAGE_EXTRAS if name in message}}
    if quirks.echoes_reasoning and (thoughts := message.get("reasoning_content") or message.get("reasoning")):
        kept = {**kept, "reasoning_content": thoughts}
    if quirks.thinking_blocks and (blocks := signed_blocks(message.get("reasoning_details") or ())):
        kept = {**kept, "thinking_blocks": blocks}
    content = kept.get("content")
    if isinstance(content, list) and not quirks.keeps_cache_control and any("cache_control" in part for part in content):
        kept = {**kept, "content": [_without(part, ("cache_control",)) for part in content]}
    return kept


def _without(source: Json, names: tuple[str, ...]) -> Json:
    if not any(name in source for name in names):
        return source
    return {name: value for name, value in source.items() if name not in names}
