"""The simulator in Anthropic's Messages. Pure."""

from collections.abc import Iterator
from typing import Any

import msgspec

from gateway.simulator.directives import Directives, find_in_text
from gateway.simulator.replies import SimCall, SimChoice, SimReply, SimRequest, SimUsage
from gateway.simulator.tokens import FILE_TOKENS, IMAGE_TOKENS, count_tokens, split_to_chunks
from gateway.simulator.wire import BadBody, Frame, Json, Prompt, encode_json

_STOP = {
    "stop": "end_turn",
    "stop_sequence": "stop_sequence",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}
_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class AnthropicWire:
    """POST /v1/messages."""

    def read(self, body: Json, *, model: str, stream: bool) -> SimRequest:
        """Reduce a body."""
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages or not all(isinstance(message, dict) for message in messages):
            raise BadBody("messages: at least one message is required")
        limit = body.get("max_tokens")
        if not isinstance(limit, int) or limit < 1:
            raise BadBody("max_tokens: Field required")
        prompt = Prompt()
        tools, searches = [], 0
        for tool in body.get("tools") or ():
            if str(tool.get("type")).startswith("web_search_"):
                searches = int(tool.get("max_uses", 1))
                continue
            prompt.add_json({name: value for name, value in tool.items() if name != "cache_control"}, tool.get("cache_control"))
            tools.append((str(tool.get("name")), tool.get("input_schema") or {"type": "object"}))
        _read_content(body.get("system"), prompt)
        last_user = ""
        for message in messages:
            if message.get("role") not in ("user", "assistant"):
                raise BadBody("messages: roles are user and assistant")
            prompt.start_message()
            text = _read_content(message.get("content"), prompt)
            if message["role"] == "user" and text:
                last_user = text
        if isinstance(body.get("cache_control"), dict):
            prompt.add_text("", body["cache_control"])
        choice = body.get("tool_choice") or {}
        thinking = body.get("thinking") or {}
        form = (body.get("output_config") or {}).get("format") or {}
        return SimRequest(
            model=str(body.get("model") or model),
            last_user_text=last_user,
            prompt_tokens=prompt.tokens,
            prompt_key=prompt.key,
            prefix_key=prompt.prefix_key,
            prefix_tokens=prompt.prefix_tokens,
            prefix_is_1h=prompt.prefix_is_1h,
            max_tokens=limit,
            stop=tuple(body.get("stop_sequences") or ()),
            tools=tuple(tools),
            searches=searches,
            tool_choice={"auto": "auto", "none": "none", "any": "required"}.get(str(choice.get("type", "auto")), str(choice.get("name"))),
            tools_answered=_is_tool_result(messages[-1].get("content")),
            json_schema=form.get("schema") if form.get("type") == "json_schema" else None,
            reasoning=thinking.get("type") in ("enabled", "adaptive"),
            stream=stream or body.get("stream") is True,
            control=str((body.get("metadata") or {}).get("simulate") or "") or find_in_text(last_user),
        )

    def answer(self, reply: SimReply, *, directives: Directives) -> Json:
        """Write a message."""
        choice = reply.choices[0]
        blocks: list[Json] = []
        if choice.reasoning:
            blocks.append({"type": "thinking", "thinking": choice.reasoning, "signature": _signature(reply)})
        if choice.text:
            blocks.append({"type": "text", "text": choice.text})
        blocks += [{"type": "tool_use", "id": call.id, "name": call.name, "input": _input(call)} for call in choice.calls]
        body: Json = {
            "id": f"msg_sim_{reply.id}",
            "type": "message",
            "role": "assistant",
            "model": reply.model,
            "content": blocks,
            "stop_reason": _STOP.get(choice.finish or ""),
            "stop_sequence": choice.stop_sequence,
        }
        if "missing_usage" not in directives:
            body["usage"] = _usage(reply.usage, directives)
        return body

    def frames(self, reply: SimReply, request: SimRequest, *, directives: Directives) -> Iterator[Frame]:
        """Write named events: usage of the prompt at the start, cumulative usage at the end."""
        del request
        choice = reply.choices[0]
        sends_usage = "missing_usage" not in directives
        usage = _usage(reply.usage, directives)
        message: Json = {
            "id": f"msg_sim_{reply.id}",
            "type": "message",
            "role": "assistant",
            "model": reply.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
        }
        if sends_usage:
            message["usage"] = {**usage, "output_tokens": min(1, usage["output_tokens"])}
        yield _frame("message_start", {"message": message})
        yield _frame("ping", {})
        for index, (opening, deltas) in enumerate(_blocks(choice, _signature(reply))):
            yield _frame("content_block_start", {"index": index, "content_block": opening})
            for delta in deltas:
                yield _frame("content_block_delta", {"index": index, "delta": delta}, _delta_tokens(delta))
            yield _frame("content_block_stop", {"index": index})
        ending: Json = {"delta": {"stop_reason": _STOP.get(choice.finish or ""), "stop_sequence": choice.stop_sequence}}
        if sends_usage:
            ending["usage"] = usage
        if choice.finish is not None:
            yield _frame("message_delta", ending)
        if "no_done" not in directives:
            yield _frame("message_stop", {})

    def error(self, status: int, message: str) -> Json:
        """Write an error body."""
        return {"type": "error", "error": {"type": _ERRORS.get(status, "api_error"), "message": message}, "request_id": "req_simulated"}

    def error_frame(self, message: str) -> Frame:
        """Write an error inside a stream."""
        return Frame("error", encode_json({"type": "error", "error": {"type": "overloaded_error", "message": message}}))


