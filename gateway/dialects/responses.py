"""OpenAI Responses as an upstream, without state: chat requests written in it. Answers are read in ``responses_answers``. Pure."""

import msgspec

from catalog.types import EndpointSpec, ProviderSpec
from gateway.dialects.base import Answer, ChatRequest, HeaderLookup, InvalidRequest, Json, StreamDecoder, UpstreamCall, UpstreamFault
from gateway.dialects.chat_completions import hashed_user
from gateway.dialects.content import named_text, parts_of, unsupported
from gateway.dialects.custom_tools import flat_custom, flat_function, name_of
from gateway.dialects.faults import fault_from_status
from gateway.dialects.reasoning import FIELDS as REASONING_FIELDS
from gateway.dialects.reasoning import nearest_effort, resolve_thinking
from gateway.dialects.responses_answers import REASONING_FORMAT, ResponsesStreamDecoder, decode_responses_answer
from gateway.dialects.responses_native import native_body
from gateway.providers.table import Quirks, quirks_for

_encode_json = msgspec.json.Encoder().encode
_HEADERS = {"content-type": "application/json"}
_FORMAT_NAME = "OpenAI's Responses"
_SEALS, _LOGPROBS = "reasoning.encrypted_content", "message.output_text.logprobs"
# Chat parameters without a counterpart.
_UNKNOWN = (
    "frequency_penalty", "presence_penalty", "repetition_penalty", "seed", "stop", "logit_bias", "top_k", "min_p", "top_a", "prediction",
    "modalities", "audio",
    "functions", "function_call",
)  # fmt: skip
_SCHEMA_FIELDS = ("name", "description", "schema", "strict")
_SAME = ("temperature", "top_p", "parallel_tool_calls", "prompt_cache_key")
_LISTED = frozenset({"temperature", "top_p"})


class ResponsesDialect:
    """POST …/responses with ``store: false``."""

    native = "responses"

    def encode_request(
        self, request: ChatRequest, endpoint: EndpointSpec, provider: ProviderSpec, *, stream: bool, max_tokens: int | None
    ) -> UpstreamCall:
        """Translate, or pass a client's own Responses body through. Raises: InvalidRequest for parts that Responses cannot carry."""
        if request.n > 1:
            raise InvalidRequest("n above 1 is not supported by this model's provider.", "n")
        quirks, source = quirks_for(provider), request.body
        limit = request.max_tokens if max_tokens is None else max_tokens
        dropped = [name for name in _UNKNOWN if source.get(name) is not None]
        is_native = request.native_dialect == self.native
        body = native_body(request, endpoint, dropped) if is_native else _translate(source, endpoint, dropped)
        _put_thinking(source, body, endpoint, quirks, dropped)
        body["store"] = False
        if limit is not None:
            body["max_output_tokens"] = limit
        if quirks.service_tiers and request.service_tier:
            body["service_tier"] = request.service_tier
        if request.user:
            body["safety_identifier"] = hashed_user(request.user)
        if stream:
            body["stream"] = True
        return UpstreamCall(path="/responses", body=_encode_json(body), headers=_HEADERS, dropped=tuple(dropped))

    def decode_answer(self, body: bytes) -> Answer:
        """Read a response. Raises: BadAnswer."""
        return decode_responses_answer(body)

    def new_stream_decoder(self) -> StreamDecoder:
        """Return a decoder for one stream."""
        return ResponsesStreamDecoder()

    def decode_error(self, status: int, header: HeaderLookup, body: bytes) -> UpstreamFault:
        """Read an error answer."""
        return fault_from_status(status, header, body)


def _translate(source: Json, endpoint: EndpointSpec, dropped: list[str]) -> Json:
    body: Json = {"model": endpoint.provider_model_id, "input": _translate_messages(source["messages"])}
    for name in _SAME:
        if source.get(name) is None:
            continue
        if name in _LISTED and endpoint.supported_parameters and name not in endpoint.supported_parameters:
            dropped.append(name)
        else:
            body[name] = source[name]
    _put_tools(source, body, endpoint, dropped)
    _put_text(source, body)
    if source.get("logprobs"):
        body["include"] = [_LOGPROBS]
        body["top_logprobs"] = source.get("top_logprobs") or 0
    if not resolve_thinking(source).hidden:
        body["reasoning"] = {"summary": "auto"}
    return body


def _translate_messages(source: list[Json]) -> list[Json]:
    items: list[Json] = []
    custom: set[str] = set()  # ids of calls with free text
    for index, message in enumerate(source):
        role, place = message["role"], f"messages[{index}].content"
        if role == "tool":
            output = message["content"] if isinstance(message["content"], str) else _parts(message, place)
            kind = "custom_tool_call_output" if message["tool_call_id"] in custom else "function_call_output"
            items.append({"type": kind, "call_id": message["tool_call_id"], "output": output})
        elif role == "assistant":
            custom.update(call["id"] for call in message.get("tool_calls") or () if call.get("type") == "custom")
            items += _turn(message, place)
        else:
            items.append({"type": "message", "role": role, "content": _parts(message, place)})
    return items


def _parts(message: Json, place: str) -> list[Json]:
    parts = [_part(part, f"{place}[{number}]") for number, part in enumerate(parts_of(message["content"]))]
    if parts and parts[0]["type"] == "input_text":
        parts[0]["text"] = named_text(message, parts[0]["text"])
    return parts


