"""OpenAI Responses as clients speak it, without state: requests brought to canonical chat form. Answers: ``responses_encoder``. Pure."""

from typing import Any

import msgspec

from gateway.dialects.base import ChatRequest, InvalidRequest, Json
from gateway.dialects.chat_checks import measure
from gateway.dialects.chat_completions import parse_json
from gateway.dialects.chat_schema import ChatBody, Message
from gateway.dialects.client import Closing, Head, StreamEncoder
from gateway.dialects.custom_tools import name_of, show_free_text, showing_free_text
from gateway.dialects.hidden_thoughts import hide_thoughts, hiding
from gateway.dialects.responses_encoder import ResponsesStreamEncoder, encode_response, encode_responses_error
from gateway.dialects.responses_schema import (
    CustomCallItem,
    FunctionCallItem,
    FunctionOutputItem,
    InputAudio,
    InputFile,
    InputImage,
    InputVideo,
    MessageItem,
    ReasoningItem,
    Refusal,
    ResponsesBody,
    Tool,
    check_item,
    check_responses,
)
from gateway.dialects.sealed_details import open_detail

OPENAI_FORMAT = "openai-responses-v1"
# Fields that mean the same in both forms.
_SAME = (
    "temperature", "top_p", "top_k", "frequency_penalty", "presence_penalty", "parallel_tool_calls", "provider", "plugins", "session_id",
    "cache_control", "prompt_cache_key", "trace", "route", "transforms", "metadata", "modalities",
)  # fmt: skip
_TIERS = {"fast": "priority"}
_LOGPROBS = "message.output_text.logprobs"


def decode_responses_request(data: bytes) -> ChatRequest:
    """Read a client's body. Raises: InvalidRequest with the field and what it must be."""
    body = parse_json(data)
    typed = check_responses(body)
    canonical: Json = {"messages": _Conversation().messages(typed)}
    for name in _SAME:
        if body.get(name) is not None:
            canonical[name] = body[name]
    _put_tools(typed, canonical)
    _put_text(typed, canonical)
    if typed.reasoning is not None:
        wishes = msgspec.to_builtins(typed.reasoning)
        canonical["reasoning"] = {name: value for name, value in wishes.items() if value is not None and name != "summary"}
    if typed.include_reasoning is not None:
        canonical["include_reasoning"] = typed.include_reasoning
    if _LOGPROBS in (typed.include or ()) or typed.top_logprobs:
        canonical["logprobs"] = True
        canonical["top_logprobs"] = typed.top_logprobs or 0
    tier = typed.service_tier or ""
    request = ChatRequest(
        body=canonical,
        model=typed.model,
        models=tuple(typed.models or ()),
        stream=bool(typed.stream),
        max_tokens=typed.max_output_tokens,
        provider=typed.provider or {},
        service_tier=_TIERS.get(tier, tier),
        user=typed.safety_identifier or typed.user or "",
        session_id=typed.session_id or "",
        metadata=typed.metadata or {},
        has_extras=True,
        native=body,
        native_dialect="responses",
    )
    request.custom_tools = tuple(tool.name or "" for tool in typed.tools or () if tool.type == "custom")
    request.has_custom = bool(request.custom_tools)
    measure(request, ChatBody(messages=msgspec.convert(canonical["messages"], list[Message])))
    return request


