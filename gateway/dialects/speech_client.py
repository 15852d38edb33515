"""Text to be spoken, as clients send it: OpenAI's form, which is OpenRouter's; the answer is sound, or events that carry it. Pure."""

import base64
from typing import Annotated, Literal

import msgspec

from gateway.dialects.base import ChatRequest, InvalidRequest, Json
from gateway.dialects.client import Closing, Head
from gateway.dialects.units import UnitClient, cost_fields, encode_json, read_body, text_size

# Of sound, for each character that is read aloud at normal speed: the languages with the longest syllables, and then some.
_TOKENS_PER_CHARACTER, _TOKENS_MIN = 8, 1024
_LIKELY_TOKENS_PER_CHARACTER = 2

#: What a client may ask for → the content type of the answer.
SOUND_TYPES = {
    "mp3": b"audio/mpeg",
    "pcm": b"audio/pcm",
    "wav": b"audio/wav",
    "opus": b"audio/ogg",
    "flac": b"audio/flac",
    "aac": b"audio/aac",
}
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
_CHOICES = {"response_format": ", ".join(SOUND_TYPES), "stream_format": "audio, sse"}


class _Voice(msgspec.Struct):
    id: _Name


class _Body(msgspec.Struct):
    input: Annotated[str, msgspec.Meta(min_length=1, max_length=100_000)]
    model: _Name | None = None
    models: list[_Name] | None = None
    voice: _Name | _Voice | None = None
    response_format: Literal["mp3", "pcm", "wav", "opus", "flac", "aac"] | None = None
    speed: Annotated[float, msgspec.Meta(ge=0.25, le=4)] | None = None
    instructions: Annotated[str, msgspec.Meta(max_length=16_384)] | None = None
    stream_format: Literal["audio", "sse"] | None = None
    input_references: list[Json] | None = None
    provider: Json | None = None
    user: str | None = None
    session_id: Annotated[str, msgspec.Meta(max_length=256)] | None = None


class SpeechClient(UnitClient):
    """POST /api/v1/audio/speech. Without a format the sound is PCM: 24,000 samples a second, 16 bits, one channel."""

    api = "speech"
    api_type = "tts"

    def decode_request(self, data: bytes) -> ChatRequest:
        """Read a client's body. The request's ``body`` has input, response_format and what else was asked. Raises: InvalidRequest."""
        typed, _ = read_body(data, _Body, _CHOICES)
        if typed.input_references:
            raise InvalidRequest("Voices are not cloned here; name one with voice.", "input_references")
        canonical: Json = {"input": typed.input, "response_format": typed.response_format or "pcm"}
        if typed.voice is not None:
            canonical["voice"] = typed.voice if isinstance(typed.voice, str) else typed.voice.id
        for name in ("speed", "instructions"):
            if (value := getattr(typed, name)) is not None:
                canonical[name] = value
        characters = len(typed.input)
        slowness = 1 / min(typed.speed or 1, 1)
        return ChatRequest(
            body=canonical,
            kind="speech",
            model=typed.model,
            models=tuple(typed.models or ()),
            stream=typed.stream_format == "sse",
            provider=typed.provider or {},
            user=typed.user or "",
            session_id=typed.session_id or "",
            message_count=1,
            prompt_bytes=text_size(typed.input) + text_size(typed.instructions or ""),
            answer_tokens_max=int(characters * _TOKENS_PER_CHARACTER * slowness) + _TOKENS_MIN,
            units_max={"characters": characters},
            units_likely={
                "characters": characters,
                "input_tokens": -(-text_size(typed.input) // 4),
                "audio_output_tokens": int(characters * _LIKELY_TOKENS_PER_CHARACTER * slowness),
            },
        )

    def encode_answer(self, body: Json, request: ChatRequest, head: Head, closing: Closing) -> bytes:
        """Sound is relayed as it comes; there is no whole answer."""
        del body, request, head, closing
        raise InvalidRequest("Sound is relayed as it comes.", "stream_format")


def sound_event(sound: bytes) -> bytes:
    """Return a piece of sound as an event."""
    return b"data: %b\n\n" % encode_json({"type": "speech.audio.delta", "audio": base64.b64encode(sound).decode()})


def closing_events(closing: Closing) -> bytes:
    """Return the event that ends the sound, with usage and cost."""
    usage = closing.usage
    counts: Json = {
        "input_tokens": usage.prompt_tokens,
        "output_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }
    if usage.characters:
        counts["characters"] = usage.characters
    return b"data: %b\n\n" % encode_json({"type": "speech.audio.done", "usage": {**counts, **cost_fields(closing)}})


def failing_events(error: Json) -> bytes:
    """Return the event that ends the sound with an error."""
    return b"data: %b\n\n" % encode_json({"type": "error", "error": error})
