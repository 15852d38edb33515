"""Google's Gemini (generateContent) as an upstream: chat requests written in it. Answers are read in ``gemini_answers``. Pure."""

from urllib.parse import quote

import msgspec

from catalog.types import EndpointSpec, ProviderSpec
from gateway.dialects.base import Answer, ChatRequest, HeaderLookup, Json, StreamDecoder, UpstreamCall, UpstreamFault
from gateway.dialects.content import call_arguments, named_text, parse_data_url, parts_of, text_of, unsupported
from gateway.dialects.faults import fault_from_status
from gateway.dialects.gemini_answers import REASONING_FORMAT, GeminiStreamDecoder, decode_gemini_answer
from gateway.dialects.gemini_schema import clean_schema
from gateway.dialects.reasoning import FIELDS as REASONING_FIELDS
from gateway.dialects.reasoning import budget_from_effort, nearest_effort, resolve_thinking

_encode_json = msgspec.json.Encoder().encode
_decode_json = msgspec.json.Decoder().decode
_HEADERS = {"content-type": "application/json"}
_FORMAT_NAME = "Gemini"
# Calls of other models' making carry no signature; this one tells Gemini 3 not to look for it.
_NO_SIGNATURE = "skip_thought_signature_validator"
_UNKNOWN = (
    "repetition_penalty",
    "logit_bias",
    "min_p",
    "top_a",
    "prediction",
    "parallel_tool_calls",
    "functions",
    "function_call",
    "verbosity",
)
_OPTIONS = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "seed": "seed",
    "frequency_penalty": "frequencyPenalty",
    "presence_penalty": "presencePenalty",
    "logprobs": "responseLogprobs",
    "top_logprobs": "logprobs",
}
_LISTED = frozenset({"temperature", "top_p", "top_k", "seed", "frequency_penalty", "presence_penalty"})
_LEVELS = ("low", "high")
_BUDGET_MAX_TOKENS = 24_576  # what every thinking model of the budget kind takes
_AUDIO_TYPES = {"mp3": "audio/mp3", "wav": "audio/wav", "m4a": "audio/m4a", "pcm16": "audio/L16"}
_TYPES_BY_ENDING = {
    ".png": "image/png",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".heic": "image/heic",
    ".pdf": "application/pdf",
    ".mp4": "video/mp4",
    ".webm": "video/webm",
    ".mov": "video/quicktime",
}
_IMAGE_OPTIONS = {"aspect_ratio": "aspectRatio", "image_size": "imageSize"}


class GeminiDialect:
    """POST …/models/{model}:generateContent, and :streamGenerateContent with ``alt=sse``."""

    def encode_request(
        self, request: ChatRequest, endpoint: EndpointSpec, provider: ProviderSpec, *, stream: bool, max_tokens: int | None
    ) -> UpstreamCall:
        """Translate. Raises: InvalidRequest for parts that Gemini cannot carry."""
        del provider
        source = request.body
        dropped = [name for name in _UNKNOWN if source.get(name) is not None]
        system, contents = _translate_messages(
            source["messages"], is_gemini_3=not endpoint.provider_model_id.startswith(("gemini-1", "gemini-2"))
        )
        body: Json = {"contents": contents}
        if system:
            body["systemInstruction"] = {"parts": system}
        _put_tools(source, body, endpoint, dropped)
        limit = request.max_tokens if max_tokens is None else max_tokens
        options = _options(source, endpoint, dropped)
        if limit is not None:
            options["maxOutputTokens"] = limit
        if request.n > 1:
            options["candidateCount"] = request.n
        thinking = _thinking_config(source, endpoint, limit, dropped)
        if thinking:
            options["thinkingConfig"] = thinking
        if options:
            body["generationConfig"] = options
        method = "streamGenerateContent" if stream else "generateContent"
        return UpstreamCall(
            path=f"/models/{quote(endpoint.provider_model_id, safe='')}:{method}",
            body=_encode_json(body),
            headers=_HEADERS,
            query={"alt": "sse"} if stream else {},
            dropped=tuple(dropped),
        )

    def decode_answer(self, body: bytes) -> Answer:
        """Read a GenerateContentResponse. Raises: BadAnswer."""
        return decode_gemini_answer(body)

    def new_stream_decoder(self) -> StreamDecoder:
        """Return a decoder for one stream."""
        return GeminiStreamDecoder()

    def decode_error(self, status: int, header: HeaderLookup, body: bytes) -> UpstreamFault:
        """Read an error answer."""
        return fault_from_status(status, header, body)


