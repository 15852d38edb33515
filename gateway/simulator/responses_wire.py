"""The simulator in OpenAI's Responses, without state. Pure."""

from collections.abc import Iterator
from typing import Any

from gateway.simulator.directives import Directives, find_in_text
from gateway.simulator.openai_wire import OpenAiWire, allowed_of
from gateway.simulator.replies import FREE_TEXT, SimCall, SimChoice, SimReply, SimRequest, SimUsage
from gateway.simulator.tokens import FILE_TOKENS, IMAGE_TOKENS, count_tokens, split_to_chunks
from gateway.simulator.wire import BadBody, Frame, Json, Prompt, encode_json

_CREATED_S = 1_767_225_600
_OUTPUT_MIN_TOKENS = 16
_ITEMS = ("message", "function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output", "reasoning")
_CALLS = {
    "function_call": ("response.function_call_arguments", "arguments"),
    "custom_tool_call": ("response.custom_tool_call_input", "input"),
}
_DONE = {"arguments": ("name", "arguments"), "input": ("input",)}
_SEAL = "sealed-"


class ResponsesWire:
    """POST /v1/responses."""

    def __init__(self, errors: OpenAiWire) -> None:
        self._errors = errors

    def read(self, body: Json, *, model: str, stream: bool) -> SimRequest:
        """Reduce a body."""
        if body.get("store") is not False:
            raise BadBody("the simulator stores nothing: store must be false")
        prompt = Prompt()
        last_user, answered = _read_input(body.get("input"), prompt)
        prompt.add_text(str(body.get("instructions") or ""))
        tools = []
        for tool in body.get("tools") or ():
            is_custom = tool.get("type") == "custom"
            prompt.add_json({name: tool.get(name) for name in ("name", "description", "format" if is_custom else "parameters")})
            tools.append((str(tool.get("name")), FREE_TEXT if is_custom else tool.get("parameters") or {"type": "object"}))
        form = (body.get("text") or {}).get("format") or {}
        limit, choice = body.get("max_output_tokens"), body.get("tool_choice")
        if isinstance(limit, int) and limit < _OUTPUT_MIN_TOKENS:
            raise BadBody(f"Invalid 'max_output_tokens': integer below minimum value. Expected a value >= {_OUTPUT_MIN_TOKENS}.")
        return SimRequest(
            model=str(body.get("model") or model),
            last_user_text=last_user,
            prompt_tokens=prompt.tokens,
            prompt_key=prompt.key,
            max_tokens=limit if isinstance(limit, int) else None,
            tools=allowed_of(tools, choice if isinstance(choice, dict) and "mode" in choice else None),
            tool_choice=str(choice.get("mode") or choice.get("name")) if isinstance(choice, dict) else choice or "auto",
            tools_answered=answered,
            json_schema=form.get("schema", {}) if form.get("type") == "json_schema" else None,
            json_object=form.get("type") == "json_object",
            reasoning=((body.get("reasoning") or {}).get("effort") or "none") != "none",
            stream=stream or body.get("stream") is True,
            control=find_in_text(last_user),
        )

    def answer(self, reply: SimReply, *, directives: Directives) -> Json:
        """Write a response."""
        return self._response(reply, _items(reply), directives)

    def frames(self, reply: SimReply, request: SimRequest, *, directives: Directives) -> Iterator[Frame]:
        """Write named, numbered events; the last has the whole response and its usage."""
        del request
        number = 0

        def frame(kind: str, tokens: int = 0, **fields: Any) -> Frame:
            nonlocal number
            number += 1
            return Frame(kind, encode_json({"type": kind, "sequence_number": number - 1, **fields}), tokens)

        begun = {**self._response(reply, [], {"missing_usage": 1}), "status": "in_progress"}
        yield frame("response.created", response=begun)
        yield frame("response.in_progress", response=begun)
        items = _items(reply)
        for index, item in enumerate(items):
            place = {"item_id": item["id"], "output_index": index}
            opening = {**item, "status": "in_progress", **_EMPTY.get(item["type"], {})}
            yield frame("response.output_item.added", output_index=index, item=opening)
            if item["type"] == "reasoning":
                part = item["summary"][0]
                yield frame("response.reasoning_summary_part.added", **place, summary_index=0, part={**part, "text": ""})
                for piece in split_to_chunks(part["text"]):
                    yield frame("response.reasoning_summary_text.delta", count_tokens(piece), **place, summary_index=0, delta=piece)
                yield frame("response.reasoning_summary_text.done", **place, summary_index=0, text=part["text"])
            elif item["type"] == "message":
                part = item["content"][0]
                yield frame("response.content_part.added", **place, content_index=0, part={**part, "text": ""})
                for piece in split_to_chunks(part["text"]):
                    yield frame("response.output_text.delta", count_tokens(piece), **place, content_index=0, delta=piece, logprobs=[])
                yield frame("response.output_text.done", **place, content_index=0, text=part["text"], logprobs=[])
                yield frame("response.content_part.done", **place, content_index=0, part=part)
            else:
                kind, takes = _CALLS[item["type"]]
                for start in range(0, len(item[takes]), 12):
                    yield frame(f"{kind}.delta", 3, **place, delta=item[takes][start : start + 12])
                yield frame(f"{kind}.done", **place, **{name: item[name] for name in _DONE[takes]})
            yield frame("response.output_item.done", output_index=index, item=item)
        if reply.choices[0].finish is not None:
            whole = self._response(reply, items, directives)
            yield frame(f"response.{whole['status']}", response=whole)

    def error(self, status: int, message: str) -> Json:
        """Write an error body."""
        return self._errors.error(status, message)

    def error_frame(self, message: str) -> Frame:
        """Write an error inside a stream."""
        return Frame("error", encode_json({"type": "error", "code": "server_error", "message": message, "param": None}))

    def _response(self, reply: SimReply, items: list[Json], directives: Directives) -> Json:
        finish = reply.choices[0].finish
        reason = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(finish or "")
        return {
            "id": f"resp_sim_{reply.id}",
            "object": "response",
            "created_at": _CREATED_S,
            "status": "incomplete" if reason else "completed",
            "error": None,
            "incomplete_details": {"reason": reason} if reason else None,
            "model": reply.model,
            "output": items,
            "service_tier": "default",
            "store": False,
            "usage": None if "missing_usage" in directives else _usage(reply.usage, directives),
        }


