"""How long sound files last: by their headers where those can be read, by their size at the least."""

import io
import struct
import time
import wave

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.sound_files import FORMATS, duration_of, format_of, seconds_max


def wav(seconds: float, hz: int = 8000, channels: int = 1) -> bytes:
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(hz)
        file.writeframes(b"\0\0" * channels * round(seconds * hz))
    return target.getvalue()


def mp3(frames: int, head: bytes = b"") -> bytes:
    """Return frames of MPEG 1 layer III, 128 kbit/s, 44.1 kHz: 417 bytes and 1,152 samples each."""
    frame = b"\xff\xfb\x90\x00" + b"\0" * 413
    return head + frame * frames


def xing(frames: int) -> bytes:
    """Return a first frame that counts the others, as encoders with a varying rate write it."""
    return (b"\xff\xfb\x90\x00" + b"\0" * 32 + b"Xing" + struct.pack(">II", 1, frames)).ljust(417, b"\0")


def flac(seconds: int, hz: int = 44_100) -> bytes:
    return b"fLaC" + b"\x80\0\0\x22" + b"\0" * 10 + (hz << 44 | 1 << 36 | seconds * hz).to_bytes(8) + b"\0" * 16


def opus(seconds: int) -> bytes:
    page = b"OggS\0\2" + b"\0" * 8 + b"\0" * 12 + b"\1\x13OpusHead\1\1"
    return page + b"OggS\0\4" + struct.pack("<q", seconds * 48_000) + b"\0" * 20


def vorbis(seconds: int) -> bytes:
    page = b"OggS\0\2" + b"\0" * 8 + b"\0" * 13 + b"\x01vorbis" + struct.pack("<IBI", 0, 1, 44_100)
    return page + b"OggS\0\4" + struct.pack("<q", seconds * 44_100) + b"\0" * 20


def box(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data) + 8) + name + data


def m4a(seconds: int) -> bytes:
    movie = box(b"moov", box(b"mvhd", struct.pack(">IIIII", 0, 0, 0, 1000, seconds * 1000) + b"\0" * 80))
    return box(b"ftyp", b"M4A ") + box(b"mdat", b"x" * 100) + movie


def webm(seconds: int) -> bytes:
    return b"\x1aE\xdf\xa3" + b"\x2a\xd7\xb1\x83\x0f\x42\x40" + b"\x44\x89\x88" + struct.pack(">d", seconds * 1000.0) + b"\0" * 40


@pytest.mark.parametrize(
    ("data", "sound_format", "seconds"),
    [
        (wav(2.5), "wav", 2.5),
        (wav(3, hz=48_000, channels=2), "wav", 3),
        (mp3(1000), "mp3", 417_000 / 16_000),
        (mp3(1000, b"ID3\4\0\0\0\0\0\x0a" + b"t" * 10), "mp3", 417_000 / 16_000),
        (mp3(10, xing(7000)), "mp3", 7000 * 1152 / 44_100),
        (flac(42), "flac", 42),
        (opus(42), "ogg", 42),
        (vorbis(42), "ogg", 42),
        (m4a(42), "m4a", 42),
        (webm(42), "webm", 42),
    ],
)
def test_a_header_says_how_long_a_file_lasts(data, sound_format, seconds):
    assert duration_of(data, sound_format) == pytest.approx(seconds)


def test_a_header_that_says_too_little_does_not_make_a_long_file_cheap():
    data = m4a(1) + b"x" * 2_000_000

    assert duration_of(data, "m4a") == 1
    assert seconds_max(data, "m4a", 1) == 1001


def test_samples_behind_the_end_that_a_header_names_count():
    data = wav(1)
    claimed = data[:40] + struct.pack("<I", 2) + data[44:]

    assert seconds_max(claimed, "wav", duration_of(claimed, "wav")) == 1


def test_sound_that_nobody_can_read_is_bounded_by_its_size():
    assert (duration_of(b"x" * 10_001, "aac"), seconds_max(b"x" * 10_001, "aac", None)) == (None, 6)
    assert seconds_max(b"", "wav", None) == 1


@given(data=st.binary(max_size=400), sound_format=st.sampled_from(sorted(set(FORMATS.values()))))
def test_any_bytes_have_a_length_or_none(data, sound_format):
    for start in (b"", b"RIFF", b"ID3", b"\xff\xfb", b"fLaC", b"OggS", b"\0\0\0\x08moov", b"\x44\x89\x88"):
        seconds = duration_of(start + data, sound_format)
        assert seconds is None or 0 < seconds <= 86_400
        assert seconds_max(start + data, sound_format, seconds) >= 1


@pytest.mark.parametrize("sound_format", sorted(set(FORMATS.values())))
def test_no_file_takes_long_to_read(sound_format):
    began_s = time.perf_counter()

    for filler in (b"\xff", b"\0\0\0\x08free", b"OggS", b"RIFF"):
        duration_of(filler * (4_000_000 // len(filler)), sound_format)

    assert time.perf_counter() - began_s < 0.5


@pytest.mark.parametrize(
    ("name", "content_type", "expected"),
    [
        ("a.MP3", "", "mp3"),
        ("a", "audio/x-wav", "wav"),
        ("a.oga", "text/plain", "ogg"),
        ("a.doc", "audio/flac; x=1", "flac"),
        ("a", "", ""),
    ],
)
def test_the_name_says_what_a_file_is_and_else_its_type(name, content_type, expected):
    assert format_of(name, content_type) == expected
