"""Anthropic Messages as clients speak it: requests brought to canonical chat form. Answers are written in ``messages_encoder``. Pure."""

from typing import Any

import msgspec

from gateway.dialects.base import ChatRequest, Json
from gateway.dialects.chat_checks import measure
from gateway.dialects.chat_completions import parse_json
from gateway.dialects.chat_schema import ChatBody, Message
from gateway.dialects.client import Closing, Head, StreamEncoder
from gateway.dialects.hidden_thoughts import hide_thoughts, hiding
from gateway.dialects.messages_encoder import MessagesStreamEncoder, encode_message, encode_messages_error
from gateway.dialects.messages_schema import (
    Base64Source,
    ContentSource,
    DocumentBlock,
    ImageBlock,
    MessagesBody,
    NamedTool,
    OpaqueBlock,
    RedactedThinkingBlock,
    SearchResultBlock,
    TextBlock,
    TextSource,
    ThinkingAdaptive,
    ThinkingBlock,
    ThinkingOff,
    ThinkingOn,
    Tool,
    ToolResultBlock,
    ToolUseBlock,
    Turn,
    UrlSource,
    check_messages,
    choice_word,
)
from gateway.dialects.sealed_details import open_detail
from gateway.dialects.signed_thoughts import REASONING_FORMAT

_encode_json = msgspec.json.Encoder().encode
# Fields that mean the same in both forms.
_SAME = ("temperature", "top_p", "top_k", "provider", "plugins", "session_id", "cache_control", "trace", "route", "transforms")
_TIERS = {"standard_only": "default", "fast": "priority"}


def decode_messages_request(data: bytes) -> ChatRequest:
    """Read a client's body. Raises: InvalidRequest with the field and what it must be."""
    body = parse_json(data)
    typed = check_messages(body)
    translation = _Translation()
    canonical: Json = {"messages": translation.messages(typed)}
    for name in _SAME:
        if body.get(name) is not None:
            canonical[name] = body[name]
    if typed.stop_sequences:
        canonical["stop"] = typed.stop_sequences
    _put_tools(typed, canonical, translation)
    _put_thinking(typed, canonical)
    tier = "priority" if typed.speed == "fast" else (typed.service_tier or "")
    models = [*(typed.models or ()), *(fallback.model for fallback in typed.fallbacks or ())]
    request = ChatRequest(
        body=canonical,
        model=typed.model,
        models=tuple(models),
        stream=bool(typed.stream),
        max_tokens=typed.max_tokens,
        provider=typed.provider or {},
        service_tier=_TIERS.get(tier, tier),
        user=(typed.metadata.user_id or "") if typed.metadata else "",
        session_id=typed.session_id or "",
        has_extras=True,
        native=body,
        native_dialect="messages",
        opaque=translation.opaque,
    )
    measure(request, ChatBody(messages=msgspec.convert(canonical["messages"], list[Message])))
    if request.opaque:
        # What is not translated is not measured either; a body is never shorter than the text in it.
        request.prompt_bytes = max(request.prompt_bytes, len(data))
    return request


