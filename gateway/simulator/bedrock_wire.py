"""The simulator in AWS Bedrock's Converse, streams in AWS's binary framing. Pure."""

import zlib
from collections.abc import Iterator
from typing import Any

import msgspec

from gateway.simulator.directives import Directives, find_in_text
from gateway.simulator.replies import SimReply, SimRequest, SimUsage
from gateway.simulator.tokens import FILE_TOKENS, IMAGE_TOKENS, count_tokens, split_to_chunks
from gateway.simulator.wire import BadBody, Frame, Json, Prompt, encode_json

_STOP = {
    "stop": "end_turn",
    "stop_sequence": "stop_sequence",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "refuse": "content_filtered",
}
_KINDS = {
    400: "ValidationException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    429: "ThrottlingException",
    503: "ServiceUnavailableException",
}
_EXCEPTION = "exception:"
_STRING = 7  # a header's type


class BedrockWire:
    """POST /model/{model}/converse and /converse-stream."""

    content_type = b"application/vnd.amazon.eventstream"

    def read(self, body: Json, *, model: str, stream: bool) -> SimRequest:
        """Reduce a body."""
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages:
            raise BadBody("messages is required")
        prompt = Prompt()
        config, options = body.get("toolConfig") or {}, body.get("inferenceConfig") or {}
        tools = []
        for tool in config.get("tools") or ():
            spec = tool.get("toolSpec")
            if spec is None:
                prompt.add_text("", {"ttl": tool["cachePoint"].get("ttl")})
                continue
            prompt.add_json({name: value for name, value in spec.items() if name != "strict"})
            tools.append((str(spec.get("name")), (spec.get("inputSchema") or {}).get("json") or {"type": "object"}))
        _read_blocks(body.get("system"), prompt)
        last_user, blocks = "", list[Json]()
        for message in messages:
            prompt.start_message()
            blocks = message.get("content") or []
            text = _read_blocks(blocks, prompt)
            if not tools and any("toolUse" in block or "toolResult" in block for block in blocks):
                raise BadBody("The toolConfig field must be defined when using toolUse and toolResult content blocks.")
            if message.get("role") == "user" and text:
                last_user = text
        choice, extra = config.get("toolChoice") or {}, body.get("additionalModelRequestFields") or {}
        form = ((body.get("outputConfig") or {}).get("textFormat") or {}).get("structure") or {}
        thinks = (extra.get("thinking") or {}).get("type") in ("enabled", "adaptive") or bool(extra.get("reasoningConfig"))
        return SimRequest(
            model=model,
            last_user_text=last_user,
            prompt_tokens=prompt.tokens,
            prompt_key=prompt.key,
            prefix_key=prompt.prefix_key,
            prefix_tokens=prompt.prefix_tokens,
            prefix_is_1h=prompt.prefix_is_1h,
            max_tokens=options.get("maxTokens"),
            stop=tuple(options.get("stopSequences") or ()),
            tools=tuple(tools),
            tool_choice=str(choice["tool"].get("name")) if "tool" in choice else "required" if "any" in choice else "auto",
            tools_answered=any("toolResult" in block for block in blocks),
            json_schema=msgspec.json.decode(form["jsonSchema"]["schema"]) if form else None,
            reasoning=thinks or bool(extra.get("reasoning_effort")),
            stream=stream,
            control=find_in_text(last_user),
        )

    def answer(self, reply: SimReply, *, directives: Directives) -> Json:
        """Write a whole answer."""
        choice = reply.choices[0]
        blocks: list[Json] = []
        if choice.reasoning:
            blocks.append({"reasoningContent": {"reasoningText": {"text": choice.reasoning, "signature": f"sig-{reply.id}"}}})
        if choice.text:
            blocks.append({"text": choice.text})
        for call in choice.calls:
            arguments = msgspec.Raw(call.arguments.encode())
            blocks.append({"toolUse": {"toolUseId": call.id, "name": call.name, "input": arguments}})
        body: Json = {
            "output": {"message": {"role": "assistant", "content": blocks}},
            "stopReason": _STOP.get(choice.finish or "", "content_filtered") if choice.finish else None,
            "metrics": {"latencyMs": 1},
        }
        return body if "missing_usage" in directives else {**body, "usage": _usage(reply.usage, directives)}

    def frames(self, reply: SimReply, request: SimRequest, *, directives: Directives) -> Iterator[Frame]:
        """Write events: blocks one after the other, the end, usage after it."""
        del request
        choice, index = reply.choices[0], 0
        yield _frame("messageStart", {"role": "assistant"})
        if choice.reasoning:
            for piece in split_to_chunks(choice.reasoning):
                yield _delta(index, {"reasoningContent": {"text": piece}}, count_tokens(piece))
            yield _delta(index, {"reasoningContent": {"signature": f"sig-{reply.id}"}})
            yield _frame("contentBlockStop", {"contentBlockIndex": index})
            index += 1
        if choice.text:
            for piece in split_to_chunks(choice.text):
                yield _delta(index, {"text": piece}, count_tokens(piece))
            yield _frame("contentBlockStop", {"contentBlockIndex": index})
            index += 1
        for call in choice.calls:
            start = {"toolUse": {"toolUseId": call.id, "name": call.name}}
            yield _frame("contentBlockStart", {"start": start, "contentBlockIndex": index})
            for place in range(0, len(call.arguments), 12):
                yield _delta(index, {"toolUse": {"input": call.arguments[place : place + 12]}}, 3)
            yield _frame("contentBlockStop", {"contentBlockIndex": index})
            index += 1
        if choice.finish is not None:
            yield _frame("messageStop", {"stopReason": _STOP.get(choice.finish, "content_filtered")})
        if "missing_usage" not in directives:
            yield _frame("metadata", {"usage": _usage(reply.usage, directives), "metrics": {"latencyMs": 1}})

    def error(self, status: int, message: str) -> Json:
        """Write an error body; its kind goes into a header."""
        del status
        return {"message": message}

    def error_headers(self, status: int) -> list[tuple[bytes, bytes]]:
        """Return the header that names the kind of an error."""
        return [(b"x-amzn-errortype", _KINDS.get(status, "InternalServerException").encode() + b":http://internal.amazon.com/")]

    def error_frame(self, message: str) -> Frame:
        """Write an error inside a stream."""
        return Frame(_EXCEPTION + "serviceUnavailableException", encode_json({"message": message}))

    def pack(self, frame: Frame) -> bytes:
        """Return a frame in AWS's framing: lengths and headers, each part with its CRC-32."""
        name = frame.event.removeprefix(_EXCEPTION)
        is_error = name != frame.event
        headers = _header(":exception-type" if is_error else ":event-type", name) + _header(":content-type", "application/json")
        headers += _header(":message-type", "exception" if is_error else "event")
        prelude = (16 + len(headers) + len(frame.data)).to_bytes(4, "big") + len(headers).to_bytes(4, "big")
        message = prelude + zlib.crc32(prelude).to_bytes(4, "big") + headers + frame.data
        return message + zlib.crc32(message).to_bytes(4, "big")


