"""The simulator in Google's Gemini. Pure."""

from collections.abc import Iterator
from typing import Any

import msgspec

from gateway.simulator.directives import Directives, find_in_text
from gateway.simulator.replies import SimCall, SimChoice, SimReply, SimRequest, SimUsage
from gateway.simulator.speech_wire import HZ, pieces_of, speak
from gateway.simulator.tokens import IMAGE_TOKENS, count_tokens, split_to_chunks
from gateway.simulator.wire import BadBody, Frame, Json, Prompt, encode_json

_FINISH = {"stop": "STOP", "stop_sequence": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP", "content_filter": "SAFETY"}
_PICTURE_EDGES = {"512": 512, "1K": 1024, "2K": 2048, "4K": 4096}
_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class GeminiWire:
    """POST …/models/{model}:generateContent and :streamGenerateContent?alt=sse."""

    def read(self, body: Json, *, model: str, stream: bool) -> SimRequest:
        """Reduce a body."""
        contents = body.get("contents")
        if not isinstance(contents, list) or not contents or not all(isinstance(content, dict) for content in contents):
            raise BadBody("contents is not specified")
        prompt = Prompt()
        if isinstance(body.get("systemInstruction"), dict):
            prompt.start_message()
            _read_parts(body["systemInstruction"].get("parts"), prompt)
        tools = []
        for group in body.get("tools") or ():
            for function in group.get("functionDeclarations") or ():
                prompt.add_json(function)
                schema = function.get("parametersJsonSchema", function.get("parameters"))
                tools.append((str(function.get("name")), schema or {"type": "object"}))
        last_user = ""
        for content in contents:
            if content.get("role", "user") not in ("user", "model"):
                raise BadBody("Please use a valid role: user, model.")
            prompt.start_message()
            text = _read_parts(content.get("parts"), prompt)
            if content.get("role", "user") == "user" and text:
                last_user = text
        options = body.get("generationConfig") or {}
        thinking = options.get("thinkingConfig") or {}
        is_json = options.get("responseMimeType") == "application/json"
        schema = options.get("responseJsonSchema", options.get("responseSchema"))
        draws, speaks = (word in (options.get("responseModalities") or ()) for word in ("IMAGE", "AUDIO"))
        return SimRequest(
            model=model,
            last_user_text=last_user,
            prompt_tokens=prompt.tokens,
            prompt_key=prompt.key,
            max_tokens=options.get("maxOutputTokens"),
            stop=tuple(options.get("stopSequences") or ()),
            n=int(options.get("candidateCount") or 1),
            tools=tuple(tools),
            tool_choice=_tool_choice(body),
            tools_answered=any("functionResponse" in part for part in contents[-1].get("parts") or ()),
            json_schema=schema if is_json else None,
            json_object=is_json and schema is None,
            reasoning=bool(thinking.get("includeThoughts") or thinking.get("thinkingBudget") or thinking.get("thinkingLevel")),
            stream=stream,
            include_usage=True,
            control=find_in_text(last_user),
            make=speak if speaks else None,
            sound_format="pcm" if speaks else "",
            picture_size=_picture_size(options.get("imageConfig") or {}) if draws else (0, 0),
        )

    def answer(self, reply: SimReply, *, directives: Directives) -> Json:
        """Write a GenerateContentResponse."""
        candidates = []
        for index, choice in enumerate(reply.choices):
            parts = [{"text": choice.reasoning, "thought": True}] if choice.reasoning else []
            parts += [{"text": choice.text}] if choice.text else []
            parts += [_call_part(call, reply, number) for number, call in enumerate(choice.calls)]
            parts += [_picture_part(one) for one in reply.pictures]
            candidates.append(_candidate(index, parts, choice.finish))
        body: Json = {"candidates": candidates, "modelVersion": reply.model, "responseId": f"sim{reply.id}"}
        if "missing_usage" not in directives:
            body["usageMetadata"] = _usage(reply.usage, directives)
        return body

    def frames(self, reply: SimReply, request: SimRequest, *, directives: Directives) -> Iterator[Frame]:
        """Write one response per piece; the last has the finish reason. Every piece reports the prompt, the last one everything."""
        del request
        if reply.sound:
            yield from _spoken(reply, directives)
            return
        usage = _usage(reply.usage, directives)
        partial = {**_usage(SimUsage(input_tokens=reply.usage.prompt_tokens), directives)}
        for index, choice in enumerate(reply.choices):
            pieces = list(_pieces(choice, reply))
            for number, (part, tokens) in enumerate(pieces):
                is_last = number == len(pieces) - 1 and choice.finish is not None
                body: Json = {
                    "candidates": [_candidate(index, [part] if part else [], choice.finish if is_last else None)],
                    "modelVersion": reply.model,
                    "responseId": f"sim{reply.id}",
                }
                if "missing_usage" not in directives:
                    body["usageMetadata"] = usage if is_last else partial
                yield Frame("", encode_json(body), tokens)

    def error(self, status: int, message: str) -> Json:
        """Write an error body."""
        return {"error": {"code": status, "message": message, "status": _STATUSES.get(status, "INTERNAL")}}

    def error_frame(self, message: str) -> Frame:
        """Write an error inside a stream."""
        return Frame("", encode_json(self.error(503, message)))


def _read_parts(parts: Any, prompt: Prompt) -> str:
    words: list[str] = []
    for part in parts if isinstance(parts, list) else ():
        if "text" in part:
            prompt.add_text(str(part["text"]))
            words.append(str(part["text"]))
        elif "functionCall" in part:
            prompt.add_json(part["functionCall"])
        elif "functionResponse" in part:
            prompt.add_json(part["functionResponse"])
        else:
            prompt.add_media(part, IMAGE_TOKENS)
    return "\n".join(words)


def _tool_choice(body: Json) -> str:
    config = (body.get("toolConfig") or {}).get("functionCallingConfig") or {}
    names = config.get("allowedFunctionNames")
    if config.get("mode") == "ANY" and names:
        return str(names[0])
    return {"NONE": "none", "ANY": "required"}.get(str(config.get("mode")), "auto")


def _candidate(index: int, parts: list[Json], finish: str | None) -> Json:
    candidate: Json = {"content": {"role": "model", "parts": parts}, "index": index}
    if finish is not None:
        candidate["finishReason"] = _FINISH[finish]
    return candidate


def _call_part(call: SimCall, reply: SimReply, number: int) -> Json:
    try:
        msgspec.json.decode(call.arguments)
        arguments: Any = msgspec.Raw(call.arguments.encode())
    except msgspec.MsgspecError:
        arguments = {}
    part: Json = {"functionCall": {"name": call.name, "args": arguments}}
    if number == 0:
        part["thoughtSignature"] = f"c2ln{reply.id}"
    return part


def _pieces(choice: SimChoice, reply: SimReply) -> Iterator[tuple[Json, int]]:
    for piece in split_to_chunks(choice.reasoning):
        yield {"text": piece, "thought": True}, count_tokens(piece)
    for piece in split_to_chunks(choice.text):
        yield {"text": piece}, count_tokens(piece)
    for picture in reply.pictures:
        yield _picture_part(picture), 0
    for number, call in enumerate(choice.calls):
        yield _call_part(call, reply, number), count_tokens(call.arguments)
    if not (choice.reasoning or choice.text or choice.calls):
        yield {}, 0


def _spoken(reply: SimReply, directives: Directives) -> Iterator[Frame]:
    head: Json = {"modelVersion": reply.model, "responseId": f"sim{reply.id}"}
    for piece in pieces_of(reply.sound):
        part = {"inlineData": {"mimeType": f"audio/L16;codec=pcm;rate={HZ}", "data": piece}}
        yield Frame("", encode_json({**head, "candidates": [_candidate(0, [part], None)]}))
    last: Json = {**head, "candidates": [_candidate(0, [], "stop")]}
    if "missing_usage" not in directives:
        spoken = reply.usage.audio_tokens
        last["usageMetadata"] = _usage(reply.usage, directives)
        last["usageMetadata"] |= {
            "candidatesTokenCount": spoken,
            "totalTokenCount": reply.usage.prompt_tokens + spoken,
            "candidatesTokensDetails": [{"modality": "AUDIO", "tokenCount": spoken}],
        }
    yield Frame("", encode_json(last))


def _picture_part(picture: str) -> Json:
    return {"inlineData": {"mimeType": "image/png", "data": picture}}


def _picture_size(wish: Json) -> tuple[int, int]:
    edge = _PICTURE_EDGES.get(str(wish.get("imageSize")), 1024)
    across, _, down = str(wish.get("aspectRatio") or "1:1").partition(":")
    longest = max(int(across), int(down))
    return edge * int(across) // longest, edge * int(down) // longest


def _usage(usage: SimUsage, directives: Directives) -> Json:
    if "zero_usage" in directives:
        usage = SimUsage()
    report: Json = {
        "promptTokenCount": usage.prompt_tokens,
        "candidatesTokenCount": usage.output_tokens,
        "totalTokenCount": usage.prompt_tokens + usage.output_tokens + usage.reasoning_tokens,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": usage.prompt_tokens}],
    }
    if usage.cache_read_tokens:
        report["cachedContentTokenCount"] = usage.cache_read_tokens
    if usage.reasoning_tokens:
        report["thoughtsTokenCount"] = usage.reasoning_tokens
    if usage.image_tokens:
        report["candidatesTokenCount"] += usage.image_tokens
        report["totalTokenCount"] += usage.image_tokens
        report["candidatesTokensDetails"] = [{"modality": "IMAGE", "tokenCount": usage.image_tokens}]
    return report