class _Conversation:
    """Items on their way to messages: what the model thought, said and called in one turn becomes one message."""

    def __init__(self) -> None:
        self._messages: list[Json] = []
        self._turn: Json | None = None  # the model's turn under way
        self._shown: list[Json] = []  # pictures that functions answered with; most hosts take only text from a tool

    def messages(self, typed: ResponsesBody) -> list[Json]:
        """Return the canonical messages."""
        if typed.instructions:
            self._messages.append({"role": "system", "content": typed.instructions})
        if isinstance(typed.input, str):
            self._messages.append({"role": "user", "content": typed.input})
            return self._messages
        for index, raw in enumerate(typed.input):
            item = check_item(raw, index)
            if isinstance(item, FunctionOutputItem):
                self._take_output(item, index)
                continue
            self._show()
            if isinstance(item, ReasoningItem):
                self._model_turn().setdefault("reasoning_details", []).extend(_details(item, index))
            elif isinstance(item, CustomCallItem):
                custom = {"name": item.name, "input": item.input}
                self._model_turn().setdefault("tool_calls", []).append({"id": item.call_id, "type": "custom", "custom": custom})
            elif isinstance(item, FunctionCallItem):
                function = {"name": item.name, "arguments": item.arguments}
                self._model_turn().setdefault("tool_calls", []).append({"id": item.call_id, "type": "function", "function": function})
            else:
                self._take_message(item, index)
        self._show()
        for message in self._messages:
            if thoughts := "".join(detail["text"] for detail in message.get("reasoning_details", ()) if detail.get("text")):
                message["reasoning"] = thoughts
        return self._messages

    def _model_turn(self) -> Json:
        if self._turn is None:
            self._turn = {"role": "assistant", "content": None}
            self._messages.append(self._turn)
        return self._turn

    def _take_message(self, item: MessageItem, index: int) -> None:
        parts = _parts(item.content, f"input[{index}].content")
        if item.role != "assistant":
            self._turn = None
            self._messages.append({"role": item.role, "content": _content(parts)})
            return
        turn = self._model_turn()
        if turn.get("tool_calls") or turn["content"] is not None:
            # A second message of the model, or words after a call: another turn of its own.
            self._turn = None
            turn = self._model_turn()
        turn["content"] = _content(parts)

    def _take_output(self, item: FunctionOutputItem, index: int) -> None:
        self._turn = None
        parts = _parts(item.output, f"input[{index}].output")
        words = [part for part in parts if part["type"] == "text"]
        self._shown += [part for part in parts if part["type"] != "text"]
        self._messages.append({"role": "tool", "tool_call_id": item.call_id, "content": _content(words)})

    def _show(self) -> None:
        if self._shown:
            self._messages.append({"role": "user", "content": self._shown})
            self._shown = []


def _content(parts: list[Json]) -> Any:
    if all(part["type"] == "text" for part in parts) and len(parts) <= 1:
        return parts[0]["text"] if parts else ""
    return parts


def _parts(content: Any, place: str) -> list[Json]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [_part(part, f"{place}[{number}]") for number, part in enumerate(content or ())]


def _part(part: Any, place: str) -> Json:
    if isinstance(part, InputImage):
        if part.image_url is None:
            raise InvalidRequest(f"{place}.image_url is required; files of a provider's own store cannot be reached.", f"{place}.image_url")
        _check_no_file(part.file_id, place)
        return {"type": "image_url", "image_url": {"url": part.image_url, **({"detail": part.detail} if part.detail else {})}}
    if isinstance(part, InputFile):
        data = part.file_data or part.file_url
        if data is None and part.file_id is None:
            raise InvalidRequest(f"{place} needs file_data, file_url or file_id.", place)
        if data is not None:
            _check_no_file(part.file_id, place)
        file = {"file_data": data} if data is not None else {"file_id": part.file_id}
        return {"type": "file", "file": {**file, **({"filename": part.filename} if part.filename else {})}}
    if isinstance(part, InputAudio):
        return {"type": "input_audio", "input_audio": {"data": part.input_audio.data, "format": part.input_audio.format}}
    if isinstance(part, InputVideo):
        return {"type": "video_url", "video_url": {"url": part.video_url}}
    return {"type": "text", "text": part.refusal if isinstance(part, Refusal) else part.text}


def _check_no_file(file_id: str | None, place: str) -> None:
    """Refuse a name in a provider's store beside the thing itself: the body may go there as it is, and the store is the operator's."""
    if file_id is not None:
        raise InvalidRequest(f"{place}.file_id: files of a provider's own store cannot be reached; leave it out.", f"{place}.file_id")


def _details(item: ReasoningItem, index: int) -> list[Json]:
    """Return an item's thoughts as details: our own packed form as it was, text and summary as such."""
    text = "".join(thought.text for thought in item.content or ())
    summary = "".join(thought.text for thought in item.summary or ())
    sealed = item.encrypted_content or ""
    detail = open_detail(sealed)
    if detail is not None:
        if detail["type"] == "reasoning.text":
            detail["text"] = text
        elif detail["type"] == "reasoning.summary":
            detail["summary"] = summary
        elif summary:
            told = {"type": "reasoning.summary", "summary": summary, "format": detail.get("format"), "index": detail.get("index", index)}
            return [told, detail]
        return [detail]
    details: list[Json] = []
    if text:
        details.append({"type": "reasoning.text", "text": text, "format": "unknown", "index": index})
    if summary:
        details.append({"type": "reasoning.summary", "summary": summary, "format": OPENAI_FORMAT, "index": index})
    if sealed:
        details.append({"type": "reasoning.encrypted", "data": sealed, "format": OPENAI_FORMAT, "index": index})
    return details