class _Translation:
    """Turns of one request on their way to messages. ``opaque`` names the first block that only Anthropic's own tools understand."""

    def __init__(self) -> None:
        self.opaque = ""
        self._messages: list[Json] = []

    def messages(self, typed: MessagesBody) -> list[Json]:
        """Return the canonical messages."""
        if typed.system:
            self._messages.append({"role": "system", "content": _content(self._parts(typed.system, "system"))})
        for index, turn in enumerate(typed.messages):
            place = f"messages[{index}].content"
            if turn.role == "assistant":
                self._messages.append(self._assistant(turn, place))
            else:
                self._user(turn, place)
        return self._messages

    def mark_opaque(self, what: str) -> None:
        """Note something that cannot be translated."""
        self.opaque = self.opaque or what

    def _user(self, turn: Turn, place: str) -> None:
        """Results of tools become messages of their own, before what the person says; pictures in them follow in the person's message,
        for most chat hosts take only text from a tool.
        """
        if isinstance(turn.content, str):
            self._messages.append({"role": turn.role, "content": turn.content})
            return
        parts: list[Json] = []
        shown: list[Json] = []
        for number, block in enumerate(turn.content):
            if isinstance(block, ToolResultBlock):
                inner = self._parts(block.content or "", f"{place}[{number}].content")
                shown += [part for part in inner if part["type"] != "text"]
                words = [part for part in inner if part["type"] == "text"]
                self._messages.append({"role": "tool", "tool_call_id": block.tool_use_id, "content": _result(block, words)})
            else:
                parts += self._block(block, f"{place}[{number}]")
        if shown or parts:
            self._messages.append({"role": turn.role, "content": _content([*shown, *parts])})

    def _assistant(self, turn: Turn, place: str) -> Json:
        message: Json = {"role": "assistant", "content": None}
        if isinstance(turn.content, str):
            message["content"] = turn.content
            return message
        details: list[Json] = []
        parts: list[Json] = []
        calls: list[Json] = []
        for number, block in enumerate(turn.content):
            if isinstance(block, ThinkingBlock):
                details.append(_thought(block, number))
            elif isinstance(block, RedactedThinkingBlock):
                details.append(open_detail(block.data) or _encrypted(block.data, number))
            elif isinstance(block, ToolUseBlock):
                function = {"name": block.name, "arguments": _encode_json(block.input).decode()}
                calls.append({"id": block.id, "type": "function", "function": function})
            else:
                parts += self._block(block, f"{place}[{number}]")
        if parts:
            message["content"] = parts if any("cache_control" in part or part["type"] != "text" for part in parts) else _joined(parts)
        if details:
            message["reasoning_details"] = details
            if thoughts := "".join(detail["text"] for detail in details if detail.get("text")):
                message["reasoning"] = thoughts
        if calls:
            message["tool_calls"] = calls
        return message

    def _parts(self, content: Any, place: str) -> list[Json]:
        if isinstance(content, str):
            return [{"type": "text", "text": content}] if content else []
        return [part for number, block in enumerate(content) for part in self._block(block, f"{place}[{number}]")]

    def _block(self, block: Any, place: str) -> list[Json]:
        if isinstance(block, TextBlock):
            parts: list[Json] = [{"type": "text", "text": block.text}]
        elif isinstance(block, ImageBlock):
            parts = [{"type": "image_url", "image_url": {"url": _url(block.source)}}]
        elif isinstance(block, DocumentBlock):
            parts = self._document(block, place)
        elif isinstance(block, SearchResultBlock):
            words = "\n".join(inner.text for inner in block.content)
            parts = [{"type": "text", "text": f"{block.title} ({block.source})\n{words}"}]
        elif isinstance(block, OpaqueBlock):
            self.mark_opaque(f"{place} of type {block.__struct_config__.tag}")
            return []
        else:
            # Thoughts and calls in a turn of the user's, results in one of the model's: their meaning is Anthropic's to refuse.
            self.mark_opaque(f"{place} of type {block.__struct_config__.tag}, in a turn of this role,")
            return []
        if block.cache_control is not None and parts:
            parts[-1]["cache_control"] = block.cache_control
        return parts

    def _document(self, block: DocumentBlock, place: str) -> list[Json]:
        source = block.source
        title = block.title or ""
        if isinstance(source, TextSource):
            return [{"type": "text", "text": f"{title}\n{source.data}" if title else source.data}]
        if isinstance(source, ContentSource):
            inner = self._parts(source.content, f"{place}.source.content")
            return [{"type": "text", "text": title}, *inner] if title else inner
        return [{"type": "file", "file": {"file_data": _url(source), "filename": title or "document.pdf"}}]


def _url(source: Base64Source | UrlSource) -> str:
    return source.url if isinstance(source, UrlSource) else f"data:{source.media_type};base64,{source.data}"


def _joined(parts: list[Json]) -> str:
    return "".join(part["text"] for part in parts)


def _content(parts: list[Json]) -> Any:
    """Return a single plain text as a string, which every host takes, anything else as parts."""
    if len(parts) == 1 and parts[0]["type"] == "text" and "cache_control" not in parts[0]:
        return parts[0]["text"]
    return parts


def _result(block: ToolResultBlock, words: list[Json]) -> Any:
    """Return what a tool said; chat has no flag for a failure, so it is said in words."""
    if block.is_error:
        words = (
            [{"type": "text", "text": "The tool failed."}, *words]
            if not words
            else [{**words[0], "text": f"Error: {words[0]['text']}"}, *words[1:]]
        )
    if block.cache_control is not None and words:
        words[-1] = {**words[-1], "cache_control": block.cache_control}
    return _content(words) or ""