def _read_content(content: Any, prompt: Prompt) -> str:
    if isinstance(content, str):
        prompt.add_text(content)
        return content
    words: list[str] = []
    for block in content if isinstance(content, list) else ():
        mark = block.get("cache_control")
        kind = block.get("type")
        if kind == "text":
            prompt.add_text(str(block.get("text")), mark)
            words.append(str(block.get("text")))
        elif kind == "thinking":
            prompt.add_text(str(block.get("thinking")))
        elif kind == "tool_use":
            prompt.add_text(str(block.get("name")) + encode_json(block.get("input")).decode(), mark)
        elif kind == "tool_result":
            _read_content(block.get("content"), prompt)
        else:
            prompt.add_media(block, FILE_TOKENS if kind == "document" else IMAGE_TOKENS)
    return "\n".join(words)


def _is_tool_result(content: Any) -> bool:
    return isinstance(content, list) and any(isinstance(block, dict) and block.get("type") == "tool_result" for block in content)


def _signature(reply: SimReply) -> str:
    return f"sig-{reply.id}"


def _input(call: SimCall) -> Any:
    """Return the arguments as they are, or an empty object when they were cut short."""
    try:
        msgspec.json.decode(call.arguments)
    except msgspec.MsgspecError:
        return {}
    return msgspec.Raw(call.arguments.encode())


def _blocks(choice: SimChoice, signature: str) -> Iterator[tuple[Json, list[Json]]]:
    if choice.reasoning:
        thoughts = [{"type": "thinking_delta", "thinking": piece} for piece in split_to_chunks(choice.reasoning)]
        yield {"type": "thinking", "thinking": "", "signature": ""}, [*thoughts, {"type": "signature_delta", "signature": signature}]
    if choice.text:
        yield {"type": "text", "text": ""}, [{"type": "text_delta", "text": piece} for piece in split_to_chunks(choice.text)]
    for call in choice.calls:
        pieces = [call.arguments[start : start + 12] for start in range(0, len(call.arguments), 12)]
        opening: Json = {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}
        yield opening, [{"type": "input_json_delta", "partial_json": piece} for piece in ["", *pieces]]


def _frame(kind: str, body: Json, tokens: int = 0) -> Frame:
    return Frame(kind, encode_json({"type": kind, **body}), tokens)


def _delta_tokens(delta: Json) -> int:
    return count_tokens(str(delta.get("text") or delta.get("thinking") or delta.get("partial_json") or ""))


def _usage(usage: SimUsage, directives: Directives) -> Json:
    if "zero_usage" in directives:
        usage = SimUsage()
    return {
        "input_tokens": usage.input_tokens,
        "cache_read_input_tokens": usage.cache_read_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens + usage.cache_write_1h_tokens,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write_tokens,
            "ephemeral_1h_input_tokens": usage.cache_write_1h_tokens,
        },
        "output_tokens": usage.output_tokens + usage.reasoning_tokens,
        "output_tokens_details": {"thinking_tokens": usage.reasoning_tokens},
        **({"server_tool_use": {"web_search_requests": usage.searches}} if usage.searches else {}),
    }