def _put_tools(typed: ResponsesBody, canonical: Json) -> None:
    if not typed.tools:
        return
    tools = [_custom_tool(tool) if tool.type == "custom" else _function_tool(tool) for tool in typed.tools]
    choice = typed.tool_choice
    if isinstance(choice, dict):
        choice, tools = _choice(choice, tools)
    elif choice not in (None, "none", "auto", "required"):
        raise InvalidRequest(f"tool_choice must be none, auto, required or a named tool, not {choice!r}.", "tool_choice")
    canonical["tools"] = tools
    if choice is not None:
        canonical["tool_choice"] = choice


def _function_tool(tool: Tool) -> Json:
    function: Json = {"name": tool.name}
    for name in ("description", "parameters", "strict"):
        if (value := getattr(tool, name)) is not None:
            function[name] = value
    return {"type": "function", "function": function}


def _custom_tool(tool: Tool) -> Json:
    custom: Json = {"name": tool.name}
    if tool.description is not None:
        custom["description"] = tool.description
    form = tool.format
    if form is not None:
        grammar = {"grammar": {"syntax": form.syntax, "definition": form.definition}} if form.type == "grammar" else {}
        custom["format"] = {"type": form.type, **grammar}
    return {"type": "custom", "custom": custom}


def _choice(choice: Json, tools: list[Json]) -> tuple[Any, list[Json]]:
    """Return the choice in chat form, and the tools that it leaves."""
    kind = choice.get("type")
    if kind == "function":
        if not any(tool["type"] == "function" and name_of(tool) == choice.get("name") for tool in tools):
            raise InvalidRequest("tool_choice.name must be the name of one of the functions in tools.", "tool_choice.name")
        return {"type": "function", "function": {"name": choice["name"]}}, tools
    if kind == "custom":
        if not any(tool["type"] == "custom" and name_of(tool) == choice.get("name") for tool in tools):
            raise InvalidRequest("tool_choice.name must be the name of a custom tool in tools.", "tool_choice.name")
        return {"type": "custom", "custom": {"name": choice["name"]}}, tools
    if kind == "allowed_tools":
        return _allowed(choice, tools)
    raise InvalidRequest("tool_choice must name a function, a custom tool or the allowed tools.", "tool_choice")


def _allowed(choice: Json, tools: list[Json]) -> tuple[Any, list[Json]]:
    if choice.get("mode") not in ("auto", "required"):
        raise InvalidRequest("tool_choice.mode must be auto or required.", "tool_choice.mode")
    listed = choice.get("tools")
    if not isinstance(listed, list) or not listed:
        raise InvalidRequest("tool_choice.tools must name one of the tools at least.", "tool_choice.tools")
    known = {(tool["type"], name_of(tool)) for tool in tools}
    allowed = set()
    for place, tool in enumerate(listed):
        kind, name = (tool.get("type"), tool.get("name")) if isinstance(tool, dict) else (None, None)
        if not isinstance(kind, str) or not isinstance(name, str) or (kind, name) not in known:
            raise InvalidRequest(f"tool_choice.tools[{place}] must be one of the tools.", f"tool_choice.tools[{place}]")
        allowed.add((kind, name))
    return choice["mode"], [tool for tool in tools if (tool["type"], name_of(tool)) in allowed]


def _put_text(typed: ResponsesBody, canonical: Json) -> None:
    if typed.text is None:
        return
    if typed.text.verbosity is not None:
        canonical["verbosity"] = typed.text.verbosity
    form = typed.text.format
    if form is None or form.type == "text":
        return
    canonical["response_format"] = {"type": form.type}
    if form.type == "json_schema":
        wishes = {"name": form.name, "schema": form.schema, "strict": form.strict, "description": form.description}
        canonical["response_format"]["json_schema"] = {name: value for name, value in wishes.items() if value is not None}


class ResponsesClient:
    """POST /api/v1/responses."""

    api = "responses"
    api_type = "completions"
    shows_failed_finish = True

    def decode_request(self, data: bytes) -> ChatRequest:
        """Read a client's body. Raises: InvalidRequest."""
        return decode_responses_request(data)

    def encode_answer(self, body: Json, request: ChatRequest, head: Head, closing: Closing) -> bytes:
        """Write a response."""
        hide_thoughts(body, request)
        show_free_text(body, request)
        return encode_response(body, request, head, closing)

    def new_stream_encoder(self, request: ChatRequest, head: Head) -> StreamEncoder:
        """Return an encoder for one stream."""
        return showing_free_text(hiding(ResponsesStreamEncoder(request, head), request), request)

    def encode_error(self, error: Json, generation_id: str) -> bytes:
        """Write an error body."""
        return encode_responses_error(error, generation_id)