def _thought(block: ThinkingBlock, index: int) -> Json:
    if not block.signature:
        return {"type": "reasoning.text", "text": block.thinking, "format": "unknown", "index": index}
    return {"type": "reasoning.text", "text": block.thinking, "signature": block.signature, "format": REASONING_FORMAT, "index": index}


def _encrypted(data: str, index: int) -> Json:
    return {"type": "reasoning.encrypted", "data": data, "format": REASONING_FORMAT, "index": index}


def _put_tools(typed: MessagesBody, canonical: Json, translation: _Translation) -> None:
    if not typed.tools:
        return
    tools = []
    for index, tool in enumerate(typed.tools):
        if tool.type in (None, "custom"):
            tools.append(_tool(tool))
        else:
            translation.mark_opaque(f"tools[{index}] of type {tool.type}")
    if not tools:
        return
    canonical["tools"] = tools
    choice = typed.tool_choice
    if isinstance(choice, NamedTool):
        canonical["tool_choice"] = {"type": "function", "function": {"name": choice.name}}
    elif choice is not None:
        canonical["tool_choice"] = choice_word(typed)
    if choice is not None and choice.disable_parallel_tool_use:
        canonical["parallel_tool_calls"] = False


def _tool(tool: Tool) -> Json:
    function: Json = {"name": tool.name, "parameters": tool.input_schema}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.strict is not None:
        function["strict"] = tool.strict
    translated: Json = {"type": "function", "function": function}
    if tool.cache_control is not None:
        translated["cache_control"] = tool.cache_control
    return translated


def _put_thinking(typed: MessagesBody, canonical: Json) -> None:
    """Bring thinking, effort and the output's schema to ``reasoning`` and ``response_format``."""
    thinking, config = typed.thinking, typed.output_config
    effort = config.effort if config else None
    if isinstance(thinking, ThinkingOff):
        canonical["reasoning"] = {"enabled": False}
    elif isinstance(thinking, ThinkingOn):
        canonical["reasoning"] = {"enabled": True, "max_tokens": thinking.budget_tokens}
    elif isinstance(thinking, ThinkingAdaptive):
        canonical["reasoning"] = {"enabled": True, **({"effort": effort} if effort else {})}
    elif effort:
        canonical["reasoning"] = {"effort": effort}
    if _excludes(typed) or (isinstance(thinking, ThinkingOn | ThinkingAdaptive) and thinking.display == "omitted"):
        canonical.setdefault("reasoning", {})["exclude"] = True
    if config is not None and config.format is not None:
        schema = {"name": "answer", "schema": config.format.schema, "strict": True}
        canonical["response_format"] = {"type": "json_schema", "json_schema": schema}


def _excludes(typed: MessagesBody) -> bool:
    return bool(typed.reasoning and typed.reasoning.exclude) or typed.include_reasoning is False


def _keeps_seals(request: ChatRequest) -> bool:
    """Whether blocks stay without their words, as ``thinking.display: omitted`` has it; excluded, they are left out whole."""
    sent = request.native
    return not (sent.get("reasoning") or {}).get("exclude") and sent.get("include_reasoning") is not False


class MessagesClient:
    """POST /api/v1/messages."""

    api = "messages"
    api_type = "completions"
    shows_failed_finish = False

    def decode_request(self, data: bytes) -> ChatRequest:
        """Read a client's body. Raises: InvalidRequest."""
        return decode_messages_request(data)

    def encode_answer(self, body: Json, request: ChatRequest, head: Head, closing: Closing) -> bytes:
        """Write a message."""
        hide_thoughts(body, request, keeps_seals=_keeps_seals(request))
        return encode_message(body, head, closing)

    def new_stream_encoder(self, request: ChatRequest, head: Head) -> StreamEncoder:
        """Return an encoder for one stream."""
        return hiding(MessagesStreamEncoder(head), request, keeps_seals=_keeps_seals(request))

    def encode_error(self, error: Json, generation_id: str) -> bytes:
        """Write an error body."""
        return encode_messages_error(error, generation_id)
