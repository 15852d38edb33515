"""Text spoken at providers: OpenAI's form, ElevenLabs', Deepgram's, and chats that speak (Gemini). Pure.

Every answer is decoded piece by piece into sound, whether it came as bytes, as events or as JSON with base64.
"""

import base64
import binascii
from abc import abstractmethod
from typing import Any
from urllib.parse import quote

import msgspec

from catalog.types import EndpointSpec, ProviderSpec, Usage
from gateway.dialects.base import Answer, BadAnswer, ChatRequest, InvalidRequest, Json, UpstreamCall
from gateway.dialects.faults import make_fault, malformed
from gateway.dialects.units import JSON_HEADERS, UnitDialect, encode_json, read_answer
from gateway.dialects.usage import count, usage_from_gemini
from gateway.relay.sse import SseDecoder, SseTooLarge

_decode_json = msgspec.json.Decoder(Json).decode
_MALFORMED = "an answer that is no sound"
_JSON_MAX_BYTES = 64 * 1024 * 1024


class SoundDecoder:
    """Turns what a provider sends into sound, one instance per answer: plain bytes as they are. ``usage`` is None until reported."""

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.heard = False

    def decode(self, piece: bytes | None) -> bytes:
        """Return the sound that ``piece`` completes; None is the end. Raises: BadAnswer, also for an end without any sound."""
        if piece is None and not self.heard:
            raise BadAnswer(malformed("an answer without sound"))
        self.heard = self.heard or bool(piece)
        return piece or b""


class JsonSound(SoundDecoder):
    """JSON with the whole sound in base64 (Mistral: ``audio_data``), or an error in disguise."""

    def __init__(self) -> None:
        super().__init__()
        self._held = bytearray()

    def decode(self, piece: bytes | None) -> bytes:
        """Hold everything until it is whole. Raises: BadAnswer."""
        if piece is not None:
            self._held += piece
            if len(self._held) > _JSON_MAX_BYTES:
                raise BadAnswer(malformed(_MALFORMED))
            return b""
        parsed = read_answer(bytes(self._held), "sound")
        return super().decode(_from_base64(parsed.get("audio_data"))) or super().decode(None)


class _EventSound(SoundDecoder):
    def __init__(self) -> None:
        super().__init__()
        self._parser = SseDecoder()
        self._ended = False

    def decode(self, piece: bytes | None) -> bytes:
        """Return the sound of the events that ``piece`` completes. Raises: BadAnswer."""
        sound = b""
        try:
            for event in self._parser.finish() if piece is None else self._parser.feed(piece):
                if event.data and event.data != b"[DONE]":
                    sound += self._read(_decode_json(event.data))
        except (msgspec.MsgspecError, SseTooLarge, UnicodeDecodeError, RecursionError) as error:
            raise BadAnswer(malformed("a malformed event")) from error
        self.heard = self.heard or bool(sound)
        if piece is None and not (self._ended and self.heard):
            raise BadAnswer(malformed("sound that breaks off"))
        return sound

    @abstractmethod
    def _read(self, event: Json) -> bytes: ...


class OpenAiEventSound(_EventSound):
    """Events with sound, and at the end what it cost in tokens."""

    def _read(self, event: Json) -> bytes:
        kind = event.get("type")
        if kind == "speech.audio.delta":
            return _from_base64(event.get("audio"))
        if kind == "speech.audio.done":
            self._ended = True
            report = event.get("usage")
            if isinstance(report, dict):
                self.usage = Usage(input_tokens=count(report.get("input_tokens")), audio_output_tokens=count(report.get("output_tokens")))
        elif error := event.get("error"):
            raise BadAnswer(make_fault(error if isinstance(error, dict) else {"message": str(error)}, status=200))
        return b""


class GeminiSound(_EventSound):
    """Pieces of a chat's answer with PCM in them."""

    def _read(self, event: Json) -> bytes:
        if error := event.get("error"):
            raise BadAnswer(make_fault(error if isinstance(error, dict) else {"message": str(error)}, status=200))
        usage = usage_from_gemini(event.get("usageMetadata"))
        if usage is not None:
            # What it says is sound, whether the details name it or not.
            self.usage = msgspec.structs.replace(
                usage, output_tokens=0, audio_output_tokens=usage.audio_output_tokens + usage.output_tokens
            )
        sound = b""
        for candidate in _rows(event.get("candidates")):
            content = candidate.get("content")
            for part in _rows(content.get("parts")) if isinstance(content, dict) else ():
                inline = part.get("inlineData")
                if isinstance(inline, dict):
                    sound += _from_base64(inline.get("data"))
            self._ended = self._ended or bool(candidate.get("finishReason"))
        return sound


def _rows(value: Any) -> list[Json]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _from_base64(text: Any) -> bytes:
    if not isinstance(text, str):
        raise BadAnswer(malformed(_MALFORMED))
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise BadAnswer(malformed(_MALFORMED)) from error


class SoundDialect(UnitDialect):
    """A provider's format for speech."""

    def decode_answer(self, body: bytes) -> Answer:
        """Sound has no whole answer."""
        del body
        raise BadAnswer(malformed(_MALFORMED))

    def new_sound_decoder(self, content_type: str) -> SoundDecoder:
        """Return a decoder for an answer of this content type."""
        if content_type.startswith("application/json"):
            return JsonSound()
        return OpenAiEventSound() if content_type.startswith("text/event-stream") else SoundDecoder()


