"""The simulator's transcripts, in the forms of OpenAI, ElevenLabs and Deepgram. Pure.

Nobody listens: the text says how long the sound was. What to do wrong is read out of the file's last bytes, or a form's prompt.
"""

from gateway.dialects.multipart import FormFile
from gateway.dialects.sound_files import duration_of, format_of
from gateway.simulator.directives import Directives, find_in_text
from gateway.simulator.forms import FormWire
from gateway.simulator.replies import SimChoice, SimReply, SimRequest, SimUsage
from gateway.simulator.tokens import count_tokens
from gateway.simulator.wire import BadBody, Json, Prompt

_TAIL_BYTES = 4096
_BYTES_PER_SECOND = 16_000  # where no header says how long a file lasts
_TOKENS_PER_SECOND = 10


def write_down(request: SimRequest) -> SimReply:
    """Return the words and what was counted."""
    text = f"This is a simulated transcript of {request.seconds:g} seconds of sound: nobody listened."
    usage = SimUsage(
        input_tokens=request.prompt_tokens,
        audio_tokens=int(request.seconds * _TOKENS_PER_SECOND),
        output_tokens=count_tokens(text),
        seconds=request.seconds,
    )
    return SimReply(id=request.prompt_key[:24], model=request.model, choices=[SimChoice(text=text)], usage=usage)


def words_of(reply: SimReply) -> list[tuple[str, float, float]]:
    """Return each word of the transcript and when it was not said: they share the time evenly."""
    words = reply.choices[0].text.split()
    share = reply.usage.seconds / len(words)
    return [(word, round(place * share, 3), round((place + 1) * share, 3)) for place, word in enumerate(words)]


class TranscriptionsWire(FormWire):
    """POST /v1/audio/transcriptions."""

    model_field = "model"

    def read(self, body: Json, *, model: str, stream: bool) -> SimRequest:
        """Reduce a form."""
        del stream
        file = body.get("files", {}).get("file")
        if not isinstance(file, FormFile) or not file.data:
            raise BadBody("'file' must be a file and not empty")
        seconds = duration_of(file.data, format_of(file.name, file.content_type)) or len(file.data) / _BYTES_PER_SECOND
        prompt = Prompt()
        prompt.add_text(str(len(file.data)))
        words = str(body.get("prompt") or "")
        return SimRequest(
            model=str(body.get(self.model_field) or model),
            prompt_tokens=count_tokens(words),
            prompt_key=prompt.key,
            control=find_in_text(words) or find_in_text(file.data[-_TAIL_BYTES:].decode("latin-1")),
            make=write_down,
            seconds=round(seconds, 3),
        )

    def answer(self, reply: SimReply, *, directives: Directives) -> Json:
        """Write a transcript: with its length for Whisper, with tokens for others."""
        body: Json = {"text": reply.choices[0].text}
        usage = reply.usage
        if "whisper" in reply.model:
            words = [{"word": word, "start": start, "end": end} for word, start, end in words_of(reply)]
            segment = {"id": 0, "seek": 0, "start": 0.0, "end": usage.seconds, "text": body["text"], "tokens": [], "temperature": 0.0}
            segment |= {"avg_logprob": -0.1, "compression_ratio": 1.0, "no_speech_prob": 0.0}
            body |= {"task": "transcribe", "language": "english", "duration": usage.seconds, "segments": [segment], "words": words}
            if "missing_usage" in directives:
                del body["duration"]
        elif "missing_usage" not in directives:
            heard = usage.audio_tokens + usage.input_tokens
            body["usage"] = {
                "type": "tokens",
                "input_tokens": heard,
                "input_token_details": {"text_tokens": usage.input_tokens, "audio_tokens": usage.audio_tokens},
                "output_tokens": usage.output_tokens,
                "total_tokens": heard + usage.output_tokens,
            }
        return body


class ElevenLabsTranscriptionsWire(TranscriptionsWire):
    """POST /v1/speech-to-text."""

    model_field = "model_id"

    def answer(self, reply: SimReply, *, directives: Directives) -> Json:
        """Write a transcript."""
        words = [{"text": word, "start": start, "end": end, "type": "word", "logprob": 0.0} for word, start, end in words_of(reply)]
        body: Json = {"language_code": "eng", "language_probability": 1.0, "text": reply.choices[0].text, "words": words}
        return body if "missing_usage" in directives else {**body, "audio_duration_secs": reply.usage.seconds}

    def error(self, status: int, message: str) -> Json:
        """Write an error body."""
        return {"detail": {"status": f"error_{status}", "message": message}}


class DeepgramTranscriptionsWire(TranscriptionsWire):
    """POST /v1/listen."""

    def answer(self, reply: SimReply, *, directives: Directives) -> Json:
        """Write a transcript."""
        words = [{"word": word.lower(), "punctuated_word": word, "start": start, "end": end} for word, start, end in words_of(reply)]
        meta: Json = {"request_id": reply.id, "channels": 1}
        if "missing_usage" not in directives:
            meta["duration"] = reply.usage.seconds
        best = {"transcript": reply.choices[0].text, "confidence": 1.0, "words": words}
        return {"metadata": meta, "results": {"channels": [{"alternatives": [best], "detected_language": "en"}]}}

    def error(self, status: int, message: str) -> Json:
        """Write an error body."""
        return {"err_code": f"ERROR_{status}", "err_msg": message, "request_id": "simulated"}
