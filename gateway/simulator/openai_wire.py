"""The simulator in OpenAI's Chat Completions. Pure."""

from collections.abc import Iterator
from typing import Any

from gateway.simulator.directives import Directives, find_in_text
from gateway.simulator.replies import FREE_TEXT, SimCall, SimChoice, SimReply, SimRequest, SimUsage
from gateway.simulator.tokens import AUDIO_TOKENS, FILE_TOKENS, IMAGE_TOKENS, count_tokens, split_to_chunks
from gateway.simulator.wire import BadBody, Frame, Json, Prompt, encode_json

_CREATED_S = 1_767_225_600  # 2026-01-01: answers are the same at any time
_FINISH = {"stop_sequence": "stop"}
_ERRORS = {
    400: ("invalid_request_error", None),
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("invalid_request_error", "permission_denied"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("requests", "rate_limit_exceeded"),
}


class OpenAiWire:
    """POST /v1/chat/completions."""

    def read(self, body: Json, *, model: str, stream: bool) -> SimRequest:
        """Reduce a body."""
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages or not all(isinstance(message, dict) for message in messages):
            raise BadBody("'messages' must be an array of objects and not empty")
        prompt = Prompt()
        last_user = ""
        for message in messages:
            text = _read_message(message, prompt)
            if message.get("role") == "user":
                last_user = text
        tools = _read_tools(body, prompt)
        form = body.get("response_format")
        form = form if isinstance(form, dict) else {}
        options = body.get("stream_options")
        limit = body.get("max_completion_tokens", body.get("max_tokens"))
        stop = body.get("stop")
        return SimRequest(
            model=str(body.get("model") or model),
            last_user_text=last_user,
            prompt_tokens=prompt.tokens,
            prompt_key=prompt.key,
            prefix_key=prompt.prefix_key,
            prefix_tokens=prompt.prefix_tokens,
            prefix_is_1h=prompt.prefix_is_1h,
            max_tokens=limit if isinstance(limit, int) else None,
            stop=tuple(stop) if isinstance(stop, list) else (stop,) if isinstance(stop, str) else (),
            n=body["n"] if isinstance(body.get("n"), int) else 1,
            tools=tools,
            tool_choice=_tool_choice(body.get("tool_choice")),
            tools_answered=messages[-1].get("role") == "tool",
            json_schema=(form.get("json_schema") or {}).get("schema", {}) if form.get("type") == "json_schema" else None,
            json_object=form.get("type") == "json_object",
            reasoning=_asks_to_think(body),
            stream=stream or body.get("stream") is True,
            include_usage=isinstance(options, dict) and options.get("include_usage") is True,
            control=_control(body) or find_in_text(last_user),
        )

    def answer(self, reply: SimReply, *, directives: Directives) -> Json:
        """Write a chat.completion."""
        body: Json = {
            "id": f"chatcmpl-sim-{reply.id}",
            "object": "chat.completion",
            "created": _CREATED_S,
            "model": reply.model,
            "system_fingerprint": "fp_simulated",
            "choices": [
                {"index": place, "message": _message(choice), "finish_reason": _finish(choice), "logprobs": None}
                for place, choice in enumerate(reply.choices)
            ],
        }
        if "missing_usage" not in directives:
            body["usage"] = _usage(reply.usage, directives)
        return body

    def frames(self, reply: SimReply, request: SimRequest, *, directives: Directives) -> Iterator[Frame]:
        """Write chat.completion.chunk events, usage last if it was asked for, then the end mark."""
        every = "usage_every_chunk" in directives
        sends_usage = (request.include_usage or every) and "missing_usage" not in directives
        usage = _usage(reply.usage, directives)
        head = {
            "id": f"chatcmpl-sim-{reply.id}",
            "object": "chat.completion.chunk",
            "created": _CREATED_S,
            "model": reply.model,
            "system_fingerprint": "fp_simulated",
        }

        def chunk(place: int, delta: Json, finish: str | None = None, tokens: int = 0) -> Frame:
            body = {**head, "choices": [{"index": place, "delta": delta, "finish_reason": finish, "logprobs": None}]}
            if sends_usage:
                body["usage"] = usage if every and finish else _usage(SimUsage(), {}) if every else None
            return Frame("", encode_json(body), tokens)

        for place, choice in enumerate(reply.choices):
            yield chunk(place, {"role": "assistant", "content": ""})
            for delta in _deltas(choice):
                yield chunk(place, delta, tokens=_delta_tokens(delta))
            if choice.finish is not None:
                yield chunk(place, {}, _finish(choice))
        if sends_usage and not every:
            yield Frame("", encode_json({**head, "choices": [], "usage": usage}))
        if "no_done" not in directives:
            yield Frame("", b"[DONE]")

    def error(self, status: int, message: str) -> Json:
        """Write an error body."""
        kind, code = _ERRORS.get(status, ("server_error", None))
        return {"error": {"message": message, "type": kind, "param": None, "code": code}}

    def error_frame(self, message: str) -> Frame:
        """Write an error inside a stream."""
        return Frame("", encode_json({"error": {"message": message, "type": "server_error", "param": None, "code": "server_error"}}))


def _control(body: Json) -> str:
    metadata = body.get("metadata")
    value = metadata.get("simulate") if isinstance(metadata, dict) else None
    return value if isinstance(value, str) else ""


def _asks_to_think(body: Json) -> bool:
    if body.get("reasoning_effort") not in (None, "none") or body.get("enable_thinking") is True:
        return True
    reasoning, thinking = body.get("reasoning"), body.get("thinking")
    if isinstance(reasoning, dict):
        return reasoning.get("enabled") is not False and reasoning.get("effort") != "none"
    return isinstance(thinking, dict) and thinking.get("type") == "enabled"


def _read_message(message: Json, prompt: Prompt) -> str:
    prompt.start_message()
    content = message.get("content")
    words: list[str] = []
    if isinstance(content, str):
        prompt.add_text(content, message.get("cache_control"))
        words.append(content)
    for part in content if isinstance(content, list) else ():
        if isinstance(part, dict) and isinstance(part.get("text"), str):
            prompt.add_text(part["text"], part.get("cache_control"))
            words.append(part["text"])
        elif isinstance(part, dict):
            flat = {"input_audio": AUDIO_TOKENS, "file": FILE_TOKENS}.get(str(part.get("type")), IMAGE_TOKENS)
            prompt.add_media(part, flat)
    for call in message.get("tool_calls") or ():
        function = call.get("function") or call.get("custom") or {} if isinstance(call, dict) else {}
        prompt.add_text(f"{function.get('name', '')}{function.get('arguments', function.get('input', ''))}")
    return "\n".join(words)


def _read_tools(body: Json, prompt: Prompt) -> tuple[tuple[str, Any], ...]:
    tools = []
    for tool in body.get("tools") or ():
        function = tool.get("function") if isinstance(tool, dict) else None
        if isinstance(function, dict):
            prompt.add_json(function, tool.get("cache_control"))
            tools.append((str(function.get("name")), function.get("parameters") or {"type": "object"}))
        custom = tool.get("custom") if isinstance(tool, dict) else None
        if isinstance(custom, dict):
            prompt.add_json(custom)
            tools.append((str(custom.get("name")), FREE_TEXT))
    return allowed_of(tools, (body.get("tool_choice") or {}).get("allowed_tools") if isinstance(body.get("tool_choice"), dict) else None)


def allowed_of(tools: list[tuple[str, Any]], allowed: Any) -> tuple[tuple[str, Any], ...]:
    """Return the tools that a choice of ``allowed_tools`` leaves."""
    if not isinstance(allowed, dict):
        return tuple(tools)
    names = [(tool.get("function") or tool.get("custom") or tool).get("name") for tool in allowed.get("tools") or ()]
    return tuple(tool for tool in tools if tool[0] in names)


def _tool_choice(choice: Any) -> str:
    if isinstance(choice, dict):
        if isinstance(choice.get("allowed_tools"), dict):
            return str(choice["allowed_tools"].get("mode"))
        return str((choice.get("function") or choice.get("custom") or {}).get("name") or "auto")
    return choice if isinstance(choice, str) else "auto"


def _finish(choice: SimChoice) -> str | None:
    return _FINISH.get(choice.finish, choice.finish) if choice.finish else None


def _message(choice: SimChoice) -> Json:
    message: Json = {"role": "assistant", "content": choice.text or (None if choice.calls else ""), "refusal": None}
    if choice.reasoning:
        message["reasoning_content"] = choice.reasoning
    if choice.calls:
        message["tool_calls"] = [_call(call, call.arguments) for call in choice.calls]
    return message


def _call(call: SimCall, arguments: str) -> Json:
    if call.is_custom:
        return {"id": call.id, "type": "custom", "custom": {"name": call.name, "input": arguments}}
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _deltas(choice: SimChoice) -> Iterator[Json]:
    for piece in split_to_chunks(choice.reasoning):
        yield {"reasoning_content": piece}
    for piece in split_to_chunks(choice.text):
        yield {"content": piece}
    for index, call in enumerate(choice.calls):
        yield {"tool_calls": [{"index": index, **_call(call, "")}]}
        for start in range(0, len(call.arguments), 12):
            piece = call.arguments[start : start + 12]
            yield {
                "tool_calls": [{"index": index, **({"custom": {"input": piece}} if call.is_custom else {"function": {"arguments": piece}})}]
            }


def _delta_tokens(delta: Json) -> int:
    return count_tokens(str(delta.get("content") or delta.get("reasoning_content") or "x" * 12))


def _usage(usage: SimUsage, directives: Directives) -> Json:
    if "zero_usage" in directives:
        usage = SimUsage()
    completion = usage.output_tokens + usage.reasoning_tokens
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": completion,
        "total_tokens": usage.prompt_tokens + completion,
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_write_tokens + usage.cache_write_1h_tokens,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens, "audio_tokens": 0},
    }
