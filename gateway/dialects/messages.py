"""Anthropic Messages as an upstream: chat requests written in it. Answers are read in ``messages_answers``. Pure."""

from typing import Any

import msgspec

from catalog.types import EndpointSpec, ProviderSpec
from gateway.dialects.base import Answer, ChatRequest, HeaderLookup, InvalidRequest, Json, StreamDecoder, UpstreamCall, UpstreamFault
from gateway.dialects.chat_completions import hashed_user
from gateway.dialects.content import call_arguments, named_text, parse_data_url, parts_of, unsupported
from gateway.dialects.faults import fault_from_status
from gateway.dialects.messages_answers import MessagesStreamDecoder, decode_messages_answer
from gateway.dialects.messages_native import native_body
from gateway.dialects.reasoning import FIELDS as REASONING_FIELDS
from gateway.dialects.reasoning import Thinking, budget_from_effort, nearest_effort, resolve_thinking
from gateway.dialects.signed_thoughts import signed_blocks
from gateway.providers.table import SEARCHES_ASKED, quirks_of

_encode_json = msgspec.json.Encoder().encode
_HEADERS = {"content-type": "application/json", "anthropic-version": "2023-06-01"}
_DEFAULT_MAX_TOKENS = 4096  # the field is required; most models answer in less
_BUDGET_MIN_TOKENS, _BUDGET_MAX_TOKENS = 1024, 128_000
_EFFORTS = ("low", "medium", "high", "xhigh", "max")
_FORMAT_NAME = "Anthropic's Messages"
_JSON_ORDER = "Answer with one valid JSON value and nothing else: no prose, no code fence."
# Chat parameters without a counterpart.
_UNKNOWN = (
    "frequency_penalty", "presence_penalty", "repetition_penalty", "seed", "logit_bias", "logprobs", "top_logprobs", "min_p", "top_a",
    "prediction", "modalities", "audio",
    "functions", "function_call", "verbosity",
)  # fmt: skip
_SAMPLING = ("temperature", "top_p", "top_k")
_SEARCH_TOOL = "web_search_20250305"


class MessagesDialect:
    """POST …/messages."""

    native = "messages"

    def encode_request(
        self, request: ChatRequest, endpoint: EndpointSpec, provider: ProviderSpec, *, stream: bool, max_tokens: int | None
    ) -> UpstreamCall:
        """Translate. Raises: InvalidRequest for parts that Messages cannot carry."""
        del provider
        source = request.body
        dropped = [name for name in _UNKNOWN if source.get(name) is not None]
        if request.n > 1:
            raise InvalidRequest("n above 1 is not supported by this model's provider.", "n")
        limit = request.max_tokens if max_tokens is None else max_tokens
        limit = limit or min(endpoint.max_output_tokens or _DEFAULT_MAX_TOKENS, _DEFAULT_MAX_TOKENS)
        if request.native_dialect == "messages":
            return _encode_native(request, endpoint, stream=stream, max_tokens=limit)
        body: Json = {"model": endpoint.provider_model_id, "max_tokens": limit}
        system, messages = translate_messages(source["messages"])
        if system:
            body["system"] = system
        body["messages"] = messages
        _put_tools(source, body, endpoint, dropped)
        _put_search(request, body, endpoint)
        _put_format(source, body, endpoint)
        _put_sampling(source, body, endpoint, dropped)
        put_thinking(resolve_thinking(source), body, endpoint, dropped, source)
        if request.user:
            body["metadata"] = {"user_id": hashed_user(request.user)}
        if source.get("cache_control"):
            body["cache_control"] = source["cache_control"]
        if stream:
            body["stream"] = True
        return UpstreamCall(path="/messages", body=_encode_json(body), headers=_HEADERS, dropped=tuple(dropped))

    def decode_answer(self, body: bytes) -> Answer:
        """Read a message. Raises: BadAnswer."""
        return decode_messages_answer(body)

    def new_stream_decoder(self) -> StreamDecoder:
        """Return a decoder for one stream."""
        return MessagesStreamDecoder()

    def decode_error(self, status: int, header: HeaderLookup, body: bytes) -> UpstreamFault:
        """Read an error answer."""
        return fault_from_status(status, header, body)