def _translate_messages(source: list[Json], *, is_gemini_3: bool) -> tuple[list[Json], list[Json]]:
    """Return the system's parts and the turns; consecutive messages of one side become one turn.

    Orders in the middle of a conversation stay in their place as marked text of the user.
    """
    system: list[Json] = []
    turns: list[Json] = []
    names: dict[str, str] = {}  # call id → function, which results must name
    for index, message in enumerate(source):
        role = message["role"]
        place = f"messages[{index}].content"
        if role in ("system", "developer"):
            text = text_of(message["content"])
            if not text:
                continue
            if not turns:
                system.append({"text": text})
            else:
                _add_turn(turns, "user", [{"text": f"<system>\n{text}\n</system>"}])
        elif role == "user":
            _add_turn(turns, "user", _user_parts(message, place))
        elif role == "tool":
            _add_turn(turns, "user", _result_parts(message, names, place))
        else:
            _add_turn(turns, "model", _model_parts(message, names, place, is_gemini_3=is_gemini_3))
    if not turns:
        turns = [{"role": "user", "parts": [system.pop()] if system else [{"text": "."}]}]
    return system, turns


def _add_turn(turns: list[Json], role: str, parts: list[Json]) -> None:
    if not parts:
        return
    if turns and turns[-1]["role"] == role:
        turns[-1]["parts"] += parts
    else:
        turns.append({"role": role, "parts": parts})


def _user_parts(message: Json, place: str) -> list[Json]:
    parts = [_part(part, f"{place}[{number}]") for number, part in enumerate(parts_of(message["content"]))]
    if parts and "text" in parts[0]:
        parts[0]["text"] = named_text(message, parts[0]["text"])
    return parts


def _part(part: Json, place: str) -> Json:
    kind = part["type"]
    if kind == "text":
        return {"text": part["text"]}
    if kind == "image_url":
        return _media(part["image_url"]["url"], "image/jpeg")
    if kind == "input_audio":
        audio = part["input_audio"]
        return {"inlineData": {"mimeType": _AUDIO_TYPES.get(audio["format"], f"audio/{audio['format']}"), "data": audio["data"]}}
    if kind in ("video_url", "input_video"):
        return _media(part["video_url"]["url"], "video/mp4")
    if kind == "file" and part["file"].get("file_data"):
        return _media(part["file"]["file_data"], "application/pdf")
    raise unsupported(part, place, _FORMAT_NAME)


def _media(url: str, default_type: str) -> Json:
    inline = parse_data_url(url)
    if inline is not None:
        return {"inlineData": {"mimeType": inline.mime_type or default_type, "data": inline.data}}
    path = url.partition("?")[0].lower()
    known = next((mime for ending, mime in _TYPES_BY_ENDING.items() if path.endswith(ending)), default_type)
    return {"fileData": {"fileUri": url, "mimeType": known}}


def _result_parts(message: Json, names: dict[str, str], place: str) -> list[Json]:
    """Return a tool's answer: an object as it is, anything else under ``result``; pictures follow as parts of their own."""
    content = message["content"]
    text = text_of(content)
    try:
        value = _decode_json(text) if text.startswith("{") else None
    except (msgspec.MsgspecError, RecursionError):
        value = None
    call_id = message["tool_call_id"]
    response = value if isinstance(value, dict) else {"result": text}
    parts: list[Json] = [{"functionResponse": {"name": names.get(call_id, call_id), "response": response}}]
    if not isinstance(content, str):
        parts += [_part(part, f"{place}[{number}]") for number, part in enumerate(content) if part["type"] != "text"]
    return parts


def _model_parts(message: Json, names: dict[str, str], place: str, *, is_gemini_3: bool) -> list[Json]:
    """Return what the model said: words, then calls with the signatures of its thoughts."""
    parts: list[Json] = []
    for number, part in enumerate(parts_of(message.get("content"))):
        if part["type"] == "refusal":
            parts.append({"text": part["refusal"]})
        elif part["type"] != "text" or part["text"]:
            parts.append(_part(part, f"{place}[{number}]"))
    signatures, loose = _signatures(message.get("reasoning_details") or [])
    calls = message.get("tool_calls") or ()
    for number, call in enumerate(calls):
        function = call.get("function") or {}
        names[call["id"]] = function.get("name", "")
        part = {"functionCall": {"name": function.get("name", ""), "args": call_arguments(function.get("arguments", ""))}}
        signature = signatures.get(call["id"]) or (loose if number == 0 else "")
        if not signature and is_gemini_3 and number == 0:
            signature = _NO_SIGNATURE
        if signature:
            part["thoughtSignature"] = signature
        parts.append(part)
    if loose and not calls and parts:
        parts[-1]["thoughtSignature"] = loose
    return parts