_EMPTY: dict[str, Json] = {
    "message": {"content": []},
    "reasoning": {"summary": [], "encrypted_content": ""},
    "function_call": {"arguments": ""},
    "custom_tool_call": {"input": ""},
}


def _read_input(source: Any, prompt: Prompt) -> tuple[str, bool]:
    """Add the items to ``prompt``; return the user's last words, and whether the last item is a tool's result."""
    if isinstance(source, str):
        prompt.start_message()
        prompt.add_text(source)
        return source, False
    if not isinstance(source, list) or not source:
        raise BadBody("'input' must be text or items")
    last_user, kind = "", ""
    for item in source:
        kind = item.get("type") or "message"
        if kind not in _ITEMS:
            raise BadBody(f"'input' has an item of type {kind}")
        if kind == "reasoning" and not str(item.get("encrypted_content")).startswith(_SEAL):
            raise BadBody("The encrypted content could not be verified.")
        prompt.start_message()
        words = _read_item(item, prompt)
        if item.get("role") == "user":
            last_user = words
    return last_user, kind in ("function_call_output", "custom_tool_call_output")


def _read_item(item: Json, prompt: Prompt) -> str:
    content = next((item[name] for name in ("content", "output", "arguments", "input", "encrypted_content") if name in item), None)
    if isinstance(content, str):
        prompt.add_text(content)
        return content
    words = []
    for part in content or ():
        if isinstance(part.get("text"), str):
            prompt.add_text(part["text"])
            words.append(part["text"])
        else:
            prompt.add_media(part, FILE_TOKENS if part.get("type") == "input_file" else IMAGE_TOKENS)
    return "\n".join(words)


def _items(reply: SimReply) -> list[Json]:
    choice: SimChoice = reply.choices[0]
    items: list[Json] = []
    if choice.reasoning:
        summary = [{"type": "summary_text", "text": choice.reasoning}]
        items.append({"type": "reasoning", "id": f"rs_{reply.id}", "summary": summary, "encrypted_content": f"{_SEAL}{reply.id}"})
    if choice.text or not choice.calls:
        part = {"type": "output_text", "text": choice.text, "annotations": [], "logprobs": []}
        items.append({"type": "message", "id": f"msg_{reply.id}", "status": "completed", "role": "assistant", "content": [part]})
    return items + [_call(call, place, reply) for place, call in enumerate(choice.calls)]


def _call(call: SimCall, place: int, reply: SimReply) -> Json:
    if call.is_custom:
        custom = {"type": "custom_tool_call", "id": f"ctc_{reply.id}_{place}", "status": "completed", "call_id": call.id}
        return {**custom, "name": call.name, "input": call.arguments}
    known = {"type": "function_call", "id": f"fc_{reply.id}_{place}", "status": "completed", "call_id": call.id}
    return {**known, "name": call.name, "arguments": call.arguments}


def _usage(usage: SimUsage, directives: Directives) -> Json:
    if "zero_usage" in directives:
        usage = SimUsage()
    output = usage.output_tokens + usage.reasoning_tokens
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_write_tokens + usage.cache_write_1h_tokens,
        },
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.prompt_tokens + output,
    }
