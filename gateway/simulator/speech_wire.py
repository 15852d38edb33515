"""The simulator's speech, in the forms of OpenAI, ElevenLabs and Deepgram. Pure.

Nobody speaks: PCM and WAV are a tone that comes from the text, MP3 is silence; all last as long as the text would take to read.
"""

import base64
import hashlib
import io
import struct
import wave
from collections.abc import Iterator

from gateway.simulator.directives import Directives, find_in_text
from gateway.simulator.forms import FormWire
from gateway.simulator.replies import SimReply, SimRequest, SimUsage
from gateway.simulator.tokens import count_tokens
from gateway.simulator.wire import BadBody, Frame, Json, Prompt, encode_json

HZ, _SAMPLE_BYTES = 24_000, 2
_CHARACTERS_PER_SECOND, _SECONDS_MAX = 15, 20.0
_TOKENS_PER_SECOND = 20
_MP3_FRAME = b"\xff\xfb\x90\x00" + b"\0" * 413  # a fortieth of a second, 128 kbit/s: no sound at all
_MP3_FRAMES_PER_SECOND = 38
_PIECE_BYTES = 12_000
_TYPES = {"pcm": b"audio/pcm", "wav": b"audio/wav", "mp3": b"audio/mpeg"}


def tone(text: str) -> bytes:
    """Return PCM for ``text``: a square wave whose pitch is the text's."""
    period = 50 + hashlib.sha256(text.encode()).digest()[0]
    wave_bytes = struct.pack("<h", 2000) * period + struct.pack("<h", -2000) * period
    size = int(_seconds(text) * HZ) * _SAMPLE_BYTES
    return (wave_bytes * (size // len(wave_bytes) + 1))[:size]


def _seconds(text: str) -> float:
    return min(max(len(text) / _CHARACTERS_PER_SECOND, 0.2), _SECONDS_MAX)


def _sound(text: str, form: str) -> bytes:
    if form == "mp3":
        return _MP3_FRAME * max(int(_seconds(text) * _MP3_FRAMES_PER_SECOND), 1)
    if form == "pcm":
        return tone(text)
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(_SAMPLE_BYTES)
        file.setframerate(HZ)
        file.writeframes(tone(text))
    return target.getvalue()


def speak(request: SimRequest) -> SimReply:
    """Return the sound and what it is counted as."""
    text = request.last_user_text
    usage = SimUsage(input_tokens=request.prompt_tokens, audio_tokens=int(_seconds(text) * _TOKENS_PER_SECOND))
    reply = SimReply(id=request.prompt_key[:24], model=request.model, choices=[], usage=usage)
    reply.sound, reply.sound_type = _sound(text, request.sound_format), _TYPES[request.sound_format]
    return reply


class SpeechWire(FormWire):
    """POST /v1/audio/speech."""

    text_field = "input"

    def read(self, body: Json, *, model: str, stream: bool) -> SimRequest:
        """Reduce a body."""
        text = body.get(self.text_field)
        if not isinstance(text, str) or not text:
            raise BadBody(f"'{self.text_field}' must be a string and not empty")
        form = self._format(body)
        if form not in _TYPES:
            raise BadBody(f"the simulator makes {', '.join(_TYPES)}, not {form}")
        prompt = Prompt()
        prompt.add_text(text)
        return SimRequest(
            model=str(body.get("model") or body.get("model_id") or model),
            last_user_text=text,
            prompt_tokens=count_tokens(text),
            prompt_key=prompt.key,
            control=find_in_text(text),
            make=speak,
            sound_format=form,
            stream=stream or body.get("stream_format") == "sse",
        )

    @staticmethod
    def _format(body: Json) -> str:
        return str(body.get("response_format") or "mp3")

    def answer(self, reply: SimReply, *, directives: Directives) -> Json:
        """Write the sound in JSON, as some hosts do. Sound that is asked for as it is needs no wire."""
        del directives
        return {"audio_data": base64.b64encode(reply.sound).decode()}

    def frames(self, reply: SimReply, request: SimRequest, *, directives: Directives) -> Iterator[Frame]:
        """Write the sound in events, and then what it was counted as."""
        del request
        for piece in pieces_of(reply.sound):
            yield Frame("", encode_json({"type": "speech.audio.delta", "audio": piece}))
        done: Json = {"type": "speech.audio.done"}
        if "missing_usage" not in directives:
            heard, spoken = reply.usage.prompt_tokens, reply.usage.audio_tokens
            done["usage"] = {"input_tokens": heard, "output_tokens": spoken, "total_tokens": heard + spoken}
        yield Frame("", encode_json(done))


def pieces_of(sound: bytes) -> Iterator[str]:
    """Return the sound in pieces, each in base64."""
    for start in range(0, len(sound), _PIECE_BYTES):
        yield base64.b64encode(sound[start : start + _PIECE_BYTES]).decode()


class ElevenLabsSpeechWire(SpeechWire):
    """POST /v1/text-to-speech/{voice}/stream, with the format in the address."""

    text_field = "text"

    @staticmethod
    def _format(body: Json) -> str:
        return str(body.get("query", {}).get("output_format") or "mp3").partition("_")[0]

    def error(self, status: int, message: str) -> Json:
        """Write an error body."""
        return {"detail": {"status": f"error_{status}", "message": message}}


class DeepgramSpeechWire(SpeechWire):
    """POST /v1/speak, with model and encoding in the address."""

    text_field = "text"

    @staticmethod
    def _format(body: Json) -> str:
        query = body.get("query", {})
        words = (query.get("encoding", "mp3"), query.get("container", ""))
        return {("linear16", "none"): "pcm", ("linear16", "wav"): "wav"}.get(words) or str(words[0])

    def error(self, status: int, message: str) -> Json:
        """Write an error body."""
        return {"err_code": f"ERROR_{status}", "err_msg": message, "request_id": "simulated"}