def _header(name: str, value: str) -> bytes:
    return bytes([len(name)]) + name.encode() + bytes([_STRING]) + len(value).to_bytes(2, "big") + value.encode()


def _frame(name: str, body: Json, tokens: int = 0) -> Frame:
    return Frame(name, encode_json(body), tokens)


def _delta(index: int, delta: Json, tokens: int = 0) -> Frame:
    return _frame("contentBlockDelta", {"delta": delta, "contentBlockIndex": index}, tokens)


def _read_blocks(blocks: Any, prompt: Prompt) -> str:
    words: list[str] = []
    for block in blocks or ():
        if "text" in block:
            prompt.add_text(block["text"])
            words.append(block["text"])
        elif "cachePoint" in block:
            prompt.add_text("", {"ttl": block["cachePoint"].get("ttl")})
        elif "toolUse" in block:
            prompt.add_text(str(block["toolUse"].get("name")) + encode_json(block["toolUse"].get("input")).decode())
        elif "toolResult" in block:
            _read_blocks(block["toolResult"].get("content"), prompt)
        elif "reasoningContent" in block:
            prompt.add_text(str((block["reasoningContent"].get("reasoningText") or {}).get("text")))
        else:
            prompt.add_media(block, FILE_TOKENS if "document" in block else IMAGE_TOKENS)
    return "\n".join(words)


def _usage(usage: SimUsage, directives: Directives) -> Json:
    if "zero_usage" in directives:
        usage = SimUsage()
    written = usage.cache_write_tokens + usage.cache_write_1h_tokens
    output = usage.output_tokens + usage.reasoning_tokens
    return {
        "inputTokens": usage.input_tokens,
        "outputTokens": output,
        "totalTokens": usage.prompt_tokens + output,
        "cacheReadInputTokens": usage.cache_read_tokens,
        "cacheWriteInputTokens": written,
        "cacheDetails": [{"ttl": "1h", "inputTokens": usage.cache_write_1h_tokens}] if usage.cache_write_1h_tokens else [],
    }
