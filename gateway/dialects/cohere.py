"""Cohere's chat (v2) as an upstream: chat requests written in it. Answers are read in ``cohere_answers``. Pure.

docs.cohere.com/reference/chat. Traps: no named tool (the others are left out and one is required), a schema stands bare in
``response_format``, ``top_p`` and ``top_k`` are ``p`` and ``k``, what was billed is not what was read.
"""

import msgspec

from catalog.types import EndpointSpec, ProviderSpec
from gateway.dialects.base import Answer, ChatRequest, HeaderLookup, InvalidRequest, Json, StreamDecoder, UpstreamCall, UpstreamFault
from gateway.dialects.cohere_answers import PLAN_ID, THOUGHT_ID, CohereStreamDecoder, decode_cohere_answer
from gateway.dialects.content import named_text, parts_of, text_of, unsupported
from gateway.dialects.faults import fault_from_status
from gateway.dialects.reasoning import FIELDS as REASONING_FIELDS
from gateway.dialects.reasoning import budget_from_effort, resolve_thinking

_encode_json = msgspec.json.Encoder().encode
_HEADERS = {"content-type": "application/json"}
_FORMAT_NAME = "Cohere's chat"
# Chat parameters without a counterpart, or whose answer has none.
_UNKNOWN = (
    "repetition_penalty", "logit_bias", "logprobs", "top_logprobs", "min_p", "top_a", "prediction", "modalities", "audio",
    "parallel_tool_calls",
    "functions", "function_call", "verbosity",
)  # fmt: skip
_SAME = {
    "temperature": "temperature",
    "top_p": "p",
    "top_k": "k",
    "seed": "seed",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
}
_P_MAX, _P_MIN = 0.99, 0.01


class CohereDialect:
    """POST …/chat."""

    def encode_request(
        self, request: ChatRequest, endpoint: EndpointSpec, provider: ProviderSpec, *, stream: bool, max_tokens: int | None
    ) -> UpstreamCall:
        """Translate. Raises: InvalidRequest for what Cohere cannot carry."""
        del provider
        if request.n > 1:
            raise InvalidRequest("n above 1 is not supported by this model's provider.", "n")
        source, supported = request.body, endpoint.supported_parameters
        dropped = [name for name in _UNKNOWN if source.get(name) is not None]
        body: Json = {
            "model": endpoint.provider_model_id,
            "messages": _messages(source["messages"]),
            "stream": stream,
        }
        for name, theirs in _SAME.items():
            if source.get(name) is None:
                continue
            if supported and name not in supported:
                dropped.append(name)
            else:
                body[theirs] = min(max(source[name], _P_MIN), _P_MAX) if name == "top_p" else source[name]
        limit = request.max_tokens if max_tokens is None else max_tokens
        if limit is not None:
            body["max_tokens"] = limit
        if stop := source.get("stop"):
            body["stop_sequences"] = [stop] if isinstance(stop, str) else stop
        _put_tools(source, body, endpoint, dropped)
        _put_format(source, body)
        _put_thinking(source, body, endpoint, limit, dropped)
        return UpstreamCall(path="/chat", body=_encode_json(body), headers=_HEADERS, dropped=tuple(dropped))

    def decode_answer(self, body: bytes) -> Answer:
        """Read an answer. Raises: BadAnswer."""
        return decode_cohere_answer(body)

    def new_stream_decoder(self) -> StreamDecoder:
        """Return a decoder for one stream."""
        return CohereStreamDecoder()

    def decode_error(self, status: int, header: HeaderLookup, body: bytes) -> UpstreamFault:
        """Read an error answer."""
        return fault_from_status(status, header, body)


def _messages(source: list[Json]) -> list[Json]:
    """Return the conversation. Results of tools are text there: pictures in them follow in a message of the user's."""
    messages: list[Json] = []
    seen: list[Json] = []
    for index, message in enumerate(source):
        if seen and message["role"] != "tool":
            messages.append({"role": "user", "content": seen})
            seen = []
        messages.append(_message(message, index))
        if message["role"] == "tool" and isinstance(message["content"], list):
            place = f"messages[{index}].content"
            seen += [_part(part, f"{place}[{number}]") for number, part in enumerate(message["content"]) if part["type"] != "text"]
    return [*messages, {"role": "user", "content": seen}] if seen else messages


