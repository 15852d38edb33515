"""Sound from providers: the same whatever the borders of its pieces, and an error where it is none."""

import base64

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.base import BadAnswer
from gateway.dialects.speech import GeminiSound, JsonSound, OpenAiEventSound, SoundDecoder

SOUND = bytes(range(256)) * 3


def events(*bodies: object) -> bytes:
    return b"".join(b"data: %b\n\n" % (one if isinstance(one, bytes) else msgspec.json.encode(one)) for one in bodies)


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def gemini_piece(data: bytes, **fields: object) -> dict[str, object]:
    return {"candidates": [{"content": {"parts": [{"inlineData": {"mimeType": "audio/L16", "data": base64_of(data)}}]}, **fields}]}


def heard(decoder: SoundDecoder, answer: bytes) -> bytes:
    return (decoder.decode(answer) if answer else b"") + decoder.decode(None)


ANSWERS = {
    "bytes": (SoundDecoder, SOUND),
    "json": (JsonSound, msgspec.json.encode({"audio_data": base64_of(SOUND)})),
    "events": (
        OpenAiEventSound,
        events(
            {"type": "speech.audio.delta", "audio": base64_of(SOUND[:100])},
            {"type": "speech.audio.delta", "audio": base64_of(SOUND[100:])},
            {"type": "speech.audio.done", "usage": {"input_tokens": 7, "output_tokens": 99, "total_tokens": 106}},
            b"[DONE]",
        ),
    ),
    "gemini": (
        GeminiSound,
        events(
            gemini_piece(SOUND[:100]),
            {**gemini_piece(SOUND[100:], finishReason="STOP"), "usageMetadata": {"promptTokenCount": 7, "candidatesTokenCount": 99}},
        ),
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
@given(borders=st.lists(st.integers(1, 3000), max_size=8))
def test_the_borders_of_pieces_change_nothing(name, borders):
    make, answer = ANSWERS[name]
    decoder, sound, start = make(), b"", 0
    for end in [*sorted(borders), len(answer)]:
        if piece := answer[start:end]:
            sound += decoder.decode(piece)
        start = max(start, end)
    sound += decoder.decode(None)

    assert sound == SOUND
    if decoder.usage is not None:
        assert (decoder.usage.input_tokens, decoder.usage.audio_output_tokens, decoder.usage.output_tokens) == (7, 99, 0)


@pytest.mark.parametrize(
    ("make", "answer"),
    [
        (SoundDecoder, b""),
        (JsonSound, b'{"error": {"message": "no"}}'),
        (JsonSound, b'{"audio_data": "***"}'),
        (JsonSound, b'{"audio_data": ""}'),
        (JsonSound, b"<html>"),
        (OpenAiEventSound, events({"type": "speech.audio.done"})),
        (OpenAiEventSound, events({"type": "speech.audio.delta", "audio": "AAAA"})),
        (OpenAiEventSound, events({"type": "speech.audio.delta", "audio": 3})),
        (OpenAiEventSound, events({"type": "error", "error": {"message": "no"}})),
        (OpenAiEventSound, events(b"{")),
        (GeminiSound, events(gemini_piece(b""))),
        (GeminiSound, events({"error": {"code": 503, "message": "overloaded"}})),
    ],
)
def test_what_is_no_sound_is_an_error(make, answer):
    with pytest.raises(BadAnswer):
        heard(make(), answer)


@given(data=st.binary(max_size=200), make=st.sampled_from([JsonSound, OpenAiEventSound, GeminiSound]))
def test_any_bytes_are_sound_or_an_error(data, make):
    decoder = make()
    try:
        decoder.decode(events(data))
        decoder.decode(None)
    except BadAnswer as bad:
        fault = bad.fault
    else:
        fault = None
    assert fault is None or fault.message