def _encode_native(request: ChatRequest, endpoint: EndpointSpec, *, stream: bool, max_tokens: int) -> UpstreamCall:
    """Pass a Messages body through; thinking is rewritten where this model takes it in another form."""
    dropped: list[str] = []
    body = native_body(request, endpoint, max_tokens=max_tokens, stream=stream, dropped=dropped)
    _put_search(request, body, endpoint)
    asked = (body.get("thinking") or {}).get("type")
    supported = endpoint.supported_parameters
    if asked is not None and supported and ("reasoning" not in supported or (asked == "adaptive") != _thinks_adaptively(endpoint)):
        del body["thinking"]
        put_thinking(resolve_thinking(request.body), body, endpoint, dropped, request.body)
    headers = {**_HEADERS, "anthropic-beta": request.beta} if request.beta else _HEADERS
    return UpstreamCall(path="/messages", body=_encode_json(body), headers=headers, dropped=tuple(dropped))


def _thinks_adaptively(endpoint: EndpointSpec) -> bool:
    """Models that take an effort and no temperature think adaptively and refuse a budget; they refuse "disabled" too."""
    supported = endpoint.supported_parameters
    return "reasoning_effort" in supported and "temperature" not in supported


def translate_messages(source: list[Json]) -> tuple[list[Json], list[Json]]:
    """Return the system blocks and the turns, consecutive messages of one side merged into one turn.

    System messages before the conversation become the system prompt; later ones stay in their place as marked text of the user, so
    that what was cached of the prompt stays valid.
    """
    system: list[Json] = []
    turns: list[Json] = []
    for index, message in enumerate(source):
        role = message["role"]
        place = f"messages[{index}].content"
        if role in ("system", "developer"):
            blocks = _text_blocks(message["content"], place)
            if not turns:
                system += blocks
                continue
            _add_turn(turns, "user", [{**block, "text": f"<system>\n{block['text']}\n</system>"} for block in blocks])
        elif role == "user":
            _add_turn(turns, "user", _user_blocks(message, place))
        elif role == "tool":
            _add_turn(turns, "user", [_tool_result(message, place)])
        else:
            _add_turn(turns, "assistant", _assistant_blocks(message, place))
    if not turns:
        # A prompt of orders alone: the last of them opens the conversation.
        turns = [{"role": "user", "content": [system.pop()] if system else [{"type": "text", "text": "."}]}]
    _trim_prefill(turns[-1])
    return system, turns


def _add_turn(turns: list[Json], role: str, blocks: list[Json]) -> None:
    if not blocks:
        return
    if turns and turns[-1]["role"] == role:
        held = turns[-1]["content"]
        held += blocks
        if role == "user":
            # Results of tools must come first in the turn that answers them.
            held.sort(key=lambda block: block["type"] != "tool_result")
    else:
        turns.append({"role": role, "content": blocks})


def _trim_prefill(turn: Json) -> None:
    """The answer's own beginning may not end in white space."""
    last = turn["content"][-1]
    if turn["role"] == "assistant" and last["type"] == "text":
        last["text"] = last["text"].rstrip() or "."


def _text_block(part: Json, text: str) -> Json:
    block: Json = {"type": "text", "text": text}
    if part.get("cache_control"):
        block["cache_control"] = part["cache_control"]
    return block


def _text_blocks(content: Any, place: str) -> list[Json]:
    blocks = []
    for number, part in enumerate(parts_of(content)):
        if part["type"] != "text":
            raise unsupported(part, f"{place}[{number}]", _FORMAT_NAME)
        if part["text"]:
            blocks.append(_text_block(part, part["text"]))
    return blocks


