"""The simulator in Cohere's chat (v2). Pure."""

from collections.abc import Iterator

from gateway.simulator.directives import Directives
from gateway.simulator.openai_wire import OpenAiWire
from gateway.simulator.replies import SimReply, SimRequest, SimUsage
from gateway.simulator.tokens import count_tokens, split_to_chunks
from gateway.simulator.wire import Frame, Json, encode_json

_FINISH = {"stop": "COMPLETE", "stop_sequence": "STOP_SEQUENCE", "length": "MAX_TOKENS", "tool_calls": "TOOL_CALL"}
_NAMES = {"p": "top_p", "k": "top_k", "stop_sequences": "stop"}


class CohereWire:
    """POST /v2/chat. A body is OpenAI's but for some names."""

    def __init__(self, twin: OpenAiWire) -> None:
        self._twin = twin

    def read(self, body: Json, *, model: str, stream: bool) -> SimRequest:
        """Reduce a body."""
        known = {_NAMES.get(name, name): value for name, value in body.items()}
        form = known.get("response_format") or {}
        if form.get("json_schema"):
            known["response_format"] = {"type": "json_schema", "json_schema": {"schema": form["json_schema"]}}
        if isinstance(known.get("tool_choice"), str):
            known["tool_choice"] = known["tool_choice"].lower()
        return self._twin.read(known, model=model, stream=stream)

    def answer(self, reply: SimReply, *, directives: Directives) -> Json:
        """Write a whole answer."""
        choice = reply.choices[0]
        message: Json = {"role": "assistant"}
        parts = [{"type": "thinking", "thinking": choice.reasoning}] if choice.reasoning else []
        parts += [{"type": "text", "text": choice.text}] if choice.text else []
        if parts:
            message["content"] = parts
        if choice.calls:
            message["tool_calls"] = [
                {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}} for call in choice.calls
            ]
        body: Json = {"id": f"sim-{reply.id}", "finish_reason": _FINISH.get(choice.finish or "", "COMPLETE"), "message": message}
        if choice.finish is None:
            body["finish_reason"] = None
        return body if "missing_usage" in directives else {**body, "usage": _usage(reply.usage, directives)}

    def frames(self, reply: SimReply, request: SimRequest, *, directives: Directives) -> Iterator[Frame]:
        """Write named events: parts one after the other, the end with usage."""
        del request
        choice, index = reply.choices[0], 0
        yield _frame("message-start", {"id": f"sim-{reply.id}", "delta": {"message": {"role": "assistant", "content": []}}})
        for name, text in (("thinking", choice.reasoning), ("text", choice.text)):
            if not text:
                continue
            yield _frame("content-start", {"index": index, "delta": {"message": {"content": {"type": name, name: ""}}}})
            for piece in split_to_chunks(text):
                yield _frame("content-delta", {"index": index, "delta": {"message": {"content": {name: piece}}}}, count_tokens(piece))
            yield _frame("content-end", {"index": index})
            index += 1
        for number, call in enumerate(choice.calls):
            opening = {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}
            yield _frame("tool-call-start", {"index": number, "delta": {"message": {"tool_calls": opening}}})
            for start in range(0, len(call.arguments), 12):
                arguments = {"function": {"arguments": call.arguments[start : start + 12]}}
                yield _frame("tool-call-delta", {"index": number, "delta": {"message": {"tool_calls": arguments}}}, 3)
            yield _frame("tool-call-end", {"index": number})
        ending: Json = {"finish_reason": _FINISH.get(choice.finish or "", "COMPLETE")}
        if "missing_usage" not in directives:
            ending["usage"] = _usage(reply.usage, directives)
        if choice.finish is not None:
            yield _frame("message-end", {"delta": ending})
        if "no_done" not in directives:
            yield Frame("", b"[DONE]")

    def error(self, status: int, message: str) -> Json:
        """Write an error body."""
        del status
        return {"id": "sim-error", "message": message}

    def error_frame(self, message: str) -> Frame:
        """Write an error inside a stream."""
        return _frame("message-end", {"delta": {"finish_reason": "ERROR", "error": message}})


def _frame(kind: str, body: Json, tokens: int = 0) -> Frame:
    return Frame(kind, encode_json({"type": kind, **body}), tokens)


def _usage(usage: SimUsage, directives: Directives) -> Json:
    if "zero_usage" in directives:
        usage = SimUsage()
    counts = {"input_tokens": usage.prompt_tokens, "output_tokens": usage.output_tokens + usage.reasoning_tokens}
    return {"billed_units": counts, "tokens": {**counts, "input_tokens": usage.prompt_tokens + 7 * bool(usage.prompt_tokens)}}