def _signatures(details: list[Json]) -> tuple[dict[str, str], str]:
    """Return thought signatures by call id, and the last one that belongs to no call."""
    by_call: dict[str, str] = {}
    loose = ""
    for detail in details:
        if detail.get("type") == "reasoning.encrypted" and detail.get("format") == REASONING_FORMAT and detail.get("data"):
            if detail.get("id"):
                by_call[detail["id"]] = detail["data"]
            else:
                loose = detail["data"]
    return by_call, loose


def _put_tools(source: Json, body: Json, endpoint: EndpointSpec, dropped: list[str]) -> None:
    tools = source.get("tools")
    if not tools:
        return
    if endpoint.supported_parameters and "tools" not in endpoint.supported_parameters:
        dropped += [name for name in ("tools", "tool_choice") if source.get(name) is not None]
        return
    body["tools"] = []
    declarations = [_declaration(tool["function"]) for tool in tools if tool.get("function")]
    if declarations:
        body["tools"].append({"functionDeclarations": declarations})
    choice = source.get("tool_choice")
    if isinstance(choice, dict):
        config: Json = {"mode": "ANY", "allowedFunctionNames": [(choice.get("function") or {}).get("name", "")]}
    elif choice is not None:
        config = {"mode": {"none": "NONE", "required": "ANY"}.get(choice, "AUTO")}
    else:
        return
    body["toolConfig"] = {"functionCallingConfig": config}


def _declaration(function: Json) -> Json:
    declaration: Json = {"name": function["name"]}
    if function.get("description"):
        declaration["description"] = function["description"]
    schema = function.get("parameters")
    if schema and schema.get("properties"):
        declaration["parameters"] = clean_schema(schema)
    return declaration


def _options(source: Json, endpoint: EndpointSpec, dropped: list[str]) -> Json:
    options: Json = {}
    supported = endpoint.supported_parameters
    for name, theirs in _OPTIONS.items():
        value = source.get(name)
        if value is None:
            continue
        if supported and name in _LISTED and name not in supported:
            dropped.append(name)
        else:
            options[theirs] = value
    stop = source.get("stop")
    if stop:
        options["stopSequences"] = [stop] if isinstance(stop, str) else stop
    form = source.get("response_format") or {}
    if form.get("type") in ("json_object", "json_schema"):
        options["responseMimeType"] = "application/json"
        schema = (form.get("json_schema") or {}).get("schema") if form["type"] == "json_schema" else None
        if schema:
            options["responseSchema"] = clean_schema(schema)
    modalities = source.get("modalities")
    if modalities and modalities != ["text"]:
        options["responseModalities"] = [word.upper() for word in modalities]
    wish = source.get("image_config")
    if isinstance(wish, dict):
        options["imageConfig"] = {theirs: wish[name] for name, theirs in _IMAGE_OPTIONS.items() if wish.get(name)}
    return options


def _thinking_config(source: Json, endpoint: EndpointSpec, max_tokens: int | None, dropped: list[str]) -> Json:
    supported = endpoint.supported_parameters
    if supported and "reasoning" not in supported:
        dropped += [name for name in REASONING_FIELDS if source.get(name) is not None]
        return {}
    thinking = resolve_thinking(source)
    if thinking.asked is None:
        return {}
    takes_budget = endpoint.provider_model_id.startswith("gemini-2")
    if not thinking.asked:
        return {"thinkingBudget": 0} if takes_budget else {"thinkingLevel": "low"}
    config: Json = {"includeThoughts": not thinking.hidden}
    if takes_budget and (thinking.budget_tokens or (thinking.effort and max_tokens)):
        wanted = thinking.budget_tokens or budget_from_effort(thinking.effort, max_tokens or 0)
        config["thinkingBudget"] = min(wanted, _BUDGET_MAX_TOKENS)
    elif not takes_budget and thinking.effort:
        config["thinkingLevel"] = nearest_effort(thinking.effort, _LEVELS)
    return config