class OpenAiSpeech(SoundDialect):
    """POST …/audio/speech. Events are asked for where the price is by the token: only they say how many there were."""

    def encode_request(
        self, request: ChatRequest, endpoint: EndpointSpec, provider: ProviderSpec, *, stream: bool, max_tokens: int | None
    ) -> UpstreamCall:
        """Write the text and how it is to be spoken."""
        del stream, max_tokens
        asked = request.body
        body: Json = {"model": endpoint.provider_model_id, **asked, "voice": asked.get("voice", "alloy")}
        if provider.slug == "mistral":
            body["voice_id"] = body.pop("voice")
        if "characters" not in endpoint.price.rates:
            body["stream_format"] = "sse"
        return UpstreamCall(path="/audio/speech", body=encode_json(body), headers=JSON_HEADERS)


class ElevenLabsSpeech(SoundDialect):
    """POST …/text-to-speech/{voice}/stream."""

    _FORMATS = {"mp3": "mp3_44100_128", "pcm": "pcm_24000", "wav": "wav_24000", "opus": "opus_48000_128"}  # noqa: RUF012 -- never changed
    _VOICE = "JBFqnCBsd6RMkjVDRZzb"

    def encode_request(
        self, request: ChatRequest, endpoint: EndpointSpec, provider: ProviderSpec, *, stream: bool, max_tokens: int | None
    ) -> UpstreamCall:
        """Write the text. Raises: InvalidRequest for a format that it does not make."""
        del provider, stream, max_tokens
        asked = request.body
        form = _format_of(asked, self._FORMATS)
        body: Json = {"text": asked["input"], "model_id": endpoint.provider_model_id}
        if "speed" in asked:
            body["voice_settings"] = {"speed": min(max(asked["speed"], 0.7), 1.2)}  # its range
        path = f"/text-to-speech/{quote(asked.get('voice', self._VOICE), safe='')}/stream"
        dropped = ("instructions",) if "instructions" in asked else ()
        return UpstreamCall(path=path, body=encode_json(body), headers=JSON_HEADERS, query={"output_format": form}, dropped=dropped)


class DeepgramSpeech(SoundDialect):
    """POST …/speak: the voice is the model."""

    _FORMATS = {  # noqa: RUF012 -- never changed
        "mp3": "encoding=mp3",
        "pcm": "encoding=linear16&container=none&sample_rate=24000",
        "wav": "encoding=linear16&container=wav&sample_rate=24000",
        "opus": "encoding=opus&container=ogg",
        "flac": "encoding=flac",
        "aac": "encoding=aac",
    }

    def encode_request(
        self, request: ChatRequest, endpoint: EndpointSpec, provider: ProviderSpec, *, stream: bool, max_tokens: int | None
    ) -> UpstreamCall:
        """Write the text."""
        del provider, stream, max_tokens
        asked = request.body
        wish = dict(one.split("=") for one in _format_of(asked, self._FORMATS).split("&"))
        query = {"model": asked.get("voice", endpoint.provider_model_id), **wish}
        dropped = tuple(name for name in ("speed", "instructions") if name in asked)
        return UpstreamCall(path="/speak", body=encode_json({"text": asked["input"]}), headers=JSON_HEADERS, query=query, dropped=dropped)


class GeminiSpeech(SoundDialect):
    """POST …/models/{model}:streamGenerateContent with a voice: PCM of 24,000 samples a second. ``root`` is what Vertex has before it."""

    def __init__(self, root: str = "") -> None:
        self._root = root

    def encode_request(
        self, request: ChatRequest, endpoint: EndpointSpec, provider: ProviderSpec, *, stream: bool, max_tokens: int | None
    ) -> UpstreamCall:
        """Write the text. Raises: InvalidRequest for other formats than PCM."""
        del provider, stream
        asked = request.body
        _format_of(asked, {"pcm": "pcm"})
        text = f"{asked['instructions']}: {asked['input']}" if "instructions" in asked else asked["input"]
        voice = {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": asked.get("voice", "Kore")}}}
        options: Json = {"responseModalities": ["AUDIO"], "speechConfig": voice}
        if max_tokens is not None:
            options["maxOutputTokens"] = max_tokens
        body = {"contents": [{"role": "user", "parts": [{"text": text}]}], "generationConfig": options}
        return UpstreamCall(
            path=f"{self._root}/models/{quote(endpoint.provider_model_id, safe='')}:streamGenerateContent",
            body=encode_json(body),
            headers=JSON_HEADERS,
            query={"alt": "sse"},
            dropped=("speed",) if "speed" in asked else (),
        )

    def new_sound_decoder(self, content_type: str) -> SoundDecoder:
        """Return a decoder for events."""
        del content_type
        return GeminiSound()


def _format_of(asked: Json, known: dict[str, str]) -> str:
    found = known.get(asked["response_format"])
    if found is None:
        raise InvalidRequest(f"This model's provider makes {', '.join(known)}.", "response_format")
    return found