def _user_blocks(message: Json, place: str) -> list[Json]:
    blocks = []
    for number, part in enumerate(parts_of(message["content"])):
        block = _block(part, f"{place}[{number}]")
        if block is not None:
            blocks.append(block)
    if blocks and blocks[0]["type"] == "text":
        blocks[0]["text"] = named_text(message, blocks[0]["text"])
    return blocks


def _block(part: Json, place: str) -> Json | None:
    kind = part["type"]
    if kind == "text":
        return _text_block(part, part["text"]) if part["text"] else None
    if kind == "image_url":
        block: Json = {"type": "image", "source": _source(part["image_url"]["url"], "image/jpeg")}
    elif kind == "file" and part["file"].get("file_id"):
        block = {"type": "document", "source": {"type": "file", "file_id": part["file"]["file_id"]}}
    elif kind == "file" and part["file"].get("file_data"):
        block = {"type": "document", "source": _source(part["file"]["file_data"], "application/pdf")}
        if part["file"].get("filename"):
            block["title"] = part["file"]["filename"]
    else:
        raise unsupported(part, place, _FORMAT_NAME)
    if part.get("cache_control"):
        block["cache_control"] = part["cache_control"]
    return block


def _source(url: str, default_type: str) -> Json:
    inline = parse_data_url(url)
    if inline is None:
        return {"type": "url", "url": url}
    return {"type": "base64", "media_type": inline.mime_type or default_type, "data": inline.data}


def _tool_result(message: Json, place: str) -> Json:
    content = message["content"]
    result: Json = {"type": "tool_result", "tool_use_id": message["tool_call_id"]}
    if isinstance(content, str):
        result["content"] = content
    else:
        blocks = [block for number, part in enumerate(content) if (block := _block(part, f"{place}[{number}]")) is not None]
        result["content"] = blocks
        marks = [block.pop("cache_control") for block in blocks if "cache_control" in block]
        if marks:
            result["cache_control"] = marks[-1]
    return result


def _assistant_blocks(message: Json, place: str) -> list[Json]:
    """Thoughts with their signatures first, as the provider demands, then words, then calls."""
    blocks = signed_blocks(message.get("reasoning_details") or [])
    for number, part in enumerate(parts_of(message.get("content"))):
        if part["type"] == "refusal":
            part = {"type": "text", "text": part["refusal"]}  # noqa: PLW2901 -- the same part in other words
        if part["type"] != "text":
            raise unsupported(part, f"{place}[{number}]", _FORMAT_NAME)
        if part["text"]:
            blocks.append(_text_block(part, part["text"]))
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        blocks.append(
            {
                "type": "tool_use",
                "id": call["id"],
                "name": function.get("name", ""),
                "input": call_arguments(function.get("arguments", "")),
            }
        )
    return blocks


def _put_search(request: ChatRequest, body: Json, endpoint: EndpointSpec) -> None:
    """Let the provider search the web, as often as was held for."""
    if request.searches_web and quirks_of(endpoint.provider).search_tool:
        body["tools"] = [*(body.get("tools") or ()), {"type": _SEARCH_TOOL, "name": "web_search", "max_uses": SEARCHES_ASKED}]


def _put_tools(source: Json, body: Json, endpoint: EndpointSpec, dropped: list[str]) -> None:
    tools = source.get("tools")
    if not tools:
        return
    if endpoint.supported_parameters and "tools" not in endpoint.supported_parameters:
        dropped += [name for name in ("tools", "tool_choice", "parallel_tool_calls") if source.get(name) is not None]
        return
    body["tools"] = [_tool(tool) for tool in tools]
    choice = source.get("tool_choice")
    parallel = source.get("parallel_tool_calls")
    translated: Json | None = None
    if isinstance(choice, dict):
        translated = {"type": "tool", "name": (choice.get("function") or {}).get("name", choice.get("name"))}
    elif choice is not None or parallel is False:
        translated = {"type": {"none": "none", "required": "any"}.get(choice or "", "auto")}
    if translated is not None:
        if parallel is False and translated["type"] != "none":
            translated["disable_parallel_tool_use"] = True
        body["tool_choice"] = translated