def _part(part: Json, place: str) -> Json:
    kind = part["type"]
    if kind == "text":
        return {"type": "input_text", "text": part["text"]}
    if kind == "image_url":
        image = part["image_url"]
        return {"type": "input_image", "image_url": image["url"], "detail": image.get("detail") or "auto"}
    if kind == "file" and part["file"].get("file_data"):
        data, name = part["file"]["file_data"], part["file"].get("filename")
        where = {"file_data": data} if data.startswith("data:") else {"file_url": data}
        return {"type": "input_file", **where, **({"filename": name or "file.pdf"} if name or "file_data" in where else {})}
    raise unsupported(part, place, _FORMAT_NAME)


def _turn(message: Json, place: str) -> list[Json]:
    """Return what the model thought, said and called, in this order, as items."""
    items = reasoning_items(message.get("reasoning_details") or [])
    words = []
    for number, part in enumerate(parts_of(message.get("content"))):
        if part["type"] == "refusal":
            words.append({"type": "refusal", "refusal": part["refusal"]})
        elif part["type"] != "text":
            raise unsupported(part, f"{place}[{number}]", _FORMAT_NAME)
        elif part["text"]:
            words.append({"type": "output_text", "text": part["text"]})
    if words:
        items.append({"type": "message", "role": "assistant", "content": words})
    for call in message.get("tool_calls") or ():
        if call.get("type") == "custom":
            custom = call["custom"]
            items.append({"type": "custom_tool_call", "call_id": call["id"], "name": custom["name"], "input": custom["input"]})
            continue
        function = call.get("function") or {}
        items.append(
            {
                "type": "function_call",
                "call_id": call["id"],
                "name": function.get("name", ""),
                "arguments": function.get("arguments") or "{}",
            }
        )
    return items


def reasoning_items(details: list[Json]) -> list[Json]:
    """Return the items that can be replayed: those with encrypted content of this format, each with the summary told just before it."""
    items: list[Json] = []
    summary = ""
    for detail in details:
        if detail.get("format") != REASONING_FORMAT:
            continue
        if detail.get("type") == "reasoning.summary":
            summary += detail.get("summary") or ""
        elif detail.get("type") == "reasoning.encrypted" and detail.get("data"):
            item: Json = {"type": "reasoning", "summary": [{"type": "summary_text", "text": summary}] if summary else []}
            if detail.get("id"):
                item["id"] = detail["id"]
            items.append({**item, "encrypted_content": detail["data"]})
            summary = ""
    return items


def _put_tools(source: Json, body: Json, endpoint: EndpointSpec, dropped: list[str]) -> None:
    tools = source.get("tools")
    if not tools:
        return
    if endpoint.supported_parameters and "tools" not in endpoint.supported_parameters:
        dropped += [name for name in ("tools", "tool_choice", "parallel_tool_calls") if source.get(name) is not None]
        body.pop("parallel_tool_calls", None)
        return
    body["tools"] = [_tool(tool) for tool in tools]
    choice = source.get("tool_choice")
    if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        allowed = choice["allowed_tools"]
        listed = [{"type": tool["type"], "name": name_of(tool)} for tool in allowed["tools"]]
        body["tool_choice"] = {"type": "allowed_tools", "mode": allowed["mode"], "tools": listed}
    elif isinstance(choice, dict):
        body["tool_choice"] = {"type": choice["type"], "name": name_of(choice)}
    elif choice is not None:
        body["tool_choice"] = choice


def _tool(tool: Json) -> Json:
    """Return a tool as Responses has it. Strict is what it takes a silent function for, and Chat Completions does not."""
    if tool.get("type") == "custom":
        return flat_custom(tool["custom"])
    return {"parameters": {"type": "object", "properties": {}}, "strict": False, **flat_function(tool["function"])}


def _put_text(source: Json, body: Json) -> None:
    text: Json = {}
    form = source.get("response_format") or {}
    if form.get("type") == "json_schema":
        schema = form.get("json_schema") or {}
        text["format"] = {"type": "json_schema"} | {name: schema[name] for name in _SCHEMA_FIELDS if name in schema}
    elif form.get("type") == "json_object":
        text["format"] = {"type": "json_object"}
    if source.get("verbosity"):
        text["verbosity"] = source["verbosity"]
    if text:
        body["text"] = text


def _put_thinking(source: Json, body: Json, endpoint: EndpointSpec, quirks: Quirks, dropped: list[str]) -> None:
    """Ask for thoughts in the provider's words, and for what it wants back in the next turn: a model that cannot think refuses both."""
    supported = endpoint.supported_parameters
    thinking = resolve_thinking(source)
    if supported and not {"reasoning", "reasoning_effort"} & supported:
        body.pop("reasoning", None)
        dropped += [name for name in REASONING_FIELDS if source.get(name) is not None]
        return
    summary = (body.pop("reasoning", None) or {}).get("summary")
    wish: Json = {"summary": summary} if summary and thinking.asked else {}
    if thinking.asked is not None:
        effort = thinking.effort or ("medium" if thinking.asked else "none")
        if effort != "none" or "none" in quirks.efforts:
            wish["effort"] = nearest_effort(effort, quirks.efforts)
    if wish:
        body["reasoning"] = wish
    if supported or thinking.asked:
        body["include"] = [*(one for one in body.get("include") or () if one != _SEALS), _SEALS]
