"""Sound to be written down, as clients send it: OpenAI's form with a file, OpenRouter's JSON with base64. Pure."""

import base64
import binascii
import math
from typing import Annotated, Any, Literal

import msgspec

from gateway.dialects.base import ChatRequest, InvalidRequest, Json, Upload
from gateway.dialects.client import ClientDialect, Closing, Head
from gateway.dialects.multipart import read_form
from gateway.dialects.sound_files import content_type_of, duration_of, format_of, seconds_max
from gateway.dialects.units import FormClient, cost_fields, encode_json, explain_body, read_body, text_size

# Fast speech in the languages with the shortest tokens; and what OpenAI counts of a second of sound.
_ANSWER_TOKENS_PER_SECOND, _SOUND_TOKENS_PER_SECOND = 25, 10
_ANSWER_TOKENS_MIN = 256

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
_CHOICES = {
    "response_format": "json, verbose_json (text, srt and vtt are not offered)",
    "timestamp_granularities": "word, segment",
}
_FORM_LISTS = {"timestamp_granularities", "include", "models"}
_FORM_NUMBERS = {"temperature": float}


class _Sound(msgspec.Struct):
    data: Annotated[str, msgspec.Meta(min_length=1)]
    format: _Name


class _Body(msgspec.Struct):
    input_audio: _Sound | None = None
    model: _Name | None = None
    models: list[_Name] | None = None
    language: Annotated[str, msgspec.Meta(max_length=32)] | None = None
    prompt: Annotated[str, msgspec.Meta(max_length=32_768)] | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    response_format: Literal["json", "verbose_json"] | None = None
    timestamp_granularities: list[Literal["word", "segment"]] | None = None
    stream: bool | None = None
    provider: Json | None = None
    user: str | None = None
    session_id: Annotated[str, msgspec.Meta(max_length=256)] | None = None


class TranscriptionsClient(FormClient):
    """POST /api/v1/audio/transcriptions. ``form`` is the content type of bodies that are forms, '' for JSON."""

    api = "transcriptions"
    api_type = "stt"

    def __init__(self, form: str = "") -> None:
        self._form = form

    def of_form(self, content_type: str) -> ClientDialect:
        """Return the same format for forms."""
        return TranscriptionsClient(content_type)

    def decode_request(self, data: bytes) -> ChatRequest:
        """Read a body. Raises: InvalidRequest."""
        if self._form:
            return _read_form(data, self._form)
        typed, _ = read_body(data, _Body, _CHOICES)
        sound = typed.input_audio
        if sound is None:
            raise InvalidRequest("input_audio is required (or send a form with a file).", "input_audio")
        try:
            content = base64.b64decode(sound.data, validate=True)
        except (binascii.Error, ValueError) as error:
            raise InvalidRequest("input_audio.data must be base64, without a data: prefix.", "input_audio.data") from error
        sound_format = format_of("", f"audio/{sound.format}")
        if not sound_format or not content:
            raise InvalidRequest("input_audio.format must be wav, mp3, flac, m4a, ogg, webm or aac.", "input_audio.format")
        upload = Upload(
            data=content, name=f"audio.{sound_format}", format=sound_format, content_type=content_type_of(sound_format)
        )  # fmt: skip
        return _request(typed, upload, media_bytes=len(sound.data))

    def encode_answer(self, body: Json, request: ChatRequest, head: Head, closing: Closing) -> bytes:
        """Write the transcript, with what the provider timed where it was asked for; as OpenAI's two events where streamed."""
        del head
        usage = _usage(closing)
        if request.stream:
            done = {"type": "transcript.text.done", "text": body["text"], "usage": usage}
            events = ({"type": "transcript.text.delta", "delta": body["text"]}, done)
            return b"".join(b"data: %b\n\n" % encode_json(one) for one in events) + b"data: [DONE]\n\n"
        answer: Json = {"text": body["text"], "usage": usage}
        if request.body["response_format"] == "verbose_json":
            duration = body.get("duration") or closing.usage.seconds or request.units_likely["seconds"]
            answer |= {"task": "transcribe", "language": body.get("language") or "", "duration": duration}
            answer["segments"] = body.get("segments") or []
            if words := body.get("words"):
                answer["words"] = words
        return encode_json(answer)


def _read_form(data: bytes, content_type: str) -> ChatRequest:
    form = read_form(data, content_type)
    file = form.files.get("file")
    if file is None:
        raise InvalidRequest("file is required.", "file")
    sound_format = format_of(file.name, file.content_type)
    if not sound_format:
        raise InvalidRequest("The file's name or content type must say what it is: wav, mp3, flac, m4a, ogg, webm or aac.", "file")
    if not file.data:
        raise InvalidRequest("The file is empty.", "file")
    upload = Upload(data=file.data, name=file.name, format=sound_format, content_type=content_type_of(sound_format))
    try:
        typed = msgspec.convert(_fields(form.fields), _Body, strict=False)
    except msgspec.ValidationError as error:
        explain_body(error, _CHOICES)
    return _request(typed, upload, media_bytes=len(file.data))


def _fields(fields: dict[str, list[str]]) -> Json:
    """Return a form's fields as JSON would have them; ``name[]`` is a list."""
    found: Json = {}
    for name, values in fields.items():
        plain = name.removesuffix("[]")
        found[plain] = values if plain in _FORM_LISTS else values[-1]
    provider = found.get("provider")
    if provider is not None:
        try:
            found["provider"] = msgspec.json.decode(provider)
        except msgspec.DecodeError as error:
            raise InvalidRequest("provider must be a JSON object.", "provider") from error
    return found


def _request(typed: _Body, upload: Upload, *, media_bytes: int) -> ChatRequest:
    duration_s = duration_of(upload.data, upload.format)
    most = seconds_max(upload.data, upload.format, duration_s)
    likely = max(math.ceil(duration_s), 1) if duration_s is not None else most
    canonical: Json = {"response_format": typed.response_format or "json"}
    for name in ("language", "prompt", "temperature"):
        if (value := getattr(typed, name)) is not None:
            canonical[name] = value
    if typed.timestamp_granularities and canonical["response_format"] == "verbose_json":
        canonical["timestamp_granularities"] = typed.timestamp_granularities
    return ChatRequest(
        body=canonical,
        kind="transcription",
        model=typed.model,
        models=tuple(typed.models or ()),
        stream=bool(typed.stream),
        provider=typed.provider or {},
        user=typed.user or "",
        session_id=typed.session_id or "",
        message_count=1,
        prompt_bytes=text_size(typed.prompt or ""),
        media_bytes=media_bytes,
        answer_tokens_max=most * _ANSWER_TOKENS_PER_SECOND + _ANSWER_TOKENS_MIN,
        units_max={"seconds": most},
        units_likely={
            "seconds": likely,
            "audio_input_tokens": likely * _SOUND_TOKENS_PER_SECOND,
            "output_tokens": likely * _ANSWER_TOKENS_PER_SECOND,
        },
        upload=upload,
    )


def _usage(closing: Closing) -> Json:
    """Return usage: OpenRouter's fields, and OpenAI's word for what it is counted in."""
    usage = closing.usage
    counted: Json = {"type": "duration", "seconds": usage.seconds} if usage.seconds else {"type": "tokens"}
    sides: dict[str, Any] = {
        "input_tokens": usage.prompt_tokens,
        "output_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }
    if not usage.seconds:
        sides["input_token_details"] = {
            "audio_tokens": usage.audio_input_tokens,
            "text_tokens": usage.prompt_tokens - usage.audio_input_tokens,
        }
    return {**counted, **sides, **cost_fields(closing)}
