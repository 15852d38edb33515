"""AWS Bedrock's Converse as an upstream: chat requests written in it. Answers are read in ``bedrock_answers``. Pure.

Turns are those of Anthropic's Messages in other words, so that they are made there and rewritten here. Traps: media only inline; a
document's name takes few characters; tools must be named wherever a turn used one; ``inputTokens`` leaves out what a cache served or took.
"""

import re
from collections.abc import Callable
from urllib.parse import quote

import msgspec

from catalog.types import EndpointSpec, ProviderSpec
from gateway.dialects.base import Answer, ChatRequest, HeaderLookup, InvalidRequest, Json, StreamDecoder, UpstreamCall, UpstreamFault
from gateway.dialects.bedrock_answers import BedrockStreamDecoder, decode_bedrock_answer
from gateway.dialects.faults import fault_from_status
from gateway.dialects.messages import put_thinking, translate_messages
from gateway.dialects.reasoning import FIELDS as REASONING_FIELDS
from gateway.dialects.reasoning import nearest_effort, resolve_thinking
from gateway.relay.sse import Frames

_encode_json = msgspec.json.Encoder().encode
_HEADERS = {"content-type": "application/json", "accept": "application/json"}
_STREAM_HEADERS = {"content-type": "application/json", "accept": "application/vnd.amazon.eventstream"}
# Chat parameters without a counterpart.
_UNKNOWN = (
    "frequency_penalty", "presence_penalty", "repetition_penalty", "seed", "logit_bias", "logprobs", "top_logprobs", "min_p", "top_a",
    "prediction", "modalities", "audio", "parallel_tool_calls",
    "functions", "function_call", "verbosity",
)  # fmt: skip
_SAMPLING = {"temperature": "temperature", "top_p": "topP"}
_IMAGES = {"image/png": "png", "image/jpeg": "jpeg", "image/jpg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
_DOCUMENTS = {"application/pdf": "pdf", "text/csv": "csv", "text/html": "html", "text/plain": "txt", "text/markdown": "md"}
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9\-()\[\] ]|(?<= ) ")
_TIERS = frozenset({"priority", "default", "flex"})
_NAME_MAX_CHARS = 200
_GONE = "No longer available. Do not call it."
_NOVA_EFFORTS = _GPT_EFFORTS = ("low", "medium", "high")


class BedrockDialect:
    """POST …/model/{model}/converse, and /converse-stream with AWS's binary framing."""

    def encode_request(
        self, request: ChatRequest, endpoint: EndpointSpec, provider: ProviderSpec, *, stream: bool, max_tokens: int | None
    ) -> UpstreamCall:
        """Translate. Raises: InvalidRequest for what Converse cannot carry."""
        del provider
        if request.n > 1:
            raise InvalidRequest("n above 1 is not supported by this model's provider.", "n")
        source = request.body
        dropped = [name for name in _UNKNOWN if source.get(name) is not None]
        system, turns = translate_messages(source["messages"])
        body: Json = {"messages": [_turn(turn, place) for place, turn in enumerate(turns)]}
        if system:
            body["system"] = [found for block in system for found in _marked(block, {"text": block["text"]})]
        options = _options(source, endpoint, dropped)
        limit = request.max_tokens if max_tokens is None else max_tokens
        if limit is not None:
            options["maxTokens"] = limit
        _put_tools(source, body, endpoint, dropped)
        _put_format(source, body, endpoint, dropped)
        _put_thinking(source, body, options, endpoint, dropped)
        if options:
            body["inferenceConfig"] = options
        if request.service_tier in _TIERS:
            body["serviceTier"] = {"type": request.service_tier}
        method = "converse-stream" if stream else "converse"
        return UpstreamCall(
            path=f"/model/{quote(endpoint.provider_model_id, safe='')}/{method}",
            body=_encode_json(body),
            headers=_STREAM_HEADERS if stream else _HEADERS,
            dropped=tuple(dropped),
        )

    def decode_answer(self, body: bytes) -> Answer:
        """Read an answer of Converse. Raises: BadAnswer."""
        return decode_bedrock_answer(body)

    def new_stream_decoder(self) -> StreamDecoder:
        """Return a decoder for one stream."""
        return BedrockStreamDecoder()

    def new_frames(self) -> Frames:
        """Return what takes the bytes of one stream apart."""
        from gateway.dialects.bedrock_frames import BedrockFrames  # noqa: PLC0415 -- loads botocore, where a stream comes

        return BedrockFrames()

    def decode_error(self, status: int, header: HeaderLookup, body: bytes) -> UpstreamFault:
        """Read an error answer, whose kind is in a header."""
        kind = (header("x-amzn-errortype") or "").partition(":")[0]
        return fault_from_status(status, header, body, code=kind)