def _tool(tool: Json) -> Json:
    function = tool.get("function")
    if tool["type"] != "function" or not isinstance(function, dict):
        return tool  # a tool of the provider's own
    schema = function.get("parameters") or {"properties": {}}
    translated: Json = {"name": function["name"], "input_schema": schema if "type" in schema else {"type": "object", **schema}}
    for name, value in (
        ("description", function.get("description")),
        ("strict", function.get("strict")),
        ("cache_control", tool.get("cache_control")),
    ):
        if value:
            translated[name] = value
    return translated


def _put_format(source: Json, body: Json, endpoint: EndpointSpec) -> None:
    """Ask for JSON: by the provider's own schema support where it has it, by an order in words otherwise."""
    form = source.get("response_format") or {}
    kind = form.get("type")
    if kind not in ("json_schema", "json_object"):
        return
    schema = (form.get("json_schema") or {}).get("schema") if kind == "json_schema" else None
    supported = endpoint.supported_parameters
    if schema and (not supported or "structured_outputs" in supported):
        body["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
        return
    order = f"{_JSON_ORDER} It must match this JSON schema: {_encode_json(schema).decode()}" if schema else _JSON_ORDER
    body["system"] = [*body.get("system", []), {"type": "text", "text": order}]


def _put_sampling(source: Json, body: Json, endpoint: EndpointSpec, dropped: list[str]) -> None:
    supported = endpoint.supported_parameters
    for name in _SAMPLING:
        value = source.get(name)
        if value is None:
            continue
        if supported and name not in supported:
            dropped.append(name)
        else:
            body[name] = min(value, 1) if name == "temperature" else value
    stop = source.get("stop")
    sequences = [stop] if isinstance(stop, str) else stop or []
    # A sequence of white space alone is an error there.
    if usable := [sequence for sequence in sequences if sequence.strip()]:
        body["stop_sequences"] = usable


def put_thinking(thinking: Thinking, body: Json, endpoint: EndpointSpec, dropped: list[str], source: Json) -> None:
    """Put the wish about thinking into ``body``, which has max_tokens, as this model takes it; what cannot be is added to ``dropped``."""
    supported = endpoint.supported_parameters
    if supported and "reasoning" not in supported:
        dropped += [name for name in REASONING_FIELDS if source.get(name) is not None]
        return
    adaptive = _thinks_adaptively(endpoint)
    if thinking.asked is False:
        if not adaptive:
            body["thinking"] = {"type": "disabled"}
        return
    if not thinking.asked:
        return
    if adaptive:
        body["thinking"] = {"type": "adaptive", "display": "summarized"}
        if thinking.effort:
            body.setdefault("output_config", {})["effort"] = nearest_effort(thinking.effort, _EFFORTS)
    elif budget := _budget_tokens(thinking, body["max_tokens"]):
        body["thinking"] = {"type": "enabled", "budget_tokens": budget}
    else:
        dropped += [name for name in REASONING_FIELDS if source.get(name) is not None]
        return
    _drop_what_thinking_forbids(body, dropped)


def _budget_tokens(thinking: Thinking, max_tokens: int) -> int:
    """Return the tokens to think with, 0 where the answer leaves no room: the budget must stay below max_tokens."""
    wanted = thinking.budget_tokens or budget_from_effort(thinking.effort, max_tokens)
    budget = min(max(min(wanted, _BUDGET_MAX_TOKENS), _BUDGET_MIN_TOKENS), max_tokens - 1)
    return budget if budget >= _BUDGET_MIN_TOKENS else 0


def _drop_what_thinking_forbids(body: Json, dropped: list[str]) -> None:
    """Thinking goes with neither sampling nor a forced tool."""
    dropped += [name for name in ("temperature", "top_k") if body.pop(name, None) is not None]
    choice = body.get("tool_choice")
    if choice is not None and choice["type"] in ("any", "tool"):
        body["tool_choice"] = {**{name: value for name, value in choice.items() if name != "name"}, "type": "auto"}
        dropped.append("tool_choice")
