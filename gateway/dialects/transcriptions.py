"""Sound written down at providers: OpenAI's form, ElevenLabs', Deepgram's, and chats that listen (Gemini). Pure."""

import base64
import math
from typing import Any

import msgspec

from catalog.types import EndpointSpec, ProviderSpec, Usage
from gateway.dialects.base import Answer, BadAnswer, ChatRequest, InvalidRequest, Json, UpstreamCall, UpstreamDialect
from gateway.dialects.faults import malformed
from gateway.dialects.multipart import FormFile, write_form
from gateway.dialects.units import UnitDialect, read_answer, whole_answer
from gateway.dialects.usage import count

_WHAT = "transcript"
_SECONDS_MAX = 10**6


def whole_seconds(value: Any) -> int:
    """Return a length in whole seconds, begun ones counted; what is no length is 0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= _SECONDS_MAX:
        return 0
    return math.ceil(value)


def _file_of(request: ChatRequest) -> FormFile:
    upload = request.upload
    if upload is None:
        raise InvalidRequest("file is required.", "file")
    return FormFile(upload.name, upload.content_type, upload.data)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise BadAnswer(malformed("an answer without a transcript"))
    return value


def _rows(value: Any) -> list[Json]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


class OpenAiTranscriptions(UnitDialect):
    """POST …/audio/transcriptions: a form, at OpenAI, Groq, Mistral and most others."""

    def encode_request(
        self, request: ChatRequest, endpoint: EndpointSpec, provider: ProviderSpec, *, stream: bool, max_tokens: int | None
    ) -> UpstreamCall:
        """Write the form. Whisper is always asked for the long form of its answer: only that says how long the sound was."""
        del provider, stream, max_tokens
        asked, model = request.body, endpoint.provider_model_id
        form = "verbose_json" if "whisper" in model else asked["response_format"]
        fields = [("model", model), ("response_format", form)]
        fields += [(name, str(asked[name])) for name in ("language", "prompt", "temperature") if name in asked]
        fields += [("timestamp_granularities[]", one) for one in asked.get("timestamp_granularities", ())]
        body, content_type = write_form(fields, [("file", _file_of(request))])
        return UpstreamCall(path="/audio/transcriptions", body=body, headers={"content-type": content_type})

    def decode_answer(self, body: bytes) -> Answer:
        """Read a transcript. Raises: BadAnswer."""
        parsed = read_answer(body, _WHAT)
        found: Json = {"text": _text(parsed.get("text")), "segments": _rows(parsed.get("segments")), "words": _rows(parsed.get("words"))}
        for name in ("language", "duration"):
            if parsed.get(name):
                found[name] = parsed[name]
        return whole_answer(found, _openai_usage(parsed.get("usage"), parsed.get("duration")))


def _openai_usage(report: Any, duration: Any) -> Usage | None:
    report = report if isinstance(report, dict) else {}
    seconds = next(
        (found for one in (report.get("seconds"), report.get("prompt_audio_seconds"), duration) if (found := whole_seconds(one))), 0
    )
    inputs, outputs = (
        count(report.get("input_tokens", report.get("prompt_tokens"))),
        count(report.get("output_tokens", report.get("completion_tokens"))),
    )
    if not (seconds or inputs or outputs):
        return None
    details = report.get("input_token_details")
    # Without a split everything that was heard is sound; a prompt in words is next to nothing beside it.
    words = min(count(details.get("text_tokens")), inputs) if isinstance(details, dict) else 0
    return Usage(seconds=seconds, audio_input_tokens=inputs - words, input_tokens=words, output_tokens=outputs)


class ElevenLabsTranscriptions(UnitDialect):
    """POST …/speech-to-text: a form."""

    def encode_request(
        self, request: ChatRequest, endpoint: EndpointSpec, provider: ProviderSpec, *, stream: bool, max_tokens: int | None
    ) -> UpstreamCall:
        """Write the form."""
        del provider, stream, max_tokens
        asked = request.body
        fields = [("model_id", endpoint.provider_model_id), ("timestamps_granularity", "word"), ("tag_audio_events", "false")]
        if "language" in asked:
            fields.append(("language_code", asked["language"]))
        if "temperature" in asked:
            fields.append(("temperature", str(asked["temperature"])))
        body, content_type = write_form(fields, [("file", _file_of(request))])
        dropped = ("prompt",) if "prompt" in asked else ()
        return UpstreamCall(path="/speech-to-text", body=body, headers={"content-type": content_type}, dropped=dropped)

    def decode_answer(self, body: bytes) -> Answer:
        """Read a transcript. Its length is said, or ends with the last word at the least. Raises: BadAnswer."""
        parsed = read_answer(body, _WHAT)
        words = [
            {"word": one["text"], "start": one.get("start"), "end": one.get("end")}
            for one in _rows(parsed.get("words"))
            if one.get("type", "word") == "word" and isinstance(one.get("text"), str)
        ]
        duration = parsed.get("audio_duration_secs")
        found: Json = {"text": _text(parsed.get("text")), "language": parsed.get("language_code") or "", "words": words}
        if duration:
            found["duration"] = duration
        seconds = whole_seconds(duration)
        return whole_answer(found, Usage(seconds=seconds) if seconds else None, upstream_id=parsed.get("transcription_id"))


class DeepgramTranscriptions(UnitDialect):
    """POST …/listen: the file is the body, everything else is in the address."""

    def encode_request(
        self, request: ChatRequest, endpoint: EndpointSpec, provider: ProviderSpec, *, stream: bool, max_tokens: int | None
    ) -> UpstreamCall:
        """Write the call."""
        del provider, stream, max_tokens
        asked = request.body
        query = {"model": endpoint.provider_model_id.rpartition("/")[2], "smart_format": "true", "punctuate": "true"}
        query |= {"language": asked["language"]} if "language" in asked else {"detect_language": "true"}
        file = _file_of(request)
        dropped = tuple(name for name in ("prompt", "temperature") if name in asked)
        return UpstreamCall(path="/listen", body=file.data, headers={"content-type": file.content_type}, query=query, dropped=dropped)

    def decode_answer(self, body: bytes) -> Answer:
        """Read a transcript of one channel. Raises: BadAnswer."""
        parsed = read_answer(body, _WHAT)
        meta, results = parsed.get("metadata"), parsed.get("results")
        meta = meta if isinstance(meta, dict) else {}
        channels = _rows(results.get("channels")) if isinstance(results, dict) else []
        best = _rows(channels[0].get("alternatives")) if channels else []
        if not best:
            raise BadAnswer(malformed("an answer without a transcript"))
        words = [
            {"word": one.get("punctuated_word") or one.get("word"), "start": one.get("start"), "end": one.get("end")}
            for one in _rows(best[0].get("words"))
        ]
        found: Json = {"text": _text(best[0].get("transcript")), "language": channels[0].get("detected_language") or "", "words": words}
        seconds = whole_seconds(meta.get("duration"))
        if seconds:
            found["duration"] = meta["duration"]
        return whole_answer(found, Usage(seconds=seconds) if seconds else None, upstream_id=meta.get("request_id"))


class ChatTranscriptions(UnitDialect):
    """Models that listen in a chat: the sound and one order, and the answer's words are the transcript."""

    def __init__(self, chat: UpstreamDialect) -> None:
        self._chat = chat

    def encode_request(
        self, request: ChatRequest, endpoint: EndpointSpec, provider: ProviderSpec, *, stream: bool, max_tokens: int | None
    ) -> UpstreamCall:
        """Write the chat. Raises: InvalidRequest for times, which such models do not tell."""
        del stream
        asked, file = request.body, _file_of(request)
        if asked["response_format"] == "verbose_json":
            raise InvalidRequest("This model's provider tells no times; send response_format: json.", "response_format")
        order = "Write down word for word what is said. Answer with the transcript alone."
        if "language" in asked:
            order += f" The language is {asked['language']}."
        if "prompt" in asked:
            order += f" Names and context: {asked['prompt']}"
        sound = {"data": base64.b64encode(file.data).decode(), "format": request.upload.format if request.upload else "wav"}
        content = [{"type": "text", "text": order}, {"type": "input_audio", "input_audio": sound}]
        body: Json = {"messages": [{"role": "user", "content": content}]}
        if "temperature" in asked:
            body["temperature"] = asked["temperature"]
        chat = msgspec.structs.replace(request, body=body, kind="chat", stream=False)
        return self._chat.encode_request(chat, endpoint, provider, stream=False, max_tokens=max_tokens)

    def decode_answer(self, body: bytes) -> Answer:
        """Read the words. Raises: BadAnswer."""
        answer = self._chat.decode_answer(body)
        message = answer.body["choices"][0]["message"] if answer.body.get("choices") else {}
        return msgspec.structs.replace(answer, body={"text": _text(message.get("content"))}, finish_reason=None)