def _turn(turn: Json, place: int) -> Json:
    blocks = [found for block in turn["content"] for found in _marked(block, _block(block, f"messages[{place}].content"))]
    return {"role": turn["role"], "content": blocks}


def _marked(block: Json, translated: Json) -> list[Json]:
    """Return the block, and after it the mark of what is to be cached up to here."""
    mark = block.get("cache_control")
    if not mark:
        return [translated]
    point: Json = {"type": "default"}
    if mark.get("ttl") == "1h":
        point["ttl"] = "1h"
    return [translated, {"cachePoint": point}]


def _block(block: Json, place: str) -> Json:
    return _BLOCKS[block["type"]](block, place)


def _document(block: Json, place: str) -> Json:
    name = " ".join(_NOT_IN_NAMES.sub(" ", str(block.get("title") or "")).split())[:_NAME_MAX_CHARS] or "document"
    return {"document": {"name": name, **_media(block["source"], _DOCUMENTS, place, "file")}}


def _tool_result(block: Json, place: str) -> Json:
    content = block["content"]
    parts = [{"text": content}] if isinstance(content, str) else [_block(part, place) for part in content]
    return {"toolResult": {"toolUseId": block["tool_use_id"], "content": parts}}


def _thought(block: Json, place: str) -> Json:
    del place
    return {"reasoningContent": {"reasoningText": {"text": block["thinking"], "signature": block["signature"]}}}


_BLOCKS: dict[str, Callable[[Json, str], Json]] = {
    "text": lambda block, _: {"text": block["text"]},
    "image": lambda block, place: {"image": _media(block["source"], _IMAGES, place, "image")},
    "document": _document,
    "tool_use": lambda block, _: {"toolUse": {"toolUseId": block["id"], "name": block["name"], "input": block["input"]}},
    "tool_result": _tool_result,
    "thinking": _thought,
    "redacted_thinking": lambda block, _: {"reasoningContent": {"redactedContent": block["data"]}},
}


def _media(source: Json, formats: dict[str, str], place: str, what: str) -> Json:
    if source["type"] != "base64":
        raise InvalidRequest(f"{place}: this model's provider takes a {what} only inline, as a base64 data URL.", place)
    form = formats.get(source["media_type"])
    if form is None:
        raise InvalidRequest(f"{place}: this model's provider does not take a {what} of type {source['media_type']}.", place)
    return {"format": form, "source": {"bytes": source["data"]}}


def _options(source: Json, endpoint: EndpointSpec, dropped: list[str]) -> Json:
    options: Json = {}
    supported = endpoint.supported_parameters
    for name, theirs in _SAMPLING.items():
        value = source.get(name)
        if value is None:
            continue
        if supported and name not in supported:
            dropped.append(name)
        else:
            options[theirs] = min(value, 1)
    stop = source.get("stop")
    if usable := [sequence for sequence in ([stop] if isinstance(stop, str) else stop or []) if sequence.strip()]:
        options["stopSequences"] = usable
    return options