def _message(message: Json, index: int) -> Json:
    role, place = message["role"], f"messages[{index}].content"
    if role in ("system", "developer"):
        return {"role": "system", "content": text_of(message["content"])}
    if role == "tool":
        return {"role": "tool", "tool_call_id": message["tool_call_id"], "content": text_of(message["content"])}
    if role == "assistant":
        return _turn(message, place)
    content = message["content"]
    if isinstance(content, str):
        return {"role": "user", "content": named_text(message, content)}
    return {"role": "user", "content": [_part(part, f"{place}[{number}]") for number, part in enumerate(content)]}


def _part(part: Json, place: str) -> Json:
    if part["type"] == "text":
        return {"type": "text", "text": part["text"]}
    if part["type"] == "image_url":
        return {"type": "image_url", "image_url": part["image_url"]}
    raise unsupported(part, place, _FORMAT_NAME)


def _turn(message: Json, place: str) -> Json:
    """Return what the model said: thoughts and words as content, its plan beside the calls that follow from it."""
    thoughts = [detail for detail in message.get("reasoning_details") or () if detail.get("text")]
    said: Json = {"role": "assistant"}
    content: list[Json] = [{"type": "thinking", "thinking": detail["text"]} for detail in thoughts if detail.get("id") == THOUGHT_ID]
    for number, part in enumerate(parts_of(message.get("content"))):
        text = part["refusal"] if part["type"] == "refusal" else part.get("text")
        if text is None:
            raise unsupported(part, f"{place}[{number}]", _FORMAT_NAME)
        if text:
            content.append({"type": "text", "text": text})
    if content:
        said["content"] = content[0]["text"] if len(content) == 1 and content[0]["type"] == "text" else content
    calls = [
        {"id": call["id"], "type": "function", "function": {**call["function"], "arguments": call["function"].get("arguments") or "{}"}}
        for call in message.get("tool_calls") or ()
    ]
    if calls:
        said["tool_calls"] = calls
        if plan := "".join(detail["text"] for detail in thoughts if detail.get("id") == PLAN_ID):
            said["tool_plan"] = plan
    return said


def _put_tools(source: Json, body: Json, endpoint: EndpointSpec, dropped: list[str]) -> None:
    tools = [tool for tool in source.get("tools") or () if isinstance(tool.get("function"), dict)]
    if not tools:
        return
    if endpoint.supported_parameters and "tools" not in endpoint.supported_parameters:
        dropped += [name for name in ("tools", "tool_choice") if source.get(name) is not None]
        return
    choice = source.get("tool_choice")
    if isinstance(choice, dict):
        name = (choice.get("function") or {}).get("name", choice.get("name"))
        tools = [tool for tool in tools if tool["function"].get("name") == name] or tools
        choice = "required"
    body["tools"] = [{"type": "function", "function": _function(tool["function"])} for tool in tools]
    if choice in ("required", "none"):
        body["tool_choice"] = choice.upper()
    if any(tool["function"].get("strict") for tool in tools):
        body["strict_tools"] = True


def _function(function: Json) -> Json:
    known = {name: function[name] for name in ("name", "description", "parameters") if function.get(name) is not None}
    return {"parameters": {"type": "object", "properties": {}}, **known}


def _put_format(source: Json, body: Json) -> None:
    form = source.get("response_format") or {}
    if form.get("type") in ("json_object", "json_schema"):
        schema = (form.get("json_schema") or {}).get("schema") if form["type"] == "json_schema" else None
        body["response_format"] = {"type": "json_object", **({"json_schema": schema} if schema else {})}


def _put_thinking(source: Json, body: Json, endpoint: EndpointSpec, limit: int | None, dropped: list[str]) -> None:
    thinking, supported = resolve_thinking(source), endpoint.supported_parameters
    if supported and "reasoning" not in supported:
        dropped += [name for name in REASONING_FIELDS if source.get(name) is not None]
    elif thinking.asked is False:
        body["thinking"] = {"type": "disabled"}
    elif thinking.asked:
        budget = thinking.budget_tokens or (budget_from_effort(thinking.effort, limit) if thinking.effort and limit else 0)
        body["thinking"] = {"type": "enabled", **({"token_budget": budget} if budget else {})}