def _put_tools(source: Json, body: Json, endpoint: EndpointSpec, dropped: list[str]) -> None:
    tools = [tool for tool in source.get("tools") or () if isinstance(tool.get("function"), dict)]
    if not tools and (used := _used_tools(body["messages"])):
        # A conversation with calls is refused without a list of tools.
        body["toolConfig"] = {"tools": [{"toolSpec": _tool_spec({"name": name, "description": _GONE})} for name in used]}
    if not tools:
        return
    if endpoint.supported_parameters and "tools" not in endpoint.supported_parameters:
        dropped += [name for name in ("tools", "tool_choice") if source.get(name) is not None]
        return
    choice = source.get("tool_choice")
    if choice == "none":
        if not any("toolUse" in block for turn in body["messages"] for block in turn["content"]):
            return
        dropped.append("tool_choice")  # turns that used tools are refused without their list, and there is no word for none
    listed = [found for tool in tools for found in _marked(tool, {"toolSpec": _tool_spec(tool["function"])})]
    body["toolConfig"] = {"tools": listed}
    if isinstance(choice, dict):
        body["toolConfig"]["toolChoice"] = {"tool": {"name": (choice.get("function") or {}).get("name", choice.get("name"))}}
    elif choice in ("auto", "required"):
        body["toolConfig"]["toolChoice"] = {"any": {}} if choice == "required" else {"auto": {}}


def _used_tools(turns: list[Json]) -> list[str]:
    """Return the names of the tools that a conversation called, each once."""
    return list(dict.fromkeys(block["toolUse"]["name"] for turn in turns for block in turn["content"] if "toolUse" in block))


def _tool_spec(function: Json) -> Json:
    schema = function.get("parameters") or {"properties": {}}
    spec: Json = {"name": function["name"], "inputSchema": {"json": schema if "type" in schema else {"type": "object", **schema}}}
    if function.get("description"):
        spec["description"] = function["description"]
    if function.get("strict"):
        spec["strict"] = True
    return spec


def _put_format(source: Json, body: Json, endpoint: EndpointSpec, dropped: list[str]) -> None:
    form = source.get("response_format") or {}
    wish = form.get("json_schema") or {}
    if form.get("type") == "json_schema" and (not endpoint.supported_parameters or "structured_outputs" in endpoint.supported_parameters):
        named = {name: wish[name] for name in ("name", "description") if wish.get(name)}
        schema = {"schema": _encode_json(wish.get("schema") or {}).decode(), **named}
        body["outputConfig"] = {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": schema}}}
    elif form.get("type") in ("json_schema", "json_object"):
        dropped.append("response_format")


def _put_thinking(source: Json, body: Json, options: Json, endpoint: EndpointSpec, dropped: list[str]) -> None:
    """Ask for thoughts in the words of the model's maker; they go past Converse, which has none of its own."""
    thinking, model = resolve_thinking(source), endpoint.provider_model_id
    extra: Json = {}
    if "anthropic." in model:
        extra = _claude_extra(source, options, endpoint, dropped, body)
    elif thinking.asked and "nova-2" in model:
        effort = nearest_effort(thinking.effort or "medium", _NOVA_EFFORTS)
        extra["reasoningConfig"] = {"type": "enabled", "maxReasoningEffort": effort}
    elif thinking.asked and "openai." in model:
        extra["reasoning_effort"] = nearest_effort(thinking.effort or "medium", _GPT_EFFORTS)
    elif thinking.asked is not None:
        dropped += [name for name in REASONING_FIELDS if source.get(name) is not None]
    if "top_k" in source and "anthropic." not in model:
        dropped.append("top_k")
    if extra:
        body["additionalModelRequestFields"] = extra


def _claude_extra(source: Json, options: Json, endpoint: EndpointSpec, dropped: list[str], body: Json) -> Json:
    """Return what Claude is told beside Converse's own fields, by the rules of Messages."""
    wish: Json = {"max_tokens": options.get("maxTokens") or 4096}
    if source.get("top_k") is not None and (not endpoint.supported_parameters or "top_k" in endpoint.supported_parameters):
        wish["top_k"] = source["top_k"]
    put_thinking(resolve_thinking(source), wish, endpoint, dropped, source)
    if wish.get("thinking", {}).get("type") in ("enabled", "adaptive"):
        dropped += [name for name in ("temperature",) if options.pop(name, None) is not None]
        choice = body.get("toolConfig", {}).get("toolChoice", {})
        if "any" in choice or "tool" in choice:
            body["toolConfig"]["toolChoice"] = {"auto": {}}
            dropped.append("tool_choice")
    return {name: wish[name] for name in ("thinking", "output_config", "top_k") if name in wish}
